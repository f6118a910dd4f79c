"""Why a stack failed: CloudFormation's own events of the deployment, also those of nested stacks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from aphex.regions import partition_of

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import StackEventTypeDef

Failure = dict[str, str]

_STACK = "AWS::CloudFormation::Stack"
_MAX_EVENTS = 50
_MAX_DEPTH = 5
_CONSEQUENCE = re.compile(
    r"creation cancelled|update cancelled|deletion cancelled|The following resource\(s\) failed to"
    r"|Embedded stack .* was not successfully|^Resource update cancelled",
    re.IGNORECASE,
)
# https://docs.aws.amazon.com/general/latest/gr/aws-service-information.html
_CONSOLES = {
    "aws": "console.aws.amazon.com",
    "aws-cn": "console.amazonaws.cn",
    "aws-us-gov": "console.amazonaws-us-gov.com",
    "aws-eusc": "console.amazonaws-eusc.eu",
}


def console_link(region: str, stack_id: str) -> str:
    """Where a person sees the events of a stack; empty in a partition whose console is not public."""
    domain = _CONSOLES.get(partition_of(region))
    if domain is None:
        return ""
    return f"https://{region}.{domain}/cloudformation/home?region={region}#/stacks/events?stackId={quote(stack_id, '')}"


def failure_events(client: CloudFormationClient, stack: str, since: datetime) -> list[Failure]:
    """The failed events of a stack since a time, causes first; empty when there is no such stack.

    Raises:
        botocore.exceptions.ClientError: CloudFormation cannot be asked.
    """
    return causes_first(_followed(client, stack, since, 0))[:_MAX_EVENTS]


def _followed(client: CloudFormationClient, stack: str, since: datetime, depth: int) -> list[Failure]:
    """Failures of a stack in their order, those of nested stacks before that of the resource that is the stack."""
    found: list[Failure] = []
    for failure in failures(recent_events(client, stack, since)):
        nested = failure["type"] == _STACK and failure["physical_id"] != failure["stack_id"]
        if nested and failure["physical_id"].startswith("arn:") and depth < _MAX_DEPTH:
            found += _followed(client, failure["physical_id"], since, depth + 1)
        found.append(failure)
    return found


def recent_events(client: CloudFormationClient, stack: str, since: datetime) -> list[StackEventTypeDef]:
    """A stack's events since a time, the newest first; none when there is no such stack.

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
    return events


def failures(events: Sequence[StackEventTypeDef]) -> list[Failure]:
    """The events that tell of a failure, oldest first; CloudFormation lists the newest first."""
    failed = [event for event in reversed(events) if event.get("ResourceStatus", "").endswith("FAILED")]
    return [
        {
            "time": event["Timestamp"].isoformat(),
            "stack": event.get("StackName", ""),
            "stack_id": event.get("StackId", ""),
            "resource": event.get("LogicalResourceId", ""),
            "physical_id": event.get("PhysicalResourceId", ""),
            "type": event.get("ResourceType", ""),
            "status": event.get("ResourceStatus", ""),
            "reason": event.get("ResourceStatusReason", "") or event.get("HookStatusReason", ""),
        }
        for event in failed
    ]


def causes_first(events: Sequence[Failure]) -> list[Failure]:
    """The same with those that are merely the consequence of another at the end, in their order otherwise."""
    return sorted(events, key=_is_consequence)


def _is_consequence(event: Failure) -> bool:
    # What a stack says of itself was said before by one of its resources.
    own = event["type"] == _STACK and event["physical_id"] in (event["stack_id"], "")
    return own or _CONSEQUENCE.search(event["reason"]) is not None


def event_text(event: Failure) -> str:
    """One failure in one line."""
    physical = f", {event['physical_id']}" if event["physical_id"] not in ("", event["resource"]) else ""
    reason = f": {event['reason']}" if event["reason"] else ""
    return f"{event['resource']} ({event['type']}{physical}) {event['status']}{reason}"


def root_cause(events: Sequence[Failure]) -> str:
    """The first failure, which is the cause when they are sorted; empty when there is none."""
    return event_text(events[0]) if events else ""


def record(events: Sequence[Failure]) -> list[dict[str, Any]]:
    """The events as the error record keeps them."""
    return [dict(event) for event in events]
