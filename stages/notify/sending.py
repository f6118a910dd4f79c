"""`python -m stages.notify`: sends notifications by Apprise, each channel in a process forked for it.

Reads requests on standard input, one JSON object a line, and answers each with one line a channel. The process has no
AWS identity and nothing of the stage; what hangs is killed. Apprise is imported here alone.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import sys
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TextIO

from stages.notify.addresses import known_schemas, refusal, scrubbed

RETRY_AFTER = 1.0
_PERMANENT = tuple(f"error={code}" for code in range(400, 500) if code not in (408, 425, 429))
_NEVER_REACHED = 32_768


@dataclass
class _Sender:
    """The process of one channel."""

    name: str
    process: BaseProcess
    answer: Connection
    deadline: float


def main() -> int:
    """Answer requests until standard input ends."""
    known_schemas()  # before any process is forked, so that it is done once for all channels
    for line in sys.stdin:
        answer(json.loads(line), sys.stdout)
    return 0


def answer(request: dict[str, Any], out: TextIO) -> None:
    """Send to all channels of a request at once; write how each took it as it is known."""
    context = multiprocessing.get_context("fork")
    senders: dict[Connection, _Sender] = {}
    for channel in request["channels"]:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_send_apart, args=(theirs, channel, request), daemon=True)
        process.start()
        theirs.close()
        senders[ours] = _Sender(channel["name"], process, ours, time.monotonic() + request["seconds"])
    while senders:
        left = min(each.deadline for each in senders.values()) - time.monotonic()
        for ready in wait(list(senders), timeout=max(left, 0)):
            sender = senders.pop(ready)  # type: ignore[call-overload]
            _write(out, sender.name, _received(sender))
        for late in [each for each in senders.values() if each.deadline <= time.monotonic()]:
            del senders[late.answer]
            late.process.kill()
            late.process.join()
            late.answer.close()
            _write(out, late.name, ("timed out", f"It did not take the message within {request['seconds']:g} s."))


def _received(sender: _Sender) -> tuple[str, str]:
    try:
        status, reason = sender.answer.recv()
    except EOFError:
        status, reason = "refused", "The process that sent it ended before it was done."
    sender.process.join()
    sender.answer.close()
    return status, reason


def _write(out: TextIO, name: str, result: tuple[str, str]) -> None:
    print(json.dumps({"channel": name, "status": result[0], "reason": result[1]}), file=out, flush=True)


def _send_apart(answer: Connection, channel: dict[str, str], request: dict[str, Any]) -> None:
    try:
        answer.send(send(channel["url"], request))
    except Exception as error:  # noqa: BLE001  # whatever a service's plugin does, the others go on
        answer.send(("refused", scrubbed(f"{type(error).__name__}: {error}", channel["url"])))


class _Said(logging.Handler):
    """Keeps what Apprise says went wrong."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(" ".join(record.getMessage().split()))


def send(url: str, request: dict[str, Any]) -> tuple[str, str]:
    """Send one message, once more when the fault may pass.

    Returns:
        The status of `aphex.run.ChannelRecord`, and the reason without anything secret of the URL.
    """
    from apprise import Apprise, AppriseAsset
    from apprise.common import OverflowMode, PersistentStoreMode

    if refused := refusal(url):
        return "misconfigured", refused
    said, log = _Said(), logging.getLogger("apprise")
    log.handlers, log.propagate = [said], False
    # Nothing of Apprise writes files, reads templates from anywhere, or makes keys.
    asset = AppriseAsset(storage_mode=PersistentStoreMode.MEMORY, allow_templates=False, pgp_autogen=False)
    service = Apprise.instantiate(url, asset=asset)
    if service is None:
        reasons = "; ".join(said.lines) or "Apprise cannot read it."
        return "misconfigured", scrubbed(reasons, url)
    service.overflow_mode = OverflowMode.TRUNCATE
    markdown = _shows_markdown(service)
    limit = min(int(service.body_maxlen) or _NEVER_REACHED, _NEVER_REACHED)
    body = fitting(request, markdown=markdown, limit=limit)
    for attempt in (1, 2):
        said.lines.clear()
        if service.notify(
            title=request["title"],
            body=body,
            notify_type=request["kind"],
            body_format="markdown" if markdown else "text",
        ):
            return "sent", ""
        if attempt == 1 and any(mark in line for line in said.lines for mark in _PERMANENT):
            break
        if attempt == 1:
            time.sleep(RETRY_AFTER)
    return "refused", scrubbed("; ".join(dict.fromkeys(said.lines)) or "The service did not take it.", url)


def _shows_markdown(service: Any) -> bool:
    """Whether a channel shows Markdown, itself or as the HTML that Apprise makes of it.

    The URL's own `format` wins. Programs that take JSON, XML and forms get text.
    """
    if (wanted := getattr(service, "_format_override", None)) is not None:
        return str(getattr(wanted, "value", wanted)) != "text"
    shown = service.notify_format
    formats = {str(getattr(each, "value", each)) for each in (shown if isinstance(shown, tuple | list) else [shown])}
    return formats != {"text"} and not type(service).__module__.startswith("apprise.plugins.custom_")


def fitting(request: dict[str, Any], *, markdown: bool, limit: int) -> str:
    """The longest of the request's bodies that fits; they are ordered, the whole one first."""
    bodies: list[str] = request["markdown" if markdown else "text"]
    return next((body for body in bodies if len(body) <= limit), bodies[-1][:limit])
