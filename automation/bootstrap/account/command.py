"""What `python -m automation bootstrap account` does between its options and its output."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from aphex.errors import AphexError, UsageError
from automation.bootstrap.account.apply import apply
from automation.bootstrap.account.facts import read_facts
from automation.bootstrap.account.plan import Action, plan
from automation.bootstrap.account.request import AccountRequest, check_request
from automation.console import Terminal, duration

if TYPE_CHECKING:
    import boto3

    from automation.bootstrap.account.plan import AccountPlan


class WrongAccount(UsageError):
    """The credentials are of another account; nothing was done."""


def run_account(
    request: AccountRequest, session: boto3.Session, terminal: Terminal, *, dry_run: bool, yes: bool
) -> AccountPlan:
    """Make an account ready, after showing what that means.

    Args:
        request: what the account is to have.
        session: with credentials of the account.
        terminal: where it is shown.
        dry_run: whether to show only.
        yes: whether to ask nobody.

    Raises:
        UsageError: the request makes no sense, the credentials are of another account, or nobody agrees.
        AccountNotReady: something could not be made.
    """
    check_request(request)
    caller = caller_of(session, request.account)
    made = _plan(request, session)
    _show(made, caller, terminal, dry_run=dry_run)
    if dry_run or not made.changes:
        terminal.result(_document(made, caller, done=[]))
        return made
    if not yes:
        from automation.destroy import ask

        ask(terminal, f"Do this in the account {request.account}?")
    done: list[Action] = []
    started = time.monotonic()

    def tell(action: Action) -> None:
        done.append(action)
        terminal.say(f"  done  {action.line().strip()} ({duration(time.monotonic() - started)})")

    try:
        apply(made, session, terminal.say, tell)
    except AphexError as error:
        failure = {"message": error.message, "hint": error.hint}
        terminal.result({**_document(made, caller, done=done), "error": failure})
        raise
    terminal.show(f"The account {request.account} is ready for the pipeline {request.trusted.pipeline}.")
    for line in next_steps(request):
        terminal.show(line)
    terminal.result(_document(made, caller, done=done))
    return made


def caller_of(session: boto3.Session, account: str) -> str:
    """ARN of whose credentials a session has.

    Raises:
        WrongAccount: they are of another account.
        AphexError: AWS does not know them.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    region = session.region_name or "us-east-1"
    try:
        identity = session.client("sts", region_name=region).get_caller_identity()
    except (BotoCoreError, ClientError) as error:
        raise UsageError(
            f"AWS does not know the caller: {error}",
            hint=f"Log in to the account {account}, for example with `aws sso login`, and name the profile with "
            "--profile.",
        ) from error
    if identity["Account"] != account:
        raise WrongAccount(
            f"The credentials are of the account {identity['Account']} ({identity['Arn']}), not of {account}; "
            "nothing was done.",
            hint="Name a profile of that account with --profile.",
        )
    return str(identity["Arn"])


def _plan(request: AccountRequest, session: boto3.Session) -> AccountPlan:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return plan(request, read_facts(session, request))
    except (BotoCoreError, ClientError) as error:
        raise AphexError(
            f"What the account {request.account} has cannot be read: {error}",
            hint="The credentials have to be allowed to look at roles, stacks and parameters, and to make them. "
            "A region that is not on by default has to be enabled in the account first.",
        ) from error


def _show(made: AccountPlan, caller: str, terminal: Terminal, *, dry_run: bool) -> None:
    request = made.request
    terminal.show(f"Account {request.account} in {', '.join(request.regions)}, as {caller}:")
    for action in made.actions:
        terminal.show(f"  {action.line()}")
    for note in made.notes:
        terminal.warn(note)
    if not made.changes:
        terminal.show("Everything is as it should be.")
        for line in next_steps(request):
            terminal.show(line)
    elif dry_run:
        terminal.show("Nothing was done: this is what would be.")


def next_steps(request: AccountRequest) -> list[str]:
    """What the pipeline's configuration needs now."""
    lines = ["", "In aphex-config.yaml, for each environment in the account:", f'  account: "{request.account}"']
    if request.role is not None:
        lines.append(f"  role: {request.role_arn(request.role)}")
    if request.trusted.external_id is not None:
        lines.append(f"  external_id: {request.trusted.external_id}")
    if request.test_role is not None:
        lines += ["  tests:", f"    role: {request.role_arn(request.test_role)}"]
    return [*lines, "Then push, or: python -m automation up"]


def _document(made: AccountPlan, caller: str, *, done: list[Action]) -> dict[str, Any]:
    request = made.request
    return {
        "account": request.account,
        "regions": list(request.regions),
        "pipeline": request.trusted.pipeline,
        "caller": caller,
        "role": request.role_arn(request.role) if request.role else None,
        "test_role": request.role_arn(request.test_role) if request.test_role else None,
        "changed": bool(done),
        "actions": [{**action.document(), "done": action in done} for action in made.actions],
        "notes": list(made.notes),
    }
