"""What a run leaves: its record in the run table and its metrics, written to and read back from a moto server."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aphex.run import RunRecord, StackRecord, StageRecord, Status, Trigger
from stages.clients import PipelineClients
from stages.context import StageContext
from stages.metrics import deployment_metrics, put_metrics
from stages.table import ItemFull, RunTable
from tests.support.moto_endpoint import MotoEndpoint, moto_endpoint
from tests.support.pod import TABLE, Pod, make_stores
from tests.support.repository import Repository

EXAMPLES = settings(max_examples=100, deadline=None)
_RUNS = itertools.count()
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=["Cs"]), max_size=60)
names = st.from_regex(r"[A-Za-z][A-Za-z0-9]{0,8}", fullmatch=True)
ends = st.sampled_from([Status.SUCCEEDED, Status.FAILED, Status.DEGRADED])
BEGAN = "2026-01-02T03:04:06Z"
ENDED = "2026-01-02T03:05:05Z"


@pytest.fixture(scope="module")
def aws() -> Iterator[MotoEndpoint]:
    with moto_endpoint() as endpoint, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", endpoint.url)
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        make_stores(endpoint)
        yield endpoint


@pytest.fixture(scope="module")
def clients(aws: MotoEndpoint) -> PipelineClients:
    return PipelineClients("us-east-1")


@pytest.fixture(scope="module")
def pod(aws: MotoEndpoint, tmp_path_factory: pytest.TempPathFactory) -> Pod:
    folder: Path = tmp_path_factory.mktemp("pod")
    return Pod(aws, Repository(folder), folder)


def context(pod: Pod, **more: str) -> StageContext:
    """The context of a run that there was not yet: Hypothesis draws the same values more than once."""
    variables = {**pod.variables("build", "a" * 40), "APHEX_RUN": f"run-{next(_RUNS)}", **more}
    return StageContext.from_environment(variables)


# Property 16: any run leaves id, SHA, timestamps and status in the store
@EXAMPLES
@given(
    commit=st.from_regex(r"[0-9a-f]{40}", fullmatch=True),
    message=texts,
    author=texts,
    trigger=st.sampled_from(list(Trigger)),
    stages=st.dictionaries(
        st.sampled_from(["validate", "build", "self-update", "deploy-dev", "test-dev"]),
        st.tuples(st.sampled_from([Status.SUCCEEDED, Status.FAILED, Status.DEGRADED, Status.SKIPPED]), texts),
        max_size=2,
    ),
    status=ends,
    begun_first=st.booleans(),
)
def test_a_run_leaves_its_record(
    clients: PipelineClients,
    pod: Pod,
    commit: str,
    message: str,
    author: str,
    trigger: Trigger,
    stages: dict[str, tuple[Status, str]],
    status: Status,
    begun_first: bool,
) -> None:
    told = context(
        pod, APHEX_COMMIT=commit, APHEX_MESSAGE=message, APHEX_AUTHOR=author, APHEX_TRIGGER=trigger.value
    )  # fmt: skip
    table = RunTable(clients, told)
    if begun_first:
        table.begin_run()
    written = {
        name: StageRecord(status=each, started_at=BEGAN, ended_at=ENDED, error={"message": why} if why else None)
        for name, (each, why) in stages.items()
    }
    for name, record in written.items():
        assert table.set_stage(name, record.model_copy(update={"status": Status.RUNNING, "ended_at": ""}))
        assert table.set_stage(name, record)
    error = {"stage": "build", "message": "It failed."} if status is not Status.SUCCEEDED else None
    table.begin_run()
    assert table.end_run(status, ENDED, error, ENDED)
    assert table.read() == RunRecord(
        run_id=told.run,
        pipeline="shop",
        commit=commit,
        branch="main",
        repository=told.repository,
        author=author,
        message=message,
        trigger=trigger,
        started_at="2026-01-02T03:04:05Z",
        ended_at=ENDED,
        status=status,
        stages=written,
        error=error,
    )


seconds_of_day = st.integers(0, 86_399)


def at(second: int) -> str:
    return (datetime(2026, 1, 2, tzinfo=UTC) + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%SZ")


@settings(max_examples=25, deadline=None)
@given(
    pods=st.lists(st.tuples(seconds_of_day, ends), min_size=1, max_size=3, unique_by=lambda each: each[0]),
    data=st.data(),
)
def test_of_several_pods_of_a_stage_the_last_to_begin_has_the_record(
    clients: PipelineClients, pod: Pod, pods: list[tuple[int, Status]], data: st.DataObject
) -> None:
    table = RunTable(clients, context(pod))
    records = [
        StageRecord(status=status, started_at=at(second), ended_at=at(second + 1), pod=f"pod-{second}")
        for second, status in pods
    ]
    writes = [(index, ended) for index in range(len(pods)) for ended in (False, True)]
    # Each pod begins before it ends; between pods any order may be.
    order = data.draw(st.permutations(writes))
    begun: set[int] = set()
    for index, _ in order:
        ended = index in begun
        begun.add(index)
        own = records[index]
        table.set_stage("build", own if ended else own.model_copy(update={"status": Status.RUNNING, "ended_at": ""}))
    found = table.read()
    assert found is not None
    assert found.stages == {"build": max(records, key=lambda each: each.started_at)}


# Property 17: any stack deployment emits its success or failure metric
@EXAMPLES
@given(
    status=st.sampled_from([Status.SUCCEEDED, Status.FAILED]), seconds=st.floats(0, 1e5), environment=names, stack=names
)
def test_a_deployment_emits_its_metric(
    aws: MotoEndpoint, clients: PipelineClients, status: Status, seconds: float, environment: str, stack: str
) -> None:
    pipeline = f"pipeline-{next(_RUNS)}"
    put_metrics(clients.cloudwatch, deployment_metrics(pipeline, environment, stack, status, seconds))
    good, bad = (1.0, 0.0) if status is Status.SUCCEEDED else (0.0, 1.0)
    dimensions = {"Pipeline": pipeline, "Environment": environment, "Stack": stack}
    chosen = [dict(list(dimensions.items())[:size]) for size in (1, 2, 3)]
    assert read_metrics(aws, chosen) == [pytest.approx((good, bad, seconds))] * 3


NAMES = ("DeploymentSucceeded", "DeploymentFailed", "DeploymentDuration")


def read_metrics(aws: MotoEndpoint, chosen: list[dict[str, str]]) -> list[tuple[float, ...]]:
    """The sums of a deployment's metrics with exactly these dimensions, for each of them."""
    now = datetime.now(UTC)
    queries = []
    for number, dimensions in enumerate(chosen):
        metric = {
            "Namespace": "AphexPipeline",
            "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
        }
        queries += [
            {
                "Id": f"{name.lower()}{number}",
                "MetricStat": {"Metric": {**metric, "MetricName": name}, "Period": 86_400, "Stat": "Sum"},
            }
            for name in NAMES
        ]
    answer = cloudwatch(aws).get_metric_data(
        MetricDataQueries=queries, StartTime=now - timedelta(days=1), EndTime=now + timedelta(days=1)
    )
    found = {each["Id"]: each["Values"][0] for each in answer["MetricDataResults"]}
    return [tuple(found[f"{name.lower()}{number}"] for name in NAMES) for number in range(len(chosen))]


