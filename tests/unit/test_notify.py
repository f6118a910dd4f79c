"""Notifications: what they say, and how each fault of a channel is told, through the process that really sends."""

from __future__ import annotations

import email
import json
import time
from collections.abc import Iterator
from email import policy
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from aphex.notifications import Channel
from aphex.run import ChannelRecord, RunRecord, StageRecord, Status, Trigger
from stages.notify.addresses import scrubbed
from stages.notify.channels import Addresses, AddressUnknown, outcomes, parse_channels, wanted
from stages.notify.delivery import deliver
from stages.notify.message import Message, message
from tests.support.moto_endpoint import moto_endpoint
from tests.support.receivers import WebReceiver, hanging_port, refusing_port, web_receiver

LINK = "https://argo.example/workflows/aphex-shop/shop-abc12"
RUN = RunRecord(
    run_id="shop-abc12",
    pipeline="shop",
    commit="0123456789abcdef0123456789abcdef01234567",
    branch="main",
    author="Ann",
    message="Sell *more* <b>\n\nThe rest.",
    trigger=Trigger.PUSH,
    started_at="2026-01-02T03:00:00Z",
    ended_at="2026-01-02T03:02:05Z",
    status=Status.FAILED,
    stages={
        "validate": StageRecord(
            status=Status.SUCCEEDED, started_at="2026-01-02T03:00:00Z", ended_at="2026-01-02T03:00:04Z"
        ),
        "build": StageRecord(status=Status.FAILED, started_at="2026-01-02T03:00:05Z", ended_at="2026-01-02T03:02:00Z"),
    },
    error={
        "stage": "build",
        "message": "build.commands[0] failed with exit status 1.",
        "hint": "Look at its output.",
        "command": "npm ci",
        "output": "added 3 packages\nAWS_SECRET_ACCESS_KEY=wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY\nerror: no such file",
    },
)
TEXT = """Run shop-abc12 of shop failed at build after 2 min 5 s.

https://argo.example/workflows/aphex-shop/shop-abc12

build.commands[0] failed with exit status 1.

Look at its output.

Command: npm ci

Last lines:
added 3 packages
AWS_SECRET_ACCESS_KEY=***
error: no such file

- Commit: 0123456789 Sell *more* <b>
- Author: Ann
- Branch: main
- Trigger: push

- validate succeeded, 4.0 s
- build failed, 1 min 55 s"""


@pytest.fixture(scope="module")
def receiver() -> Iterator[WebReceiver]:
    with web_receiver() as web:
        yield web


def told(channels: dict[str, str], seconds: float = 12.0, **more: Any) -> dict[str, ChannelRecord]:
    return deliver(channels, message(RUN, link=LINK, recovered=False), Status.FAILED, seconds=seconds, **more)


def record(status: Any, reason: str = "") -> ChannelRecord:
    return ChannelRecord(status=status, reason=reason, told=Status.FAILED)


def test_channels_of_all_kinds_at_once(receiver: WebReceiver) -> None:
    receiver.answers["/wobbly"] = [500]
    receiver.answers["/closed"] = [403]
    with hanging_port() as hanging, refusing_port() as refusing:
        started = time.monotonic()
        results = told(
            {
                "good": receiver.url("/good"),
                "markdown": receiver.url("/markdown") + "?format=markdown",
                "wobbly": receiver.url("/wobbly"),
                "closed": receiver.url("/closed"),
                "hanging": f"json://127.0.0.1:{hanging}/?rto=60",
                "refusing": f"json://user:secret-word@127.0.0.1:{refusing}/secret-path",
                "local": "syslog://",
                "misspelt": "slck://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
                "unreadable": "slack://not-a-token",
                "nothing": "what is this",
            }
        )
        assert time.monotonic() - started < 40
    assert results == {
        "good": record("sent"),
        "markdown": record("sent"),
        "wobbly": record("sent"),
        "closed": record("refused", "Failed to send JSON POST notification: error=403."),
        "hanging": record("timed out", "It did not take the message within 12 s."),
        "refusing": record("refused", "A Connection error occurred sending JSON notification to 127.0.0.1."),
        "local": record("misconfigured", "syslog:// acts on the machine that it runs on; a channel is a service."),
        "misspelt": record(
            "misconfigured", "Apprise knows no service slck://. Did you mean slack://, flock://, splunk://?"
        ),
        "unreadable": record(
            "misconfigured",
            "An invalid Slack (first) Token (****) was specified.; Could not load Slack URL: slack://n...n",
        ),
        "nothing": record("misconfigured", "The address is not an Apprise URL: SCHEMA://…"),
    }
    assert [len(receiver.bodies[path]) for path in ("/good", "/wobbly", "/closed")] == [1, 2, 1]
    [body] = receiver.bodies["/good"]
    assert (body["title"], body["message"], body["type"]) == ("shop: run shop-abc12 failed at build", TEXT, "failure")
    [body] = receiver.bodies["/markdown"]
    assert "- Commit: `0123456789` `Sell *more* <b>`\n" in body["message"]


class Mailbox:
    """What a mail server was given."""

    def __init__(self) -> None:
        self.mails: list[Envelope] = []

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        self.mails.append(envelope)
        return "250 OK"


