"""What CloudWatch shows and says of a pipeline, by the names that the stages' metrics really have."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from aphex_platform.monitoring import alarms, dashboard, dashboard_url
from aphex_platform.policies import METRIC_NAMESPACE

from aphex.run import RunRecord, StageRecord, Status
from stages.metrics import NAMESPACE, Metric, deployment_metrics, run_metrics
from tests.support.declared import Recorder, declare
from tests.support.example import everything, example_settings

pytestmark = pytest.mark.filterwarnings("ignore:.*has been deprecated in favor of:DeprecationWarning")

SETTINGS = example_settings()


@pytest.fixture(scope="module")
def pipeline() -> Recorder:
    return declare(everything())


def emitted() -> list[Metric]:
    """What the stages send of runs and deployments that went well, badly and half well."""
    metrics = []
    for status in (Status.SUCCEEDED, Status.FAILED, Status.DEGRADED):
        update = StageRecord(status=status, started_at="2026-01-01T00:00:00Z", ended_at="2026-01-01T00:01:00Z")
        run = RunRecord(
            run_id="shop-1",
            commit="a" * 40,
            pipeline="shop",
            status=status,
            started_at="2026-01-01T00:00:00Z",
            ended_at="2026-01-01T00:10:00Z",
            stages={"self-update": update},
        )
        metrics += run_metrics(run)
        metrics += deployment_metrics("shop", "dev", "App", status, 60.0)
    return metrics


def known() -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    return {(each.name, tuple(sorted(each.dimensions.items()))) for each in emitted()}


def test_metrics_are_looked_for_where_they_are_sent() -> None:
    assert METRIC_NAMESPACE == NAMESPACE


@pytest.mark.parametrize("alarm", alarms(SETTINGS), ids=lambda alarm: alarm.subject)
def test_alarms_watch_metrics_that_are_emitted(alarm: Any) -> None:
    assert (alarm.metric, tuple(sorted(alarm.dimensions.items()))) in known()


def test_a_failed_run_and_a_failed_self_update_raise_an_alarm_and_no_run_raises_none(pipeline: Recorder) -> None:
    made = pipeline.by("name", "aws:cloudwatch/metricAlarm:MetricAlarm")
    assert set(made) == {"aphex/shop/failed-runs", "aphex/shop/failed-self-update"}
    for alarm in made.values():
        assert (alarm["statistic"], alarm["period"], alarm["evaluationPeriods"]) == ("Sum", 300, 1)
        assert (alarm["threshold"], alarm["comparisonOperator"]) == (1, "GreaterThanOrEqualToThreshold")
        assert alarm["treatMissingData"] == "notBreaching"
        assert alarm["alarmActions"] == alarm["okActions"] == ["arn:aws:sns:eu-west-1:123456789012:on-call"]


def test_without_a_topic_alarms_are_only_seen() -> None:
    for alarm in declare(SETTINGS).of("aws:cloudwatch/metricAlarm:MetricAlarm"):
        assert not {"alarmActions", "okActions"} & set(alarm)


def test_the_dashboard_shows_metrics_that_are_emitted(pipeline: Recorder) -> None:
    made = pipeline.one("aws:cloudwatch/dashboard:Dashboard")
    assert made["dashboardName"] == "aphex-shop"
    body = json.loads(made["dashboardBody"])
    lines = [line for each in body["widgets"] for line in each["properties"].get("metrics", [])]
    direct = [line for line in lines if isinstance(line[0], str)]
    assert direct
    for namespace, metric, dimension, value, _ in direct:
        assert namespace == NAMESPACE
        assert (metric, ((dimension, value),)) in known()
    searched = [line[0]["expression"] for line in lines if isinstance(line[0], dict)]
    assert searched
    for expression in searched:
        found = re.fullmatch(
            r"SEARCH\('\{AphexPipeline,Pipeline,(\w+)\} Pipeline=\"shop\" MetricName=\"(\w+)\"', '\w+', \d+\)",
            expression,
        )
        assert found, expression
        assert any(name == found[2] and {"Pipeline", found[1]} == {key for key, _ in of} for name, of in known())


def test_the_dashboard_has_room_and_tells_the_alarms(pipeline: Recorder) -> None:
    widgets = dashboard(everything())["widgets"]
    places = {(each["x"], each["y"]) for each in widgets}
    assert len(places) == len(widgets)
    assert {each["properties"]["region"] for each in widgets} == {"eu-west-1"}
    (status,) = [each for each in widgets if each["type"] == "alarm"]
    names = {arn.rpartition(":alarm:")[2] for arn in status["properties"]["alarms"]}
    assert names == set(pipeline.by("name", "aws:cloudwatch/metricAlarm:MetricAlarm"))


def test_the_dashboards_address_is_told_where_there_is_a_console() -> None:
    assert dashboard_url(SETTINGS) is None
    assert dashboard_url(everything()) == (
        "https://eu-west-1.console.aws.amazon.com/cloudwatch/home?region=eu-west-1#dashboards/dashboard/aphex-shop"
    )
