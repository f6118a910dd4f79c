"""How a deployment's failure is explained: recorded events, states and outputs of the CDK CLI."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from stages.cdk_hints import complaint, hints_for
from stages.cloudformation import causes_first, console_link, event_text, failure_events, failures, root_cause
from stages.stacks import Judgement, StackState, judge, wait_until_idle

BEGUN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
STACK = "arn:aws:cloudformation:eu-west-1:222222222222:stack/Shop/1111"
NESTED = "arn:aws:cloudformation:eu-west-1:222222222222:stack/Shop-Inner-ABC/2222"


def event(second: int, resource: str, status: str, reason: str = "", **more: str) -> dict[str, Any]:
    """An event as DescribeStackEvents answers it."""
    return {
        "StackId": STACK,
        "EventId": f"{resource}-{second}",
        "StackName": "Shop",
        "LogicalResourceId": resource,
        "PhysicalResourceId": "",
        "ResourceType": "AWS::SNS::Topic",
        "Timestamp": BEGUN + timedelta(seconds=second),
        "ResourceStatus": status,
        **({"ResourceStatusReason": reason} if reason else {}),
        **more,
    }


# A stack whose nested stack failed, as CloudFormation lists it: the newest first.
OUTER = [
    event(
        9,
        "Shop",
        "UPDATE_ROLLBACK_FAILED",
        "The following resource(s) failed to update: [Inner].",
        PhysicalResourceId=STACK,
        ResourceType="AWS::CloudFormation::Stack",
    ),
    event(8, "Table", "UPDATE_FAILED", "Resource update cancelled", ResourceType="AWS::DynamoDB::Table"),
    event(
        7,
        "Inner",
        "UPDATE_FAILED",
        f"Embedded stack {NESTED} was not successfully updated. Currently in UPDATE_ROLLBACK_IN_PROGRESS",
        PhysicalResourceId=NESTED,
        ResourceType="AWS::CloudFormation::Stack",
    ),
    event(2, "Inner", "UPDATE_IN_PROGRESS", PhysicalResourceId=NESTED, ResourceType="AWS::CloudFormation::Stack"),
    event(1, "Shop", "UPDATE_IN_PROGRESS", "User Initiated", PhysicalResourceId=STACK),
    event(-3600, "Old", "CREATE_FAILED", "of an earlier deployment"),
]
INNER = [
    event(5, "Queue", "CREATE_FAILED", "Resource creation cancelled", StackName="Shop-Inner-ABC", StackId=NESTED),
    event(
        4,
        "Bucket",
        "CREATE_FAILED",
        "shop-files already exists",
        StackName="Shop-Inner-ABC",
        StackId=NESTED,
        PhysicalResourceId="shop-files",
        ResourceType="AWS::S3::Bucket",
    ),
]


@pytest.fixture
def client() -> Iterator[Any]:
    session: Any = boto3.Session("test", "test", region_name="eu-west-1")
    made = session.client("cloudformation")
    with Stubber(made) as stub:
        stub.add_response("describe_stack_events", {"StackEvents": OUTER[:4], "NextToken": "n"}, {"StackName": STACK})
        stub.add_response("describe_stack_events", {"StackEvents": OUTER[4:]}, {"StackName": STACK, "NextToken": "n"})
        stub.add_response("describe_stack_events", {"StackEvents": INNER}, {"StackName": NESTED})
        yield made


def test_events_of_nested_stacks_are_followed_and_the_cause_is_first(client: Any) -> None:
    found = failure_events(client, STACK, BEGUN)
    assert [(each["stack"], each["resource"], each["status"]) for each in found] == [
        ("Shop-Inner-ABC", "Bucket", "CREATE_FAILED"),
        ("Shop-Inner-ABC", "Queue", "CREATE_FAILED"),
        ("Shop", "Inner", "UPDATE_FAILED"),
        ("Shop", "Table", "UPDATE_FAILED"),
        ("Shop", "Shop", "UPDATE_ROLLBACK_FAILED"),
    ]
    assert root_cause(found) == "Bucket (AWS::S3::Bucket, shop-files) CREATE_FAILED: shop-files already exists"
    assert found[0] == {
        "time": "2026-01-02T03:04:09+00:00",
        "stack": "Shop-Inner-ABC",
        "stack_id": NESTED,
        "resource": "Bucket",
        "physical_id": "shop-files",
        "type": "AWS::S3::Bucket",
        "status": "CREATE_FAILED",
        "reason": "shop-files already exists",
    }


def test_a_stack_that_is_not_there_has_no_events() -> None:
    session: Any = boto3.Session("test", "test", region_name="eu-west-1")
    made = session.client("cloudformation")
    with Stubber(made) as stub:
        stub.add_client_error("describe_stack_events", "ValidationError", "Stack [Shop] does not exist")
        assert failure_events(made, "Shop", BEGUN) == []


def test_a_hook_that_refuses_a_resource_is_a_cause() -> None:
    refused = event(3, "Bucket", "CREATE_FAILED", "", HookStatusReason="Buckets must be encrypted")
    found: Any = causes_first(failures([refused]))  # type: ignore[list-item]  # a recorded answer
    assert event_text(found[0]) == "Bucket (AWS::SNS::Topic) CREATE_FAILED: Buckets must be encrypted"


@pytest.mark.parametrize(
    ("region", "link"),
    [
        (
            "eu-west-1",
            "https://eu-west-1.console.aws.amazon.com/cloudformation/home?region=eu-west-1#/stacks/events?stackId="
            "arn%3Aaws%3Acloudformation%3Aeu-west-1%3A222222222222%3Astack%2FShop%2F1111",
        ),
        (
            "cn-north-1",
            "https://cn-north-1.console.amazonaws.cn/cloudformation/home?region=cn-north-1#/stacks/events?stackId="
            "arn%3Aaws%3Acloudformation%3Aeu-west-1%3A222222222222%3Astack%2FShop%2F1111",
        ),
        (
            "us-gov-west-1",
            "https://us-gov-west-1.console.amazonaws-us-gov.com/cloudformation/home?region=us-gov-west-1#/stacks/events"
            "?stackId=arn%3Aaws%3Acloudformation%3Aeu-west-1%3A222222222222%3Astack%2FShop%2F1111",
        ),
        ("us-iso-east-1", ""),
    ],
)
def test_the_console_is_that_of_the_partition(region: str, link: str) -> None:
    assert console_link(region, STACK) == link


WHERE = "--stack-name Shop --region eu-west-1"
FORCED = (
    f"aws cloudformation delete-stack {WHERE}\nIf that fails, leave behind what cannot be deleted: "
    f"aws cloudformation delete-stack {WHERE} --deletion-mode FORCE_DELETE_STACK"
)
UNDO = Judgement(
    blocks=True,
    meaning="A deployment without rollback failed and left it as it was at that moment.",
    way_out=f"Undo that deployment: aws cloudformation rollback-stack {WHERE}\nThen start a new run.",
)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (
            "ROLLBACK_COMPLETE",
            Judgement(
                blocks=False,
                meaning="Its creation failed before and was undone. The CDK CLI deletes it and creates it again.",
                way_out="Correct the cause and start a new run, which deletes it first. To delete it yourself: "
                f"aws cloudformation delete-stack {WHERE}",
            ),
        ),
        (
            "ROLLBACK_FAILED",
            Judgement(
                blocks=False,
                meaning="Its creation failed before, and so did undoing it. The CDK CLI tries to delete it.",
                way_out=f"Delete it: {FORCED}",
            ),
        ),
        (
            "UPDATE_ROLLBACK_FAILED",
            Judgement(
                blocks=True,
                meaning="An update of it failed, and so did undoing the update.",
                way_out=f"Bring it back to its former state: aws cloudformation continue-update-rollback {WHERE}\n"
                "If a resource cannot be restored, add --resources-to-skip LOGICAL_ID. Then start a new run.",
            ),
        ),
        (
            "DELETE_FAILED",
            Judgement(
                blocks=True,
                meaning="Somebody deleted it, and that failed.",
                way_out=f"Finish it: {FORCED}\nThen start a new run.",
            ),
        ),
        ("CREATE_FAILED", UNDO),
        ("UPDATE_FAILED", UNDO),
        (
            "REVIEW_IN_PROGRESS",
            Judgement(
                blocks=False,
                meaning="It has a change set that was never executed, and no resources.",
                way_out=f"If its deployment fails, delete it: aws cloudformation delete-stack {WHERE}\n"
                "Then start a new run.",
            ),
        ),
        ("", None),
        ("CREATE_COMPLETE", None),
        ("UPDATE_ROLLBACK_COMPLETE", None),
    ],
)
def test_a_status_is_explained_with_the_way_out(status: str, expected: Judgement | None) -> None:
    assert judge("Shop", status, "eu-west-1") == expected


def test_what_express_left_behind_express_can_go_on_with() -> None:
    verdict = judge("Shop", "UPDATE_FAILED", "eu-west-1", express=True)
    assert verdict is not None
    assert not verdict.blocks


def test_a_stack_that_something_else_deploys_is_waited_for() -> None:
    states = iter([StackState("UPDATE_IN_PROGRESS"), StackState("UPDATE_IN_PROGRESS"), StackState("UPDATE_COMPLETE")])
    said: list[str] = []
    found = wait_until_idle("Shop", lambda: next(states), said.append, time.monotonic() + 60, poll=0)
    assert found.status == "UPDATE_COMPLETE"
    assert said == [
        "Shop is UPDATE_IN_PROGRESS: something else is deploying it, perhaps what is left of an earlier run. "
        "Waiting until that is over."
    ]


def test_waiting_has_an_end() -> None:
    found = wait_until_idle("Shop", lambda: StackState("DELETE_IN_PROGRESS"), print, time.monotonic() + 0.05, 0.01)
    assert found.busy


BOOTSTRAP = (
    "The account and region are not bootstrapped for the CDK, or with another qualifier. With an administrator's "
    "credentials: cdk bootstrap aws://ACCOUNT/REGION"
)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (
            "This CDK CLI is not compatible with the CDK library used by your application. Please upgrade the CLI to "
            "the latest version.\n(Cloud assembly schema version mismatch: Maximum schema version supported is 39.x.x, "
            "but found 55.0.0)",
            "The CDK CLI is older than the app's aws-cdk-lib. Update aws-cdk in the application's package.json to the "
            "newest 2.x; without one there, use a newer release of the platform's images.",
        ),
        (
            "❌  Shop failed: Error: No bucket named 'cdk-hnb659fds-assets-222222222222-eu-west-1'. Is account "
            "222222222222 bootstrapped?",
            BOOTSTRAP,
        ),
        (
            "SSM parameter /cdk-bootstrap/hnb659fds/version not found in aws://222222222222/eu-west-1. Has the "
            "environment been bootstrapped?",
            BOOTSTRAP,
        ),
        (
            "This CDK deployment requires bootstrap stack version '6', found '5' in aws://1/eu-west-1. Please run 'cdk "
            "bootstrap'.",
            "The account's CDK bootstrap stack is too old for the app. With an administrator's credentials, and a "
            "current CDK CLI: cdk bootstrap aws://ACCOUNT/REGION",
        ),
        (
            "‣ ExpiredToken: The security token included in the request is expired",
            "The credentials expired and could not be renewed. Start a new run: it goes on from where this one ended, "
            "and waits for stacks that CloudFormation is still working on.",
        ),
        (
            "Need to perform AWS calls for account 222222222222, but the current credentials are for 123456789012",
            "The credentials are for another account than the stack's. Configure the environment's role in that "
            "account.",
        ),
        (
            "NoCredentials: Need to perform AWS calls for account 222222222222, but no credentials have been "
            "configured",
            "The CDK CLI got no credentials, or STS did not tell whose they are. What the program that gives them said "
            "is above; if it said nothing, look whether the pod reaches STS.",
        ),
        (
            "‣ Error: connect ECONNREFUSED 10.0.0.1:443",
            "An address could not be reached for a minute and longer. Check the network of the pod: proxy, DNS and VPC "
            "endpoints; then start a new run, which goes on from where this one ended.",
        ),
        (
            "Error: spawn docker ENOENT",
            "The app builds a container image or bundles code with Docker, and the image of the stage has none. Build "
            "it in the build stage, bundle locally, or set CDK_DOCKER to a builder that the image has, in an image of "
            "your own.",
        ),
        (
            "ValidationError: Stack:arn is in UPDATE_IN_PROGRESS state and can not be updated.",
            "Something else is deploying this stack. The next run waits for it.",
        ),
        (
            "The following CloudFormation Parameters are missing a value: Size",
            "Give the values in the stack's parameters in aphex-config.yaml, or defaults in the app.",
        ),
    ],
)
def test_known_complaints_of_the_cli_have_a_hint(output: str, expected: str) -> None:
    assert hints_for(output) == [expected]


def test_the_clis_own_words_are_those_from_its_error_on() -> None:
    output = "A | 0/2 | CREATE_FAILED | T\n❌  Z failed to deploy\n‣ DeploymentError: Resource updates failed:\nZ/T\n\n"
    assert complaint(output) == "❌  Z failed to deploy\n‣ DeploymentError: Resource updates failed:\nZ/T"
    assert complaint("one\ntwo\n\nthree\nfour\n") == "two\nthree\nfour"
    assert complaint("") == ""
    assert hints_for("nothing of the kind") == []
