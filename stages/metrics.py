"""CloudWatch metrics of runs, stages and deployments, in the namespace `AphexPipeline`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from aphex.run import RunRecord, StageRecord, Status

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_cloudwatch.type_defs import MetricDatumTypeDef

NAMESPACE = "AphexPipeline"
# CloudWatch takes 1000 data and 1 MB in a request; a datum with the longest names has less than 1 kB.
_BATCH = 500


@dataclass(frozen=True)
class Metric:
    """One value.

    Attributes:
        name: the metric.
        value: in its unit.
        unit: CloudWatch's unit.
        dimensions: what it is of.
    """

    name: str
    value: float
    unit: Literal["Count", "Seconds"]
    dimensions: Mapping[str, str]


def outcome_metrics(subject: str, status: Status, seconds: float | None, dimensions: Mapping[str, str]) -> list[Metric]:
    """Success, failure and duration of a run, a stage or a deployment.

    Both counts are always there, so that a rate is their quotient and an alarm needs no missing data.
    """
    failed = status is Status.FAILED
    metrics = [
        Metric(f"{subject}Succeeded", 0 if failed else 1, "Count", dimensions),
        Metric(f"{subject}Failed", 1 if failed else 0, "Count", dimensions),
    ]
    if status is Status.DEGRADED:
        metrics.append(Metric(f"{subject}Degraded", 1, "Count", dimensions))
    if seconds is not None:
        metrics.append(Metric(f"{subject}Duration", seconds, "Seconds", dimensions))
    return metrics


def deployment_metrics(
    pipeline: str, environment: str, stack: str, status: Status, seconds: float | None
) -> list[Metric]:
    """The metrics of one stack's deployment: by itself, and summed by environment and by pipeline for alarms."""
    own = {"Pipeline": pipeline, "Environment": environment, "Stack": stack}
    return [
        metric
        for size in (3, 2, 1)
        for metric in outcome_metrics("Deployment", status, seconds, dict(list(own.items())[:size]))
    ]


def run_metrics(run: RunRecord) -> list[Metric]:
    """The metrics of a run that is over, and of its stages."""
    pipeline = {"Pipeline": run.pipeline}
    metrics = outcome_metrics("Run", run.status, seconds_between(run.started_at, run.ended_at), pipeline)
    for name, stage in sorted(run.stages.items()):
        if stage.status in (Status.SUCCEEDED, Status.FAILED, Status.DEGRADED):
            metrics += outcome_metrics("Stage", stage.status, _duration(stage), {**pipeline, "Stage": name})
    return metrics


def _duration(stage: StageRecord) -> float | None:
    return seconds_between(stage.started_at, stage.ended_at)


def seconds_between(start: str, end: str) -> float | None:
    """Seconds between two RFC 3339 times; None when one is missing or is not a time."""
    try:
        return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
    except ValueError:
        return None


def put_metrics(client: CloudWatchClient, metrics: Sequence[Metric]) -> None:
    """Send metrics to CloudWatch. Raises botocore's errors as they are."""
    data: list[MetricDatumTypeDef] = [
        {
            "MetricName": metric.name,
            "Value": metric.value,
            "Unit": metric.unit,
            "Dimensions": [{"Name": name, "Value": value} for name, value in metric.dimensions.items()],
        }
        for metric in metrics
    ]
    for start in range(0, len(data), _BATCH):
        client.put_metric_data(Namespace=NAMESPACE, MetricData=data[start : start + _BATCH])
