"""Removes a pipeline: first says what goes and what stays, then does exactly that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aphex.errors import UsageError
from automation import changes, state_bucket
from automation.changes import ResourceChange
from automation.data_loss import BUCKET, FLAG, TABLE
from automation.guard import GUARDED, release_on_aws
from automation.last_update import memory
from automation.left_behind import OUTPUT, deployed_before
from automation.operation import operate
from automation.stack import open_stack

if TYPE_CHECKING:
    from automation.console import Terminal
    from automation.stack import OpenStack
    from automation.target import Target

# What outlives a pipeline or a cluster, unless it was said that data may go.
_DATA_TYPES = {
    BUCKET: "every artifact, log and result, with all versions",
    TABLE: "the records of all runs",
    "aws:kms/key:Key": "the key that they are encrypted with",
    "aws:ecr/repository:Repository": "every image in it",
    "aws:cloudwatch/logGroup:LogGroup": "every log in it",
    "aws:secretsmanager/secret:Secret": "the secret",
}
# What says how data is kept, and by which name a key is found, must stay as long as the data does.
_SETTINGS = ("aws:s3/bucket", "aws:ecr/lifecyclePolicy", "aws:kms/alias", "aws:secretsmanager/secret")
_NOT_RESOURCES = ("pulumi:pulumi:", "pulumi:providers:")


@dataclass(frozen=True, kw_only=True)
class Removal:
    """What a `destroy` does to each resource of a stack.

    Attributes:
        removed: resources that go.
        kept: resources that stay because they hold data, and what these need.
        protected: URNs of those that go and that the engine protects.
        guarded: type and id of those that go and that AWS may guard.
        deployed: what the pipeline had deployed: name, account, region and stacks of each environment.
    """

    removed: tuple[ResourceChange, ...]
    kept: tuple[ResourceChange, ...]
    protected: tuple[str, ...] = ()
    guarded: tuple[tuple[str, str], ...] = ()
    deployed: tuple[Mapping[str, Any], ...] = ()

    def document(self) -> dict[str, Any]:
        """The removal as JSON has it."""
        return {
            "removed": changes.as_json(self.removed),
            "kept": changes.as_json(self.kept),
            OUTPUT: list(self.deployed),
        }


def plan_removal(deployment: Mapping[str, Any], *, delete_data: bool) -> Removal:
    """Decide what goes: everything, but what holds data only when that was asked for.

    The format is that of `pulumi stack export`.
    """
    resources = [each for each in deployment.get("resources") or [] if _is_real(each)]
    kept = set() if delete_data else _kept(resources)
    going = [each for each in resources if each["urn"] not in kept]
    return Removal(
        removed=tuple(_deletion(each) for each in going),
        kept=tuple(_deletion(each) for each in resources if each["urn"] in kept),
        protected=tuple(str(each["urn"]) for each in going if each.get("protect")),
        guarded=tuple((str(each["type"]), str(each.get("id") or "")) for each in going if each["type"] in GUARDED),
        deployed=tuple(deployed_before(deployment)),
    )


def _is_real(resource: Mapping[str, Any]) -> bool:
    return bool(resource.get("custom")) and not str(resource["type"]).startswith(_NOT_RESOURCES)


def _deletion(resource: Mapping[str, Any]) -> ResourceChange:
    urn = str(resource["urn"])
    return ResourceChange(operation="delete", type=str(resource["type"]), name=urn.rsplit("::", 1)[-1], urn=urn)


def _kept(resources: Sequence[Mapping[str, Any]]) -> set[str]:
    """What holds data, how it is kept, and whatever these depend on, which the engine could not delete alone."""
    by_urn = {str(each["urn"]): each for each in resources}
    kept: set[str] = set()
    open_ends = [
        urn for urn, each in by_urn.items() if each["type"] in _DATA_TYPES or each["type"].startswith(_SETTINGS)
    ]
    while open_ends:
        urn = open_ends.pop()
        if urn in by_urn and urn not in kept:
            kept.add(urn)
            open_ends += by_urn[urn].get("dependencies") or []
    return kept


def destroy(target: Target, terminal: Terminal, *, delete_data: bool, confirmed: bool) -> Removal:
    """Remove a pipeline. With data kept its stack stays too, so that a later `up` finds the data again.

    Args:
        target: where the pipeline is.
        terminal: where the plan is shown and consent is asked for.
        delete_data: whether artifacts, logs and records go as well.
        confirmed: whether consent was given already.

    Raises:
        StackMissing: there is no such pipeline.
        UsageError: consent was not given, or there is nobody to ask.
        DeploymentError: something could not be removed.
    """
    with open_stack(target, None, create=False) as opened:
        plan = plan_removal(opened.stack.export_stack().deployment or {}, delete_data=delete_data)
        show_removal(plan, terminal)
        show_left(plan, target, terminal)
        if not confirmed:
            ask(terminal, f"Remove the pipeline {target.settings.pipeline}?")
        remove(opened, plan, terminal)
    if not plan.kept:
        remembered = memory(target)
        if remembered is not None:
            remembered.forget()
        _after_last_pipeline(target, terminal)
    return plan


def show_removal(plan: Removal, terminal: Terminal) -> None:
    """Tell which resources go and which stay."""
    for change in plan.removed:
        data = f": {_DATA_TYPES[change.type]}" if change.type in _DATA_TYPES else ""
        terminal.say(f" - remove {change.kind} {change.name}{data}", style="red")
    for change in plan.kept:
        terminal.say(f"   keep   {change.kind} {change.name}", style="green")
    if plan.kept:
        terminal.say(f"Data is kept. {FLAG} removes it too.")


def show_left(plan: Removal, target: Target, terminal: Terminal) -> None:
    """Tell what stays because it never was the pipeline's own."""
    for each in plan.deployed:
        names = ", ".join(each["stacks"])
        terminal.say(f"   keep   what {each['name']} has in account {each['account']}, {each['region']}: {names}")
    if not plan.deployed:
        terminal.say("   keep   what the pipeline deployed: the applications' stacks")
    terminal.say("   keep   the CDK bootstrap of the target accounts, and the cluster")
    if target.sandbox is not None:
        terminal.say(f"   keep   the repository {target.settings.repository_full_name} on the sandbox's git host")


