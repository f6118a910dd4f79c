"""Which process serves, known by a lock that it holds while it lives: on any system, and never the wrong process."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from pathlib import Path

from aphex.errors import AphexError

_POLL_SECONDS = 0.05
_TAKE_SECONDS = 2.0
# What is kept over a restart is written at the end; with some hundred megabytes of artifacts that takes a while.
_STOP_SECONDS = 30.0
_KILL_SECONDS = 5.0


def hold(path: Path) -> int:
    """Hold the lock as this process, which is named in the file; the kernel releases it when the process ends.

    Returns:
        The file's descriptor: as long as it is open, the lock is held.

    Raises:
        AphexError: another process holds it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + _TAKE_SECONDS
    # Whoever looks whether the lock is held has it for a moment.
    while not _take(descriptor):
        if time.monotonic() > deadline:
            os.close(descriptor)
            raise AphexError(f"Another process holds {path}.")
        time.sleep(_POLL_SECONDS)
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor


def holder(path: Path) -> int | None:
    """The process that holds the lock; None when none does."""
    if not path.exists():
        return None
    deadline = time.monotonic() + _TAKE_SECONDS
    while time.monotonic() < deadline:
        with path.open("r+") as file:
            if _take(file.fileno()):
                return None
            if text := file.read().strip():
                return int(text)
        time.sleep(_POLL_SECONDS)
    raise AphexError(f"A process holds {path} and does not say which it is.")


def end(path: Path) -> None:
    """End the process that holds the lock, and wait until it has.

    Raises:
        AphexError: it is still there after it was killed.
    """
    for number, seconds in ((signal.SIGTERM, _STOP_SECONDS), (signal.SIGKILL, _KILL_SECONDS)):
        pid = holder(path)
        if pid is None:
            return
        os.kill(pid, number)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if holder(path) is None:
                _reap(pid)
                return
            time.sleep(_POLL_SECONDS)
    raise AphexError(f"The process that holds {path} does not end.")


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _reap(pid: int) -> None:
    """Collect the process when it is a child of this very one; otherwise the system does."""
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        return
