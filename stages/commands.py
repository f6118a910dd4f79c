"""Runs the user's own commands, exactly as they wrote them, in order, up to the first failure."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from aphex.config import Command
from aphex.process import ProcessTimeout, run
from stages.console import Console, elapsed
from stages.errors import StageError

_TAIL = 50
_NOT_FOUND = 127


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
        console.line(f"==> {field}[{index}] ({index + 1} of {len(commands)})")
        for line in command.run.splitlines():
            console.line(f"  $ {line}")
        seconds = _run_one(command, f"{field}[{index}]", cwd, env, console)
        console.line(f"    done in {elapsed(seconds)}")
        done.append({"command": command.run, "seconds": round(seconds, 3), "exit_code": 0})
    return done


def _run_one(command: Command, field: str, cwd: Path, env: Mapping[str, str], console: Console) -> float:
    started = time.monotonic()
    details: dict[str, object] = {"field": field, "command": command.run}
    try:
        completed = run(
            shell(command.run),
            cwd=cwd,
            env=env,
            timeout=command.timeout_seconds,
            on_line=console.line,
            check=False,
            keep_lines=_TAIL,
        )
    except ProcessTimeout as error:
        raise CommandFailed(
            f"{field} did not end within {command.timeout} and was stopped: {command.run}",
            hint="Give it a longer timeout in aphex-config.yaml if it needs one.",
            details={**details, "timed_out": True, "seconds": round(time.monotonic() - started, 3)},
        ) from error
    if not completed.ok:
        missing = completed.exit_code == _NOT_FOUND
        raise CommandFailed(
            f"{field} failed with {_status(completed.exit_code)}: {command.run}",
            hint="A program that it calls is not in the image." if missing else "",
            details={
                **details,
                "exit_code": completed.exit_code,
                "seconds": round(completed.seconds, 3),
                "output": completed.output,
            },
        )
    return completed.seconds


def _status(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit status {code}"
