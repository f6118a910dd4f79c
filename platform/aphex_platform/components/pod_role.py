"""A role for one service account of the cluster's own add-ons, by EKS Pod Identity."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from aphex.cluster_config import ClusterConfig
from aphex.names import ClusterNames
from aphex_platform.statements import Document

SYSTEM_NAMESPACE = "kube-system"


@dataclass(frozen=True, kw_only=True)
class PodRoleArgs:
    """What the role needs to know.

    Attributes:
        config: the cluster.
        cluster_name: the EKS cluster, once it is there.
        kind: what it is for, as part of its name.
        trust: who may assume it.
        policy: what it may do; none when a policy of AWS's own says it.
        managed_policy: a policy of AWS's own, by its path and name.
        service_account: the account in the system's namespace that gets it; none when an add-on says so itself.
        tags: whose it is.
    """

    config: ClusterConfig
    cluster_name: pulumi.Input[str]
    kind: str
    trust: Document
    policy: Document | None = None
    managed_policy: str | None = None
    service_account: str | None = None
    tags: dict[str, str]


class PodRole(pulumi.ComponentResource):
    """A role that one service account of this cluster assumes."""

    arn: pulumi.Output[str]

    def __init__(self, name: str, args: PodRoleArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("aphex:cluster:PodRole", name, None, opts)
        child, names = pulumi.ResourceOptions(parent=self), ClusterNames(args.config.name)
        role = aws.iam.Role(
            name,
            name=names.role(args.kind),
            description=f"{args.kind} of the cluster {args.config.name}",
            assume_role_policy=json.dumps(args.trust),
            tags=args.tags,
            opts=child,
        )
        if args.policy is not None:
            aws.iam.RolePolicy(name, name=args.kind, role=role.name, policy=json.dumps(args.policy), opts=child)
        if args.managed_policy is not None:
            policy = f"arn:{args.config.partition}:iam::aws:policy/{args.managed_policy}"
            aws.iam.RolePolicyAttachment(name, role=role.name, policy_arn=policy, opts=child)
        if args.service_account is not None:
            aws.eks.PodIdentityAssociation(
                name,
                cluster_name=args.cluster_name,
                namespace=SYSTEM_NAMESPACE,
                service_account=args.service_account,
                role_arn=role.arn,
                tags=args.tags,
                opts=child,
            )
        self.arn = role.arn
        self.register_outputs({"arn": self.arn})
