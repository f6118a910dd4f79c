"""How people see from CloudWatch how a pipeline does: a dashboard, and alarms that may tell somebody."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from aphex.names import PipelineNames
from aphex_platform.monitoring import Alarm, alarms, dashboard
from aphex_platform.policies import METRIC_NAMESPACE
from aphex_platform.settings import PlatformSettings
from aphex_platform.statements import text

_PERIOD_SECONDS = 300


@dataclass(frozen=True, kw_only=True)
class MonitoringArgs:
    """What the monitoring needs to know.

    Attributes:
        settings: name the pipeline, and the topic that alarms go to.
        tags: whose the alarms are.
    """

    settings: PlatformSettings
    tags: dict[str, str]


class Monitoring(pulumi.ComponentResource):
    """A dashboard, and an alarm for each thing that somebody should look at."""

    dashboard: pulumi.Output[str]

    def __init__(self, name: str, args: MonitoringArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("aphex:monitoring:Monitoring", name, None, opts)
        names = PipelineNames(args.settings.pipeline)
        shown = aws.cloudwatch.Dashboard(
            name,
            dashboard_name=names.dashboard,
            dashboard_body=text(dashboard(args.settings)),
            opts=pulumi.ResourceOptions(parent=self),
        )
        for alarm in alarms(args.settings):
            self._alarm(f"{name}-{alarm.subject}", names.alarm(alarm.subject), alarm, args)
        self.dashboard = shown.dashboard_name
        self.register_outputs({"dashboard": self.dashboard})

    def _alarm(self, name: str, alarm_name: str, alarm: Alarm, args: MonitoringArgs) -> None:
        told = [args.settings.alarms.topic] if args.settings.alarms.topic else None
        aws.cloudwatch.MetricAlarm(
            name,
            name=alarm_name,
            alarm_description=alarm.description,
            namespace=METRIC_NAMESPACE,
            metric_name=alarm.metric,
            dimensions=dict(alarm.dimensions),
            statistic="Sum",
            period=_PERIOD_SECONDS,
            evaluation_periods=1,
            threshold=1,
            comparison_operator="GreaterThanOrEqualToThreshold",
            # No run is no failure.
            treat_missing_data="notBreaching",
            alarm_actions=told,
            ok_actions=told,
            tags=args.tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
