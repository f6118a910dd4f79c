"""What may reach what in the pipeline's namespace: network policies, and the budget that keeps its event bus whole.

A cluster whose network does not know policies ignores them; everything works the same there. Rules about addresses and
rules about pods are both given, because networks differ in whether an address may be a pod's:
https://kubernetes.io/docs/concepts/services-networking/network-policies/#behavior-of-ipblock-selectors
"""

from __future__ import annotations

from aphex_platform.manifests.common import COMPONENT_LABEL, PIPELINE_LABEL, Manifest, manifest
from aphex_platform.manifests.events import (
    BUS_CLUSTER_PORT,
    BUS_COMPONENT,
    BUS_PORT,
    SENSOR_COMPONENT,
    SOURCE_COMPONENT,
    component_labels,
)
from aphex_platform.settings import WEBHOOK_PORT, PlatformSettings

NETWORK_API = "networking.k8s.io/v1"
POLICY_API = "policy/v1"

# Where EC2 gives a node's credentials away:
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html
_INSTANCE_METADATA = ("169.254.169.254/32", "fd00:ec2::254/128")
_NAMESPACE_NAME = "kubernetes.io/metadata.name"


def network_policies(settings: PlatformSettings) -> list[Manifest]:
    """The namespace's network policies: nothing comes in but events, and nobody gets the node's credentials."""
    policies = {"default-deny": _default_deny(), "egress": _egress(), "webhook": _webhook(settings)}
    if settings.event_bus.kind == "native":
        policies["event-bus"] = _event_bus()
        policies["event-bus-clients"] = _event_bus_clients()
    return [manifest("NetworkPolicy", name, spec, settings, NETWORK_API) for name, spec in policies.items()]


def disruption_budgets(settings: PlatformSettings) -> list[Manifest]:
    """One server of the event bus may be away at a time, so that its quorum stays."""
    if settings.event_bus.kind != "native":
        return []
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": component_labels(BUS_COMPONENT, settings)}}
    return [manifest("PodDisruptionBudget", "event-bus", spec, settings, POLICY_API)]


def _default_deny() -> Manifest:
    """Nothing comes in, from other pipelines' namespaces neither."""
    return {"podSelector": {}, "policyTypes": ["Ingress"]}


def _egress() -> Manifest:
    """Builds may fetch what they need from everywhere but the instance metadata and other pipelines' namespaces."""
    blocks = [("0.0.0.0/0", _INSTANCE_METADATA[0]), ("::/0", _INSTANCE_METADATA[1])]
    not_a_pipelines = {"matchExpressions": [{"key": PIPELINE_LABEL, "operator": "DoesNotExist"}]}
    return {
        "podSelector": {},
        "policyTypes": ["Egress"],
        "egress": [
            {"to": [{"ipBlock": {"cidr": cidr, "except": [metadata]}} for cidr, metadata in blocks]},
            {"to": [{"namespaceSelector": not_a_pipelines}]},
        ],
    }


def _webhook(settings: PlatformSettings) -> Manifest:
    """Events come to the EventSource, from the sources that are known; without any, its signature alone decides."""
    webhook = settings.webhook
    sources: list[Manifest] = [{"ipBlock": {"cidr": cidr}} for cidr in webhook.sources]
    if webhook.ingress_namespace:
        sources.append({"namespaceSelector": {"matchLabels": {_NAMESPACE_NAME: webhook.ingress_namespace}}})
    rule: Manifest = {"ports": _tcp(WEBHOOK_PORT)} | ({"from": sources} if sources else {})
    return {"podSelector": _pods(SOURCE_COMPONENT), "policyTypes": ["Ingress"], "ingress": [rule]}


def _event_bus() -> Manifest:
    """The bus serves EventSource and Sensors, and its servers talk among themselves."""
    clients = [{"podSelector": _pods(SOURCE_COMPONENT)}, {"podSelector": _pods(SENSOR_COMPONENT)}]
    servers = [{"podSelector": _pods(BUS_COMPONENT)}]
    return {
        "podSelector": _pods(BUS_COMPONENT),
        "policyTypes": ["Ingress"],
        "ingress": [
            {"from": clients, "ports": _tcp(BUS_PORT)},
            {"from": servers, "ports": _tcp(BUS_PORT, BUS_CLUSTER_PORT)},
        ],
    }


def _event_bus_clients() -> Manifest:
    """The way out to the bus, which is in a pipeline's namespace and so not among what all pods may reach."""
    parts = [SOURCE_COMPONENT, SENSOR_COMPONENT, BUS_COMPONENT]
    return {
        "podSelector": {"matchExpressions": [{"key": COMPONENT_LABEL, "operator": "In", "values": parts}]},
        "policyTypes": ["Egress"],
        "egress": [{"to": [{"podSelector": _pods(BUS_COMPONENT)}], "ports": _tcp(BUS_PORT, BUS_CLUSTER_PORT)}],
    }


def _pods(component: str) -> Manifest:
    return {"matchLabels": {COMPONENT_LABEL: component}}


def _tcp(*ports: int) -> list[Manifest]:
    return [{"protocol": "TCP", "port": port} for port in ports]
