"""Two commands on one sandbox take turns, and a killed one does not lock the others out."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

from sandbox.node.lock import locked
from sandbox.state import Phase

HOLD = """
import pathlib, sys
from sandbox.node.lock import locked
with locked(pathlib.Path(sys.argv[1]), lambda *_: None):
    print("held", flush=True)
    sys.stdin.read()
"""


def quiet(_what: str, _phase: Phase, _seconds: float) -> None:
    """Tell nobody."""


def test_the_second_waits_and_says_for_whom(tmp_path: Path) -> None:
    said: list[tuple[str, Phase]] = []
    heard = threading.Event()

    def hear(what: str, phase: Phase, _seconds: float) -> None:
        said.append((what, phase))
        heard.set()

    def second() -> None:
        with locked(tmp_path / "lock", hear):
            said.append(("inside", Phase.ready))

    with locked(tmp_path / "lock", quiet):
        thread = threading.Thread(target=second)
        thread.start()
        assert heard.wait(10)
        assert ("inside", Phase.ready) not in said
    thread.join(10)
    assert [phase for _, phase in said] == [Phase.waiting, Phase.ready, Phase.ready]
    assert said[0][0].startswith("process ")


def test_a_killed_holder_lets_go(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        holder.kill()
        holder.wait()
    with locked(tmp_path / "lock", quiet):
        assert (tmp_path / "lock").exists()
