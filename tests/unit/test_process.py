"""The one process helper: streaming, time-outs and what is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from aphex.errors import AphexError
from aphex.process import ProcessError, ProcessTimeout, ProgramNotFound, run


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] != "Z"


def test_lines_come_while_the_program_runs() -> None:
    seen: list[float] = []
    run(["bash", "-c", "echo one; sleep 0.5; echo two"], on_line=lambda _line: seen.append(time.monotonic()))
    assert len(seen) == 2
    assert seen[1] - seen[0] > 0.3


def test_a_failure_carries_status_and_tail() -> None:
    with pytest.raises(ProcessError) as raised:
        run(["bash", "-c", "echo before; echo the reason >&2; exit 7"], label="the build")
    assert raised.value.completed.exit_code == 7
    assert str(raised.value) == "the build ended with exit status 7.\nbefore\nthe reason"


def test_a_timeout_ends_the_whole_group(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    with pytest.raises(ProcessTimeout):
        run(["bash", "-c", f"sleep 300 & echo $! > {pid_file}; wait"], timeout=1)
    assert not alive(int(pid_file.read_text(encoding="utf-8")))


def test_a_program_that_ignores_the_first_signal_is_ended(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    with pytest.raises(ProcessTimeout):
        run(["bash", "-c", f"trap '' TERM; echo $$ > {pid_file}; while true; do sleep 0.1; done"], timeout=0.5)
    assert not alive(int(pid_file.read_text(encoding="utf-8")))


@pytest.mark.parametrize("born", [True, False])
def test_a_signal_while_a_program_is_started_leaves_nothing_running(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, born: bool
) -> None:
    pid_file = tmp_path / "pid"

    class Popen(subprocess.Popen[Any]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            """Start it; the signal comes before or after that, and long before the caller knows."""
            if not born:
                signal.raise_signal(signal.SIGTERM)
            super().__init__(*arguments, **options)
            pid_file.write_text(str(self.pid), encoding="utf-8")
            if born:
                signal.raise_signal(signal.SIGTERM)
            time.sleep(0.5)

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt(number)

    monkeypatch.setattr(subprocess, "Popen", Popen)
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            run(["sleep", "300"])
    finally:
        signal.signal(signal.SIGTERM, before)
    assert not alive(int(pid_file.read_text(encoding="utf-8")))


def test_outputs_can_be_kept_apart() -> None:
    completed = run(["bash", "-c", "echo out; echo err >&2"], separate_errors=True)
    assert (completed.output, completed.error_output) == ("out\n", "err\n")


def test_only_the_tail_is_kept_when_asked() -> None:
    completed = run(["seq", "1000"], keep_lines=3)
    assert completed.output.split() == ["998", "999", "1000"]


def test_input_is_read() -> None:
    assert run(["cat"], input="hello").output == "hello"


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(ProgramNotFound, match="no-such-program was not found"):
        run(["no-such-program"])


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(AphexError, match="there is no such folder"):
        run(["true"], cwd=tmp_path / "missing")


def test_an_error_of_the_reader_reaches_the_caller() -> None:
    def refuse(_line: str) -> None:
        raise ValueError("cannot take it")

    with pytest.raises(ValueError, match="cannot take it"):
        run(["echo", "x"], on_line=refuse)


@pytest.mark.parametrize("timeout", [60.0, 0.3])
def test_a_line_that_is_being_handed_on_is_waited_for(monkeypatch: pytest.MonkeyPatch, timeout: float) -> None:
    monkeypatch.setattr("aphex.process_output._SILENCE_SECONDS", 0.1)
    handed_on: list[str] = []

    def slowly(line: str) -> None:
        time.sleep(0.6)
        handed_on.append(line)

    command = ["bash", "-c", "echo one; echo two" + ("; sleep 60" if timeout < 1 else "")]
    if timeout < 1:
        with pytest.raises(ProcessTimeout):
            run(command, on_line=slowly, timeout=timeout)
    else:
        run(command, on_line=slowly, timeout=timeout)
    assert handed_on == ["one", "two"]


def test_what_is_left_in_the_background_holds_nothing_up(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    started = time.monotonic()
    completed = run(["bash", "-c", f"sleep 300 & echo $! > {pid_file}; echo done"], timeout=60)
    pid = int(pid_file.read_text(encoding="utf-8"))
    assert completed.output == "done\n"
    assert time.monotonic() - started < 30
    assert alive(pid)
    os.kill(pid, signal.SIGKILL)


def test_a_timeout_ends_also_what_left_the_group(tmp_path: Path) -> None:
    child, daemon = tmp_path / "child", tmp_path / "daemon"
    script = (
        f"setsid bash -c 'echo $$ > {child}; exec sleep 300' & "
        # Its parent is gone at once: neither the group nor the tree of processes shows it, only the mark.
        f"(setsid bash -c 'echo $$ > {daemon}; exec sleep 300' &) ; wait"
    )
    with pytest.raises(ProcessTimeout):
        run(["bash", "-c", script], timeout=1, env={**os.environ, "APHEX_PROCESS_MARK": tmp_path.name + "-mark"})
    assert not alive(int(child.read_text(encoding="utf-8")))
    assert not alive(int(daemon.read_text(encoding="utf-8")))


def test_a_line_without_an_end_comes_in_pieces_between_words() -> None:
    seen: list[str] = []
    script = "import sys; sys.stdout.write('wörd ' * 1_000_000)"
    completed = run([sys.executable, "-c", script], on_line=seen.append, keep_lines=3)
    assert "".join(seen) == "wörd " * 1_000_000
    assert len(seen) == 6
    assert all(piece.endswith("wörd ") for piece in seen)
    assert len(completed.output) < 3 * 1024 * 1024


def test_a_word_without_an_end_is_cut_between_characters() -> None:
    completed = run([sys.executable, "-c", "import sys; sys.stdout.write('x' + 'ö' * 1_000_000)"])
    assert completed.output == "x" + "ö" * 1_000_000


def test_what_is_not_utf8_is_shown_as_such() -> None:
    completed = run(["printf", r"a\xffb\nc\r\n"])
    assert completed.output == "a\N{REPLACEMENT CHARACTER}b\nc\n"
    assert run(["printf", r"a\xffb"], errors="surrogateescape").output == "a\udcffb"


def test_two_hundred_megabytes_need_no_memory() -> None:
    script = """
from aphex.process import run
from tests.support.memory import peak_kilobytes
count = 0
def on_line(line):
    global count
    count += len(line) + 1
run(["bash", "-c", "yes 0123456789012345678901234567890123456789012345678 | head -c 200000000"],
    on_line=on_line, keep_lines=50)
print(count, peak_kilobytes())
"""
    count, kilobytes = run([sys.executable, "-c", script], cwd=Path(__file__).parents[2]).output.split()
    assert int(count) == 200_000_000
    assert int(kilobytes) < 80_000
