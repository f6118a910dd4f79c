"""Hands a message to the process that sends it, and takes back how each channel took it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from aphex.process import ProcessTimeout
from aphex.process import run as run_program
from aphex.run import ChannelRecord, Status
from stages.notify.message import Message

CHANNEL_SECONDS = 20.0
ALL_SECONDS = 45.0
# What the sending process sees of the pod's variables: no identity, nothing of the run.
_PASSED = (
    "PATH", "PYTHONPATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy",
)  # fmt: skip
_KINDS = {Status.FAILED: "failure", Status.DEGRADED: "warning"}


def request(
    addresses: Mapping[str, str], message: Message, status: Status, seconds: float = CHANNEL_SECONDS
) -> dict[str, Any]:
    """What the sending process reads."""
    return {
        "channels": [{"name": name, "url": url} for name, url in addresses.items()],
        "title": message.title,
        "markdown": message.bodies(markdown=True),
        "text": message.bodies(markdown=False),
        "kind": _KINDS.get(status, "success"),
        "seconds": seconds,
    }


def deliver(
    addresses: Mapping[str, str],
    message: Message,
    status: Status,
    *,
    seconds: float = CHANNEL_SECONDS,
    all_seconds: float = ALL_SECONDS,
    environment: Mapping[str, str] = os.environ,
) -> dict[str, ChannelRecord]:
    """Tell every channel at once; each has its own time, and all together `all_seconds`.

    Args:
        addresses: Apprise URLs by the channels' names.
        message: what they are told.
        status: how the run ended.
        seconds: how long each may take.
        all_seconds: how long all may take, the start of the process included.
        environment: the variables of which the sending process sees a few.

    Returns:
        How each took it, by name.
    """
    if not addresses:
        return {}
    answers: dict[str, ChannelRecord] = {}

    def heard(line: str) -> None:
        if not line.startswith("{"):
            return
        told = json.loads(line)
        answers[told["channel"]] = ChannelRecord(status=told["status"], reason=told["reason"], told=status)

    missing = ChannelRecord(status="timed out", reason=f"Nothing came back within {all_seconds:g} s.", told=status)
    try:
        ended = run_program(
            [sys.executable, "-P", "-m", "stages.notify"],
            env={name: environment[name] for name in _PASSED if name in environment},
            input=json.dumps(request(addresses, message, status, seconds)) + "\n",
            timeout=all_seconds,
            on_line=heard,
            check=False,
            keep_lines=1,
            label="the sending of notifications",
        )
        reason = f"The process that sends ended with exit status {ended.exit_code}."
        unsent = ChannelRecord(status="refused", reason=reason, told=status)
    except ProcessTimeout:
        unsent = missing
    return {name: answers.get(name, unsent) for name in addresses}
