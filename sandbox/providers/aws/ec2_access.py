"""Who may talk to what in a network, and the record of it: the default security group and flow logs."""
# A type need not use all that it is given.
# ruff: noqa: ARG002

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from sandbox.providers.aws.ec2 import Ec2Resource
from sandbox.providers.aws.resource import Scope
from sandbox.providers.aws.schema import Schema
from sandbox.providers.aws.shapes import pruned
from sandbox.providers.base import Properties, ProviderError


class DefaultSecurityGroup(Ec2Resource):
    """`aws:ec2/defaultSecurityGroup:DefaultSecurityGroup`, which lets nothing in or out.

    AWS makes the group with its VPC, so it is adopted and its rules are removed; it goes with the VPC.
    """

    schema = Schema(
        token="aws:ec2/defaultSecurityGroup:DefaultSecurityGroup",
        inputs=frozenset({"tags", "vpcId"}),
        # EC2-Classic, which had a group without a VPC, is no more.
        required=frozenset({"vpcId"}),
        replaces=frozenset({"vpcId"}),
        computed=frozenset({"arn", "description", "name", "ownerId"}),
    )
    created_with = frozenset({"region", "vpcId"})
    missing = frozenset({"InvalidGroup.NotFound"})
    describe, ids, found, kind = "describe_security_groups", "GroupIds", "SecurityGroups", "security-group"
    attributes: ClassVar[Mapping[str, str]] = {
        "description": "Description",
        "name": "GroupName",
        "ownerId": "OwnerId",
        "vpcId": "VpcId",
    }

    def create(self, scope: Scope, inputs: Properties) -> str:
        """Find the group and take its rules away."""
        ec2 = scope.client("ec2")
        filters = [
            {"Name": "vpc-id", "Values": [inputs["vpcId"]]},
            {"Name": "group-name", "Values": ["default"]},
        ]
        groups = ec2.describe_security_groups(Filters=filters)["SecurityGroups"]
        if not groups:
            raise ProviderError(f"VPC {inputs['vpcId']} has no default security group")
        group = groups[0]
        if group["IpPermissions"]:
            ec2.revoke_security_group_ingress(GroupId=group["GroupId"], IpPermissions=group["IpPermissions"])
        if group["IpPermissionsEgress"]:
            ec2.revoke_security_group_egress(GroupId=group["GroupId"], IpPermissions=group["IpPermissionsEgress"])
        return str(group["GroupId"])

    def more(self, scope: Scope, id: str, item: Mapping[str, Any]) -> Properties:
        """Its ARN."""
        return {"arn": self.arn(scope, id)}

    def delete(self, scope: Scope, id: str, outputs: Properties) -> None:
        """Leave it as it is: it cannot be removed."""


_SOURCES = {"eniId": "NetworkInterface", "subnetId": "Subnet", "vpcId": "VPC"}


class FlowLog(Ec2Resource):
    """`aws:ec2/flowLog:FlowLog`; nothing of it but its tags can change."""

    schema = Schema(
        token="aws:ec2/flowLog:FlowLog",
        inputs=frozenset(
            {
                "iamRoleArn",
                "logDestination",
                "logDestinationType",
                "logFormat",
                "maxAggregationInterval",
                "tags",
                "trafficType",
                *_SOURCES,
            }
        ),
        replaces=frozenset(
            {
                "iamRoleArn",
                "logDestination",
                "logDestinationType",
                "logFormat",
                "maxAggregationInterval",
                "trafficType",
                *_SOURCES,
            }
        ),
        computed=frozenset({"arn", "logDestination", "logFormat"}),
        defaults={"logDestinationType": "cloud-watch-logs", "maxAggregationInterval": 600},
        sticky=frozenset({"logDestination", "logFormat"}),
    )
    created_with = schema.known
    missing = frozenset({"InvalidFlowLogId.NotFound"})
    describe, ids, found, kind = "describe_flow_logs", "FlowLogIds", "FlowLogs", "vpc-flow-log"
    attributes: ClassVar[Mapping[str, str]] = {
        "iamRoleArn": "DeliverLogsPermissionArn",
        "logDestination": "LogDestination",
        "logDestinationType": "LogDestinationType",
        "logFormat": "LogFormat",
        "maxAggregationInterval": "MaxAggregationInterval",
        "trafficType": "TrafficType",
    }

    def create(self, scope: Scope, inputs: Properties) -> str:
        """Begin to log the traffic of one network, subnet or interface."""
        sources = [name for name in _SOURCES if inputs.get(name)]
        if len(sources) != 1:
            raise ProviderError(f"a flow log needs one of {', '.join(sorted(_SOURCES))}")
        asked = {aws: inputs.get(name) for name, aws in self.attributes.items()}
        made = scope.client("ec2").create_flow_logs(
            ResourceType=_SOURCES[sources[0]],
            ResourceIds=[inputs[sources[0]]],
            **pruned({**asked, "MaxAggregationInterval": int(inputs["maxAggregationInterval"])}),
            **self.tagging(inputs),
        )
        if made.get("Unsuccessful"):
            refused = made["Unsuccessful"][0]
            raise ProviderError(f"{refused['ResourceId']} gets no flow log: {refused['Error']['Message']}")
        return str(made["FlowLogIds"][0])

    def more(self, scope: Scope, id: str, item: Mapping[str, Any]) -> Properties:
        """What is logged."""
        source = str(item["ResourceId"])
        prefixes = {"eni-": "eniId", "subnet-": "subnetId", "vpc-": "vpcId"}
        found = {name: source for prefix, name in prefixes.items() if source.startswith(prefix)}
        return {**dict.fromkeys(_SOURCES, ""), **found, "arn": self.arn(scope, id)}

    def delete(self, scope: Scope, id: str, outputs: Properties) -> None:
        """Stop logging."""
        scope.client("ec2").delete_flow_logs(FlowLogIds=[id])
