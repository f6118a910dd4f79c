"""What `python -m automation bootstrap` does between its options and its output."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aphex.errors import AphexError, UsageError
from automation.bootstrap.context import Account, Context
from automation.bootstrap.plan import plan, steps_of
from automation.bootstrap.runner import StepFailed, carry_out, look
from automation.console import duration
from automation.target import choose, subject_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from automation.bootstrap.plan import BootstrapPlan
    from automation.bootstrap.runner import Outcome
    from automation.bootstrap.step import Step
    from automation.console import Terminal
    from automation.options import TargetOptions


def run_bootstrap(
    options: TargetOptions,
    terminal: Terminal,
    *,
    cluster_file: Path,
    url: str | None,
    kubeconfig: Path | None,
    plan_only: bool,
    yes: bool,
    run: bool,
) -> None:
    """Bring a pipeline from nothing to its first run, after showing what that means.

    Raises:
        UsageError: the options or the configuration are wrong, or nobody agrees.
        StepFailed: a step failed, or is blocked.
    """
    from automation.access import default_kubeconfig

    context = context_of(options, terminal, cluster_file)
    steps = steps_of(context, url=url, kubeconfig=kubeconfig or default_kubeconfig(), run=run)
    go_through(context, steps, terminal, plan_only=plan_only, yes=yes)


def context_of(options: TargetOptions, terminal: Terminal, cluster_file: Path) -> Context:
    """What is known before anything is looked at.

    Raises:
        UsageError: the options or the configuration are wrong, or AWS does not know the caller.
    """
    from aphex.loader import load_config

    config = load_config(options.config)
    choice = choose(options.target, options.cluster, options.aws, options.name)
    return Context(
        options=options,
        config=config,
        choice=choice,
        subject=subject_of(config, options.config),
        terminal=terminal,
        cluster_file=cluster_file,
        account=None if choice.aws == "sandbox" else caller(),
    )


def caller() -> Account:
    """The account and region of the caller's credentials.

    Raises:
        UsageError: there are no credentials, or no region.
    """
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    session = boto3.Session()
    if not session.region_name:
        raise UsageError("There is no AWS region.", hint="Set AWS_DEFAULT_REGION, or choose a profile that has one.")
    try:
        identity = session.client("sts").get_caller_identity()
    except (BotoCoreError, ClientError) as error:
        hint = "Log in first, for example with `aws sso login`, and choose a profile with AWS_PROFILE."
        raise UsageError(f"AWS does not know the caller: {error}", hint=hint) from error
    partition = identity["Arn"].split(":")[1]
    return Account(number=identity["Account"], region=session.region_name, caller=identity["Arn"], partition=partition)


def go_through(
    context: Context, steps: Sequence[Step], terminal: Terminal, *, plan_only: bool, yes: bool
) -> list[Outcome]:
    """Show the plan, ask, carry it out, and say what to do next.

    Raises:
        UsageError: nobody agrees.
        StepFailed: a step failed, or is blocked.
    """
    with terminal.patience("Looking at what is there"):
        made = plan(context, steps, look(steps))
    for line in made.lines():
        terminal.show(line)
    if plan_only:
        terminal.show("Nothing was done: this is what would be.")
        terminal.result(made.document())
        return []
    if made.left and not yes and not context.in_sandbox:
        from automation.destroy import ask

        ask(terminal, "Do this?")
    started = time.monotonic()
    try:
        outcomes = carry_out(steps, terminal)
    except StepFailed as error:
        failure = {"step": error.step, "message": error.message, "hint": error.hint}
        terminal.result({**_document(made, error.outcomes), "done": False, "error": failure})
        raise
    terminal.say(f"The whole took {duration(time.monotonic() - started)}.")
    following = next_steps(context, outcomes)
    for line in following:
        terminal.show(line)
    terminal.result({**_document(made, outcomes), "done": True, "next": [line for line in following if line]})
    return outcomes


def _document(made: BootstrapPlan, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    done = {each.step: each for each in outcomes}
    steps = [done.get(each.step, each).document() for each in made.steps]
    return {**made.document(), "steps": steps}


def next_steps(context: Context, outcomes: Sequence[Outcome]) -> list[str]:
    """What a person does now."""
    try:
        target = context.found()
    except AphexError:
        return []
    lines = ["", f"The pipeline {context.subject.pipeline} is there. From now on a push starts a run:"]
    if target.sandbox is not None:
        folder = target.sandbox.directory / "git" / f"{target.settings.repository_full_name}.git"
        lines.append(f"  git push {folder} HEAD:{target.settings.branch}")
    else:
        lines.append(f"  git push, to {target.settings.branch} of {target.settings.repository}")
    lines += [
        f"  python -m automation follow {target.options}",
        f"  python -m automation status {target.options}",
    ]
    left = [each for each in outcomes if each.finding.state == "by-hand"]
    if left:
        lines.append("Left for you:")
        for each in left:
            lines += [f"  {each.title}: {each.finding.fix}", *(f"    {line}" for line in each.finding.details)]
    return lines
