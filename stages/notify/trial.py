"""`python -m stages notify-test FILE`: sends a test message to the channels of a configuration, from any machine.

It goes the way of the exit handler's: the same addresses, the same process that sends, the same limits. Only where a
key of the Kubernetes Secret is, differs on a machine that is no pod: in a folder with a file a key, or in a variable.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from aphex.errors import AphexError, UsageError
from aphex.loader import ConfigError, load_config
from aphex.names import NOTIFICATIONS_SECRET
from aphex.notifications import Channel
from aphex.run import ChannelRecord, Status
from stages.notify.channels import Addresses, AddressUnknown
from stages.notify.delivery import deliver
from stages.notify.message import Message

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

FOLDER_VARIABLE = "APHEX_NOTIFICATIONS"
_KEY_VARIABLE = "APHEX_NOTIFICATION_"
NOT_SENT = 1


@dataclass
class LocalAddresses(Addresses):
    """Finds where channels are on a machine that has no Kubernetes Secret mounted.

    Attributes:
        variables: those of this process; a key's is `APHEX_NOTIFICATION_KEY`.
    """

    variables: Mapping[str, str] = field(default_factory=dict)

    def _mounted(self, key: str) -> str:
        file, variable = self.folder / key, key_variable(key)
        if variable in self.variables:
            return self.variables[variable]
        if file.is_file():
            return super()._mounted(key)
        raise AddressUnknown(
            f"The key {key} of the Kubernetes Secret {NOTIFICATIONS_SECRET} is not on this machine: there is neither "
            f"a file {file} nor a variable {variable}.",
            hint="Its value is the channel's Apprise URL; docs/notifications.md shows how to get it from the cluster.",
        )


def key_variable(key: str) -> str:
    """The variable that has the value of a key: `APHEX_NOTIFICATION_TEAM_SLACK` for `team-slack`."""
    return _KEY_VARIABLE + re.sub(r"[^A-Za-z0-9]", "_", key).upper()


def chosen(channels: Sequence[Channel], name: str | None, file: Path) -> list[Channel]:
    """The channel of a name, or all.

    Raises:
        UsageError: there is none.
    """
    if not channels:
        raise UsageError(
            f"{file} configures no notifications.", hint="Add channels under `notifications`: docs/notifications.md."
        )
    found = [each for each in channels if name in (None, each.name)]
    if not found:
        known = ", ".join(each.name for each in channels)
        raise UsageError(f'{file} has no channel "{name}".', hint=f"Its channels are {known}.")
    return found


def trial_message(pipeline: str, channels: Sequence[Channel]) -> Message:
    """What the channels are told; each is named with what it will be told of."""
    title = f"{pipeline}: test of the notifications"
    lines = [f"This is a test: no run has ended. Channels of the pipeline {pipeline} that get it:"]
    lines += [f"- {each.name}, which is told of runs that are {' or '.join(each.on)}{_only(each)}" for each in channels]
    text = "\n".join(lines)
    return Message(title=title, parts=((text, text, 0),))


def _only(channel: Channel) -> str:
    return f", in {' or '.join(channel.environments)} only" if channel.environments else ""


def send(channels: Sequence[Channel], message: Message, addresses: Addresses) -> dict[str, ChannelRecord]:
    """Tell the channels; how each took it, in their order."""
    found: dict[str, str] = {}
    unknown: dict[str, ChannelRecord] = {}
    for channel in channels:
        try:
            found[channel.name] = addresses.of(channel)
        except Exception as error:  # noqa: BLE001  # one channel stops no other; the error may have its secret
            reason = str(error) if isinstance(error, AphexError) else type(error).__name__
            reason = " ".join(reason.split())
            unknown[channel.name] = ChannelRecord(status="misconfigured", reason=reason, told=Status.SUCCEEDED)
    told = {**unknown, **deliver(found, message, Status.SUCCEEDED)}
    return {channel.name: told[channel.name] for channel in channels}


def main(arguments: list[str]) -> int:
    """Send, and print how each channel took it; returns 0, 1 when one did not, 2 when nothing could be sent."""
    parser = argparse.ArgumentParser(prog="python -m stages notify-test", description="Sends a test message.")
    parser.add_argument("file", type=Path, help="the configuration")
    parser.add_argument("--channel", help="the channel; all without it")
    parser.add_argument("--secrets", type=Path, help="the folder with a file for each key of the Kubernetes Secret")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    options = parser.parse_args(arguments)
    try:
        config = load_config(options.file)
        channels = chosen(config.notifications, options.channel, options.file)
    except (ConfigError, UsageError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return UsageError.exit_code
    pipeline = config.pipeline.name or options.file.resolve().parent.name
    folder = options.secrets or Path(os.environ.get(FOLDER_VARIABLE) or "/etc/aphex/notifications")
    told = send(channels, trial_message(pipeline, channels), LocalAddresses(folder, _client, variables=os.environ))
    sent = all(each.status == "sent" for each in told.values())
    if options.json:
        answers = [{"channel": name, "status": each.status, "reason": each.reason} for name, each in told.items()]
        print(json.dumps({"sent": sent, "channels": answers}, indent=2))
    else:
        print("\n".join(_line(name, each) for name, each in told.items()))
    return 0 if sent else NOT_SENT


def _line(name: str, told: ChannelRecord) -> str:
    return f"{name}: {told.status}" + (f": {told.reason}" if told.reason else "")


def _client() -> SecretsManagerClient:
    """Secrets Manager with this machine's credentials, in the region that its variables or profile name."""
    import boto3
    from botocore.config import Config

    soon = Config(retries={"mode": "standard", "total_max_attempts": 2}, connect_timeout=3, read_timeout=5)
    return boto3.Session().client("secretsmanager", config=soon)
