"""Whom the exit handler tells what: real channels, and the process that really sends."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from aphex.run import Status
from stages import exit as exit_handler
from stages.notify.delivery import deliver
from tests.support.moto_endpoint import MotoEndpoint, moto_endpoint
from tests.support.receivers import WebReceiver, hanging_port, web_receiver
from tests.support.runs import COMMAND, ENDED, Runs, channel, make_runs


@pytest.fixture(scope="module")
def aws() -> Iterator[MotoEndpoint]:
    with moto_endpoint() as endpoint:
        yield endpoint


@pytest.fixture
def receiver() -> Iterator[WebReceiver]:
    with web_receiver() as web:
        yield web


@pytest.fixture
def runs(aws: MotoEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    return make_runs(aws, tmp_path, monkeypatch)


FAILED = """Run shop-1 of shop failed at build after 2 min 5 s.

http://argo.example/workflows/aphex-shop/shop-1

build.commands[1] failed with exit status 3: {command}

Command: {command}

Last lines:
token ***
no such file

- Commit: {commit} Sell more
- Author: Ann
- Branch: main
- Trigger: push

- build failed, 0.0 s"""


def test_a_failed_build_is_told_with_the_last_lines_of_its_command(runs: Runs, receiver: WebReceiver) -> None:
    (runs.pod.folder / "secret" / "team").write_text(receiver.url("/team"))
    channels = [
        {"name": "team", "secret_key": "team"},
        {"name": "gone", "secret_key": "gone"},
        channel("successes", receiver.url("/successes"), on=["succeeded"]),
    ]
    assert runs.run("shop-1", "build") == 1
    ended = runs.end("shop-1", "Failed", APHEX_CHANNELS=json.dumps(channels))
    missing = "The Kubernetes Secret aphex-notifications has no key gone. docs/notifications.md shows how to add it."
    assert ended == {
        "status": "failed",
        "problems": [f"notification gone: misconfigured: {missing}"],
        "notifications": {"gone": "misconfigured", "team": "sent"},
    }
    [body] = receiver.bodies["/team"]
    assert (body["title"], body["type"]) == ("shop: run shop-1 failed at build", "failure")
    assert body["message"] == FAILED.format(commit=runs.sha[:10], command=COMMAND)
    assert set(receiver.bodies) == {"/team"}
    record = runs.table("shop-1").read()
    assert record is not None
    assert {name: (each.status, each.reason, each.told) for name, each in record.notifications.items()} == {
        "team": ("sent", "", Status.FAILED),
        "gone": ("misconfigured", missing, Status.FAILED),
    }
    assert record.error == {
        "stage": "build",
        "type": "CommandFailed",
        "message": f"build.commands[1] failed with exit status 3: {COMMAND}",
        "command": COMMAND,
        "output": "token ***\nno such file",
    }


OTHERS = """Run {run} of shop {how} after 2 min 5 s.

http://argo.example/workflows/aphex-shop/{run}

- Commit: {commit} Sell more
- Author: Ann
- Branch: main
- Trigger: push

