"""Why a run failed, as the commands on runs tell it: from the record that the exit handler wrote."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from aphex.run import Status
from automation.access import AwsAccess, KubernetesAccess
from automation.console import Terminal
from automation.run_commands import show_latest, summarize
from automation.runs import RunView, StageView
from automation.target import Target
from stages.clients import PipelineClients
from stages.context import StageContext
from stages.table import RunTable
from tests.support.example import example_secrets, example_settings
from tests.support.moto_endpoint import KEYS, REGION, MotoEndpoint, moto_endpoint
from tests.support.pod import RUN, TABLE, Pod, make_stores
from tests.support.repository import Repository

ENDED = "2026-01-02T03:06:10Z"
ERROR = {
    "stage": "build",
    "type": "CommandFailed",
    "message": "build.commands[0] failed with exit status 1: npm ci\nIt is the first.",
    "hint": "Look at its output.",
    "command": "npm ci",
    "output": "added 3 packages\nerror: no such file",
}


@pytest.fixture(scope="module")
def aws() -> Iterator[MotoEndpoint]:
    with moto_endpoint() as endpoint:
        make_stores(endpoint)
        yield endpoint


@pytest.fixture
def table(aws: MotoEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunTable:
    """The run's record as stages write it."""
    for name, value in zip(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), KEYS, strict=True):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws.url)
    aws.client("dynamodb").delete_item(TableName=TABLE, Key={"run_id": {"S": RUN}})
    variables = Pod(aws, Repository(tmp_path), tmp_path).variables("exit", "c" * 40)
    return RunTable(PipelineClients(REGION), StageContext.from_environment(variables))


@pytest.fixture
def target(aws: MotoEndpoint) -> Target:
    access = AwsAccess(region=REGION, endpoint=aws.url, static_keys=KEYS)
    settings = example_settings(argo_url="http://argo.example")
    return Target(settings=settings, secrets=example_secrets(), aws=access, kubernetes=KubernetesAccess())


def ended(status: str, stage: str) -> RunView:

    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    took = at + timedelta(seconds=125)
    view = StageView(name=stage, status="failed", started=at, ended=took, message="main: Error (exit code 1)")
    return RunView(name=RUN, status=status, stages=(view,), commit="c" * 40, created=at, ended=took)


FOLLOWED = f"""\
{RUN}  cccccccccc  failed  2 min 05 s
   stage  status        took
✗  build  failed  2 min 05 s  main: Error (exit code 1)
Failed at build: build.commands[0] failed with exit status 1: npm ci
  It is the first.
  Look at its output.
  Last lines:
    added 3 packages
    error: no such file
Logs:  s3://aphex-shop-123456789012-us-east-1/runs/{RUN}/logs/  or: python -m automation logs {RUN} --pipeline shop
Argo:  http://argo.example/workflows/aphex-shop/{RUN}
"""


def plain(text: str) -> str:
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def test_a_followed_run_says_why_it_failed(target: Target, table: RunTable, capsys: pytest.CaptureFixture[str]) -> None:
    table.begin_run()
    table.end_run(Status.FAILED, ENDED, ERROR, ENDED)
    summarize(target, ended("failed", "build"), Terminal())
    assert plain(capsys.readouterr().out) == plain(FOLLOWED)
    summarize(target, ended("failed", "build"), Terminal(json_output=True))
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert document["error"] == ERROR


def test_the_status_says_why_the_latest_run_did_not_succeed(
    target: Target, table: RunTable, capsys: pytest.CaptureFixture[str]
) -> None:
    table.begin_run()
    error = {"stage": "self-update", "message": "The update failed.", "hint": "The application was delivered."}
    table.end_run(Status.DEGRADED, ENDED, error, ENDED)
    assert show_latest(target, ended("degraded", "self-update"), Terminal()) == error
    assert capsys.readouterr().out == (
        "Degraded at self-update: The update failed.\n  The application was delivered.\n"
    )


def test_nothing_is_told_of_a_run_that_succeeded_or_has_no_record(
    target: Target, table: RunTable, capsys: pytest.CaptureFixture[str]
) -> None:
    assert show_latest(target, ended("failed", "build"), Terminal()) is None
    table.begin_run()
    table.end_run(Status.SUCCEEDED, ENDED, None, ENDED)
    assert show_latest(target, ended("succeeded", "build"), Terminal()) is None
    assert capsys.readouterr().out == ""
