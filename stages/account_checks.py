"""Checks before any deployment that every account is reached, in each of its regions, and is bootstrapped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from aphex.config import Environment, PipelineConfig
from stages import bootstrap
from stages.access import AccountAccess
from stages.access_errors import AccessProblem, Attempt, RoleRefused, explain
from stages.clients import client_config
from stages.context_checks import apps
from stages.findings import Finding

_PARALLEL = 8


@dataclass(frozen=True, kw_only=True)
class AccountCheck:
    """One identity with which an account and region must be reached.

    Attributes:
        field: where it is configured.
        environment: whose account and region it is.
        role: the role to assume; None with the pipeline's own identity.
        qualifiers: of the CDK bootstraps that must be there.
        bootstrap_role: whether it is one of CDK's own roles, assumed because the environment has none.
    """

    field: str
    environment: Environment
    role: str | None
    qualifiers: tuple[str, ...] = ()
    bootstrap_role: bool = False


Connect = Callable[[AccountCheck], AbstractContextManager[AccountAccess]]


def account_checks(config: PipelineConfig, source: Path) -> list[AccountCheck]:
    """Every identity that the run is going to use, each once for a region."""
    checks: dict[tuple[object, ...], AccountCheck] = {}
    for index, environment in enumerate(config.environments):
        field = f"environments[{index}]"
        place = (environment.account, environment.region)
        names = _qualifiers(config, environment, source)
        if environment.role is not None:
            check = AccountCheck(
                field=f"{field}.role", environment=environment, role=environment.role, qualifiers=names
            )
            checks.setdefault((*place, environment.role, environment.external_id, names), check)
        elif not names:
            checks.setdefault(
                (*place, None), AccountCheck(field=f"{field}.account", environment=environment, role=None)
            )
        for name in names if environment.role is None else ():
            role = bootstrap.deploy_role(environment.account, environment.region, name)
            check = AccountCheck(
                field=f"{field}.account", environment=environment, role=role, qualifiers=(name,), bootstrap_role=True
            )
            checks.setdefault((*place, role), check)
        if environment.tests is not None and environment.tests.role is not None:
            role = environment.tests.role
            check = AccountCheck(field=f"{field}.tests.role", environment=environment, role=role)
            checks.setdefault((*place, role, environment.external_id, ()), check)
    return list(checks.values())


def _qualifiers(config: PipelineConfig, environment: Environment, source: Path) -> tuple[str, ...]:
    if not config.cdk.bootstrap:
        return ()
    context: dict[str, object] = dict(environment.context)
    names = {bootstrap.qualifier(source, app, context) for app in apps(environment, source)}
    return tuple(sorted(names))


def account_findings(
    checks: Sequence[AccountCheck],
    connect: Connect,
    *,
    pipeline_account: str,
    assumable: Sequence[str] | None,
    report: Callable[[str], None],
) -> list[Finding]:
    """What keeps accounts from being reached; all of them are tried, several at a time.

    Args:
        checks: what to try.
        connect: gives access as the stages will have it.
        pipeline_account: the account of the pipeline itself.
        assumable: patterns of the roles that the pipeline may assume as it is deployed now; None when unknown. Others
            it may assume after the self-update of this run, which comes after the validation.
        report: is told of what was reached.
    """

    def one(check: AccountCheck) -> list[Finding]:
        findings = _findings(check, connect, pipeline_account, assumable)
        if not findings:
            account, region = check.environment.account, check.environment.region
            report(f"  {check.environment.name}: account {account} reached in {region}")
        return findings

    with ThreadPoolExecutor(max_workers=_PARALLEL) as pool:
        return [finding for findings in pool.map(one, checks) for finding in findings]


def _findings(
    check: AccountCheck, connect: Connect, pipeline_account: str, assumable: Sequence[str] | None
) -> list[Finding]:
    environment = check.environment
    account, region = environment.account, environment.region
    try:
        with connect(check) as access:
            found = _caller(access, check)
            if found != account:
                return [_wrong_account(check, found, pipeline_account)]
            trusted = pipeline_account if check.bootstrap_role else None
            each = (
                bootstrap.bootstrap_finding(access.session, check.field, account, region, name, trusted)
                for name in check.qualifiers
            )
            return [finding for finding in each if finding is not None]
    except RoleRefused as error:
        return [_judged(_refused(check, error, pipeline_account), error.role, assumable)]
    except AccessProblem as error:
        return [Finding(field=check.field, cause=error.message, fix=error.hint)]


def _caller(access: AccountAccess, check: AccountCheck) -> str:
    """The account that AWS says the credentials are of, asked in the region where they will be used."""
    try:
        client = access.session.client("sts", region_name=check.environment.region, config=client_config())
        return str(client.get_caller_identity()["Account"])
    except Exception as error:
        raise explain(error, Attempt(role=check.role, region=check.environment.region)) from error


def _refused(check: AccountCheck, error: RoleRefused, pipeline_account: str) -> Finding:
    if not check.bootstrap_role:
        return Finding(field=check.field, cause=error.message, fix=error.hint)
    account, region = check.environment.account, check.environment.region
    name = check.qualifiers[0]
    return Finding(
        field=check.field,
        cause=f"The environment {check.environment.name} has no role, so the pipeline deploys with CDK's bootstrap "
        f"roles of account {account}, and they cannot be assumed. {error.message}",
        fix=f"Run `{bootstrap.command(account, region, name, pipeline_account)}` with credentials of the account, or "
        "configure a role for the environment.",
    )


def _wrong_account(check: AccountCheck, found: str, pipeline_account: str) -> Finding:
    environment = check.environment
    if check.role is None:
        return Finding(
            field=check.field,
            cause=f"The environment {environment.name} is in account {environment.account} and has no role, but the "
            f"pipeline's own identity is of account {found}.",
            fix=f"Configure a role of account {environment.account} that trusts the pipeline's account "
            f"{pipeline_account}.",
        )
    return Finding(
        field=check.field,
        cause=f"The credentials of the role {check.role} are of account {found}, but the environment "
        f"{environment.name} is in account {environment.account}.",
        fix="Configure a role in the environment's account.",
    )


def _judged(finding: Finding, role: str, assumable: Sequence[str] | None) -> Finding:
    """A role that the pipeline may not assume yet is no reason to stop the run whose self-update will allow it."""
    if assumable is None or any(fnmatchcase(role, pattern) for pattern in assumable):
        return finding
    return Finding(
        field=finding.field,
        cause=f"The pipeline may assume the role {role} only after the self-update of this run, so this tells little: "
        f"{finding.cause}",
        fix=f"Nothing, if the role is ready. Otherwise:\n{finding.fix}",
        warning=True,
    )
