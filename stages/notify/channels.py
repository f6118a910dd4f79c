"""Which channels are told of a run, and where each of them is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from aphex.names import NOTIFICATIONS_SECRET
from aphex.notifications import Channel, Outcome, SecretsManagerValue
from aphex.run import RunRecord, Status, Trigger, deploy_name, test_name
from stages.errors import StageError

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

_BAD = (Status.FAILED, Status.DEGRADED)


class ChannelsUnreadable(StageError):
    """The channels that the pod was given are not what they should be."""


class AddressUnknown(StageError):
    """Where a channel is cannot be found out. The message has nothing of the address."""


def parse_channels(text: str) -> list[Channel]:
    """The channels of the pod's variable APHEX_CHANNELS.

    Raises:
        ChannelsUnreadable: it is something else.
    """
    if not text:
        return []
    try:
        return TypeAdapter(list[Channel]).validate_json(text)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ChannelsUnreadable(
            f"APHEX_CHANNELS cannot be read: {where}: {first['msg']}",
            hint="The pipeline's WorkflowTemplate sets it from `notifications`; the next self-update writes it anew.",
        ) from None


def outcomes(status: Status, previous: Status | None) -> frozenset[Outcome]:
    """What a run that ended so is to those who ask for outcomes: `recovered` is also `succeeded`."""
    if status is Status.FAILED:
        return frozenset({"failed"})
    if status is Status.DEGRADED:
        return frozenset({"degraded"})
    return frozenset({"succeeded", "recovered"}) if previous in _BAD else frozenset({"succeeded"})


def wanted(channels: list[Channel], run: RunRecord, happened: frozenset[Outcome]) -> list[Channel]:
    """The channels that want to know of this run."""
    return [channel for channel in channels if _wants(channel, run, happened)]


def _wants(channel: Channel, run: RunRecord, happened: frozenset[Outcome]) -> bool:
    if run.trigger is Trigger.PULL_REQUEST and not channel.pull_requests:
        return False
    if not happened.intersection(channel.on):
        return False
    return not channel.environments or any(_touched(run, name) for name in channel.environments)


def _touched(run: RunRecord, environment: str) -> bool:
    """Whether a run deployed to an environment, or tried to."""
    stages = (run.stages.get(deploy_name(environment)), run.stages.get(test_name(environment)))
    return any(stage is not None and stage.status is not Status.SKIPPED for stage in stages)


@dataclass
class Addresses:
    """Finds where channels are.

    Attributes:
        folder: where the Kubernetes Secret is mounted, a file a key.
        client: makes the client of Secrets Manager, when it is needed.
    """

    folder: Path
    client: Callable[[], SecretsManagerClient]
    _secrets: dict[str, str] = field(default_factory=dict)

    def of(self, channel: Channel) -> str:
        """The Apprise URL of a channel.

        Raises:
            AddressUnknown: there is no such secret, it may not be read, or it is not text as it should be.
        """
        if channel.url is not None:
            return channel.url
        key = channel.secret_key
        text = self._mounted(key) if key is not None else self._managed(channel.secrets_manager)
        if not text.strip():
            raise AddressUnknown("The secret is empty.", hint="Its value is the channel's Apprise URL.")
        return text.strip()

    def _mounted(self, key: str) -> str:
        try:
            return (self.folder / key).read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            raise AddressUnknown(
                f"The Kubernetes Secret {NOTIFICATIONS_SECRET} has no key {key}.",
                hint="docs/notifications.md shows how to add it.",
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise AddressUnknown(
                f"The key {key} of the Kubernetes Secret {NOTIFICATIONS_SECRET} cannot be read: {type(error).__name__}."
            ) from None

    def _managed(self, secret: SecretsManagerValue | None) -> str:
        if secret is None:
            return ""
        if secret.name not in self._secrets:
            self._secrets[secret.name] = self._ask(secret.name)
        text = self._secrets[secret.name]
        return text if secret.key is None else _member(secret.name, secret.key, text)

    def _ask(self, name: str) -> str:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer = self.client().get_secret_value(SecretId=name)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            hint = _HINTS.get(code, "")
            raise AddressUnknown(f"The secret {name} of Secrets Manager was not given: {code}.", hint=hint) from None
        except BotoCoreError as error:
            raise AddressUnknown(f"Secrets Manager was not reached for {name}: {type(error).__name__}.") from None
        return str(answer.get("SecretString", ""))


_HINTS = {
    "ResourceNotFoundException": "Make it in the pipeline's own account and region: docs/notifications.md.",
    "AccessDeniedException": "The exit handler may read the secrets that begin with aphex/PIPELINE/, and with a key "
    "of KMS's own only when the key's policy lets it.",
}


def _member(name: str, key: str, text: str) -> str:
    try:
        value: Any = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict) or not isinstance(value.get(key), str):
        raise AddressUnknown(
            f"The secret {name} of Secrets Manager has no text at the key {key}.",
            hint=f'With secrets_manager.key it is a JSON object: {{"{key}": "APPRISE-URL"}}.',
        )
    return str(value[key])
