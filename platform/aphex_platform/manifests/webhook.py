"""The way of the git host's events into the cluster: the Ingress before the EventSource, where a host is given."""

from __future__ import annotations

import json

from aphex.names import PipelineNames
from aphex_platform.manifests.common import Manifest, manifest
from aphex_platform.manifests.isolation import NETWORK_API
from aphex_platform.settings import WEBHOOK_PORT, PlatformSettings

# https://www.pulumi.com/registry/packages/kubernetes/installation-configuration/#annotations: a load balancer takes
# minutes, and its address is for DNS alone; an update must neither wait for it nor fail when it is late.
_NO_WAIT = {"pulumi.com/skipAwait": "true"}
# Where Argo Events answers 200, whatever the EventSource takes: pkg/eventsources/common/webhook/webhook.go.
HEALTH_PATH = "/health"
_TLS_POLICY = "ELBSecurityPolicy-TLS13-1-2-2021-06"


def ingresses(settings: PlatformSettings) -> list[Manifest]:
    """The Ingress of the webhook: TLS alone, and no path but the pipeline's."""
    webhook = settings.webhook
    if webhook.host is None:
        return []
    backend = {"service": {"name": settings.webhook_service, "port": {"number": WEBHOOK_PORT}}}
    path = {"path": settings.webhook_path, "pathType": "Exact", "backend": backend}
    spec: Manifest = {"rules": [{"host": webhook.host, "http": {"paths": [path]}}]}
    if webhook.ingress_class:
        spec["ingressClassName"] = webhook.ingress_class
    if webhook.tls_secret:
        spec["tls"] = [{"hosts": [webhook.host], "secretName": webhook.tls_secret}]
    ingress = manifest("Ingress", PipelineNames(settings.pipeline).event_source, spec, settings, NETWORK_API)
    ingress["metadata"]["annotations"] = _NO_WAIT | _load_balancer(settings) | webhook.annotations
    return [ingress]


def _load_balancer(settings: PlatformSettings) -> dict[str, str]:
    """What an AWS load balancer that ends TLS is told.

    https://kubernetes-sigs.github.io/aws-load-balancer-controller/latest/guide/ingress/annotations/
    """
    if settings.webhook.certificate is None:
        return {}
    words = {
        "certificate-arn": settings.webhook.certificate,
        "healthcheck-path": HEALTH_PATH,
        "listen-ports": json.dumps([{"HTTPS": 443}]),
        "scheme": "internet-facing",
        "ssl-policy": _TLS_POLICY,
        "target-type": "ip",
    }
    return {f"alb.ingress.kubernetes.io/{name}": value for name, value in words.items()}
