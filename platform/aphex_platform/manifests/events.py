"""The way of an event into the namespace: the EventSource takes webhooks and the EventBus carries them."""

from __future__ import annotations

from hera.events import models as e
from hera.events.models.io.k8s.api.core.v1 import PodSecurityContext, SecretKeySelector

from aphex.names import PipelineNames
from aphex_platform.identities import EVENT_SOURCE
from aphex_platform.manifests.common import Manifest, labels, manifest, plain
from aphex_platform.manifests.stages import USER_ID
from aphex_platform.settings import WEBHOOK_PATH, WEBHOOK_PORT, PlatformSettings

EVENT_BUS = "default"
WEBHOOK_EVENT = "webhook"
BUS_SECRET = "event-bus"
BUS_SECRET_KEY = "access"
WEBHOOK_SECRET = "webhook"
WEBHOOK_SECRET_KEY = "secret"

# The newest version in the controller's configuration of the pinned Argo Events release.
_JETSTREAM_VERSION = "latest"


def event_bus(settings: PlatformSettings) -> Manifest:
    """The EventBus: JetStream servers of the namespace's own, or an existing NATS with a password."""
    bus = settings.event_bus
    if bus.kind == "exotic":
        access = {"name": BUS_SECRET, "key": BUS_SECRET_KEY}
        spec: Manifest = {"jetstreamExotic": {"url": bus.url, "accessSecret": access, "streamConfig": ""}}
    else:
        spec = {"jetstream": {"version": _JETSTREAM_VERSION, "replicas": bus.replicas}}
    return manifest("EventBus", EVENT_BUS, spec, settings)


def event_source(settings: PlatformSettings) -> Manifest:
    """The EventSource that takes GitHub's webhooks and refuses those with a wrong signature."""
    owner, repository = settings.repository_full_name.split("/", 1)
    github = e.GithubEventSource(
        repositories=[e.OwnedRepositories(owner=owner, names=[repository])],
        webhook=e.WebhookContext(endpoint=WEBHOOK_PATH, port=str(WEBHOOK_PORT), method="POST"),
        webhook_secret=SecretKeySelector(name=WEBHOOK_SECRET, key=WEBHOOK_SECRET_KEY),
        events=["push", "pull_request"],
        content_type="json",
        active=True,
    )
    spec = {
        "eventBusName": EVENT_BUS,
        "template": pod_template(EVENT_SOURCE, settings),
        "service": {"ports": [{"name": "webhook", "port": WEBHOOK_PORT, "targetPort": WEBHOOK_PORT}]},
        "github": {WEBHOOK_EVENT: plain(github)},
    }
    return manifest("EventSource", PipelineNames(settings.pipeline).event_source, spec, settings)


def pod_template(service_account: str, settings: PlatformSettings) -> Manifest:
    """What the pods of EventSource and Sensors have in common."""
    template = e.Template(
        service_account_name=service_account,
        metadata=e.Metadata(labels=labels(settings)),
        security_context=PodSecurityContext(run_as_non_root=True, run_as_user=USER_ID),
    )
    return plain(template)
