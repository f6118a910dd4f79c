"""Logs of a cluster in CloudWatch: the control plane's and the network's, encrypted and kept for so many days."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from aphex.cluster_config import ClusterConfig
from aphex.names import ClusterNames
from aphex_platform.cluster_policies import flow_logs_policy, flow_logs_trust

_TRAFFIC = {"rejected": "REJECT", "all": "ALL"}
_FLOW_SECONDS = 600


@dataclass(frozen=True, kw_only=True)
class ClusterLogsArgs:
    """What the logs need to know.

    Attributes:
        config: the cluster.
        key_arn: the key that encrypts them.
        vpc_id: the network whose connections are logged.
        tags: whose they are.
    """

    config: ClusterConfig
    key_arn: pulumi.Input[str]
    vpc_id: pulumi.Input[str]
    tags: dict[str, str]


class ClusterLogs(pulumi.ComponentResource):
    """The log groups. EKS would make its own without key and for ever: this one has to be there before the cluster."""

    def __init__(self, name: str, args: ClusterLogsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("aphex:cluster:Logs", name, None, opts)
        self._args = args
        self._group(f"{name}-control-plane", ClusterNames(args.config.name).control_plane_logs)
        if args.config.network.flow_logs in _TRAFFIC:
            self._flow_logs(f"{name}-flow-logs")
        self.register_outputs({})

    def _group(self, name: str, group: str) -> aws.cloudwatch.LogGroup:
        return aws.cloudwatch.LogGroup(
            name,
            name=group,
            retention_in_days=self._args.config.logs.retention_days,
            kms_key_id=self._args.key_arn,
            tags=self._args.tags,
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _flow_logs(self, name: str) -> None:
        config, child = self._args.config, pulumi.ResourceOptions(parent=self)
        names = ClusterNames(config.name)
        group = self._group(name, names.flow_logs)
        role = aws.iam.Role(
            name,
            name=names.role("flow-logs"),
            description=f"Flow logs of the cluster {config.name}",
            assume_role_policy=json.dumps(flow_logs_trust(config)),
            tags=self._args.tags,
            opts=child,
        )
        policy = aws.iam.RolePolicy(
            name, name="write", role=role.name, policy=json.dumps(flow_logs_policy(config)), opts=child
        )
        aws.ec2.FlowLog(
            name,
            vpc_id=self._args.vpc_id,
            traffic_type=_TRAFFIC[config.network.flow_logs],
            log_destination_type="cloud-watch-logs",
            log_destination=group.arn,
            iam_role_arn=role.arn,
            max_aggregation_interval=_FLOW_SECONDS,
            tags=self._args.tags,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[policy]),
        )
