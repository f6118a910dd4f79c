"""What Argo runs for a pipeline: the way of events to runs, and the templates that runs are made from."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as kubernetes

from aphex.config import PipelineConfig
from aphex.errors import AphexError
from aphex_platform.components.objects import custom_resource, name_of, secret
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
from aphex_platform.manifests.webhook import ingresses
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

    def metadata(self, name: str) -> kubernetes.meta.v1.ObjectMetaArgs:
        """Name and namespace of an object."""
        return kubernetes.meta.v1.ObjectMetaArgs(name=name, namespace=self.namespace)


class Templates(pulumi.ComponentResource):
    """The WorkflowTemplates, and the settings and secrets that the self-update's pod mounts."""

    workflow_template: pulumi.Output[str]
    pull_request_template: pulumi.Output[str]

    def __init__(self, name: str, args: ArgoArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("aphex:argo:Templates", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        kubernetes.core.v1.ConfigMap(
            f"{name}-settings",
            metadata=args.metadata(SETTINGS_MAP),
            data={"settings.json": args.settings.model_dump_json(indent=2)},
            opts=child,
        )
        revealed = json.dumps(args.secrets.revealed())
        secret(f"{name}-secrets", args.metadata(SECRETS_NAME), {"secrets.json": revealed}, child)
        run = custom_resource(f"{name}-run", workflow_template(args.config, args.settings), args.namespace, child)
        validation = custom_resource(
            f"{name}-pull-request", pull_request_template(args.config, args.settings), args.namespace, child
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
    """EventBus, EventSource, its Ingress and Sensors: how a webhook becomes a run."""

    def __init__(self, name: str, args: ArgoArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("aphex:argo:Events", name, None, opts)
        needed = [self._bus(name, args), *self._webhook_secret(name, args)]
        # The other way round on deletion: Argo Events keeps a bus as long as something is connected to it.
        after = pulumi.ResourceOptions(parent=self, depends_on=needed)
        source = custom_resource(f"{name}-source", event_source(args.settings), args.namespace, after)
        custom_resource(f"{name}-push", push_sensor(args.settings), args.namespace, after)
        custom_resource(f"{name}-pull-request", pull_request_sensor(args.settings), args.namespace, after)
        for ingress in ingresses(args.settings):
            behind = pulumi.ResourceOptions(parent=self, depends_on=[source])
            custom_resource(f"{name}-webhook", ingress, args.namespace, behind)
        self.register_outputs({})

    def _bus(self, name: str, args: ArgoArgs) -> kubernetes.apiextensions.CustomResource:
        child = pulumi.ResourceOptions(parent=self)
        bus = event_bus(args.settings)
        if args.settings.event_bus.kind != "exotic":
            return custom_resource(f"{name}-bus", bus, args.namespace, child)
        access = secret(f"{name}-bus", args.metadata(BUS_SECRET), {BUS_SECRET_KEY: bus_access(args.secrets)}, child)
        after = pulumi.ResourceOptions(parent=self, depends_on=[access])
        return custom_resource(f"{name}-bus", bus, args.namespace, after)

    def _webhook_secret(self, name: str, args: ArgoArgs) -> list[kubernetes.core.v1.Secret]:
        """The key of the webhook's signature, unless somebody else keeps its Secret."""
        webhook = args.settings.webhook
        if webhook.kubernetes_secret:
            return []
        key: pulumi.Input[str] = args.secrets.webhook_secret.get_secret_value()
        if webhook.secret_name:
            # Read with the caller's rights on every update, so that a key that was changed there arrives here.
            here = pulumi.InvokeOutputOptions(parent=self)
            key = aws.secretsmanager.get_secret_version_output(secret_id=webhook.secret_name, opts=here).secret_string
        child = pulumi.ResourceOptions(parent=self)
        return [secret(f"{name}-webhook", args.metadata(WEBHOOK_SECRET), {WEBHOOK_SECRET_KEY: key}, child)]


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
