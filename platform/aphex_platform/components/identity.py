"""Who a pipeline's pods are: an IAM role and a service account for each kind of stage, tied to each other."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as kubernetes

from aphex.config import PipelineConfig
from aphex.names import PipelineNames
from aphex_platform.identities import Identity
from aphex_platform.policies import boundary_policy
from aphex_platform.policy_sizes import role_policies, sized_key
from aphex_platform.settings import PlatformSettings
from aphex_platform.statements import text
from aphex_platform.trust import trust_policy


@dataclass(frozen=True, kw_only=True)
class StageIdentitiesArgs:
    """What the identities need to know.

    Attributes:
        config: names the roles of other accounts that stages assume.
        settings: names the pipeline's own resources.
        key_arn: ARN of the key of the pipeline's data.
        namespace: where the service accounts live.
        tags: whose the roles are.
    """

    config: PipelineConfig
    settings: PlatformSettings
    key_arn: pulumi.Output[str]
    namespace: pulumi.Input[str]
    tags: dict[str, str]


class StageIdentities(pulumi.ComponentResource):
    """A role for each kind of stage with the least that it needs, which only its service account may assume."""

    role_arns: dict[Identity, pulumi.Output[str]]

    def __init__(self, name: str, args: StageIdentitiesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("aphex:identity:StageIdentities", name, None, opts)
        self._names = PipelineNames(args.settings.pipeline)
        self._args = args
        self._child = pulumi.ResourceOptions(parent=self)
        boundary = aws.iam.Policy(
            f"{name}-boundary",
            name=self._names.boundary,
            description=f"What no role of the pipeline {args.settings.pipeline} can do more than",
            policy=args.key_arn.apply(lambda key: text(boundary_policy(args.settings, key))),
            tags=args.tags,
            opts=self._child,
        )
        self.role_arns = {identity: self._identity(name, identity, boundary) for identity in Identity}
        self.register_outputs({"role_arns": {each.value: arn for each, arn in self.role_arns.items()}})

    def _identity(self, name: str, identity: Identity, boundary: aws.iam.Policy) -> pulumi.Output[str]:
        args = self._args
        role = aws.iam.Role(
            f"{name}-{identity}",
            name=self._names.role(identity),
            assume_role_policy=text(trust_policy(args.settings, identity)),
            description=f"{identity} of the pipeline {args.settings.pipeline}",
            # The self-update's own policy is written by people alone, and needs more than the others may have.
            permissions_boundary=None if identity is Identity.SELF_UPDATE else boundary.arn,
            tags=args.tags,
            opts=self._child,
        )
        self._policies(name, identity, role)
        account = kubernetes.core.v1.ServiceAccount(
            f"{name}-{identity}",
            metadata=kubernetes.meta.v1.ObjectMetaArgs(name=identity.value, namespace=args.namespace),
            # Argo leaves the choice to the account for a pod that wants a token, as the self-update's does.
            automount_service_account_token=identity is Identity.SELF_UPDATE,
            opts=self._child,
        )
        self._associate(name, identity, role, account)
        arn: pulumi.Output[str] = role.arn
        return arn

    def _policies(self, name: str, identity: Identity, role: aws.iam.Role) -> None:
        """The rights of a role: in itself, and what it has no room for in policies that are attached to it."""
        args = self._args

        def inline(key: str) -> str:
            return text(role_policies(identity, args.config, args.settings, key).inline)

        aws.iam.RolePolicy(
            f"{name}-{identity}", name="stage", role=role.name, policy=args.key_arn.apply(inline), opts=self._child
        )
        for number, rest in enumerate(overflow(identity, args.config, args.settings), start=1):
            policy = aws.iam.Policy(
                f"{name}-{identity}-{number}",
                name=self._names.managed_policy(identity, number),
                path=self._names.policy_path,
                policy=rest,
                tags=args.tags,
                opts=self._child,
            )
            aws.iam.RolePolicyAttachment(
                f"{name}-{identity}-{number}", role=role.name, policy_arn=policy.arn, opts=self._child
            )

    def _associate(
        self, name: str, identity: Identity, role: aws.iam.Role, account: kubernetes.core.v1.ServiceAccount
    ) -> None:
        """Tell EKS whose role it is; with IRSA the role's trust policy alone says so."""
        args = self._args
        if args.settings.aws.identity != "pod-identity" or args.settings.aws.cluster is None:
            return
        aws.eks.PodIdentityAssociation(
            f"{name}-{identity}",
            cluster_name=args.settings.aws.cluster,
            namespace=args.namespace,
            service_account=account.metadata["name"],
            role_arn=role.arn,
            tags=args.tags,
            opts=self._child,
        )


def overflow(identity: Identity, config: PipelineConfig, settings: PlatformSettings) -> list[str]:
    """The managed policies of a role. They name roles of environments alone, so they are known before the key is."""
    return [text(each) for each in role_policies(identity, config, settings, sized_key(settings.aws)).managed]
