"""Every channel is told, whatever the others do: real receivers on this machine, and the process that really sends."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aphex.run import RunRecord, Status
from stages.notify.delivery import request
from stages.notify.message import message
from tests.support.receivers import WebReceiver, refusing_port, web_receiver

_ROOT = Path(__file__).parents[2]
_RUNS = itertools.count()
texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=40)


@pytest.fixture(scope="module")
def receiver() -> Iterator[WebReceiver]:
    with web_receiver() as web:
        yield web


@pytest.fixture(scope="module")
def refused() -> Iterator[int]:
    with refusing_port() as port:
        yield port


@pytest.fixture(scope="module")
def sender() -> Iterator[subprocess.Popen[str]]:
    """The process that sends, as the exit handler starts it; it answers one request after another."""
    with subprocess.Popen(
        [sys.executable, "-m", "stages.notify"], cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def tell(sender: subprocess.Popen[str], asked: dict[str, Any]) -> dict[str, str]:
    assert sender.stdin is not None
    assert sender.stdout is not None
    sender.stdin.write(json.dumps(asked) + "\n")
    sender.stdin.flush()
    answers = [json.loads(sender.stdout.readline()) for _ in asked["channels"]]
    return {each["channel"]: each["status"] for each in answers}


# Property 18: every configured channel is notified when a run completes or fails; one broken channel stops no other
@settings(max_examples=100, deadline=None)
@given(
    kinds=st.lists(st.sampled_from(["good", "good", "unknown", "local", "unreadable", "refusing"]), max_size=4),
    status=st.sampled_from([Status.SUCCEEDED, Status.FAILED, Status.DEGRADED]),
    subject=texts,
)
def test_every_channel_is_told(
    receiver: WebReceiver,
    refused: int,
    sender: subprocess.Popen[str],
    kinds: list[str],
    status: Status,
    subject: str,
) -> None:
    number = next(_RUNS)
    run = RunRecord(
        run_id=f"shop-{number}", pipeline="shop", commit="a" * 40, message=subject, started_at="", status=status
    )
    urls = {
        "good": receiver.url(f"/{number}"),
        "unknown": "slak://a/b/c",
        "local": "syslog://here",
        "unreadable": "slack://x",
        "refusing": f"json://127.0.0.1:{refused}/{number}",
    }
    told = message(run, link="https://argo.example/x", recovered=False)
    # Retried after a second, refusing ones would make this slow: one of them is enough.
    kinds = [each for index, each in enumerate(kinds) if each != "refusing" or (index == 0 and number % 10 == 0)]
    channels = {f"{kind}-{index}": f"{urls[kind]}{index if kind == 'good' else ''}" for index, kind in enumerate(kinds)}
    answers = tell(sender, request(channels, told, status))
    expected = {"good": "sent", "refusing": "refused"}
    assert answers == {name: expected.get(name.partition("-")[0], "misconfigured") for name in channels}
    for index in [index for index, kind in enumerate(kinds) if kind == "good"]:
        [body] = receiver.bodies[f"/{number}{index}"]
        assert body["title"] == f"shop: run shop-{number} {status.value}"
        assert "https://argo.example/x" in body["message"]