@lru_cache
def cloudwatch(aws: MotoEndpoint) -> Any:
    return aws.client("cloudwatch")


def write_much(table: RunTable, name: str) -> None:
    """Write all that the stages of an environment may have to say, and more."""
    big = "€" * 5_000
    error = {"type": "DeploymentFailed", "message": big, "hint": big, "command": [big, big], "stack": "App"}
    failed = StageRecord(status=Status.FAILED, started_at=BEGAN, ended_at=ENDED, error=error)
    assert table.set_stage(f"deploy-{name}", failed)
    result = {"reports": [{"name": big}] * 4}
    passed = StageRecord(status=Status.SUCCEEDED, started_at=BEGAN, ended_at=ENDED, result=result)
    assert table.set_stage(f"test-{name}", passed)
    table.set_outputs(name, {"App": {f"Key{index}": "v" * 1_000 for index in range(60)}})
    table.set_stacks(name, {f"Stack{index}": StackRecord(status=Status.SUCCEEDED) for index in range(20)})


def test_fifty_environments_with_much_to_say_fit_into_the_item(
    aws: MotoEndpoint, clients: PipelineClients, pod: Pod
) -> None:
    told = context(pod, APHEX_MESSAGE="ä" * 50_000)
    table = RunTable(clients, told)
    table.begin_run()
    write_much(table, "environment-00")
    # The 48 next ones leave just the same; writing each of them would only take long.
    item: dict[str, Any] = clients.dynamodb.get_item(TableName=TABLE, Key={"run_id": {"S": told.run}})["Item"]
    first = json.dumps(item)
    for number in range(1, 49):
        copied = json.loads(first.replace("environment-00", f"environment-{number:02}"))
        for group in ("stages", "outputs", "outputs_at", "stacks"):
            item[group]["M"] |= copied[group]["M"]
    clients.dynamodb.put_item(TableName=TABLE, Item=item)
    write_much(table, "environment-49")
    assert table.end_run(Status.FAILED, ENDED, {"stage": "deploy-environment-00", "message": "It failed."}, ENDED)
    found = table.read()
    assert found is not None
    assert {each.status for name, each in found.stages.items() if name.startswith("deploy-")} == {Status.FAILED}
    assert len(found.stages) == 100
    assert found.outputs_at["environment-07"] == f"runs/{told.run}/outputs/environment-07.json"
    assert found.outputs == {}
    assert found.stages["test-environment-07"].result == {"see": f"runs/{told.run}/results/test-environment-07.json"}
    assert len(found.stacks["environment-49"]) == 20
    assert found.error == {"stage": "deploy-environment-00", "message": "It failed."}


def test_a_full_item_still_says_how_the_run_ended(clients: PipelineClients, pod: Pod) -> None:
    told = context(pod)
    table = RunTable(clients, told)
    table.begin_run()
    item: dict[str, Any] = clients.dynamodb.get_item(TableName=TABLE, Key={"run_id": {"S": told.run}})["Item"]
    clients.dynamodb.put_item(TableName=TABLE, Item={**item, "filler": {"S": "x" * 403_300}})
    assert table.end_run(Status.FAILED, ENDED, {"stage": "build", "output": "o" * 3_000}, ENDED)
    found = table.read()
    assert found is not None
    assert (found.status, found.ended_at, found.error) == (Status.FAILED, ENDED, {"stage": "build"})
    full = "The run's item is full: artifact was not written."
    with pytest.raises(ItemFull, match=f"^{re.escape(full)}$"):
        table.set_artifact({"key": "k" * 3_000})
