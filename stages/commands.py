"""Runs the user's own commands, exactly as they wrote them, in order, up to the first failure."""

from __future__ import annotations

import time
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from aphex.config import Command
from aphex.process import ProcessTimeout, run
from aphex.process_tree import MARK
from stages.console import Console, elapsed, time_of_day
from stages.errors import StageError

_TAIL_LINES = 50
_TAIL_WIDTH = 2000  # of a line in the tail, in characters; the log has all of it
_NOT_FOUND = 127
_NOT_EXECUTABLE = 126
_KILLED = 9


class CommandFailed(StageError):
    """One of the user's commands failed; those after it were not run."""


def shell(command: str) -> list[str]:
    """The program that runs a command: bash, which stops at the first failure, also within a pipe."""
    return ["bash", "-e", "-o", "pipefail", "-c", command]


def run_commands(
    commands: Sequence[Command], *, field: str, cwd: Path, env: Mapping[str, str], console: Console
) -> list[dict[str, object]]:
    """Run commands in their order.

    Args:
        commands: what to run.
        field: where they are in the configuration, for the output and errors, such as `build.commands`.
        cwd: where they run.
        env: their whole environment.
        console: where their output goes, live.

    Returns:
        For each command what was run and how long it took, in seconds.

    Raises:
        CommandFailed: one failed or took too long.
    """
    done: list[dict[str, object]] = []
    for index, command in enumerate(commands):
        console.line(f"==> {field}[{index}] ({index + 1} of {len(commands)}), {time_of_day()}")
        for line in command.run.splitlines():
            console.line(f"  $ {line}")
        seconds = _run_one(command, f"{field}[{index}]", cwd, env, console)
        console.line(f"    done in {elapsed(seconds)}")
        done.append({"command": console.masker.text(command.run), "seconds": round(seconds, 3), "exit_code": 0})
    return done


def _run_one(command: Command, field: str, cwd: Path, env: Mapping[str, str], console: Console) -> float:
    started = time.monotonic()
    shown = console.masker.text(command.run)
    details: dict[str, object] = {"field": field, "command": shown}
    tail: deque[str] = deque(maxlen=_TAIL_LINES)

    def on_line(line: str) -> None:
        line = console.shown(line)
        tail.append(line if len(line) <= _TAIL_WIDTH else line[:_TAIL_WIDTH] + " …")

    try:
        completed = run(
            shell(command.run),
            cwd=cwd,
            env={**env, MARK: uuid.uuid4().hex},
            timeout=command.timeout_seconds,
            on_line=on_line,
            check=False,
            keep_lines=0,
        )
    except ProcessTimeout as error:
        seconds = time.monotonic() - started
        console.line(f"    stopped after {elapsed(seconds)}")
        raise CommandFailed(
            f"{field} did not end within {command.timeout} and was stopped: {shown}",
            hint="Give it a longer timeout in aphex-config.yaml if it needs one.",
            details={**details, "timed_out": True, "seconds": round(seconds, 3), "output": _text(tail)},
        ) from error
    if not completed.ok:
        console.line(f"    failed after {elapsed(completed.seconds)}")
        raise CommandFailed(
            f"{field} failed with {_status(completed.exit_code)}: {shown}",
            hint=_hint(completed.exit_code),
            details={
                **details,
                "exit_code": completed.exit_code,
                "seconds": round(completed.seconds, 3),
                "output": _text(tail),
            },
        )
    return completed.seconds


def _text(tail: deque[str]) -> str:
    return "".join(f"{line}\n" for line in tail)


def _hint(code: int) -> str:
    if code == _NOT_FOUND:
        return "A program that it calls is not in the image."
    if code == _NOT_EXECUTABLE:
        return "A file that it calls is not executable: git keeps that right, see git update-index --chmod=+x."
    if code in (-_KILLED, 128 + _KILLED):
        return "It was killed from outside, mostly because the pod's memory was used up."
    return ""


def _status(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit status {code}"
