"""The validation stage: everything that can be known to fail is found before anything runs, and told at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from aphex.config import Environment, PipelineConfig
from aphex.loader import ConfigError
from aphex.run import Trigger
from stages.access import account_access, session_name
from stages.checks import Finding, account_finding, app_findings, configuration_findings, tool_findings
from stages.clients import client_config
from stages.errors import StageError
from stages.prepare import clone, configuration
from stages.runner import Stage, StageResult
from stages.variables import command_environment

_PARALLEL = 8


class ValidationFailed(StageError):
    """The first failures were found; nothing was run."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = list(findings)
        super().__init__(
            f"{len(findings)} finding{'s' if len(findings) != 1 else ''}; nothing was run.",
            details={"findings": [finding.as_json() for finding in findings]},
        )


@dataclass(frozen=True)
class AccountCheck:
    """One role through which an account must be reached."""

    field: str
    environment: Environment
    role: str | None


def account_checks(config: PipelineConfig) -> list[AccountCheck]:
    """Every role that the run is going to use, each once."""
    checks: dict[tuple[str, str | None], AccountCheck] = {}
    for index, environment in enumerate(config.environments):
        field = f"environments[{index}]"
        checks.setdefault(
            (environment.account, environment.role),
            AccountCheck(f"{field}.role" if environment.role else f"{field}.account", environment, environment.role),
        )
        if environment.tests is not None and environment.tests.role is not None:
            role = environment.tests.role
            checks.setdefault((environment.account, role), AccountCheck(f"{field}.tests.role", environment, role))
    return list(checks.values())


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
        raise _told(stage, configuration_findings(error)) from error
    checks: dict[str, Callable[[], list[Finding]]] = {
        "CDK apps": lambda: app_findings(config, stage.workspace.source),
        "tools": lambda: tool_findings(config, command_environment(os.environ, timestamp)),
        "accounts": lambda: _check_accounts(stage, account_checks(config)),
    }
    if stage.context.trigger is Trigger.PULL_REQUEST:
        del checks["accounts"]
        stage.console.line("A pull request's run deploys nothing and may assume no role: accounts are not checked.")
    findings: list[Finding] = []
    for name, check in checks.items():
        with stage.console.step(f"Checking {name}"):
            findings += check()
    if findings:
        raise _told(stage, findings)
    return StageResult(
        summary={"status": "succeeded", "environments": [environment.name for environment in config.environments]}
    )


def _told(stage: Stage, findings: list[Finding]) -> ValidationFailed:
    for finding in findings:
        place = f"aphex-config.yaml:{finding.line}  " if finding.line else "aphex-config.yaml  "
        stage.console.line(f"{place}{finding.field}")
        stage.console.line(f"  {finding.cause}")
        stage.console.line(f"  {finding.fix}")
    return ValidationFailed(findings)


def _check_accounts(stage: Stage, checks: list[AccountCheck]) -> list[Finding]:
    with ThreadPoolExecutor(max_workers=_PARALLEL) as pool:
        numbered = enumerate(checks)
        findings = list(pool.map(lambda pair: _check_account(stage, *pair), numbered))
    return [finding for finding in findings if finding is not None]


def _check_account(stage: Stage, number: int, check: AccountCheck) -> Finding | None:
    environment, context = check.environment, stage.context

    def caller() -> str:
        file = stage.workspace.private / f"aws-config-{number}"
        session = session_name(context.run, context.stage)
        with account_access(file, check.role, environment.region, session) as access:
            account = access.session.client("sts", config=client_config()).get_caller_identity()["Account"]
        stage.console.line(f"  {environment.name}: account {account} reached")
        return account

    return account_finding(check.field, environment, check.role, caller, context.account)
