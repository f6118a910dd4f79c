"""What has run, as the run table tells of it long after Argo has forgotten."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aphex.errors import AphexError
from aphex.run import StackRecord, StageRecord, Status
from automation.access import AwsAccess, KubernetesAccess
from automation.argo import RunNotFound
from automation.console import Terminal
from automation.history import Wanted, show_history, show_record
from automation.records import bucket_name
from automation.target import Target
from stages.bounds import OUTPUTS_BYTES
from stages.table import RunTable
from tests.support.example import example_secrets, example_settings
from tests.support.moto_endpoint import KEYS, REGION, MotoEndpoint, moto_endpoint
from tests.support.pod import TABLE
from tests.support.runs import Runs, make_runs

DAYS = ("2026-01-01T03:04:05Z", "2026-01-02T03:04:05Z", "2026-01-03T03:04:05Z")
ERROR = {"stage": "build", "message": "build.commands[0] failed with exit status 1: npm ci", "output": "no such file"}


@pytest.fixture(scope="module")
def aws() -> Iterator[MotoEndpoint]:
    with moto_endpoint() as endpoint:
        yield endpoint


@pytest.fixture
def runs(aws: MotoEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    return make_runs(aws, tmp_path, monkeypatch)


@pytest.fixture
def target(aws: MotoEndpoint) -> Target:
    access = AwsAccess(region=REGION, endpoint=aws.url, static_keys=KEYS)
    return Target(
        settings=example_settings(), secrets=example_secrets(), aws=access, kubernetes=KubernetesAccess(), words=""
    )


def delivered(runs: Runs, run: str, day: str, **more: str) -> RunTable:
    table = runs.table(run, APHEX_STARTED=day, **more)
    table.begin_run()
    stage = StageRecord(status=Status.SUCCEEDED, started_at=day, ended_at=f"{day[:14]}05:15Z")
    table.set_stage("deploy-dev", stage)
    stacks = {
        "Data": StackRecord(status=Status.SUCCEEDED, started_at=day, seconds=65.0, changed=True),
        "App": StackRecord(status=Status.SUCCEEDED, started_at=f"{day[:14]}05:00Z", seconds=0.4, changed=False),
    }
    table.set_stacks("dev", stacks)
    table.set_outputs("dev", {"Data": {"ExportsOutputRefTable": "t"}, "App": {"Url": "http://app"}})
    table.set_stage("validate", stage.model_copy(update={"started_at": f"{day[:14]}04:00Z"}))
    table.end_run(Status.SUCCEEDED, f"{day[:14]}06:10Z", None, day)
    return table


def failed(runs: Runs, run: str, day: str, **more: str) -> None:
    table = runs.table(run, APHEX_STARTED=day, **more)
    table.begin_run()
    stage = StageRecord(
        status=Status.FAILED, started_at=day, ended_at=f"{day[:14]}05:02Z", error={"message": ERROR["message"]}
    )
    table.set_stage("build", stage)
    table.end_run(Status.FAILED, f"{day[:14]}05:05Z", ERROR, day)


def told(target: Target, capsys: pytest.CaptureFixture[str], **wanted: Any) -> list[str]:
    """The runs that are listed, both for a person and for a machine."""
    asked = Wanted(**{"limit": 20, **wanted})
    show_history(target, Terminal(), asked)
    _, *lines = capsys.readouterr().out.splitlines() or [""]
    show_history(target, Terminal(json_output=True), asked)
    names = [each["run_id"] for each in json.loads(capsys.readouterr().out)["runs"]]
    assert [line.split()[0] for line in lines] == names
    return names


def test_runs_are_listed_newest_first_and_found(runs: Runs, target: Target, capsys: pytest.CaptureFixture[str]) -> None:
    delivered(runs, "shop-b", DAYS[0])
    failed(runs, "shop-a", DAYS[2], APHEX_COMMIT="f" * 40)
    delivered(runs, "shop-c", DAYS[1])
    failed(runs, "other-a", DAYS[1], APHEX_PIPELINE="other")
    assert told(target, capsys) == ["shop-a", "shop-c", "shop-b"]
    assert told(target, capsys, limit=2) == ["shop-a", "shop-c"]
    assert told(target, capsys, status=Status.SUCCEEDED) == ["shop-c", "shop-b"]
    assert told(target, capsys, environment="dev", limit=1) == ["shop-c"]
    assert told(target, capsys, commit="FFFF") == ["shop-a"]
    assert told(target, capsys, environment="prod") == []
    show_history(target, Terminal(), Wanted(limit=1, commit="0"))
    assert capsys.readouterr().out == "No such run.\n"


def test_a_table_of_many_pages_is_read_as_far_as_it_has_to_be(
    aws: MotoEndpoint, runs: Runs, target: Target, capsys: pytest.CaptureFixture[str]
) -> None:
    failed(runs, "shop-old", DAYS[0])
    for number in range(5):  # DynamoDB's pages end at 1 MB
        item = {
            "run_id": f"shop-{number}",
            "pipeline": "shop",
            "commit": "c" * 40,
            "started_at": f"2026-01-02T03:04:0{number}Z",
            "message": "m" * 300_000,
        }
        stored = {key: {"S": value} for key, value in item.items()}
        aws.client("dynamodb").put_item(TableName=TABLE, Item=stored)
    show_history(target, Terminal(json_output=True), Wanted(limit=9, status=Status.FAILED))
    assert [each["run_id"] for each in json.loads(capsys.readouterr().out)["runs"]] == ["shop-old"]


def test_without_runs_or_a_table_that_is_said(
    aws: MotoEndpoint, runs: Runs, target: Target, capsys: pytest.CaptureFixture[str]
) -> None:
    show_history(target, Terminal(), Wanted(limit=1))
    assert capsys.readouterr().out == "No runs yet.\n"
    with pytest.raises(RunNotFound) as missing:
        show_record(target, Terminal(), "shop-x")
    assert str(missing.value) == (
        "The run table has no run shop-x.\n`python -m automation history` lists those that it has."
    )
    aws.client("dynamodb").delete_table(TableName=TABLE)
    with pytest.raises(AphexError) as caught:
        show_history(target, Terminal(), Wanted(limit=1))
    assert str(caught.value) == (
        f"There is no run table {TABLE}.\n"
        "`python -m automation up` makes it with the pipeline; it stays when a pipeline on AWS is destroyed."
    )


DELIVERED = """\
shop-a  succeeded  2 min 05 s
Commit:    {commit} of main
           Sell more (Ann)
