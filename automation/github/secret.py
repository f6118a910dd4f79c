"""The secret that signs a pipeline's events: wherever its settings say that it is kept."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aphex.errors import AphexError

if TYPE_CHECKING:
    from automation.target import Target


@dataclass(frozen=True, kw_only=True)
class WebhookSecret:
    """The secret, and where it is kept, for a person."""

    value: str = field(repr=False)
    place: str


def webhook_secret(target: Target) -> WebhookSecret:
    """The secret that the EventSource checks signatures with.

    Raises:
        AphexError: it is not where the settings say.
    """
    from aphex_platform.manifests.events import WEBHOOK_SECRET

    settings = target.settings
    if settings.webhook.secret_name is not None:
        return _of_secrets_manager(target, settings.webhook.secret_name)
    if settings.webhook.kubernetes_secret is not None:
        return _of_kubernetes(target, settings.webhook.kubernetes_secret)
    value = target.secrets.webhook_secret.get_secret_value()
    if target.sandbox is not None:
        return WebhookSecret(value=value, place=f"the file {target.sandbox.directory / 'git' / 'webhook-secret'}")
    place = f"the parameter /aphex/{settings.pipeline}/secrets of AWS's Parameter Store, as webhook_secret"
    return WebhookSecret(value=value, place=f"{place}, and the Secret {WEBHOOK_SECRET} in {settings.namespace}")


def _of_secrets_manager(target: Target, name: str) -> WebhookSecret:
    from botocore.exceptions import ClientError

    try:
        value = target.aws.client("secretsmanager").get_secret_value(SecretId=name)["SecretString"]
    except (ClientError, KeyError) as error:
        raise AphexError(
            f"The webhook's secret {name} cannot be read from Secrets Manager: {error}",
            hint="It has to be there, as text, and you have to be allowed secretsmanager:GetSecretValue on it.",
        ) from error
    return WebhookSecret(value=value, place=f"the secret {name} of AWS's Secrets Manager")


def _of_kubernetes(target: Target, name: str) -> WebhookSecret:
    from aphex_platform.manifests.events import WEBHOOK_SECRET_KEY
    from lightkube.resources.core_v1 import Secret

    from automation.access import kubernetes_errors

    namespace = target.settings.namespace
    hint = f"Look at it with: kubectl -n {namespace} describe secret {name}"
    try:
        with target.kubernetes.client(namespace) as api:
            data = api.get(Secret, name).data or {}
    except kubernetes_errors() as error:
        raise AphexError(f"The webhook's Secret {name} in {namespace} cannot be read: {error}", hint=hint) from error
    found = data.get(WEBHOOK_SECRET_KEY)
    if found is None:
        raise AphexError(f'The webhook\'s Secret {name} in {namespace} has no "{WEBHOOK_SECRET_KEY}".', hint=hint)
    return WebhookSecret(value=base64.b64decode(found).decode(), place=f"the Secret {name} in {namespace}")
