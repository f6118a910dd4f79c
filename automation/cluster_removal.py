"""Removes a cluster: only when no pipeline is on it, and what holds data only when that was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aphex.errors import AphexError
from automation.data_loss import FLAG
from automation.destroy import Removal, ask, plan_removal, remove, show_removal
from automation.guard import EKS_CLUSTER
from automation.stack import open_home, stack_outputs

if TYPE_CHECKING:
    from automation.console import Terminal
    from automation.home import StackHome


class PipelinesRemain(AphexError):
    """The cluster cannot be removed while pipelines are on it; nothing was changed."""


def destroy_cluster(home: StackHome, terminal: Terminal, *, delete_data: bool, confirmed: bool) -> Removal:
    """Remove a cluster. With data kept its stack stays too, so that a later `up` finds the data again.

    Args:
        home: where its stack lives.
        terminal: where the plan is shown and consent is asked for.
        delete_data: whether logs, images and keys go as well, and every protection with them.
        confirmed: whether consent was given already.

    Raises:
        StackMissing: there is no such cluster.
        PipelinesRemain: pipelines are on it.
        AphexError: the cluster is protected.
        UsageError: consent was not given, or there is nobody to ask.
        DeploymentError: something could not be removed.
    """
    with open_home(home, None, create=False) as opened:
        deployment = dict(opened.stack.export_stack().deployment or {})
        remaining = pipelines_of(home, stack_outputs(deployment))
        if remaining:
            raise pipelines_remain(home, remaining)
        plan = plan_removal(deployment, delete_data=delete_data)
        show_removal(plan, terminal)
        if not delete_data and is_protected(deployment):
            raise AphexError(
                f"The cluster {home.owner} is protected against deletion; nothing was changed.",
                hint="Set deletion_protection to false in its file and bring it up, or, to delete everything: "
                + home.command("destroy", FLAG),
            )
        if not confirmed:
            ask(terminal, f"Remove the cluster {home.owner}, with everything that runs on it?")
        remove(opened, plan, terminal)
    return plan


def is_protected(deployment: Mapping[str, Any]) -> bool:
    """Whether the cluster itself may not be deleted. The format is that of `pulumi stack export`."""
    return any(
        each.get("protect") or (each.get("inputs") or {}).get("deletionProtection") is True
        for each in deployment.get("resources") or []
        if each.get("type") in (EKS_CLUSTER, "eks:index:Cluster")
    )


def pipelines_remain(home: StackHome, remaining: list[str]) -> PipelinesRemain:
    """The error of a cluster with pipelines."""
    names = ", ".join(remaining)
    commands = [f"  python -m automation destroy --pipeline {each} --cluster eks:{home.owner}" for each in remaining]
    return PipelinesRemain(
        f"The cluster {home.owner} has pipelines: {names}; nothing was changed.",
        hint="\n".join(["Remove them first:", *commands]),
    )


def pipelines_of(home: StackHome, outputs: Mapping[str, Any]) -> list[str]:
    """The pipelines that are on the cluster: those whose stacks say that this cluster issues their pods' tokens.

    A pipeline that was destroyed with its data kept has a stack, but no namespace any more, and counts for nothing.
    """
    from automation.cluster import known_stacks
    from automation.cluster_commands import pipelines_on

    issuer = outputs.get("oidc_issuer")
    if issuer is None or home.bucket is None:
        return []
    s3 = home.aws.client("s3")
    return [
        pipeline
        for pipeline in pipelines_on(known_stacks(home.aws, home.bucket))
        if is_on(read_state(s3, home.bucket, pipeline), str(issuer))
    ]


def read_state(s3: Any, bucket: str, pipeline: str) -> Mapping[str, Any]:
    """The state of a pipeline's stack; the format of its file is that of Pulumi's self-managed backends."""
    import json

    from aphex.names import PULUMI_PROJECT, PipelineNames

    key = f".pulumi/stacks/{PULUMI_PROJECT}/{PipelineNames(pipeline).stack}.json"
    document = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    latest: Mapping[str, Any] = (document.get("checkpoint") or {}).get("latest") or {}
    return latest


def is_on(state: Mapping[str, Any], issuer: str) -> bool:
    """Whether a pipeline of this state is on the cluster with this issuer of tokens."""
    if stack_outputs(state).get("token_issuer") != issuer:
        return False
    return any(str(each.get("type")).startswith("kubernetes:") for each in state.get("resources") or [])
