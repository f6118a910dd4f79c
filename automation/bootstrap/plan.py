"""What a bootstrap will do: where, in which steps, what it costs and what it asks; shown before anything is made."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aphex.errors import UsageError
from automation.bootstrap.costs import Cost, cluster_costs, pipeline_costs, total
from automation.bootstrap.step import Step
from automation.bootstrap.steps.accounts import AccountsStep, SandboxAccountsStep
from automation.bootstrap.steps.cluster import EksStep, ExistingStep, KubeconfigStep, SandboxStep, StandInsStep
from automation.bootstrap.steps.first_run import FirstRunStep
from automation.bootstrap.steps.images import ConfiguredStep, EcrImagesStep, SandboxImagesStep, publish_images
from automation.bootstrap.steps.pipeline import PipelineStep
from automation.bootstrap.steps.prerequisites import PrerequisitesStep
from automation.bootstrap.steps.state import StateStep
from automation.bootstrap.steps.webhook import WebhookStep

if TYPE_CHECKING:
    from aphex.cluster_config import ClusterConfig
    from automation.bootstrap.context import Context
    from automation.bootstrap.runner import Outcome
    from automation.console import Terminal

_MARKS = {"done": "✓", "to-do": "+", "by-hand": "!", "blocked": "✗"}


def steps_of(context: Context, *, url: str | None, kubeconfig: Path, run: bool) -> list[Step]:
    """The steps for a target, in their order.

    Args:
        context: what was asked for.
        url: the webhook's address from outside, when it is not the pipeline's own.
        kubeconfig: gets the context of a cluster that is made.
        run: whether the first run is started and followed.
    """
    before: list[Step] = [PrerequisitesStep(context=context)]
    state = StateStep(context=context)
    if context.choice.cluster == "sandbox":
        # The state is in the sandbox's AWS, which comes with the sandbox.
        before += [SandboxStep(context=context), state, SandboxImagesStep(context=context)]
    elif context.choice.eks is not None:
        before += [
            state,
            EksStep(context=context, make=bring_up_cluster),
            KubeconfigStep(context=context, file=kubeconfig),
            EcrImagesStep(context=context, publish=publish_images),
        ]
    else:
        beside: list[Step] = [StandInsStep(context=context)] if context.in_sandbox else []
        before += [*beside, state, ExistingStep(context=context), ConfiguredStep(context=context)]
    accounts: Step = SandboxAccountsStep(context=context) if context.in_sandbox else AccountsStep(context=context)
    after: list[Step] = [accounts, PipelineStep(context=context), WebhookStep(context=context, url=url)]
    return [*before, *after, *([FirstRunStep(context=context)] if run else [])]


def bring_up_cluster(config: ClusterConfig, terminal: Terminal) -> object:
    """Make the cluster that a file describes."""
    from automation import cluster
    from automation.data_loss import Consent

    return cluster.bring_up_cluster(config, terminal, consent=Consent.ASK)


@dataclass(frozen=True, kw_only=True)
class BootstrapPlan:
    """What will be done.

    Attributes:
        where: the target, for a person.
        pipeline: its name.
        repository: what it delivers.
        steps: what each finds now.
        makes: what each makes, by its name.
        costs: a month, of what is or will be there.
        asks: what a person has to give or agree to on the way.
    """

    where: str
    pipeline: str
    repository: str
    steps: tuple[Outcome, ...]
    makes: dict[str, str]
    costs: tuple[Cost, ...]
    asks: tuple[str, ...]

    @property
    def left(self) -> tuple[Outcome, ...]:
        """The steps that are to do."""
        return tuple(each for each in self.steps if each.finding.state == "to-do")

    @property
    def blocked(self) -> tuple[Outcome, ...]:
        """The steps at which it would stop, as far as can be seen now."""
        return tuple(each for each in self.steps if each.finding.state == "blocked")

    def lines(self) -> list[str]:
        """For a person."""
        lines = [f"Pipeline   {self.pipeline}" + (f", for {self.repository}" if self.repository else "")]
        lines += [f"Where      {self.where}", "Steps"]
        for number, each in enumerate(self.steps, start=1):
            finding = each.finding
            makes = self.makes.get(each.step, "")
            what = f"makes {makes} ({finding.why})" if finding.state == "to-do" and makes else finding.why
            lines.append(f"  {_MARKS[finding.state]} {number}. {each.title}: {what}")
            if finding.state in ("by-hand", "blocked"):
                lines += [f"       {line}" for line in (*finding.details, finding.fix) if line]
        if self.blocked:
            titles = ", ".join(each.title for each in self.blocked)
            lines.append(f"Stops at   {titles}, unless that is mended before")
        if self.costs:
            lines.append(
                f"Cost       about ${total(self.costs):.0f} a month while nothing runs (list prices of us-east-1)"
            )
            lines += [f"  {each.line()}" for each in self.costs]
        else:
            lines.append("Cost       nothing: all of it is on this machine")
        return [*lines, *(["Asks"] + [f"  {each}" for each in self.asks] if self.asks else [])]

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "pipeline": self.pipeline,
            "repository": self.repository,
            "where": self.where,
            "steps": [{**each.document(), "makes": self.makes.get(each.step, "")} for each in self.steps],
            "costs": [each.document() for each in self.costs],
            "dollars_a_month": round(total(self.costs)),
            "asks": list(self.asks),
        }


def plan(context: Context, steps: Sequence[Step], found: Sequence[Outcome]) -> BootstrapPlan:
    """The plan of what the steps found."""
    return BootstrapPlan(
        where=_where(context),
        pipeline=context.subject.pipeline,
        repository=context.subject.clone_url or "",
        steps=tuple(found),
        makes={step.name: step.makes for step in steps if step.makes},
        costs=tuple(_costs(context)),
        asks=tuple(_asks(context, found)),
    )


def _where(context: Context) -> str:
    account = context.account
    cluster = {"sandbox": "the sandbox on this machine"}.get(context.choice.cluster)
    if cluster is None:
        name = context.choice.context or "the current context"
        cluster = f"the cluster of {name}" if context.choice.eks is None else "a cluster on EKS"
    if account is None:
        return cluster if context.choice.cluster == "sandbox" else f"{cluster}, with an AWS that stands in"
    return f"{cluster}, in account {account.number}, {account.region}, as {account.caller}"


def _costs(context: Context) -> list[Cost]:
    if context.in_sandbox:
        return []
    cluster = context.cluster() if context.choice.eks is not None else None
    return [*(cluster_costs(cluster) if cluster else []), *pipeline_costs(state_key=cluster is None)]


def _asks(context: Context, found: Sequence[Outcome]) -> list[str]:
    """What a person has to give on the way."""
    if context.in_sandbox:
        return []
    asks = ["whether to do this, once (--yes answers it)"]
    by_hand = {each.step for each in found if each.finding.state == "by-hand"}
    if names := missing_token(context.subject.clone_url or "", os.environ):
        asks.append(f"a token for the webhook, in {' or '.join(names)}; without one it says what to enter by hand")
    if "accounts" in by_hand:
        asks.append("of the owners of other accounts, to run the commands above, once")
    return asks


def missing_token(clone_url: str, environment: Mapping[str, str]) -> tuple[str, ...]:
    """The variables of which one has to hold a token for the repository's GitHub; none when one does."""
    from automation.github import address

    try:
        names = address.token_variables(address.api_base(clone_url))
    except UsageError:
        return ()  # that the repository is not configured is a finding of its own
    return () if any(environment.get(name) for name in names) else names
