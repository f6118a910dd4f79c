"""The test stage: the environment's test commands against what was deployed."""

from __future__ import annotations

import traceback
from typing import Any

from stages.access import environment_access
from stages.commands import run_commands
from stages.errors import StageError
from stages.prepare import clone, configuration, environment_variables, fetch_artifact, share_outputs, skipped
from stages.reports import keep_reports
from stages.runner import Stage, StageResult


def run(stage: Stage) -> StageResult:
    """Test the environment; a failure leaves the deployment as it is.

    Raises:
        CommandFailed: a test command failed.
    """
    name = stage.context.required_environment()
    timestamp = clone(stage)
    config = configuration(stage)
    environment = config.environment(name)
    if environment is None or environment.tests is None:
        return skipped(stage, name)
    fetch_artifact(stage)
    tests = environment.tests
    with environment_access(stage, environment, tests.role) as access:
        try:
            done = run_commands(
                tests.commands,
                field=f"environments[{config.environments.index(environment)}].tests.commands",
                cwd=stage.workspace.source,
                env={**environment_variables(stage, access, environment.account, timestamp), **share_outputs(stage)},
                console=stage.console,
            )
        except BaseException as error:
            # Also when the pod is stopped: what the tests said until then is worth most after a failure.
            found = _reports_of_failure(stage, tests.reports)
            if isinstance(error, StageError):
                error.details.update(found)
            raise
    reports = keep_reports(stage, tests.reports)
    return StageResult(
        summary={"status": "succeeded", "environment": name, "commands": len(done), **reports},
        details={"commands": done},
    )


def _reports_of_failure(stage: Stage, globs: list[str]) -> dict[str, Any]:
    """The reports of failed tests; that they cannot be kept must not hide why the tests failed."""
    try:
        return keep_reports(stage, globs)
    except Exception as error:  # noqa: BLE001  # said, and in the log with its traceback
        stage.console.line(f"warning: the reports were not stored: {error}")
        stage.console.log_only(traceback.format_exc())
        return {}
