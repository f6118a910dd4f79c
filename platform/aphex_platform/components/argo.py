"""What Argo runs for a pipeline: the way of events to runs, and the templates that runs are made from."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

from aphex.config import PipelineConfig
from aphex.errors import AphexError
from aphex_platform.manifests.common import Manifest
from aphex_platform.manifests.events import (
    BUS_SECRET,
    BUS_SECRET_KEY,
    WEBHOOK_SECRET,
    WEBHOOK_SECRET_KEY,
    event_bus,
    event_source,
)
from aphex_platform.manifests.sensors import pull_request_sensor, push_sensor
from aphex_platform.manifests.stages import SECRETS_NAME, SETTINGS_MAP
from aphex_platform.manifests.workflow_templates import pull_request_template, workflow_template
from aphex_platform.settings import PlatformSecrets, PlatformSettings


@dataclass(frozen=True, kw_only=True)
class ArgoArgs:
    """What Argo's objects are made from.

    Attributes:
        config: gives runs their shape.
        settings: where the pipeline runs.
        secrets: what only Secrets of the namespace may hold.
        namespace: the pipeline's namespace.
    """

    config: PipelineConfig
    settings: PlatformSettings
    secrets: PlatformSecrets
    namespace: pulumi.Input[str]


class Templates(pulumi.ComponentResource):
    """The WorkflowTemplates, and the settings and secrets that the self-update's pod mounts."""

    workflow_template: pulumi.Output[str]
    pull_request_template: pulumi.Output[str]

    def __init__(self, name: str, args: ArgoArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("aphex:argo:Templates", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        kubernetes.core.v1.ConfigMap(
            f"{name}-settings",
            metadata=kubernetes.meta.v1.ObjectMetaArgs(name=SETTINGS_MAP, namespace=args.namespace),
            data={"settings.json": args.settings.model_dump_json(indent=2)},
            opts=child,
        )
        _secret(f"{name}-secrets", SECRETS_NAME, "secrets.json", json.dumps(args.secrets.revealed()), args, child)
        run = custom_resource(f"{name}-run", workflow_template(args.config, args.settings), args, child)
        validation = custom_resource(
            f"{name}-pull-request", pull_request_template(args.config, args.settings), args, child
        )
        self.workflow_template = name_of(run)
        self.pull_request_template = name_of(validation)
        self.register_outputs(
            {
                "workflow_template": self.workflow_template,
                "pull_request_template": self.pull_request_template,
            }
        )


class Events(pulumi.ComponentResource):
    """EventBus, EventSource and Sensors: how a webhook becomes a run."""

    def __init__(self, name: str, args: ArgoArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("aphex:argo:Events", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        webhook = _secret(
            f"{name}-webhook",
            WEBHOOK_SECRET,
            WEBHOOK_SECRET_KEY,
            args.secrets.webhook_secret.get_secret_value(),
            args,
            child,
        )
        bus = self._bus(name, args, child)
        # The other way round on deletion: Argo Events keeps a bus as long as something is connected to it.
        after = pulumi.ResourceOptions(parent=self, depends_on=[bus, webhook])
        custom_resource(f"{name}-source", event_source(args.settings), args, after)
        custom_resource(f"{name}-push", push_sensor(args.settings), args, after)
        custom_resource(f"{name}-pull-request", pull_request_sensor(args.settings), args, after)
        self.register_outputs({})

    def _bus(self, name: str, args: ArgoArgs, child: pulumi.ResourceOptions) -> kubernetes.apiextensions.CustomResource:
        bus = event_bus(args.settings)
        if args.settings.event_bus.kind != "exotic":
            return custom_resource(f"{name}-bus", bus, args, child)
        access = _secret(f"{name}-bus", BUS_SECRET, BUS_SECRET_KEY, bus_access(args.secrets), args, child)
        return custom_resource(f"{name}-bus", bus, args, pulumi.ResourceOptions(parent=self, depends_on=[access]))


def bus_access(secrets: PlatformSecrets) -> str:
    """User and password of an existing NATS in the form that Argo Events reads: YAML, of which JSON is a part.

    Raises:
        AphexError: the secrets have none.
    """
    if secrets.nats_username is None or secrets.nats_password is None:
        raise AphexError(
            "The event bus is an existing NATS, but the secrets have no nats_username or nats_password.",
            hint='Give both, or choose the event bus kind "native".',
        )
    return json.dumps(
        {
            "username": secrets.nats_username.get_secret_value(),
            "password": secrets.nats_password.get_secret_value(),
        }
    )


def custom_resource(
    name: str, manifest: Manifest, args: ArgoArgs, opts: pulumi.ResourceOptions
) -> kubernetes.apiextensions.CustomResource:
    """One of Argo's objects, made after the namespace it lives in."""
    return kubernetes.apiextensions.CustomResource(
        name,
        api_version=manifest["apiVersion"],
        kind=manifest["kind"],
        metadata={**manifest["metadata"], "namespace": args.namespace},
        spec=manifest["spec"],
        opts=opts,
    )


def name_of(resource: kubernetes.apiextensions.CustomResource) -> pulumi.Output[str]:
    """An object's name once it is there: the provider's id is `namespace/name`."""
    identifier: pulumi.Output[str] = resource.id
    return identifier.apply(lambda text: text.rsplit("/", 1)[-1])


def _secret(
    name: str, secret: str, key: str, value: str, args: ArgoArgs, opts: pulumi.ResourceOptions
) -> kubernetes.core.v1.Secret:
    return kubernetes.core.v1.Secret(
        name,
        metadata=kubernetes.meta.v1.ObjectMetaArgs(name=secret, namespace=args.namespace),
        string_data={key: pulumi.Output.secret(value)},
        opts=opts,
    )
