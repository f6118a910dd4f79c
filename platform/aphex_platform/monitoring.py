"""What CloudWatch shows of a pipeline and when it raises an alarm, from the metrics that the stages emit.

Environments and stages are found by searching, so the dashboard stays the same when the configuration changes:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/search-expression-syntax.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aphex.names import PipelineNames
from aphex.run import StageKind
from aphex_platform.policies import METRIC_NAMESPACE
from aphex_platform.settings import AwsSettings, PlatformSettings

Widget = dict[str, Any]

_HOUR, _DAY = 3600, 86400
_COLUMNS, _HEIGHT = 12, 6
_CONSOLES = {
    "aws": "console.aws.amazon.com",
    "aws-cn": "console.amazonaws.cn",
    "aws-us-gov": "console.amazonaws-us-gov.com",
}


@dataclass(frozen=True)
class Alarm:
    """An alarm that is raised by the first event of its kind in five minutes.

    Attributes:
        subject: what it is about; part of its name.
        description: what happened, and what to do.
        metric: the metric, whose sum must stay zero.
        dimensions: what the metric is of.
    """

    subject: str
    description: str
    metric: str
    dimensions: Mapping[str, str]


def alarms(settings: PlatformSettings) -> list[Alarm]:
    """The alarms of a pipeline."""
    pipeline = {"Pipeline": settings.pipeline}
    return [
        Alarm(
            "failed-runs",
            f"A run of the pipeline {settings.pipeline} failed. `python -m automation runs` says which and why.",
            "RunFailed",
            pipeline,
        ),
        Alarm(
            "failed-self-update",
            f"The pipeline {settings.pipeline} could not bring itself up to date: runs go on in their former shape, "
            "and the next one tries again. The log of the stage self-update says why.",
            "StageDegraded",
            {**pipeline, "Stage": StageKind.SELF_UPDATE.value},
        ),
    ]


def dashboard(settings: PlatformSettings) -> dict[str, Any]:
    """The dashboard's body: alarms, runs, deployments by environment, and where the time goes."""
    region = settings.aws.region
    widgets = [
        _alarm_status(settings),
        _runs(settings),
        _run_durations(settings),
        _search(settings, "Failed deployments by environment", "Environment", "DeploymentFailed", ("Sum", _DAY)),
        _search(settings, "Deployments by environment", "Environment", "DeploymentSucceeded", ("Sum", _DAY)),
        _search(settings, "Seconds to deploy, by environment", "Environment", "DeploymentDuration", ("Average", _HOUR)),
        _search(settings, "Seconds by stage", "Stage", "StageDuration", ("Average", _HOUR)),
    ]
    placed = []
    for place, widget in enumerate(widgets):
        widget["properties"].setdefault("region", region)
        x, y = place % 2 * _COLUMNS, place // 2 * _HEIGHT
        placed.append({**widget, "x": x, "y": y, "width": _COLUMNS, "height": _HEIGHT})
    return {"widgets": placed}


def dashboard_url(settings: PlatformSettings) -> str | None:
    """Where people look at the dashboard; None where there is no console that is known."""
    console = _CONSOLES.get(settings.aws.partition)
    if settings.aws.kind != "account" or console is None:
        return None
    region, name = settings.aws.region, PipelineNames(settings.pipeline).dashboard
    return f"https://{region}.{console}/cloudwatch/home?region={region}#dashboards/dashboard/{name}"


def alarm_arn(aws: AwsSettings, name: str) -> str:
    """ARN of an alarm."""
    return f"arn:{aws.partition}:cloudwatch:{aws.region}:{aws.account}:alarm:{name}"


def _alarm_status(settings: PlatformSettings) -> Widget:
    names = PipelineNames(settings.pipeline)
    arns = [alarm_arn(settings.aws, names.alarm(each.subject)) for each in alarms(settings)]
    return {"type": "alarm", "properties": {"title": "Alarms", "alarms": arns}}


def _runs(settings: PlatformSettings) -> Widget:
    lines = [_line(settings, f"Run{outcome}", outcome.lower()) for outcome in ("Succeeded", "Failed", "Degraded")]
    return _graph("Runs a day", lines, view="timeSeries", stacked=True, stat="Sum", period=_DAY)


def _run_durations(settings: PlatformSettings) -> Widget:
    lines = [[*_line(settings, "RunDuration", stat)[:-1], {"label": stat, "stat": stat}] for stat in ("p50", "p90")]
    return _graph("Seconds a run takes", lines, view="timeSeries", stacked=False, stat="p50", period=_HOUR)


def _line(settings: PlatformSettings, metric: str, label: str) -> list[Any]:
    return [METRIC_NAMESPACE, metric, "Pipeline", settings.pipeline, {"label": label}]


def _search(settings: PlatformSettings, title: str, dimension: str, metric: str, every: tuple[str, int]) -> Widget:
    stat, period = every
    wanted = f'{{{METRIC_NAMESPACE},Pipeline,{dimension}}} Pipeline="{settings.pipeline}" MetricName="{metric}"'
    expression = f"SEARCH('{wanted}', '{stat}', {period})"
    line = [{"expression": expression, "label": f"${{PROP('Dim.{dimension}')}}", "id": "found"}]
    return _graph(title, [line], view="timeSeries", stacked=False, stat=stat, period=period)


def _graph(title: str, metrics: list[Any], **properties: Any) -> Widget:
    return {"type": "metric", "properties": {"title": title, "metrics": metrics, **properties}}
