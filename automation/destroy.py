"""Removes a pipeline: first says what goes and what stays, then does exactly that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aphex.errors import AphexError, UsageError
from automation import changes, state_bucket
from automation.changes import ResourceChange
from automation.last_update import memory
from automation.operation import operate
from automation.stack import open_stack

if TYPE_CHECKING:
    from automation.console import Terminal
    from automation.stack import OpenStack
    from automation.target import Target

_DATA_TYPES = {
    "aws:s3/bucket:Bucket": "every artifact, log and result, with all versions",
    "aws:dynamodb/table:Table": "the records of all runs",
    "aws:kms/key:Key": "the key that they are encrypted with",
}
# What says how the bucket is kept must stay as long as the bucket does.
_BUCKET_SETTINGS = "aws:s3/bucket"
_KEY_ALIAS = "aws:kms/alias:Alias"
_NOT_RESOURCES = ("pulumi:pulumi:", "pulumi:providers:")


@dataclass(frozen=True, kw_only=True)
class Removal:
    """What a `destroy` does to each resource of a stack.

    Attributes:
        removed: resources that go.
        kept: resources that stay because they hold data.
        bucket: the artifact bucket that has to be emptied first; None when there is none or it stays.
    """

    removed: tuple[ResourceChange, ...]
    kept: tuple[ResourceChange, ...]
    bucket: str | None

    def document(self) -> dict[str, Any]:
        """The removal as JSON has it."""
        return {"removed": changes.as_json(self.removed), "kept": changes.as_json(self.kept)}


def plan_removal(deployment: Mapping[str, Any], *, delete_data: bool) -> Removal:
    """Decide what goes: everything, but what holds data only when that was asked for."""
    removed: list[ResourceChange] = []
    kept: list[ResourceChange] = []
    bucket = None
    for resource in deployment.get("resources") or []:
        kind = str(resource["type"])
        if not resource.get("custom") or kind.startswith(_NOT_RESOURCES):
            continue
        change = ResourceChange(
            operation="delete", type=kind, name=resource["urn"].rsplit("::", 1)[-1], urn=resource["urn"]
        )
        keeps = not delete_data and (kind in _DATA_TYPES or kind.startswith(_BUCKET_SETTINGS) or kind == _KEY_ALIAS)
        (kept if keeps else removed).append(change)
        if kind == "aws:s3/bucket:Bucket" and delete_data:
            bucket = str(resource.get("id") or "") or None
    return Removal(removed=tuple(removed), kept=tuple(kept), bucket=bucket)


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
        show_plan(plan, target, terminal)
        if not confirmed:
            ask(terminal, f"Remove the pipeline {target.settings.pipeline}?")
        _remove(opened, target, plan, terminal)
    if not plan.kept:
        remembered = memory(target)
        if remembered is not None:
            remembered.forget()
        _after_last_pipeline(target, terminal)
    return plan


def show_plan(plan: Removal, target: Target, terminal: Terminal) -> None:
    """Tell what goes and what stays."""
    for change in plan.removed:
        data = f": {_DATA_TYPES[change.type]}" if change.type in _DATA_TYPES else ""
        terminal.say(f" - remove {change.kind} {change.name}{data}", style="red")
    for change in plan.kept:
        terminal.say(f"   keep   {change.kind} {change.name}", style="green")
    terminal.say("   keep   what the pipeline deployed: the applications' stacks, and their accounts' CDK bootstrap")
    if target.sandbox is not None:
        terminal.say(f"   keep   the repository {target.settings.repository_full_name} on the sandbox's git host")
    if plan.kept:
        terminal.say("Data is kept. --delete-data removes it too.")


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


def _remove(opened: OpenStack, target: Target, plan: Removal, terminal: Terminal) -> None:
    stack = opened.stack
    what = f"Removing the pipeline {target.settings.pipeline}"
    if not plan.kept:
        opened.command("state", "unprotect", "--all", "--yes")
        _release_data(target, plan, terminal)
        operate(
            opened,
            target,
            terminal,
            what,
            lambda on_event: stack.destroy(on_event=on_event, suppress_progress=True, color="never"),
        )
        stack.workspace.remove_stack(stack.name)
        return
    urns = [change.urn for change in plan.removed]
    if urns:
        operate(
            opened,
            target,
            terminal,
            what,
            lambda on_event: stack.destroy(
                on_event=on_event, target=urns, target_dependents=True, suppress_progress=True, color="never"
            ),
        )


def _release_data(target: Target, plan: Removal, terminal: Terminal) -> None:
    """Lift what guards the data: AWS removes neither a bucket with objects nor a table with deletion protection."""
    from botocore.exceptions import ClientError

    if plan.bucket is not None:
        with terminal.step(f"Emptying the bucket {plan.bucket}"):
            try:
                state_bucket.empty_bucket(target.aws, plan.bucket)
            except ClientError as error:
                if error.response["Error"]["Code"] != "NoSuchBucket":
                    raise AphexError(f"The bucket {plan.bucket} cannot be emptied: {error}") from error
    dynamodb = target.aws.client("dynamodb")
    for change in plan.removed:
        if change.type == "aws:dynamodb/table:Table":
            _unprotect_table(dynamodb, target)


def _unprotect_table(dynamodb: Any, target: Target) -> None:
    from botocore.exceptions import ClientError

    from aphex.names import PipelineNames

    name = PipelineNames(target.settings.pipeline).table
    try:
        if dynamodb.describe_table(TableName=name)["Table"].get("DeletionProtectionEnabled"):
            dynamodb.update_table(TableName=name, DeletionProtectionEnabled=False)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise AphexError(f"The table {name} cannot be released: {error}") from error


def _after_last_pipeline(target: Target, terminal: Terminal) -> None:
    """In the sandbox, remove the state's bucket with the last pipeline: nothing is left behind there."""
    bucket = target.settings.state_bucket
    if target.sandbox is None or bucket is None or state_bucket.stacks(target.aws, bucket):
        return
    state_bucket.empty_bucket(target.aws, bucket)
    target.aws.client("s3").delete_bucket(Bucket=bucket)
    terminal.say(f"The bucket of the Pulumi state, {bucket}, is removed: no pipeline is left.")
