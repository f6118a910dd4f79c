"""The Kubernetes cluster itself: EKS with encrypted secrets, all its logs, and an endpoint that is never open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
import pulumi_eks as eks

from aphex.cluster_config import ClusterConfig
from aphex.names import ClusterNames

LOG_TYPES = ("api", "audit", "authenticator", "controllerManager", "scheduler")
# Brings the node class `default` without nodes of its own: those of the pool are started for critical add-ons alone.
_AUTO_NODE_POOLS = ("system",)


@dataclass(frozen=True, kw_only=True)
class EksClusterArgs:
    """What the cluster needs to know.

    Attributes:
        config: the cluster.
        vpc_id: its network.
        private_subnet_ids: where nodes are.
        key_arn: the key that encrypts Kubernetes secrets.
        tags: whose it is.
    """

    config: ClusterConfig
    vpc_id: pulumi.Input[str]
    private_subnet_ids: Sequence[pulumi.Input[str]]
    key_arn: pulumi.Input[str]
    tags: dict[str, str]


class EksCluster(pulumi.ComponentResource):
    """The control plane, with who may use it; where nodes come from follows from the configuration."""

    cluster_name: pulumi.Output[str]
    kubeconfig: pulumi.Output[str]
    oidc_issuer: pulumi.Output[str]
    oidc_provider_arn: pulumi.Output[str]

    def __init__(self, name: str, args: EksClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("aphex:cluster:Eks", name, None, opts)
        config = args.config
        support = "EXTENDED" if config.kubernetes.extended_support else "STANDARD"
        cluster = eks.Cluster(
            name,
            name=ClusterNames(config.name).eks,
            version=config.kubernetes.version,
            vpc_id=args.vpc_id,
            # Auto Mode starts nodes in every subnet of the cluster, and in a public one they would have no way out.
            # Load balancers find theirs by the subnets' tags.
            private_subnet_ids=list(args.private_subnet_ids),
            endpoint_private_access=True,
            endpoint_public_access=config.api.access == "restricted",
            public_access_cidrs=list(config.api.cidrs) or None,
            authentication_mode=eks.AuthenticationMode.API,
            access_entries=access_entries(config) or None,
            encryption_config_key_arn=args.key_arn,
            enabled_cluster_log_types=list(LOG_TYPES),
            upgrade_policy=aws.eks.ClusterUpgradePolicyArgs(support_type=support),
            deletion_protection=config.deletion_protection,
            create_oidc_provider=True,
            skip_default_node_group=True,
            # EKS makes one for nodes and control plane, with no way in but among themselves.
            skip_default_security_groups=True,
            # pulumi_eks wants these said whenever the AWS provider is an explicit one.
            provider_credential_opts=eks.KubeconfigOptionsArgs(),
            tags=args.tags,
            **node_options(config),
            opts=pulumi.ResourceOptions(parent=self, protect=config.deletion_protection),
        )
        self.kubeconfig = cluster.kubeconfig_json
        # The name as something that is known only once the cluster is there, so that what uses it waits.
        self.cluster_name = self.kubeconfig.apply(lambda _: ClusterNames(config.name).eks)
        self.oidc_issuer = cluster.oidc_provider_url
        self.oidc_provider_arn = cluster.oidc_provider_arn
        self.register_outputs({"kubeconfig": self.kubeconfig})


def access_entries(config: ClusterConfig) -> dict[str, eks.AccessEntryArgs]:
    """Who administers the cluster, by the role's account and name."""
    policy = f"arn:{config.partition}:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"
    admin = eks.AccessPolicyAssociationArgs(
        policy_arn=policy, access_scope=aws.eks.AccessPolicyAssociationAccessScopeArgs(type="cluster")
    )
    return {
        role.partition("::")[2].replace(":role", ""): eks.AccessEntryArgs(
            principal_arn=role, type=eks.AccessEntryType.STANDARD, access_policies={"admin": admin}
        )
        for role in sorted(config.kubernetes.admins)
    }


def node_options(config: ClusterConfig) -> dict[str, object]:
    """What differs between EKS Auto Mode, which brings network, DNS and storage, and nodes that need add-ons."""
    if config.autoscaling.mode == "auto":
        pools = eks.ClusterComputeConfigArgs(node_pools=list(_AUTO_NODE_POOLS))
        return {
            "auto_mode": eks.AutoModeOptionsArgs(enabled=True, create_node_role=True, compute_config=pools),
            # Nodes of Auto Mode resolve names themselves.
            "coredns_addon_options": eks.CoreDnsAddonOptionsArgs(enabled=False),
        }
    return {"vpc_cni_options": eks.VpcCniOptionsArgs(enable_network_policy=True)}
