"""What the programs need to know besides the configuration: where the platform runs, and how.

Settings hold no secret, so they may be printed, stored and compared; what is secret is in `PlatformSecrets`.
A self-update reads the same two models back from the pod's mounted ConfigMap and Secret.
"""

from __future__ import annotations

from ipaddress import ip_network
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from aphex.names import PipelineNames

_HOST = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$"
_QUANTITY = r"^[1-9][0-9]*(Mi|Gi|Ti)$"
# https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/partitions.html
_DNS_SUFFIXES = {"aws-cn": "amazonaws.com.cn", "aws-iso": "c2s.ic.gov", "aws-iso-b": "sc2s.sgov.gov"}


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AwsSettings(_Settings):
    """The AWS account that holds the pipeline's own resources, and how pods reach it."""

    kind: Literal["sandbox", "account"] = Field(description="Whether AWS is the stand-in or a real account.")
    account: str = Field(pattern=r"^\d{12}$", description="Account of the pipeline's own resources.")
    region: str = Field(min_length=1, description="Region of the pipeline's own resources.")
    partition: str = Field(default="aws", description="Partition that ARNs begin with.")
    endpoint: str | None = Field(
        default=None,
        description="Endpoint of every service as pods reach it; none means AWS's own.",
    )
    s3_endpoint: str | None = Field(default=None, description="Endpoint of S3 as pods reach it.")
    oidc_issuer: str = Field(min_length=1, description="Issuer URL of the cluster's service-account tokens.")
    identity: Literal["irsa", "pod-identity"] = Field(
        default="irsa",
        description="How pods get their roles: by their token at STS, or from the EKS Pod Identity Agent of the node.",
    )
    cluster: str | None = Field(default=None, description="Name of the EKS cluster; pod identity needs it.")
    managed_policies: int = Field(
        default=10,
        ge=1,
        le=20,
        description="Managed policies that a role may have: IAM's quota is 10, and 20 on request.",
    )

    @model_validator(mode="after")
    def _pod_identity_is_of_a_cluster(self) -> Self:
        if self.identity == "pod-identity" and (self.kind != "account" or not self.cluster):
            raise ValueError("pod identity needs a real account and the name of the EKS cluster")
        return self

    @property
    def dns_suffix(self) -> str:
        """What the names of the partition's services end with, as in `kms:ViaService`."""
        return _DNS_SUFFIXES.get(self.partition, "amazonaws.com")

    @property
    def oidc_provider(self) -> str:
        """The issuer as IAM names it: without scheme and closing slash."""
        return self.oidc_issuer.split("://", 1)[-1].rstrip("/")

    @property
    def oidc_provider_arn(self) -> str:
        """The identity provider that trust policies name as `Federated`."""
        return f"arn:{self.partition}:iam::{self.account}:oidc-provider/{self.oidc_provider}"


class EventBusSettings(_Settings):
    """The NATS JetStream that carries events from EventSource to Sensors."""

    kind: Literal["native", "exotic"] = Field(
        default="native",
        description="`native`: run in the namespace by Argo Events; `exotic`: one that exists already.",
    )
    url: str | None = Field(
        default=None,
        description="Address of an existing NATS, such as nats://10.0.0.1:4222.",
    )
    replicas: int = Field(
        default=3,
        ge=3,
        description="Servers of a native bus; JetStream needs three for a quorum.",
    )
    persistent: bool = Field(
        default=True, description="Whether a native bus keeps events on volumes, where they survive its pods."
    )
    storage_class: str | None = Field(
        default=None, description="StorageClass of a native bus's volumes; none means the cluster's default."
    )
    volume_size: str = Field(default="10Gi", pattern=_QUANTITY, description="Size of each server's volume.")

    @model_validator(mode="after")
    def _existing_bus_has_an_address(self) -> Self:
        if self.kind == "exotic" and not self.url:
            raise ValueError("an exotic event bus needs the url of its NATS servers")
        return self


class WebhookSettings(_Settings):
    """How the git host reaches the pipeline, and what proves that an event is its."""

    host: str | None = Field(
        default=None,
        pattern=_HOST,
        description="Host name of the webhook's Ingress; without one there is none, and others make the way in.",
    )
    ingress_class: str | None = Field(default=None, description="IngressClass; none means the cluster's default.")
    certificate: str | None = Field(
        default=None, description="ARN of the certificate in ACM, for an AWS load balancer that ends TLS."
    )
    tls_secret: str | None = Field(
        default=None, description="Secret of the namespace with the certificate, for a controller that ends TLS."
    )
    annotations: dict[str, str] = Field(
        default_factory=dict, description="Annotations of the Ingress, in its controller's words."
    )
    sources: tuple[str, ...] = Field(
        default=(), description="CIDRs that may reach the webhook, such as those of the load balancer's subnets."
    )
    ingress_namespace: str | None = Field(
        default=None, description="Namespace of the ingress controller's pods, which may reach the webhook."
    )
    secret_name: str | None = Field(
        default=None,
        description="Name of the secret in Secrets Manager that holds the signature's key as its whole text.",
    )
    kubernetes_secret: str | None = Field(
        default=None,
        description='Secret of the namespace that others keep, with the signature\'s key under "secret".',
    )

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        if self.certificate and self.tls_secret:
            raise ValueError("TLS ends in one place: give certificate or tls_secret")
        if self.secret_name and self.kubernetes_secret:
            raise ValueError("the signature has one key: give secret_name or kubernetes_secret")
        if self.host is None and (self.ingress_class or self.certificate or self.tls_secret or self.annotations):
            raise ValueError("an Ingress needs the webhook's host")
        for source in self.sources:
            ip_network(source)
        return self


