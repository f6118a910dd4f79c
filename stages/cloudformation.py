"""Why a stack failed: CloudFormation's own events of the deployment."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import StackEventTypeDef

_MAX_EVENTS = 50


def failure_events(client: CloudFormationClient, stack: str, since: datetime) -> list[dict[str, Any]]:
    """The failed events of a stack since a time, the first failure first; empty when there is no such stack.

    Raises:
        botocore.exceptions.ClientError: CloudFormation cannot be asked.
    """
    from botocore.exceptions import ClientError

    events: list[StackEventTypeDef] = []
    try:
        for page in client.get_paginator("describe_stack_events").paginate(StackName=stack):
            recent = [event for event in page["StackEvents"] if event["Timestamp"] >= since]
            events += recent
            if len(recent) < len(page["StackEvents"]):
                break
    except ClientError as error:
        if "does not exist" in error.response["Error"].get("Message", ""):
            return []
        raise
    return failures(events)


def failures(events: list[StackEventTypeDef]) -> list[dict[str, Any]]:
    """The events that tell of a failure, oldest first; CloudFormation lists the newest first."""
    failed = [event for event in reversed(events) if event.get("ResourceStatus", "").endswith("FAILED")]
    return [
        {
            "time": event["Timestamp"].isoformat(),
            "resource": event.get("LogicalResourceId", ""),
            "type": event.get("ResourceType", ""),
            "status": event.get("ResourceStatus", ""),
            "reason": event.get("ResourceStatusReason", ""),
        }
        for event in failed[:_MAX_EVENTS]
    ]


def root_cause(events: list[dict[str, Any]]) -> str:
    """The first failure that is not merely the consequence of another, in one line; empty when there is none."""
    own = [event for event in events if "cancelled" not in event["reason"].lower()]
    for event in own or events:
        return f"{event['resource']} ({event['type']}): {event['status']}: {event['reason']}"
    return ""
