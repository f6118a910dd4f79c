"""One cluster as one component: network, EKS, where nodes come from, the ways in, Argo, and where images are kept."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

from aphex.cluster_config import ClusterConfig
from aphex_platform.argo_manifests import WORKFLOWS_NAMESPACE
from aphex_platform.components.argo_installation import ArgoInstallation, ArgoInstallationArgs
from aphex_platform.components.auto_mode import AutoNodes, AutoNodesArgs
from aphex_platform.components.eks import EksCluster, EksClusterArgs
from aphex_platform.components.encryption import ClusterKey, ClusterKeyArgs
from aphex_platform.components.ingress import Ingress, IngressArgs
from aphex_platform.components.logs import ClusterLogs, ClusterLogsArgs
from aphex_platform.components.network import Network, NetworkArgs
from aphex_platform.components.node_groups import NodeGroups, NodeGroupsArgs
from aphex_platform.components.registry import ImageRegistry, ImageRegistryArgs
from aphex_platform.components.volumes import Volumes, VolumesArgs


@dataclass(frozen=True, kw_only=True)
class ClusterArgs:
    """What a cluster is made from: its configuration."""

    config: ClusterConfig


class Cluster(pulumi.ComponentResource):
    """All that pipelines share on AWS. No self-update touches it."""

    vpc_id: pulumi.Output[str]
    cluster_name: pulumi.Output[str]
    kubeconfig: pulumi.Output[str]
    oidc_issuer: pulumi.Output[str]
    oidc_provider_arn: pulumi.Output[str]
    repositories: dict[str, pulumi.Output[str]]
    storage_class: pulumi.Output[str]

    def __init__(self, name: str, args: ClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("aphex:cluster:Cluster", name, None, opts)
        self._name, self._config = name, args.config
        self._tags = cluster_tags(args.config)
        child = pulumi.ResourceOptions(parent=self)
        network = Network(name, NetworkArgs(config=args.config, tags=self._tags), child)
        key = ClusterKey(name, ClusterKeyArgs(config=args.config, tags=self._tags), child)
        registry = ImageRegistry(name, ImageRegistryArgs(config=args.config, key_arn=key.arn, tags=self._tags), child)
        eks = self._eks(network, key)
        self._kubernetes = kubernetes.Provider(f"{name}-kubernetes", kubeconfig=eks.kubeconfig, opts=child)
        self._install(network, eks, self._nodes(network, eks))
        self.vpc_id, self.cluster_name = network.vpc_id, eks.cluster_name
        self.kubeconfig = eks.kubeconfig
        self.oidc_issuer, self.oidc_provider_arn = eks.oidc_issuer, eks.oidc_provider_arn
        self.repositories = registry.urls
        self.register_outputs({"vpc_id": self.vpc_id, "cluster_name": self.cluster_name})

    def _eks(self, network: Network, key: ClusterKey) -> EksCluster:
        logs = ClusterLogs(
            f"{self._name}-logs",
            ClusterLogsArgs(config=self._config, key_arn=key.arn, vpc_id=network.vpc_id, tags=self._tags),
            pulumi.ResourceOptions(parent=self),
        )
        return EksCluster(
            self._name,
            EksClusterArgs(
                config=self._config,
                vpc_id=network.vpc_id,
                private_subnet_ids=network.private_subnet_ids,
                key_arn=key.arn,
                tags=self._tags,
            ),
            # Nodes reach EKS by the routes, and EKS writes into the log group from its first minute.
            pulumi.ResourceOptions(parent=self, depends_on=[network, logs]),
        )

    def _inside(self, *after: pulumi.Resource) -> pulumi.ResourceOptions:
        """Options of what is inside the cluster."""
        return pulumi.ResourceOptions(parent=self, providers=[self._kubernetes], depends_on=list(after))

    def _nodes(self, network: Network, eks: EksCluster) -> pulumi.Resource:
        after = self._inside(eks)
        if self._config.autoscaling.mode == "auto":
            return AutoNodes(f"{self._name}-nodes", AutoNodesArgs(auto=self._config.autoscaling.auto), after)
        return NodeGroups(
            f"{self._name}-nodes",
            NodeGroupsArgs(
                config=self._config,
                cluster_name=eks.cluster_name,
                subnet_ids=network.private_subnet_ids,
                tags=self._tags,
            ),
            after,
        )

    def _install(self, network: Network, eks: EksCluster, nodes: pulumi.Resource) -> None:
        mode = self._config.autoscaling.mode
        volumes = Volumes(f"{self._name}-volumes", VolumesArgs(mode=mode), self._inside(nodes))
        ingress = Ingress(
            f"{self._name}-ingress",
            IngressArgs(
                config=self._config,
                cluster_name=eks.cluster_name,
                vpc_id=network.vpc_id,
                argo_namespace=WORKFLOWS_NAMESPACE,
                tags=self._tags,
            ),
            self._inside(nodes),
        )
        ArgoInstallation(
            f"{self._name}-argo",
            ArgoInstallationArgs(config=self._config),
            # In this order also backwards: a load balancer goes before the controller that would remove it.
            self._inside(nodes, volumes, ingress),
        )
        self.storage_class = volumes.storage_class


def cluster_tags(config: ClusterConfig) -> dict[str, str]:
    """Tags of the cluster's AWS resources."""
    return {**config.tags, "aphex:cluster": config.name}
