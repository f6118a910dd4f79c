"""Ends a program and all that it started, also what left its process group (`setsid`, daemons)."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

GRACE_SECONDS = 5.0
# A variable that programs inherit: what has the same value belongs together, whoever its parent is by now.
MARK = "APHEX_PROCESS_MARK"
_PROC = Path("/proc")


def end_group(process: subprocess.Popen[Any], grace: float = GRACE_SECONDS, mark: str = "") -> None:
    """End a process and everything it started: asked first, forced after `grace` seconds.

    Args:
        process: the leader of a process group.
        grace: seconds to end by itself.
        mark: the value of the variable `MARK` in the process's environment, by which those of its descendants are found
            that neither its group nor the tree of processes shows. Only where there is /proc.
    """
    strays: dict[int, str] = {}
    for number in (signal.SIGTERM, signal.SIGKILL):
        strays.update(_outside(process.pid, mark))
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            if not strays:
                break
        for pid, born in strays.items():
            if _born(pid) == born:
                _kill(pid, number)
        deadline = time.monotonic() + grace
        while time.monotonic() < deadline and _alive(process, strays):
            time.sleep(0.05)
        if not _alive(process, strays):
            break
    process.wait()


def _alive(process: subprocess.Popen[Any], strays: dict[int, str]) -> bool:
    process.poll()
    if any(_born(pid) == born for pid, born in strays.items()):
        return True
    try:
        os.killpg(process.pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _kill(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return  # it ended meanwhile, or is another user's


def _outside(leader: int, mark: str) -> Iterator[tuple[int, str]]:
    """Descendants of the leader that are not in its group, each with when it was born."""
    seen = {pid: stat for pid in _pids() if (stat := _stat(pid))}
    related = {leader}
    # A child may have a lower number than its parent: repeated until nothing is added.
    while more := {pid for pid, stat in seen.items() if int(stat[1]) in related} - related:
        related |= more
    if mark:
        wanted = f"{MARK}={mark}".encode()
        related |= {pid for pid in seen if wanted in _environment(pid)}
    for pid in related - {os.getpid()}:
        if pid in seen and int(seen[pid][2]) != leader and seen[pid][0] != "Z":
            yield pid, seen[pid][19]


def _pids() -> list[int]:
    return [int(each.name) for each in _PROC.iterdir() if each.name.isdigit()] if _PROC.is_dir() else []


def _stat(pid: int) -> list[str]:
    """State, parent, group and so on of a process, as proc(5) has them after its name; empty when it is gone."""
    try:
        return (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def _born(pid: int) -> str:
    stat = _stat(pid)
    return stat[19] if stat and stat[0] != "Z" else ""


def _environment(pid: int) -> list[bytes]:
    try:
        return (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return []  # another user's, or gone
