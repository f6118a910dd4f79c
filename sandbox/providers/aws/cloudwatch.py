"""CloudWatch dashboards and metric alarms."""
# A type need not use all that it is given.
# ruff: noqa: ARG002

from __future__ import annotations

from collections.abc import Set
from typing import Any

from sandbox.providers.aws.resource import ResourceType, Scope
from sandbox.providers.aws.schema import AutoName, Schema
from sandbox.providers.aws.shapes import pairs, pruned, stale, tag_map, to_aws
from sandbox.providers.base import Properties

# The names in which the package and the API differ by more than the first letter.
_ALARM_NAMES = {
    "evaluateLowSampleCountPercentiles": "EvaluateLowSampleCountPercentile",
    "name": "AlarmName",
    "okActions": "OKActions",
}


class Dashboard(ResourceType):
    """`aws:cloudwatch/dashboard:Dashboard`; its id is its name."""

    schema = Schema(
        token="aws:cloudwatch/dashboard:Dashboard",
        inputs=frozenset({"dashboardBody", "dashboardName"}),
        required=frozenset({"dashboardBody", "dashboardName"}),
        replaces=frozenset({"dashboardName"}),
        computed=frozenset({"dashboardArn"}),
    )
    created_with = schema.known
    missing = frozenset({"DashboardNotFoundError", "ResourceNotFound"})

    def create(self, scope: Scope, inputs: Properties) -> str:
        """Put the dashboard."""
        name = str(inputs["dashboardName"])
        scope.client("cloudwatch").put_dashboard(DashboardName=name, DashboardBody=inputs["dashboardBody"])
        return name

    def read(self, scope: Scope, id: str) -> Properties | None:
        """The dashboard with its body."""
        found = scope.client("cloudwatch").get_dashboard(DashboardName=id)
        return {
            "dashboardName": found["DashboardName"],
            "dashboardBody": found["DashboardBody"],
            "dashboardArn": found["DashboardArn"],
        }

    def apply(self, scope: Scope, id: str, inputs: Properties, changed: Set[str]) -> None:
        """Put the new body over the old one."""
        if changed:
            self.create(scope, inputs)

    def delete(self, scope: Scope, id: str, outputs: Properties) -> None:
        """Remove the dashboard."""
        scope.client("cloudwatch").delete_dashboards(DashboardNames=[id])


class MetricAlarm(ResourceType):
    """`aws:cloudwatch/metricAlarm:MetricAlarm`; its id is its name."""

    schema = Schema(
        token="aws:cloudwatch/metricAlarm:MetricAlarm",
        inputs=frozenset(
            {
                "actionsEnabled",
                "alarmActions",
                "alarmDescription",
                "comparisonOperator",
                "datapointsToAlarm",
                "dimensions",
                "evaluateLowSampleCountPercentiles",
                "evaluationPeriods",
                "extendedStatistic",
                "insufficientDataActions",
                "metricName",
                "name",
                "namespace",
                "okActions",
                "period",
                "statistic",
                "tags",
                "threshold",
                "treatMissingData",
                "unit",
            }
        ),
        computed=frozenset({"arn", "evaluateLowSampleCountPercentiles"}),
        defaults={"actionsEnabled": True, "treatMissingData": "missing"},
        sticky=frozenset({"evaluateLowSampleCountPercentiles"}),
        name=AutoName(prefix_property=""),
    )
    created_with = schema.known

    def create(self, scope: Scope, inputs: Properties) -> str:
        """Put the alarm with its tags."""
        scope.client("cloudwatch").put_metric_alarm(**_alarm(inputs), Tags=pairs(inputs.get("tags")))
        return str(inputs["name"])

    def read(self, scope: Scope, id: str) -> Properties | None:
        """The alarm and its tags."""
        cloudwatch = scope.client("cloudwatch")
        found = cloudwatch.describe_alarms(AlarmNames=[id], AlarmTypes=["MetricAlarm"])["MetricAlarms"]
        if not found:
            return None
        alarm = found[0]
        back = {aws: name for name, aws in _ALARM_NAMES.items()}
        named = {back.get(key, key[:1].lower() + key[1:]): value for key, value in alarm.items()}
        return {
            "evaluateLowSampleCountPercentiles": "",
            **{key: value for key, value in named.items() if key in self.schema.inputs},
            "dimensions": {item["Name"]: item["Value"] for item in alarm.get("Dimensions", [])},
            "arn": alarm["AlarmArn"],
            "tags": tag_map(cloudwatch.list_tags_for_resource(ResourceARN=alarm["AlarmArn"])["Tags"]),
        }

    def apply(self, scope: Scope, id: str, inputs: Properties, changed: Set[str]) -> None:
        """Put the alarm anew, since CloudWatch knows no partial changes, and then its tags."""
        cloudwatch = scope.client("cloudwatch")
        if changed - {"tags"}:
            cloudwatch.put_metric_alarm(**_alarm(inputs))
        if "tags" in changed:
            arn = scope.arn("cloudwatch", f"alarm:{id}")
            old = stale(tag_map(cloudwatch.list_tags_for_resource(ResourceARN=arn)["Tags"]), inputs.get("tags"))
            if old:
                cloudwatch.untag_resource(ResourceARN=arn, TagKeys=old)
            if inputs.get("tags"):
                cloudwatch.tag_resource(ResourceARN=arn, Tags=pairs(inputs["tags"]))

    def delete(self, scope: Scope, id: str, outputs: Properties) -> None:
        """Remove the alarm; CloudWatch is silent about one that is gone."""
        scope.client("cloudwatch").delete_alarms(AlarmNames=[id])


def _alarm(inputs: Properties) -> dict[str, Any]:
    """The alarm as CloudWatch takes it; numbers of points and seconds are whole ones."""
    asked: dict[str, Any] = {key: inputs.get(key) for key in MetricAlarm.schema.inputs - {"dimensions", "tags"}}
    whole = {key: int(asked[key]) for key in ("datapointsToAlarm", "evaluationPeriods", "period") if asked[key]}
    alarm: dict[str, Any] = to_aws(pruned({**asked, **whole}), _ALARM_NAMES)
    if inputs.get("dimensions"):
        alarm["Dimensions"] = [{"Name": name, "Value": value} for name, value in sorted(inputs["dimensions"].items())]
    return alarm
