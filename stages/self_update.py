"""The self-update stage: brings the pipeline to the configuration at the run's commit, by the same code as `up`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aphex.config import CONFIG_FILE
from aphex.process import ProcessTimeout
from aphex.process import run as run_program
from aphex.run import Status
from stages.errors import StageError
from stages.prepare import clone, configuration
from stages.runner import Stage, StageResult

_TIMEOUT = 1800.0
_TAIL = 200
_SHAPE = "WorkflowTemplate"

SETTINGS = Path("/etc/aphex/settings/settings.json")
SECRETS = Path("/etc/aphex/secrets/secrets.json")


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
        "shape_changed": any(_SHAPE in str(change.get("type", "")) for change in changes),
        "changes": [f"{change.get('operation', '')} {change.get('name', '')}".strip() for change in changes],
    }


def run(stage: Stage) -> StageResult:
    """Update the pipeline's own resources.

    Raises:
        SelfUpdateFailed: the update failed.
    """
    try:
        return _update(stage)
    except SelfUpdateFailed:
        raise
    except Exception as error:
        raise SelfUpdateFailed(f"The self-update could not be begun: {error}") from error


def _update(stage: Stage) -> StageResult:
    clone(stage)
    configuration(stage)
    command = update_command(sys.executable, stage.workspace.source / CONFIG_FILE, SETTINGS, SECRETS)
    try:
        completed = run_program(
            command,
            # Not the clone: Python would take a folder `automation` there for the program.
            cwd=stage.workspace.private,
            env=os.environ,
            timeout=_TIMEOUT,
            on_line=stage.console.line,
            check=False,
            separate_errors=True,
            label="automation up",
        )
    except ProcessTimeout as error:
        raise SelfUpdateFailed(error.message, details={"command": command, "timed_out": True}) from error
    if not completed.ok:
        tail = (completed.error_output or completed.output).splitlines()[-_TAIL:]
        raise SelfUpdateFailed(
            f"The self-update failed with exit status {completed.exit_code}.",
            hint="The run goes on with the shape that the pipeline has; the next run tries again.",
            details={"command": command, "exit_code": completed.exit_code, "output": "\n".join(tail)},
        )
    summary = summarize(_document(completed.output))
    if summary["shape_changed"]:
        stage.console.line("The pipeline has a new shape; the following runs have it, this one keeps its own.")
    return StageResult(summary=summary)


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