def ask(terminal: Terminal, question: str) -> None:
    """Ask for consent.

    Raises:
        UsageError: it was refused, or nobody is there to give it.
    """
    import sys

    if not sys.stdin.isatty():
        raise UsageError("Nobody is there to confirm this; nothing was done.", hint="Say so beforehand with --yes.")
    if terminal.err.input(f"{question} [y/N] ").strip().lower() not in ("y", "yes"):
        raise UsageError("Nothing was done.")


def remove(opened: OpenStack, plan: Removal, terminal: Terminal) -> None:
    """Do what was planned; a stack of which nothing is kept goes too.

    Raises:
        DeploymentError: something could not be removed.
    """
    stack = opened.stack
    if not plan.removed and plan.kept:
        return
    for urn in plan.protected:
        opened.command("state", "unprotect", urn, "--yes")
    for kind, identity in plan.guarded:
        with terminal.patience(f"Releasing {identity}"):
            release_on_aws(opened.home, kind, identity)
    only: dict[str, Any] = {}
    if plan.kept:
        only = {"target": [each.urn for each in plan.removed], "target_dependents": True}
    operate(
        opened,
        terminal,
        f"Removing {opened.home.title}",
        lambda on_event: stack.destroy(on_event=on_event, suppress_progress=True, color="never", **only),
    )
    if not plan.kept:
        stack.workspace.remove_stack(stack.name)


def _after_last_pipeline(target: Target, terminal: Terminal) -> None:
    """In the sandbox, remove the state's bucket with the last pipeline: nothing is left behind there."""
    bucket = target.settings.state_bucket
    if target.sandbox is None or bucket is None or state_bucket.stacks(target.aws, bucket):
        return
    state_bucket.empty_bucket(target.aws, bucket)
    target.aws.client("s3").delete_bucket(Bucket=bucket)
    terminal.say(f"The bucket of the Pulumi state, {bucket}, is removed: no pipeline is left.")
