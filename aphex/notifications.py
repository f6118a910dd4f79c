"""Whom a pipeline tells how its runs end: channels, each with where it goes and what it wants to know."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from aphex.values import Model

Outcome = Literal["succeeded", "failed", "degraded", "recovered"]


class SecretsManagerValue(Model):
    """A value in AWS Secrets Manager, in the pipeline's own account and region."""

    name: str = Field(
        pattern=r"^aphex/[A-Za-z0-9/_+=.@-]+$",
        description="Name of the secret. The pipeline may read those that begin with aphex/PIPELINE/.",
    )
    key: str | None = Field(
        default=None, min_length=1, description="Key in a secret that is a JSON object; without it the whole text."
    )


class Channel(Model):
    """One place that is told how a run ended. Where it is, is an Apprise URL: https://appriseit.com/services/."""

    name: str = Field(
        pattern=r"^[a-z]([a-z0-9-]*[a-z0-9])?$",
        max_length=63,
        description="Unique name, for logs: the address itself is never shown.",
    )
    url: str | None = Field(
        default=None,
        pattern=r"^[a-z][a-z0-9+.-]*://\S+$",
        description="Apprise URL of a channel without a secret, such as json://host/path or mailto://relay?to=address.",
    )
    secret_key: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9._-]+$",
        description="Key in the pipeline's Kubernetes Secret aphex-notifications whose value is the Apprise URL.",
    )
    secrets_manager: SecretsManagerValue | None = Field(
        default=None, description="Secret in AWS Secrets Manager whose value is the Apprise URL."
    )
    on: list[Outcome] = Field(
        default=["failed", "degraded", "recovered"],
        min_length=1,
        description="Outcomes that are told. `degraded`: the self-update failed; `recovered`: the first run that "
        "succeeded after one that did not.",
    )
    environments: list[str] = Field(
        default_factory=list,
        description="Only runs that ended in one of these environments, or deployed to it; without it all runs.",
    )
    pull_requests: bool = Field(default=False, description="Whether the runs of pull requests are told too.")

    @model_validator(mode="after")
    def _one_address(self) -> Channel:
        """Exactly one of `url`, `secret_key` and `secrets_manager` is given."""
        given = [name for name in ("url", "secret_key", "secrets_manager") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                "needs exactly one of url, secret_key and secrets_manager, "
                + (f"and has {' and '.join(given)}." if given else "and has none.")
            )
        return self
