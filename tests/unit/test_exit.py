"""The exit handler as a whole: real records in a moto server, channels at real receivers, the process that sends."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from boto3.dynamodb.types import TypeDeserializer

from aphex.run import StackRecord, StageRecord, Status
from stages import exit as exit_handler
from stages.__main__ import STAGES
from stages.clients import PipelineClients
from stages.console import Console
from stages.context import StageContext
from stages.notify.delivery import deliver
from stages.runner import Stage, run_stage
from stages.stack_records import StackRecords
from stages.store import RunStore
from stages.table import RunTable
from stages.workspace import Workspace
from tests.support.moto_endpoint import MotoEndpoint, moto_endpoint
from tests.support.pod import BUCKET, TABLE, Pod, make_stores
from tests.support.receivers import WebReceiver, hanging_port, web_receiver
from tests.support.repository import new_repository

BEGAN, ENDED = "2026-01-02T03:04:05Z", "2026-01-02T03:06:10Z"
COMMAND = r"printf 'token ghp_%036d\n' 7; echo 'no such file' >&2; exit 3"
CONFIG = """\
version: "1.0"
build:
  commands: ["echo one", "printf 'token ghp_%036d\\\\n' 7; echo 'no such file' >&2; exit 3"]
environments:
  - {name: dev, region: us-east-1, account: "222222222222", role: "arn:aws:iam::222222222222:role/aphex-deployer",
     stacks: [{name: App, path: app}]}
"""


@pytest.fixture(scope="module")
def aws() -> Iterator[MotoEndpoint]:
    with moto_endpoint() as endpoint:
        yield endpoint


@pytest.fixture
def receiver() -> Iterator[WebReceiver]:
    with web_receiver() as web:
        yield web


@dataclass
class Runs:
    """Runs stages of several runs in this process, on one bucket and table."""

    pod: Pod
    patch: pytest.MonkeyPatch
    sha: str

    def context(self, run: str, stage: str, **more: str) -> StageContext:
        variables = {**self.pod.variables(stage, self.sha), "APHEX_MESSAGE": "Sell more", "APHEX_RUN": run, **more}
        variables["APHEX_NOTIFICATIONS"] = str(self.pod.folder / "secret")
        for name, value in variables.items():
            self.patch.setenv(name, value)
        return StageContext.from_environment(variables)

    def run(self, run: str, stage: str, **more: str) -> int:
        return run_stage(STAGES[stage], self.context(run, stage, **more))

    def end(self, run: str, status: str = "Succeeded", **more: str) -> dict[str, Any]:
        """Run the exit handler; its result."""
        assert self.run(run, "exit", APHEX_WORKFLOW_STATUS=status, APHEX_WORKFLOW_FAILURES="[]", **more) == 0
        result: dict[str, Any] = json.loads((self.pod.folder / "result.json").read_text())
        return result

    def table(self, run: str, **more: str) -> RunTable:
        return RunTable(PipelineClients("us-east-1"), self.context(run, "build", **more))

    def begun(self, run: str, **stages: Status) -> RunTable:
        """A run of which some stages have ended; `_` in a name stands for `-`."""
        table = self.table(run)
        table.begin_run()
        for name, status in stages.items():
            table.set_stage(
                name.replace("_", "-"), StageRecord(status=status, started_at=BEGAN, ended_at="2026-01-02T03:05:05Z")
            )
        return table


@pytest.fixture
def runs(aws: MotoEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    aws.reset()
    make_stores(aws)
    repository = new_repository(tmp_path / "repository")
    sha = repository.commit({"aphex-config.yaml": CONFIG, "app/cdk.json": "{}"})
    (tmp_path / "secret").mkdir()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setattr("stages.exit.now", lambda: ENDED)
    monkeypatch.setattr("stages.runner.now", lambda: BEGAN)
    return Runs(Pod(aws, repository, tmp_path), monkeypatch, sha)


def channel(name: str, url: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "url": url, **more}


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
        hangs = [channel(f"hangs-{each}", f"json://127.0.0.1:{hanging}/?rto=60", on=["succeeded"]) for each in "abcdef"]
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
    # One after the other they would take 12 s.
    assert 2.0 < took < 9.0
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
