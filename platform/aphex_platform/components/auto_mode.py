"""Nodes by EKS Auto Mode: a pool with a limit, so that no mistake can start nodes without end, and network policies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from aphex.cluster_config import AutoMode

NODE_POOL = "aphex"


@dataclass(frozen=True, kw_only=True)
class AutoNodesArgs:
    """What the nodes need to know: the settings of EKS Auto Mode."""

    auto: AutoMode


class AutoNodes(pulumi.ComponentResource):
    """The pool that all pods run in, and the switch for network policies."""

    def __init__(self, name: str, args: AutoNodesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("aphex:cluster:AutoNodes", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        kubernetes.apiextensions.CustomResource(
            f"{name}-pool",
            api_version="karpenter.sh/v1",
            kind="NodePool",
            metadata={"name": NODE_POOL},
            spec=node_pool(args.auto),
            opts=child,
        )
        # EKS User Guide, "Use Network Policies with EKS Auto Mode".
        kubernetes.core.v1.ConfigMap(
            f"{name}-network-policies",
            metadata=kubernetes.meta.v1.ObjectMetaArgs(name="amazon-vpc-cni", namespace="kube-system"),
            data={"enable-network-policy-controller": "true"},
            opts=child,
        )
        self.register_outputs({})


def node_pool(auto: AutoMode) -> dict[str, Any]:
    """The NodePool's specification: which nodes there may be, how many together, and when one goes."""
    requirements = {
        "karpenter.sh/capacity-type": [auto.capacity],
        "kubernetes.io/arch": list(auto.architectures),
        "eks.amazonaws.com/instance-category": list(auto.families),
    }
    return {
        "template": {
            "spec": {
                "nodeClassRef": {"group": "eks.amazonaws.com", "kind": "NodeClass", "name": "default"},
                "requirements": [
                    *({"key": key, "operator": "In", "values": values} for key, values in requirements.items()),
                    # Older ones are slower at the same price.
                    {"key": "eks.amazonaws.com/instance-generation", "operator": "Gt", "values": ["4"]},
                ],
            }
        },
        "limits": {"cpu": str(auto.max_cpus)},
        "disruption": {
            "consolidationPolicy": "WhenEmptyOrUnderutilized",
            "consolidateAfter": f"{auto.consolidate_after_seconds}s",
        },
    }
