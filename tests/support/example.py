"""The example application's pipeline, as values that tests of the platform share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aphex_platform.settings import (
    AlarmSettings,
    AwsSettings,
    EventBusSettings,
    ImageSettings,
    PlatformSecrets,
    PlatformSettings,
    WebhookSettings,
)
from pydantic import SecretStr

from aphex.config import PipelineConfig, Retention
from aphex.loader import load_config

CONFIG_PATH = Path(__file__).parents[2] / "examples" / "shop" / "aphex-config.yaml"


def example_config() -> PipelineConfig:
    """The configuration of `examples/shop`."""
    return load_config(CONFIG_PATH)


def with_retention(config: PipelineConfig, retention: Retention) -> PipelineConfig:
    """The same configuration, whose bucket keeps things for other times."""
    return config.model_copy(update={"pipeline": config.pipeline.model_copy(update={"retention": retention})})


def with_roles(environments: int, *, tests: bool = True) -> PipelineConfig:
    """A configuration whose environments each have roles of their own, in accounts of their own."""
    document: dict[str, Any] = example_config().model_dump(mode="json", exclude_none=True)
    dev = document["environments"][0]
    document["environments"] = [
        {
            **dev,
            "name": f"environment-{number}",
            "account": f"{number:012d}",
            "role": f"arn:aws:iam::{number:012d}:role/aphex-deployer",
            "tests": {**dev["tests"], "role": f"arn:aws:iam::{number:012d}:role/aphex-tester"} if tests else None,
        }
        for number in range(environments)
    ]
    return PipelineConfig.model_validate(document)


def example_settings(**changes: Any) -> PlatformSettings:
    """Settings as a sandbox gives them, with some of them changed."""
    values: dict[str, Any] = {
        "pipeline": "shop",
        "namespace": "aphex-shop",
        "repository": "http://10.88.0.2:8080/aphex/shop.git",
        "repository_full_name": "aphex/shop",
        "aws": sandbox_aws(),
        "event_bus": EventBusSettings(kind="exotic", url="nats://10.88.0.2:4222"),
        "images": ImageSettings(
            builder="registry.aphex.internal/builder:1", deployer="registry.aphex.internal/deployer:1"
        ),
        "state_backend": "s3://aphex-state-123456789012-us-east-1?region=us-east-1",
        "argo_url": "http://10.88.0.2:2746",
        "cdk_method": "direct",
    }
    return PlatformSettings(**{**values, **changes})


def sandbox_aws() -> AwsSettings:
    """The AWS stand-in of a sandbox."""
    return AwsSettings(
        kind="sandbox",
        account="123456789012",
        region="us-east-1",
        endpoint="http://aws-localhost:5000",
        s3_endpoint="http://10.88.0.2:5000",
        oidc_issuer="https://kubernetes.default.svc.cluster.local",
    )


def real_aws() -> AwsSettings:
    """A real account with an EKS cluster's issuer."""
    return AwsSettings(
        kind="account",
        account="123456789012",
        region="eu-west-1",
        oidc_issuer="https://oidc.eks.eu-west-1.amazonaws.com/id/ABCDEF0123456789",
    )


def pod_identity() -> AwsSettings:
    """A real account whose EKS cluster gives pods their roles itself."""
    return real_aws().model_copy(update={"identity": "pod-identity", "cluster": "delivery"})


def everything(**changes: Any) -> PlatformSettings:
    """Settings of a real account in which every option is taken."""
    options: dict[str, Any] = {
        "aws": pod_identity(),
        "event_bus": EventBusSettings(storage_class="gp3"),
        "state_backend": "s3://aphex-state-123456789012-eu-west-1?region=eu-west-1",
        "webhook": WebhookSettings(
            host="hooks.example.com",
            ingress_class="alb",
            certificate="arn:aws:acm:eu-west-1:123456789012:certificate/0f",
            sources=("10.0.0.0/16",),
            secret_name="shop/webhook",
        ),
        "alarms": AlarmSettings(topic="arn:aws:sns:eu-west-1:123456789012:on-call"),
    }
    return example_settings(**{**options, **changes})


def example_secrets() -> PlatformSecrets:
    """Secrets that are easy to find where they must not be."""
    return PlatformSecrets(
        webhook_secret=SecretStr("sesame-webhook"),
        nats_username=SecretStr("sesame-user"),
        nats_password=SecretStr("sesame-password"),
        passphrase=SecretStr("sesame-passphrase"),
    )
