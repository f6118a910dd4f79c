"""The way of an event into the namespace: the EventSource takes webhooks and the EventBus carries them."""

from __future__ import annotations

from hera.events import models as e
from hera.events.models.io.k8s.api.core.v1 import (
    PodSecurityContext,
    SeccompProfile,
    SecretKeySelector,
    SecurityContext,
)

from aphex.names import PipelineNames
from aphex_platform.identities import EVENT_SOURCE
from aphex_platform.manifests.common import (
    COMPONENT_LABEL,
    CONTAINER_SECURITY,
    SECCOMP,
    Manifest,
    labels,
    manifest,
    plain,
)
from aphex_platform.manifests.stages import USER_ID
from aphex_platform.settings import WEBHOOK_PORT, EventBusSettings, PlatformSettings

EVENT_BUS = "default"
WEBHOOK_EVENT = "webhook"
BUS_SECRET = "event-bus"
BUS_SECRET_KEY = "access"
WEBHOOK_SECRET = "webhook"
WEBHOOK_SECRET_KEY = "secret"

BUS_COMPONENT = "event-bus"
SOURCE_COMPONENT = "event-source"
SENSOR_COMPONENT = "sensor"
BUS_PORT = 4222
BUS_CLUSTER_PORT = 6222

# The newest version in the controller's configuration of the pinned Argo Events release.
_JETSTREAM_VERSION = "latest"
_NATS_USER_ID = 1000
_BUS_CONTAINERS = ("container", "reloaderContainer", "metricsContainer")


def event_bus(settings: PlatformSettings) -> Manifest:
    """The EventBus: JetStream servers of the namespace's own, or an existing NATS with a password."""
    bus = settings.event_bus
    if bus.kind == "exotic":
        access = {"name": BUS_SECRET, "key": BUS_SECRET_KEY}
        spec: Manifest = {"jetstreamExotic": {"url": bus.url, "accessSecret": access, "streamConfig": ""}}
    else:
        spec = {"jetstream": _jetstream(bus, settings)}
    return manifest("EventBus", EVENT_BUS, spec, settings)


def component_labels(component: str, settings: PlatformSettings) -> dict[str, str]:
    """Labels of the pods of one part of the way of events."""
    return {**labels(settings), COMPONENT_LABEL: component}


def _jetstream(bus: EventBusSettings, settings: PlatformSettings) -> Manifest:
    """Servers that the loss of one node does not stop.

    Argo Events gives them TLS, a user and a password that it makes up itself, and encrypts what they store:
    pkg/reconciler/eventbus/installer/jetstream.go.
    """
    spec: Manifest = {
        "version": _JETSTREAM_VERSION,
        "replicas": bus.replicas,
        "metadata": {"labels": component_labels(BUS_COMPONENT, settings)},
        "affinity": {
            "podAntiAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    _apart("kubernetes.io/hostname", 100, settings),
                    _apart("topology.kubernetes.io/zone", 50, settings),
                ]
            }
        },
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _NATS_USER_ID,
            "runAsGroup": _NATS_USER_ID,
            "fsGroup": _NATS_USER_ID,
            "seccompProfile": SECCOMP,
        },
        **{f"{each}Template": {"securityContext": CONTAINER_SECURITY} for each in _BUS_CONTAINERS},
    }
    if bus.persistent:
        volume = {"accessMode": "ReadWriteOnce", "volumeSize": bus.volume_size}
        spec["persistence"] = volume | ({"storageClassName": bus.storage_class} if bus.storage_class else {})
    return spec


def _apart(topology: str, weight: int, settings: PlatformSettings) -> Manifest:
    selector = {"matchLabels": component_labels(BUS_COMPONENT, settings)}
    return {"weight": weight, "podAffinityTerm": {"topologyKey": topology, "labelSelector": selector}}


def event_source(settings: PlatformSettings) -> Manifest:
    """The EventSource that takes GitHub's webhooks and refuses those with a wrong signature."""
    owner, repository = settings.repository_full_name.split("/", 1)
    key = SecretKeySelector(name=settings.webhook.kubernetes_secret or WEBHOOK_SECRET, key=WEBHOOK_SECRET_KEY)
    github = e.GithubEventSource(
        repositories=[e.OwnedRepositories(owner=owner, names=[repository])],
        webhook=e.WebhookContext(endpoint=settings.webhook_path, port=str(WEBHOOK_PORT), method="POST"),
        webhook_secret=key,
        events=["push", "pull_request"],
        content_type="json",
        active=True,
    )
    spec = {
        "eventBusName": EVENT_BUS,
        "template": pod_template(EVENT_SOURCE, SOURCE_COMPONENT, settings),
        "service": {"ports": [{"name": "webhook", "port": WEBHOOK_PORT, "targetPort": WEBHOOK_PORT}]},
        "github": {WEBHOOK_EVENT: plain(github)},
    }
    return manifest("EventSource", PipelineNames(settings.pipeline).event_source, spec, settings)


def pod_template(service_account: str, component: str, settings: PlatformSettings) -> Manifest:
    """What the pods of EventSource and Sensors have in common."""
    template = e.Template(
        service_account_name=service_account,
        metadata=e.Metadata(labels=component_labels(component, settings)),
        security_context=PodSecurityContext(
            run_as_non_root=True, run_as_user=USER_ID, seccomp_profile=SeccompProfile(**SECCOMP)
        ),
        container=e.Container(security_context=SecurityContext(**CONTAINER_SECURITY)),
    )
    return plain(template)