class AlarmSettings(_Settings):
    """Who hears of CloudWatch's alarms."""

    topic: str | None = Field(
        default=None, pattern=r"^arn:[\w-]+:sns:", description="ARN of an SNS topic; without one nobody is told."
    )


class ImageSettings(_Settings):
    """The images of the stages, as full references."""

    builder: str = Field(min_length=1, description="Image of validate, build, test and exit.")
    deployer: str = Field(
        min_length=1,
        description="Image of self-update and environment: with CDK CLI and Pulumi.",
    )
    pull_policy: Literal["Always", "IfNotPresent", "Never"] = Field(default="IfNotPresent")


class ResourceSettings(_Settings):
    """What a stage's pod asks of the node, as Kubernetes quantities."""

    cpu_request: str = "250m"
    memory_request: str = "512Mi"
    memory_limit: str = "4Gi"
    ephemeral_storage_limit: str | None = Field(
        default=None, description="Limit of the workspace and the container's disk."
    )


class RunSettings(_Settings):
    """How long runs may take, how long they are kept and what is tried again. Durations are in seconds."""

    deadline_seconds: int = Field(
        default=6 * 3600,
        ge=60,
        description="A whole run, without waiting for its turn.",
    )
    stage_deadline_seconds: int = Field(default=2 * 3600, ge=60, description="One stage.")
    ttl_success_seconds: int = Field(
        default=7 * 86400,
        ge=60,
        description="Finished runs stay in the cluster this long.",
    )
    ttl_failure_seconds: int = Field(
        default=14 * 86400,
        ge=60,
        description="Failed runs stay in the cluster this long.",
    )
    pod_ttl_seconds: int = Field(default=86400, ge=60, description="Pods of finished runs stay this long.")
    infrastructure_retries: int = Field(
        default=2,
        ge=0,
        description="Retries of a pod that could not be run or observed; a failed command is never retried.",
    )
    starts_per_minute: int = Field(
        default=60, ge=1, description="Events that start a run in a minute; more of them wait for their turn."
    )
    resources: ResourceSettings = ResourceSettings()


class PlatformSettings(_Settings):
    """Everything a pipeline stack is made from, apart from `aphex-config.yaml` and secrets."""

    pipeline: str = Field(min_length=1, description="Name of the pipeline.")
    namespace: str = Field(min_length=1, description="Kubernetes namespace of the pipeline's own objects.")
    repository: str = Field(min_length=1, description="Clone URL as pods reach it.")
    repository_full_name: str = Field(pattern=r"^[^/\s]+/[^/\s]+$", description="owner/name, as in webhook payloads.")
    branch: str = Field(default="main", min_length=1, description="The branch whose pushes start runs.")
    aws: AwsSettings
    event_bus: EventBusSettings = EventBusSettings()
    images: ImageSettings
    state_backend: str = Field(
        min_length=1,
        description="Pulumi backend URL as pods reach it, such as s3://bucket.",
    )
    argo_url: str = Field(description="Address of Argo's UI for links.")
    cdk_method: Literal["change-set", "direct"] = Field(default="change-set", description="Method of `cdk deploy`.")
    run: RunSettings = RunSettings()
    webhook: WebhookSettings = WebhookSettings()
    alarms: AlarmSettings = AlarmSettings()

    @property
    def state_bucket(self) -> str | None:
        """Name of the bucket behind an S3 state backend, none for any other backend."""
        parts = urlsplit(self.state_backend)
        return parts.netloc if parts.scheme == "s3" else None

    @property
    def webhook_path(self) -> str:
        """Path of the webhook: one host may serve every pipeline of a cluster."""
        return f"/{self.pipeline}"

    @property
    def service_url(self) -> str:
        """Address of the EventSource's webhook inside the cluster."""
        return f"http://{self.webhook_service}.{self.namespace}.svc:{WEBHOOK_PORT}{self.webhook_path}"

    @property
    def webhook_service(self) -> str:
        """The Service that Argo Events makes for the EventSource."""
        return f"{PipelineNames(self.pipeline).event_source}-eventsource-svc"

    @property
    def webhook_url(self) -> str:
        """Where the git host sends its events: the Ingress, or the address inside the cluster when there is none."""
        return f"https://{self.webhook.host}{self.webhook_path}" if self.webhook.host else self.service_url


class PlatformSecrets(BaseModel):
    """What must never be printed or stored in the clear; its repr shows asterisks.

    `model_dump_json()` masks too: only `revealed()` gives the values, for the Secret that the pods mount.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    webhook_secret: SecretStr = Field(description="Key of the webhook's HMAC signature.")
    nats_username: SecretStr | None = Field(default=None, description="User of an exotic event bus.")
    nats_password: SecretStr | None = Field(default=None, description="Password of an exotic event bus.")
    passphrase: SecretStr | None = Field(default=None, description="Encrypts secrets in the Pulumi state.")

    def revealed(self) -> dict[str, str]:
        """The values in the clear, without those that are unset. Write them to owner-only places alone."""
        return {
            name: value.get_secret_value()
            for name in type(self).model_fields
            if isinstance(value := getattr(self, name), SecretStr)
        }


WEBHOOK_PORT = 12000
