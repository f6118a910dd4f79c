"""The self-update stage: brings the pipeline to the configuration at the run's commit, by the same code as `up`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from aphex.config import CONFIG_FILE
from aphex.errors import AphexError
from aphex.process import Completed, ProcessTimeout
from aphex.process import run as run_program
from aphex.run import Status
from stages.console import Console, elapsed
from stages.errors import StageError
from stages.prepare import clone, configuration
from stages.rerun import RerunFailed, rerun_when_shape_changed
from stages.runner import Stage, StageResult

_TIMEOUT = 1800.0
_TAIL = 200
_GRACE = 20.0  # a pod that is stopped has 30 s; the engine finishes what it has begun in most of them
_SHAPE = ":WorkflowTemplate"

SETTINGS = Path("/etc/aphex/settings/settings.json")
SECRETS = Path("/etc/aphex/secrets/secrets.json")

GOES_ON = "The run goes on with the shape that the pipeline has; the next run tries again."


class SelfUpdateFailed(StageError):
    """The pipeline keeps the shape it has; the run goes on, and the next one tries again."""

    status = Status.DEGRADED


def update_command(python: str, config: Path, settings: Path, secrets: Path) -> list[str]:
    """The program that brings the pipeline up to date."""
    return [
        *(python, "-m", "automation", "up", "--yes", "--json"),
        *("--settings", str(settings), "--secrets", str(secrets), "--config", str(config)),
    ]


def summarize(document: Mapping[str, Any]) -> dict[str, Any]:
    """What the run keeps of an update: how much changed, and whether the following runs have another shape."""
    changes = document.get("changes", [])
    return {
        "status": "succeeded",
        "changed": bool(document.get("changed", changes)),
        "shape_changed": any(str(change.get("type", "")).endswith(_SHAPE) for change in changes),
        "changes": [f"{change.get('operation', '')} {change.get('name', '')}".strip() for change in changes],
    }


def sentence(summary: Mapping[str, Any], seconds: float) -> str:
    """What the console says at the end of an update."""
    if not summary["changed"]:
        return f"The pipeline is up to date; nothing changed ({elapsed(seconds)})."
    shape = " It has a new shape: the following runs have it, this one keeps its own." * summary["shape_changed"]
    return f"The pipeline was updated in {elapsed(seconds)}: {', '.join(summary['changes'])}.{shape}"


def run(stage: Stage) -> StageResult:
    """Update the pipeline's own resources.

    Raises:
        SelfUpdateFailed: the update failed.
    """
    try:
        return _update(stage)
    except SelfUpdateFailed:
        raise
    except RerunFailed as error:
        raise SelfUpdateFailed(error.message, hint=error.hint) from error
    except AphexError as error:
        details = error.details if isinstance(error, StageError) else {}
        raise SelfUpdateFailed(
            f"The self-update could not be begun.\n{error.message}", hint=_hint(error.hint), details=details
        ) from error
    except Exception as error:
        raise SelfUpdateFailed(
            f"The self-update could not be begun.\n{type(error).__name__}: {error}", hint=GOES_ON
        ) from error


def _update(stage: Stage) -> StageResult:
    clone(stage)
    config = configuration(stage)
    command = update_command(sys.executable, stage.workspace.source / CONFIG_FILE, SETTINGS, SECRETS)
    try:
        completed = run_program(
            command,
            # Not the clone: Python would take a folder `automation` there for the program.
            cwd=stage.workspace.private,
            env=os.environ,
            timeout=_TIMEOUT,
            on_line=partial(_show, stage.console),
            check=False,
            separate_errors=True,
            label="automation up",
            grace=_GRACE,
        )
    except ProcessTimeout as error:
        raise SelfUpdateFailed(
            error.message.replace("automation up", "The self-update"),
            hint="What it had begun is looked at again by the next run, which tries again. This run goes on with the "
            "shape that the pipeline has.",
            details={"command": command, "timed_out": True},
        ) from error
    if not completed.ok:
        raise update_failure(completed)
    summary = summarize(_document(completed.output))
    stage.console.line(sentence(summary, completed.seconds))
    rerun = rerun_when_shape_changed(stage.context, config, stage.console.line)
    return StageResult(summary={**summary, **({"rerun": rerun} if rerun else {})})


def _show(console: Console, line: str) -> None:
    """Show what the update says; its result, JSON in one line, is read and told in words."""
    if not line.startswith('{"'):
        console.line(line)


def update_failure(completed: Completed) -> SelfUpdateFailed:
    """The error of an update that failed, in the words of the update itself where it left any."""
    output = "\n".join((completed.error_output or completed.output).splitlines()[-_TAIL:])
    details: dict[str, Any] = {
        "command": list(completed.argv),
        "exit_code": completed.exit_code,
        "output": output,
    }
    told = _told(completed.output)
    if told is None:
        last = next((line for line in reversed(output.splitlines()) if line.strip()), "It printed nothing.")
        how = f"by signal {-completed.exit_code}" if completed.exit_code < 0 else f"with status {completed.exit_code}"
        return SelfUpdateFailed(f"The self-update ended {how}.\n{last.strip()}", hint=GOES_ON, details=details)
    resources: Sequence[Any] = told.get("resources") or []
    if resources:
        details["resources"] = list(resources)
    return SelfUpdateFailed(
        f"The self-update failed.\n{told.get('message', '')}", hint=_hint(str(told.get("hint", ""))), details=details
    )


def _hint(hint: str) -> str:
    return f"{hint}\n{GOES_ON}" if hint else GOES_ON


def _told(output: str) -> Mapping[str, Any] | None:
    """The error that the update printed as JSON; None when it was ended before it could."""
    try:
        error = json.loads(output)["error"]
    except (ValueError, KeyError, TypeError):
        return None
    return error if isinstance(error, dict) else None


def _document(output: str) -> dict[str, Any]:
    """The JSON that the update printed.

    Raises:
        SelfUpdateFailed: it printed something else.
    """
    try:
        document = json.loads(output)
    except ValueError as error:
        raise SelfUpdateFailed("The update succeeded, but its result cannot be read.") from error
    return document if isinstance(document, dict) else {}
