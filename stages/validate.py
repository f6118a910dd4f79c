"""The validation stage: everything that can be known to fail is found before anything runs, and told at once."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path

from aphex.config import CONFIG_FILE, PipelineConfig
from aphex.loader import ConfigError
from aphex.run import Trigger
from stages.access import AccountAccess, environment_access
from stages.account_checks import AccountCheck, account_checks, account_findings
from stages.assume import own_session
from stages.context_checks import app_findings, context_findings
from stages.errors import StageError
from stages.findings import Finding, configuration_findings, with_lines
from stages.prepare import clone, configuration
from stages.runner import Stage, StageResult
from stages.tool_checks import tool_findings
from stages.variables import command_environment


class ValidationFailed(StageError):
    """The first failures were found; nothing was run."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = list(findings)
        number = sum(not finding.warning for finding in findings)
        super().__init__(
            f"{number} finding{'s' if number != 1 else ''}; nothing was run.",
            details={"findings": [finding.as_json() for finding in findings]},
        )


def run(stage: Stage) -> StageResult:
    """Begin the run's record and check everything; all findings are reported together.

    Raises:
        ValidationFailed: with every finding.
    """
    stage.table.begin_run()
    timestamp = clone(stage)
    try:
        config = configuration(stage)
    except ConfigError as error:
        raise _failed(stage, configuration_findings(error)) from error
    source = stage.workspace.source
    checks: dict[str, Callable[[], list[Finding]]] = {
        "CDK apps": lambda: app_findings(config, source),
        "context": lambda: context_findings(config, source, Path.home()),
        "tools": lambda: tool_findings(config, source, command_environment(os.environ, timestamp)),
        "accounts": lambda: _check_accounts(stage, config),
    }
    if stage.context.trigger is Trigger.PULL_REQUEST:
        del checks["accounts"]
        stage.console.line("A pull request's run deploys nothing and may assume no role: accounts are not checked.")
    findings: list[Finding] = []
    for name, check in checks.items():
        with stage.console.step(f"Checking {name}"):
            findings += check()
    findings = with_lines(findings, source / CONFIG_FILE)
    if any(not finding.warning for finding in findings):
        raise _failed(stage, findings)
    _tell(stage, findings)
    return StageResult(
        summary={
            "status": "succeeded",
            "environments": [environment.name for environment in config.environments],
            "warnings": len(findings),
        },
        details={"findings": [finding.as_json() for finding in findings]},
    )


def _failed(stage: Stage, findings: list[Finding]) -> ValidationFailed:
    _tell(stage, findings)
    return ValidationFailed(findings)


def _tell(stage: Stage, findings: list[Finding]) -> None:
    for finding in sorted(findings, key=lambda each: each.warning):
        for line in finding.lines():
            stage.console.line(line)


def _check_accounts(stage: Stage, config: PipelineConfig) -> list[Finding]:
    numbers, context = count(), stage.context
    own = cache(lambda: own_session(context.region))  # one exchange of the identity for all accounts
    looking = threading.Lock()

    @contextmanager
    def connect(check: AccountCheck) -> Iterator[AccountAccess]:
        file = stage.workspace.private / f"aws-config-{next(numbers)}"
        with looking:
            identity = own() if check.role is not None else None
        with environment_access(stage, check.environment, check.role, file, identity) as access:
            yield access

    wanted = context.environments.split()
    places = {(each.account, each.region) for each in config.environments if not wanted or each.name in wanted}
    checks = account_checks(config, stage.workspace.source)
    return account_findings(
        [each for each in checks if (each.environment.account, each.environment.region) in places],
        connect,
        pipeline_account=context.account,
        assumable=context.assumable.split() if context.assumable else None,
        report=stage.console.line,
    )
