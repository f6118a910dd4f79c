"""`python -m automation notify --test` as a person meets it: real receivers, every answer, every exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.moto_endpoint import MotoEndpoint, moto_endpoint
from tests.support.receivers import WebReceiver, refusing_port, web_receiver

BODY = """\
This is a test: no run has ended. Channels of the pipeline shop that get it:
- team, which is told of runs that are failed or degraded or recovered
- on-call, which is told of runs that are failed, in dev only
- managed, which is told of runs that are failed or degraded or recovered"""


def config(*channels: dict[str, Any]) -> str:
    environment = {"name": "dev", "region": "us-east-1", "account": "222222222222"}
    return json.dumps(
        {
            "version": "1.0",
            "pipeline": {"name": "shop"},
            "build": {"commands": ["true"]},
            "environments": [{**environment, "stacks": [{"name": "App", "path": "app"}]}],
            "notifications": list(channels),
        }
    )


def notify(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {key: os.environ[key] for key in ("PATH", "LANG") if key in os.environ}
    done = subprocess.run(
        [sys.executable, "-m", "automation", "notify", *words],
        cwd=folder,
        env={**kept, "HOME": str(folder), **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )
    done.stderr = done.stderr.removeprefix("Sending ...\n")  # only when it takes a while
    return done


@pytest.fixture(scope="module")
def receiver() -> Iterator[WebReceiver]:
    with web_receiver() as web:
        yield web


@pytest.fixture(scope="module")
def aws() -> Iterator[MotoEndpoint]:
    with moto_endpoint() as endpoint:
        yield endpoint


TEAM = {"name": "team", "secret_key": "team-slack"}
ON_CALL = {"name": "on-call", "secret_key": "pager", "on": ["failed"], "environments": ["dev"]}
MANAGED = {"name": "managed", "secrets_manager": {"name": "aphex/shop/chat", "key": "url"}}


def test_every_channel_is_told_wherever_its_address_is(
    tmp_path: Path, receiver: WebReceiver, aws: MotoEndpoint
) -> None:
    (tmp_path / "aphex-config.yaml").write_text(config(TEAM, ON_CALL, MANAGED))
    (tmp_path / "stages").mkdir()  # the application's own, which is not what is run
    (tmp_path / "stages" / "__init__.py").write_text("raise SystemExit('not this one')")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "pager").write_text(receiver.url("/pager") + "\n")
    text = json.dumps({"url": receiver.url("/managed")})
    aws.client("secretsmanager").create_secret(Name="aphex/shop/chat", SecretString=text)
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}
    variables = {**keys, "AWS_DEFAULT_REGION": "us-east-1", "AWS_ENDPOINT_URL": aws.url}
    done = notify(
        tmp_path, "--test", "--secrets", "secrets", APHEX_NOTIFICATION_TEAM_SLACK=receiver.url("/team"), **variables
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "team: sent\non-call: sent\nmanaged: sent\n", "")
    for path in ("/team", "/pager", "/managed"):
        (told,) = receiver.bodies[path]
        assert (told["title"], told["message"]) == ("shop: test of the notifications", BODY)


def test_a_channel_that_does_not_work_is_told_and_stops_no_other(tmp_path: Path, receiver: WebReceiver) -> None:
    with refusing_port() as port:
        refusing = {"name": "gone", "url": f"json://127.0.0.1:{port}/token-4711"}
        (tmp_path / "aphex-config.yaml").write_text(
            config({"name": "works", "url": receiver.url("/works")}, refusing, TEAM)
        )
        done = notify(tmp_path, "--test", "--json", "--secrets", str(tmp_path))
    assert (done.returncode, done.stderr) == (1, "")
    assert "4711" not in done.stdout
    answer = json.loads(done.stdout)
    works, gone, team = answer["channels"]
    assert (answer["sent"], works) == (False, {"channel": "works", "status": "sent", "reason": ""})
    assert (gone["channel"], gone["status"]) == ("gone", "refused")
    assert team == {
        "channel": "team",
        "status": "misconfigured",
        "reason": "The key team-slack of the Kubernetes Secret aphex-notifications is not on this machine: there is "
        f"neither a file {tmp_path}/team-slack nor a variable APHEX_NOTIFICATION_TEAM_SLACK. Its value is the "
        "channel's Apprise URL; docs/notifications.md shows how to get it from the cluster.",
    }


def test_one_channel_alone(tmp_path: Path, receiver: WebReceiver) -> None:
    channels = [{"name": name, "url": receiver.url(f"/only-{name}")} for name in ("one", "two")]
    (tmp_path / "aphex-config.yaml").write_text(config(*channels))
    done = notify(tmp_path, "--test", "--channel", "two")
    assert (done.returncode, done.stdout) == (0, "two: sent\n")
    assert ("/only-one" in receiver.bodies, len(receiver.bodies["/only-two"])) == (False, 1)


@pytest.mark.parametrize(
    ("words", "channels", "told"),
    [
        ([], [TEAM], "There is nothing to send.\nTo send a test message: python -m automation notify --test"),
        (
            ["--test"],
            [],
            "{file} configures no notifications.\nAdd channels under `notifications`: docs/notifications.md.",
        ),
        (
            ["--test", "--channel", "pager"],
            [TEAM, ON_CALL],
            '{file} has no channel "pager".\nIts channels are team, on-call.',
        ),
        (
            ["--test", "--config", "none.yaml"],
            [TEAM],
            "none.yaml\n  There is no such file. A pipeline needs aphex-config.yaml at the root of its repository.",
        ),
    ],
)
def test_what_cannot_be_sent_is_said_with_status_2(
    tmp_path: Path, words: list[str], channels: list[dict[str, Any]], told: str
) -> None:
    (tmp_path / "aphex-config.yaml").write_text(config(*channels))
    done = notify(tmp_path, *words)
    expected = "Error: " + told.format(file="aphex-config.yaml")
    assert (done.returncode, done.stdout, done.stderr.rstrip("\n")) == (2, "", expected)