Started:   2026-01-01 03:04:05 by a push
stage       status           took
validate    succeeded  1 min 15 s
deploy-dev  succeeded  1 min 10 s
environment  stack  status           took
dev          Data   succeeded  1 min 05 s
dev          App    succeeded       0.4 s  no changes
Stack outputs
environment  stack  output  value
dev          App    Url     http://app
Logs: python -m automation logs shop-a --pipeline shop
"""
FAILED = """\
shop-b  failed  1 min 00 s
Commit:    {commit} of main
           Sell more (Ann)
Started:   2026-01-02 03:04:05 for pull request 7
stage  status  took
build  failed  57 s  build.commands[0] failed with exit status 1: npm ci
Failed at build: build.commands[0] failed with exit status 1: npm ci
  Last lines:
    no such file
Logs: python -m automation logs shop-b --pipeline shop
"""


def test_all_that_is_kept_of_a_run_is_shown(runs: Runs, target: Target, capsys: pytest.CaptureFixture[str]) -> None:
    delivered(runs, "shop-a", DAYS[0])
    failed(runs, "shop-b", DAYS[1], APHEX_TRIGGER="pull_request", APHEX_PULL_REQUEST="7")
    large = runs.table("shop-c", APHEX_STARTED=DAYS[2])
    large.begin_run()
    large.set_outputs("dev", {"App": {"Text": "t" * OUTPUTS_BYTES}})
    show_record(target, Terminal(), "shop-c")
    assert f"Outputs of dev: s3://{bucket_name(target)}/runs/shop-c/outputs/dev.json\n" in capsys.readouterr().out
    for run, expected in (("shop-a", DELIVERED), ("shop-b", FAILED)):
        show_record(target, Terminal(), run)
        shown = "".join(f"{line.rstrip()}\n" for line in capsys.readouterr().out.splitlines())
        assert shown == expected.format(commit=runs.sha)
    show_record(target, Terminal(json_output=True), "shop-a")
    assert json.loads(capsys.readouterr().out)["stacks"]["dev"]["App"]["changed"] is False
