"""Ways into the cluster by load balancers: one for Argo's UI, one for all pipelines' webhooks, each only on request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from aphex.cluster_config import ClusterConfig
from aphex_platform.charts import BALANCER_ACCOUNT, BALANCER_CHART, UI_CLASS, balancer_values
from aphex_platform.cluster_policies import load_balancer_policy, pod_trust
from aphex_platform.components.pod_role import SYSTEM_NAMESPACE, PodRole, PodRoleArgs
from aphex_platform.manifests.common import PIPELINE_LABEL

WEBHOOK_CLASS = "aphex-webhooks"
_NAMESPACE_LABEL = "kubernetes.io/metadata.name"


@dataclass(frozen=True)
class Flavour:
    """How the two controllers of application load balancers differ."""

    controller: str
    group: str
    version: str
    certificates: str


# EKS User Guide, "Create an IngressClass to configure an Application Load Balancer"; the controller's own reference.
FLAVOURS = {
    "auto": Flavour("eks.amazonaws.com/alb", "eks.amazonaws.com", "v1", "certificateARNs"),
    "node-groups": Flavour("ingress.k8s.aws/alb", "elbv2.k8s.aws", "v1beta1", "certificateArn"),
}


@dataclass(frozen=True, kw_only=True)
class IngressArgs:
    """What the ways in need to know.

    Attributes:
        config: the cluster.
        cluster_name: the EKS cluster, once it is there.
        vpc_id: its network.
        argo_namespace: the only one that may use the UI's load balancer.
        tags: whose load balancers are.
    """

    config: ClusterConfig
    cluster_name: pulumi.Input[str]
    vpc_id: pulumi.Input[str]
    argo_namespace: str
    tags: dict[str, str]


class Ingress(pulumi.ComponentResource):
    """The classes that Ingresses name, and with node groups the controller that acts on them."""

    def __init__(self, name: str, args: IngressArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("aphex:cluster:Ingress", name, None, opts)
        self._name, self._args = name, args
        config = args.config
        after: list[pulumi.Resource] = []
        if config.autoscaling.mode == "node-groups" and needs_balancers(config):
            after = [self._controller()]
        if config.ui.certificate is not None:
            scheme = "internet-facing" if config.ui.reach == "internet" else "internal"
            argo = {"matchLabels": {_NAMESPACE_LABEL: args.argo_namespace}}
            self._ingress_class(UI_CLASS, scheme, config.ui.certificate, argo, after)
        if config.webhooks is not None:
            pipelines = {"matchExpressions": [{"key": PIPELINE_LABEL, "operator": "Exists"}]}
            self._ingress_class(WEBHOOK_CLASS, "internet-facing", config.webhooks.certificate, pipelines, after)
        self.register_outputs({})

    def _ingress_class(
        self, name: str, scheme: str, certificate: str, selector: dict[str, Any], after: Sequence[pulumi.Resource]
    ) -> None:
        flavour = FLAVOURS[self._args.config.autoscaling.mode]
        kind = "IngressClassParams"
        parameters = kubernetes.apiextensions.CustomResource(
            f"{self._name}-{name}-parameters",
            api_version=f"{flavour.group}/{flavour.version}",
            kind=kind,
            metadata={"name": name},
            spec={
                "scheme": scheme,
                # All Ingresses of a class share one load balancer.
                "group": {"name": name},
                flavour.certificates: [certificate],
                "namespaceSelector": selector,
                **self._tags(),
            },
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(after)),
        )
        kubernetes.networking.v1.IngressClass(
            f"{self._name}-{name}",
            metadata=kubernetes.meta.v1.ObjectMetaArgs(name=name),
            spec=kubernetes.networking.v1.IngressClassSpecArgs(
                controller=flavour.controller,
                parameters=kubernetes.networking.v1.IngressClassParametersReferenceArgs(
                    api_group=flavour.group, kind=kind, name=name
                ),
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[parameters]),
        )

    def _tags(self) -> dict[str, Any]:
        """Tags of load balancers, which EKS Auto Mode is not allowed to set."""
        if self._args.config.autoscaling.mode == "auto":
            return {}
        return {"tags": [{"key": key, "value": value} for key, value in sorted(self._args.tags.items())]}

    def _controller(self) -> pulumi.Resource:
        config = self._args.config
        role = PodRole(
            f"{self._name}-controller",
            PodRoleArgs(
                config=config,
                kind="load-balancers",
                trust=pod_trust(config, SYSTEM_NAMESPACE, BALANCER_ACCOUNT),
                policy=load_balancer_policy(config),
                service_account=BALANCER_ACCOUNT,
                cluster_name=self._args.cluster_name,
                tags=self._args.tags,
            ),
            pulumi.ResourceOptions(parent=self),
        )
        release: pulumi.Resource = kubernetes.helm.v3.Release(
            f"{self._name}-controller",
            name=BALANCER_ACCOUNT,
            chart="aws-load-balancer-controller",
            version=BALANCER_CHART,
            namespace=SYSTEM_NAMESPACE,
            repository_opts=kubernetes.helm.v3.RepositoryOptsArgs(repo="https://aws.github.io/eks-charts"),
            values=balancer_values(config, self._args.vpc_id),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[role]),
        )
        return release


def needs_balancers(config: ClusterConfig) -> bool:
    """Whether anything is reached by a load balancer."""
    return config.ui.reach != "port-forward" or config.webhooks is not None