- build succeeded, 1 min 0 s"""


def test_runs_of_a_branch_are_told_as_degraded_recovered_and_succeeded(runs: Runs, receiver: WebReceiver) -> None:
    channels = json.dumps(
        [
            channel("default", receiver.url("/default")),
            channel("all", receiver.url("/all"), on=["succeeded", "failed", "degraded"]),
        ]
    )
    for number, update in enumerate([Status.DEGRADED, None, None]):
        stages = {"build": Status.SUCCEEDED, **({"self_update": update} if update else {})}
        runs.begun(f"shop-{number}", **stages)
        runs.end(f"shop-{number}", APHEX_CHANNELS=channels)
    commit = runs.sha[:10]
    degraded = (
        OTHERS.format(run="shop-0", how="degraded at self-update", commit=commit)
        + "\n- self-update degraded, 1 min 0 s"
    )
    recovered = OTHERS.format(run="shop-1", how="recovered", commit=commit)
    succeeded = OTHERS.format(run="shop-2", how="succeeded", commit=commit)
    told = {path: [(each["type"], each["message"]) for each in bodies] for path, bodies in receiver.bodies.items()}
    assert told == {
        "/default": [("warning", degraded), ("success", recovered)],
        "/all": [("warning", degraded), ("success", recovered), ("success", succeeded)],
    }


def test_channels_are_told_of_their_environments_and_of_pull_requests_when_they_ask(
    runs: Runs, receiver: WebReceiver
) -> None:
    every = {"on": ["succeeded", "failed"]}
    channels = json.dumps(
        [
            channel("dev", receiver.url("/dev"), environments=["dev"], **every),
            channel("prod", receiver.url("/prod"), environments=["prod"], **every),
            channel("pulls", receiver.url("/pulls"), pull_requests=True, **every),
        ]
    )
    runs.begun("shop-1", deploy_dev=Status.SUCCEEDED, deploy_prod=Status.SKIPPED)
    assert runs.end("shop-1", APHEX_CHANNELS=channels)["notifications"] == {"dev": "sent", "pulls": "sent"}
    pull = {"APHEX_TRIGGER": "pull_request", "APHEX_PULL_REQUEST": "7", "APHEX_CHANNELS": channels}
    runs.table("shop-2", **pull).begin_run()
    assert runs.end("shop-2", **pull)["notifications"] == {"pulls": "sent"}
    assert {path: len(bodies) for path, bodies in receiver.bodies.items()} == {"/dev": 1, "/pulls": 2}
    assert "- Pull request: 7\n- Trigger: pull request" in receiver.bodies["/pulls"][1]["message"]
    assert "notifications" not in runs.end("shop-3", APHEX_NOTIFY="off", APHEX_CHANNELS=channels)


def test_a_channel_that_hangs_takes_only_its_own_time(
    runs: Runs, receiver: WebReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exit_handler, "deliver", partial(deliver, seconds=2.0))
    with hanging_port() as hanging:
        hangs = [
            channel(f"hangs-{each}", f"json://127.0.0.1:{hanging}/?rto=60", on=["succeeded"])
            for each in "abcdefghijklmno"
        ]
        channels = json.dumps([*hangs, channel("good", receiver.url("/good"), on=["succeeded"])])
        runs.begun("shop-1", build=Status.SUCCEEDED)
        begun = time.monotonic()
        ended = runs.end("shop-1", APHEX_CHANNELS=channels)
        took = time.monotonic() - begun
    why = "timed out: It did not take the message within 2 s."
    assert ended == {
        "status": "succeeded",
        "problems": [f"notification {each['name']}: {why}" for each in hangs],
        "notifications": {**{each["name"]: "timed out" for each in hangs}, "good": "sent"},
    }
    # One after the other they would take 30 s.
    assert 2.0 < took < 25.0
    assert len(receiver.bodies["/good"]) == 1


def test_an_exit_handler_that_is_tried_again_tells_only_those_that_were_not_told(
    runs: Runs, receiver: WebReceiver
) -> None:
    channels = json.dumps(
        [channel(name, receiver.url(f"/{name}"), on=["succeeded", "recovered"]) for name in ("good", "closed")]
    )
    receiver.answers["/closed"] = [403]
    runs.begun("shop-1", build=Status.SUCCEEDED)
    first = runs.end("shop-1", APHEX_CHANNELS=channels)
    assert first["notifications"] == {"good": "sent", "closed": "refused"}
    runs.patch.setattr("stages.exit.now", lambda: "2026-01-02T04:00:00Z")
    assert runs.end("shop-1", APHEX_CHANNELS=channels)["notifications"] == {"closed": "sent"}
    assert runs.end("shop-1", APHEX_CHANNELS=channels) == {"status": "succeeded", "problems": []}
    assert {path: len(bodies) for path, bodies in receiver.bodies.items()} == {"/good": 1, "/closed": 2}
    record = runs.table("shop-1").read()
    assert record is not None
    assert (record.ended_at, {name: each.status for name, each in record.notifications.items()}) == (
        ENDED,
        {"good": "sent", "closed": "sent"},
    )