def test_an_email_has_the_text_and_runs_nothing_of_it() -> None:
    mailbox = Mailbox()
    with refusing_port() as port:
        pass  # aiosmtpd cannot choose one itself
    controller = Controller(mailbox, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        url = f"mailto://127.0.0.1:{port}?from=shop@example.com&to=team@example.com&mode=insecure"
        assert told({"team": url}) == {"team": record("sent")}
    finally:
        controller.stop()
    [mail] = mailbox.mails
    assert mail.rcpt_tos == ["team@example.com"]
    content = mail.content
    assert isinstance(content, bytes)
    parsed = email.message_from_bytes(content, policy=policy.default)
    assert parsed["Subject"] == "shop: run shop-abc12 failed at build"
    html = parsed.get_body(("html",))
    assert html is not None
    text = html.get_content()
    assert f'<a href="{LINK}">' in text
    assert "<code>Sell *more* &lt;b&gt;</code>" in text
    assert "wJalrXUtnFEMI" not in content.decode()


def test_a_service_that_takes_little_gets_status_and_link() -> None:
    bodies = message(RUN, link=LINK, recovered=False).bodies(markdown=False)
    assert bodies[0] == TEXT
    assert bodies[-1] == "\n\n".join(TEXT.split("\n\n")[:2])
    assert [len(each) for each in bodies] == sorted((len(each) for each in bodies), reverse=True)


def test_all_together_have_an_end(receiver: WebReceiver) -> None:
    results = told({"good": receiver.url("/late")}, all_seconds=0.05)
    assert results == {"good": record("timed out", "Nothing came back within 0.05 s.")}


@pytest.mark.parametrize(
    ("status", "previous", "expected"),
    [
        (Status.SUCCEEDED, None, {"succeeded"}),
        (Status.SUCCEEDED, Status.SUCCEEDED, {"succeeded"}),
        (Status.SUCCEEDED, Status.FAILED, {"succeeded", "recovered"}),
        (Status.SUCCEEDED, Status.DEGRADED, {"succeeded", "recovered"}),
        (Status.FAILED, Status.FAILED, {"failed"}),
        (Status.DEGRADED, Status.FAILED, {"degraded"}),
    ],
)
def test_outcomes(status: Status, previous: Status | None, expected: set[str]) -> None:
    assert outcomes(status, previous) == expected


def test_a_channel_is_told_of_what_it_asks_for() -> None:
    asked = parse_channels(
        json.dumps(
            [
                {"name": "all", "url": "json://a"},
                {"name": "successes", "url": "json://a", "on": ["succeeded"]},
                {"name": "prod", "url": "json://a", "environments": ["prod"]},
                {"name": "dev", "url": "json://a", "environments": ["dev"]},
                {"name": "pulls", "url": "json://a", "pull_requests": True},
            ]
        )
    )
    run = RUN.model_copy(update={"stages": {"deploy-dev": StageRecord(status=Status.FAILED)}})
    assert [each.name for each in wanted(asked, run, frozenset({"failed"}))] == ["all", "dev", "pulls"]
    pull = run.model_copy(update={"trigger": Trigger.PULL_REQUEST})
    assert [each.name for each in wanted(asked, pull, frozenset({"failed"}))] == ["pulls"]


def test_addresses_come_from_both_kinds_of_secret(tmp_path: Path) -> None:
    (tmp_path / "slack").write_text("slack://a/b/c\n")
    (tmp_path / "empty").write_text("")
    with moto_endpoint() as aws:
        client = aws.client("secretsmanager")
        client.create_secret(Name="aphex/shop/mail", SecretString='{"ops": "mailto://x"}')
        addresses = Addresses(tmp_path, lambda: client)

        def of(**where: Any) -> str:
            try:
                return addresses.of(Channel(name="it", **where))
            except AddressUnknown as error:
                return str(error)

        assert of(secret_key="slack") == "slack://a/b/c"
        assert of(secret_key="empty") == "The secret is empty.\nIts value is the channel's Apprise URL."
        assert of(secret_key="none") == (
            "The Kubernetes Secret aphex-notifications has no key none.\ndocs/notifications.md shows how to add it."
        )
        assert of(secrets_manager={"name": "aphex/shop/mail", "key": "ops"}) == "mailto://x"
        assert of(secrets_manager={"name": "aphex/shop/mail", "key": "dev"}) == (
            "The secret aphex/shop/mail of Secrets Manager has no text at the key dev.\n"
            'With secrets_manager.key it is a JSON object: {"dev": "APPRISE-URL"}.'
        )
        assert of(secrets_manager={"name": "aphex/shop/none"}) == (
            "The secret aphex/shop/none of Secrets Manager was not given: ResourceNotFoundException.\n"
            "Make it in the pipeline's own account and region: docs/notifications.md."
        )


def test_nothing_secret_of_an_address_is_told() -> None:
    url = "mailtos://ann:pa%40ss-word@mail.example.com:587/?to=team@example.org"
    said = "Could not load mailtos://ann:pa%40ss-word@mail.example.com:587/ (pa@ss-word) at mail.example.com"
    shown = scrubbed(said, url)
    assert "ss-word" not in shown
    assert shown.endswith("at mail.example.com")
    assert scrubbed("POST /services/T1J/B2/XyZ987abc", "slack://T1J/B2/XyZ987abc") == "POST /services/****"


def test_a_message_is_one_of_a_run_that_recovered() -> None:
    run = RUN.model_copy(update={"status": Status.SUCCEEDED, "error": None})
    found: Message = message(run, link="", recovered=True)
    assert found.title == "shop: run shop-abc12 recovered"
    assert found.bodies(markdown=False)[-1] == "Run shop-abc12 of shop recovered after 2 min 5 s."
