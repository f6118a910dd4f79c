"""What settings accept, and that secrets stay hidden."""

from __future__ import annotations

import json

import pytest
from aphex_platform.settings import EventBusSettings, PlatformSecrets, PlatformSettings
from pydantic import ValidationError

from tests.support.example import example_secrets, example_settings, real_aws


def test_settings_survive_the_way_through_the_config_map() -> None:
    settings = example_settings()
    assert PlatformSettings.model_validate_json(settings.model_dump_json(indent=2)) == settings


def test_secrets_survive_the_way_through_the_secret() -> None:
    secrets = example_secrets()
    assert PlatformSecrets.model_validate_json(json.dumps(secrets.revealed())) == secrets


def test_secrets_are_hidden_wherever_they_are_printed() -> None:
    secrets = example_secrets()
    for shown in (repr(secrets), str(secrets), secrets.model_dump_json()):
        assert "sesame" not in shown


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        PlatformSettings.model_validate({**example_settings().model_dump(), "brnach": "main"})


def test_an_existing_bus_needs_its_address() -> None:
    with pytest.raises(ValidationError, match="url of its NATS servers"):
        EventBusSettings(kind="exotic")


@pytest.mark.parametrize(
    ("backend", "bucket"),
    [("s3://state?region=eu-west-1", "state"), ("s3://state/prefix", "state"), ("file:///var/state", None)],
)
def test_the_state_bucket_follows_from_the_backend(backend: str, bucket: str | None) -> None:
    assert example_settings(state_backend=backend).state_bucket == bucket


def test_the_identity_provider_is_named_without_scheme() -> None:
    assert real_aws().oidc_provider == "oidc.eks.eu-west-1.amazonaws.com/id/ABCDEF0123456789"
