"""What the exit handler completes, whatever the stages left: the run, its stages, its stacks and their metrics."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from boto3.dynamodb.types import TypeDeserializer

from aphex.run import StackRecord, StageRecord, Status
from stages.clients import PipelineClients
from stages.console import Console
from stages.runner import Stage
from stages.stack_records import StackRecords
from stages.store import RunStore
from stages.table import RunTable
from stages.workspace import Workspace
from tests.support.moto_endpoint import MotoEndpoint, moto_endpoint
from tests.support.pod import BUCKET, TABLE
from tests.support.receivers import WebReceiver, web_receiver
from tests.support.runs import BEGAN, ENDED, Runs, channel, make_runs


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


def test_a_stage_whose_pod_never_started_is_recorded_and_told(runs: Runs, receiver: WebReceiver) -> None:
    runs.begun("shop-1", build=Status.SUCCEEDED)
    failure = {
        "displayName": "deploy-dev(0)",
        "templateName": "environment",
        "message": "ImagePullBackOff: no such image",
        "podName": "shop-1-environment-1",
        "phase": "Failed",
        "finishedAt": "2026-01-02T03:05:30Z",
    }
    channels = json.dumps([channel("team", receiver.url("/team"))])
    runs.end("shop-1", "Failed", APHEX_WORKFLOW_FAILURES=json.dumps([failure]), APHEX_CHANNELS=channels)
    why = "The stage's image could not be pulled.\nImagePullBackOff: no such image"
    hint = (
        "Does the image of pipeline.images, or of the platform's settings, exist for the nodes' architecture, and "
        "may the nodes pull it?"
    )
    record = runs.table("shop-1").read()
    assert record is not None
    assert record.stages["deploy-dev"] == StageRecord(
        status=Status.FAILED,
        ended_at="2026-01-02T03:05:30Z",
        pod="shop-1-environment-1",
        error={"type": "ImageNotPulled", "message": why, "hint": hint, "phase": "Failed"},
    )
    assert record.error == {"stage": "deploy-dev", "type": "ImageNotPulled", "message": why, "hint": hint}
    assert receiver.bodies["/team"][0]["message"].split("\n\n")[2:4] == [why, hint]


def test_failures_that_cannot_be_read_are_told(runs: Runs) -> None:
    why = (
        "workflow.failures cannot be read: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"
    )
    assert runs.end("shop-1", "Failed", APHEX_WORKFLOW_FAILURES="{{workflow.failures}}") == {
        "status": "failed",
        "problems": [f"reading Argo's failures: {why}"],
    }
    record = runs.table("shop-1").read()
    assert record is not None
    assert (record.status, record.error) == (
        Status.FAILED,
        {
            "stage": "",
            "type": "RunEnded",
            "message": "Argo ended the run without a failure of a stage.",
            "hint": "The run's page in Argo's UI, or `argo get`, shows how its steps ended.",
        },
    )


def test_the_exit_handler_goes_on_without_a_table(
    runs: Runs, receiver: WebReceiver, capsys: pytest.CaptureFixture[str]
) -> None:
    runs.pod.aws.client("dynamodb").delete_table(TableName=TABLE)
    channels = json.dumps([channel("team", receiver.url("/team"), on=["succeeded"])])
    ended = runs.end("shop-1", APHEX_CHANNELS=channels)
    why = "An error occurred (ResourceNotFoundException) when calling the {} operation: Requested resource not found"
    read, write = why.format("GetItem"), why.format("UpdateItem")
    assert ended == {
        "status": "succeeded",
        "problems": [
            f"reading the run's record: {read}",
            f"completing the run's record: {write}",
            f"reading how the run before ended: {read}",
            f"recording the notification team: {write}",
        ],
        "notifications": {"team": "sent"},
    }
    assert f"warning: reading the run's record failed: {read}\n" in capsys.readouterr().out
    assert "Traceback" in runs.pod.text("runs/shop-1/logs/exit.log")
    assert runs.pod.aws.client("cloudwatch").list_metrics()["Metrics"]
    assert len(receiver.bodies["/team"]) == 1


def test_an_older_exit_handler_that_is_late_changes_nothing(runs: Runs) -> None:
    runs.begun("shop-1", build=Status.SUCCEEDED)
    runs.patch.setattr("stages.runner.now", lambda: "2026-01-02T03:10:00Z")
    runs.end("shop-1")
    runs.patch.setattr("stages.runner.now", lambda: "2026-01-02T03:09:00Z")
    ended = runs.end("shop-1", "Failed")
    assert ended == {
        "status": "failed",
        "problems": ["completing the run's record: a later exit handler has written it, and tells of it"],
    }
    record = runs.table("shop-1").read()
    assert record is not None
    assert (record.status, record.error, record.stages["exit"].started_at) == (
        Status.SUCCEEDED,
        None,
        "2026-01-02T03:10:00Z",
    )


def test_a_deployment_that_was_interrupted_is_completed_with_its_metrics(runs: Runs) -> None:
    context = runs.context("shop-1", "environment", APHEX_STAGE="deploy-dev", APHEX_ENVIRONMENT="dev")
    clients = PipelineClients("us-east-1")
    runs.begun("shop-1", deploy_dev=Status.RUNNING)
    with Console(runs.pod.folder / "log") as console:
        store, table = RunStore(clients, BUCKET), RunTable(clients, context)
        stacks = StackRecords(Stage(context, console, clients, store, table, Workspace(runs.pod.folder)), "dev")
        runs.patch.setattr("stages.stack_records.now", lambda: BEGAN)
        stacks.begin("Data")
        stacks.end("Data", Status.SUCCEEDED, 12.3456, changed=False)
        stacks.begin("App")
    counts = {"Data": (1.0, 0.0), "App": ()}
    assert {name: deployments(runs, name) for name in counts} == counts
    assert runs.end("shop-1", "Failed") == {"status": "failed", "problems": []}
    record = runs.table("shop-1").read()
    assert record is not None
    assert record.stacks == {
        "dev": {
            "Data": StackRecord(
                status=Status.SUCCEEDED, started_at=BEGAN, ended_at=BEGAN, seconds=12.346, changed=False
            ),
            "App": StackRecord(status=Status.FAILED, started_at=BEGAN, ended_at=ENDED, seconds=125.0),
        }
    }
    assert {name: deployments(runs, name) for name in counts} == {"Data": (1.0, 0.0), "App": (0.0, 1.0)}
    # A handler that is tried again finds nothing interrupted, and counts nothing twice.
    runs.end("shop-1", "Failed")
    assert deployments(runs, "App") == (0.0, 1.0)


def deployments(runs: Runs, stack: str) -> tuple[float, ...]:
    """How many deployments of a stack of dev succeeded and failed, by CloudWatch; nothing when it knows of none."""
    sums = []
    for name in ("DeploymentSucceeded", "DeploymentFailed"):
        answer = runs.pod.aws.client("cloudwatch").get_metric_statistics(
            Namespace="AphexPipeline",
            MetricName=name,
            Dimensions=[
                {"Name": key, "Value": value}
                for key, value in {"Pipeline": "shop", "Environment": "dev", "Stack": stack}.items()
            ],
            StartTime=time.time() - 86_400,
            EndTime=time.time() + 86_400,
            Period=172_800,
            Statistics=["Sum"],
        )
        sums += [each["Sum"] for each in answer["Datapoints"]]
    return tuple(sums)


def latest(runs: Runs, branch: str) -> dict[str, Any]:
    answer = runs.pod.aws.client("dynamodb").get_item(TableName=TABLE, Key={"run_id": {"S": f"latest#{branch}"}})
    return {name: TypeDeserializer().deserialize(value) for name, value in answer["Item"].items()}


def test_the_latest_run_of_a_branch_is_followed(runs: Runs) -> None:
    def follow(run: str, status: Status, began: str, branch: str = "main") -> Status | None:
        return runs.table(run, APHEX_BRANCH=branch).follow_latest(status, began)

    assert follow("shop-1", Status.FAILED, "2026-01-02T03:00:00Z") is None
    assert follow("shop-3", Status.SUCCEEDED, "2026-01-02T05:00:00Z") is Status.FAILED
    # A handler that is tried again gets the same answer, one of an older run none, and other branches are others.
    assert follow("shop-3", Status.SUCCEEDED, "2026-01-02T05:00:00Z") is Status.FAILED
    assert follow("shop-2", Status.FAILED, "2026-01-02T04:00:00Z") is None
    assert follow("shop-4", Status.SUCCEEDED, "2026-01-02T04:00:00Z", branch="other") is None
    assert latest(runs, "main") == {
        "run_id": "latest#main",
        "run": "shop-3",
        "status": "succeeded",
        "began": "2026-01-02T05:00:00Z",
        "previous": "failed",
    }
    assert follow("shop-5", Status.SUCCEEDED, "2026-01-02T06:00:00Z") is Status.SUCCEEDED
