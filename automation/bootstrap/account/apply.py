"""Carries out a plan for a target account, one action after another; each can be repeated."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aphex import process
from aphex.errors import AphexError
from automation.bootstrap.account.facts import MADE_BY, TAG

if TYPE_CHECKING:
    import boto3

    from automation.bootstrap.account.plan import AccountPlan, Action

Report = Callable[[str], None]


class AccountNotReady(AphexError):
    """An action in the target account failed; those before it are done."""


def apply(plan: AccountPlan, session: boto3.Session, report: Report, done: Callable[[Action], None]) -> None:
    """Do what a plan says.

    Args:
        plan: what to do.
        session: with credentials of the account.
        report: told what takes time.
        done: called with each action once it is done.

    Raises:
        AccountNotReady: one failed. The next plan has only what is left.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    for action in plan.changes:
        try:
            _ACTIONS[action.kind](plan, action, session, report)
        except (BotoCoreError, ClientError, process.ProcessError, process.ProcessTimeout) as error:
            message = error.message if isinstance(error, AphexError) else str(error)
            raise AccountNotReady(
                f"{action.line()}\nfailed in account {plan.request.account}: {message}", hint=_hint(message)
            ) from error
        done(action)


def _hint(message: str) -> str:
    again = "What was done before is kept: the same command goes on from there."
    if "AccessDenied" in message or "not authorized" in message.lower():
        return f"The credentials need more rights in the account: IAM roles, CloudFormation, S3, ECR and SSM. {again}"
    return again


def _make_role(plan: AccountPlan, action: Action, session: boto3.Session, _report: Report) -> None:
    iam = _iam(plan, session)
    boundary = {"PermissionsBoundary": plan.request.boundary} if plan.request.boundary else {}
    pipeline = plan.request.trusted.pipeline
    iam.create_role(
        RoleName=action.subject,
        AssumeRolePolicyDocument=json.dumps(action.after),
        Description=f"Assumed by stages of AphexPipeline, first by the pipeline {pipeline}",
        Tags=[{"Key": TAG, "Value": MADE_BY}],
        **boundary,
    )


def _set_trust(plan: AccountPlan, action: Action, session: boto3.Session, _report: Report) -> None:
    _iam(plan, session).update_assume_role_policy(RoleName=action.subject, PolicyDocument=json.dumps(action.after))


def _set_boundary(plan: AccountPlan, action: Action, session: boto3.Session, _report: Report) -> None:
    _iam(plan, session).put_role_permissions_boundary(RoleName=action.subject, PermissionsBoundary=action.after)


def _put_policy(plan: AccountPlan, action: Action, session: boto3.Session, _report: Report) -> None:
    document = json.dumps(action.after)
    _iam(plan, session).put_role_policy(RoleName=action.subject, PolicyName=action.name, PolicyDocument=document)


def _bootstrap(plan: AccountPlan, action: Action, session: boto3.Session, report: Report) -> None:
    from sandbox.aws import cdk_bootstrap

    credentials = session.get_credentials()
    if credentials is None:
        raise AccountNotReady("The credentials are gone.", hint="Log in again.")
    frozen = credentials.get_frozen_credentials()
    variables = {"AWS_ACCESS_KEY_ID": str(frozen.access_key), "AWS_SECRET_ACCESS_KEY": str(frozen.secret_key)}
    if frozen.token:
        variables["AWS_SESSION_TOKEN"] = frozen.token
    cdk_bootstrap.run(plan.request.account, action.subject, variables, report, action.after)


def _iam(plan: AccountPlan, session: boto3.Session) -> Any:
    return session.client("iam", region_name=plan.request.regions[0])


_ACTIONS: dict[str, Callable[[AccountPlan, Action, boto3.Session, Report], None]] = {
    "role": _make_role,
    "trust": _set_trust,
    "boundary": _set_boundary,
    "policy": _put_policy,
    "bootstrap": _bootstrap,
}
