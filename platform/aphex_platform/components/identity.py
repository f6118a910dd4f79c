"""Who a pipeline's pods are: an IAM role and a service account for each kind of stage, tied to each other."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as kubernetes

from aphex.config import PipelineConfig
from aphex.names import PipelineNames
from aphex_platform.identities import Identity
from aphex_platform.policies import stage_policy, trust_policy
from aphex_platform.settings import PlatformSettings


@dataclass(frozen=True, kw_only=True)
class StageIdentitiesArgs:
    """What the identities need to know.

    Attributes:
        config: names the roles of other accounts that stages assume.
        settings: names the pipeline's own resources.
        namespace: where the service accounts live.
        tags: whose the roles are.
    """

    config: PipelineConfig
    settings: PlatformSettings
    namespace: pulumi.Input[str]
    tags: dict[str, str]


class StageIdentities(pulumi.ComponentResource):
    """A role for each kind of stage with the least that it needs, which only its service account may assume."""

    role_arns: dict[Identity, pulumi.Output[str]]

    def __init__(self, name: str, args: StageIdentitiesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("aphex:identity:StageIdentities", name, None, opts)
        self.role_arns = {identity: self._identity(name, identity, args) for identity in Identity}
        self.register_outputs({"role_arns": {each.value: arn for each, arn in self.role_arns.items()}})

    def _identity(self, name: str, identity: Identity, args: StageIdentitiesArgs) -> pulumi.Output[str]:
        child = pulumi.ResourceOptions(parent=self)
        role = aws.iam.Role(
            f"{name}-{identity}",
            name=PipelineNames(args.settings.pipeline).role(identity),
            assume_role_policy=json.dumps(trust_policy(args.settings, identity)),
            description=f"{identity} of the pipeline {args.settings.pipeline}",
            tags=args.tags,
            opts=child,
        )
        aws.iam.RolePolicy(
            f"{name}-{identity}",
            name="stage",
            role=role.name,
            policy=json.dumps(stage_policy(identity, args.config, args.settings)),
            opts=child,
        )
        kubernetes.core.v1.ServiceAccount(
            f"{name}-{identity}",
            metadata=kubernetes.meta.v1.ObjectMetaArgs(name=identity.value, namespace=args.namespace),
            # Argo leaves the choice to the account for a pod that wants a token, as the self-update's does.
            automount_service_account_token=identity is Identity.SELF_UPDATE,
            opts=child,
        )
        arn: pulumi.Output[str] = role.arn
        return arn
