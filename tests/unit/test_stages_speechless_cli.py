"""A CDK CLI that fails and says words that nobody knows: CloudFormation knows whose failure it is, or nobody does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.expiring_aws import expiring_aws
from tests.support.failing_world import BROKEN, World, new_world, topic
from tests.support.moto_endpoint import MotoEndpoint, moto_endpoint

AT = "--region us-east-1"
CONSOLE = "https://us-east-1.console.aws.amazon.com/cloudformation/home?region=us-east-1#/stacks/events?stackId="
SPEECHLESS = '$any "$@" > /dev/null && exit; echo Rien ne va plus.; exit 4'
# The first stack alone, as a CLI does that breaks before the second.
BREAKS = '$any "$1" "$2" "$3" --ci Dog > /dev/null; echo Rien ne va plus.; exit 4'
# An outage ends the first call; the second goes on.
CUT_OFF = """\
if [ ! -e "$0.called" ]; then
  touch "$0.called"
  $any "$1" "$2" "$3" --ci Dog > /dev/null
  echo "‣ Error: connect ECONNREFUSED 127.0.0.1:443"
  exit 1
fi
exec $any "$@"
"""


@pytest.fixture(scope="module")
def aws() -> Iterator[MotoEndpoint]:
    with moto_endpoint() as endpoint:
        yield endpoint


@pytest.fixture
def world(aws: MotoEndpoint, tmp_path: Path) -> World:
    return new_world(aws, tmp_path)


def test_cloudformation_knows_which_stack_failed_and_which_were_finished(world: World) -> None:
    world.speak(SPEECHLESS)
    ended = world.deploy({"Dog": topic(), "Cow": BROKEN, "Ant": topic()})
    cow = world.account["Cow"]["StackId"]
    assert (ended.exit_code, world.told) == (
        1,
        (
            "DeploymentFailed",
            "The deployment of Cow failed with exit status 4.\n"
            "Topic (AWS::SNS::Topic) CREATE_FAILED: No export named no-such-export found.",
            [
                "Cow is ROLLBACK_COMPLETE now. Correct the cause and start a new run, which deletes it first. "
                f"To delete it yourself: aws cloudformation delete-stack --stack-name Cow {AT}",
                f"In CloudFormation: {CONSOLE}{quote(cow, '')}",
                "Stacks and environments after it were not begun.",
            ],
        ),
    )
    assert world.recorded == {"Dog": ("succeeded", True), "Cow": ("failed", None)}
    assert list(world.pod.item()["outputs"]["dev"]) == ["Dog"]
    assert world.error["output"] == "Rien ne va plus.\n"


def test_no_stack_is_blamed_of_which_nobody_says_that_it_failed(world: World) -> None:
    world.speak(BREAKS)
    ended = world.deploy({"Dog": topic(), "Cow": topic(), "Ant": topic()})
    assert (ended.exit_code, world.told) == (
        1,
        (
            "DeploymentFailed",
            "The deployment of Cow, Ant failed with exit status 4.\n"
            "Rien ne va plus.\n"
            "CloudFormation began no deployment of them in this stage, and the CDK CLI says of none that it failed.",
            ["None of them is deployed, and no environment after them was begun."],
        ),
    )
    assert world.recorded == {"Dog": ("succeeded", True)}
    assert list(world.pod.item()["outputs"]["dev"]) == ["Dog"]
    assert [each["stack"] for each in world.error["stacks"]] == ["Dog"]
    assert "stack" not in world.error


def test_no_stack_is_blamed_when_cloudformation_cannot_be_asked(world: World) -> None:
    world.speak("echo Rien ne va plus.; exit 4")
    with expiring_aws(world.pod.aws.url, lambda body: "Action=DescribeStackEvents" in body) as proxy:
        address = proxy.url.replace("localhost", "127.0.0.1")
        told = {"AWS_ENDPOINT_URL": address, "AWS_ENDPOINT_URL_S3": world.pod.aws.url}
        ended = world.deploy({"Dog": topic(), "Cow": topic()}, variables=told)
        assert proxy.refused > 0
    assert (ended.exit_code, world.told) == (
        1,
        (
            "DeploymentFailed",
            "The deployment of Dog, Cow failed with exit status 4.\n"
            "Rien ne va plus.\n"
            "CloudFormation cannot be asked about them, and the CDK CLI says of none that it failed.",
            ["What is still going on, the next run waits for."],
        ),
    )
    assert world.recorded == {}


def test_a_deployment_that_an_outage_cut_off_goes_on_where_it_was(world: World) -> None:
    world.speak(CUT_OFF)
    ended = world.deploy({"Dog": topic(), "Cow": topic(), "Ant": topic()})
    assert ended.exit_code == 0, ended.output
    assert world.statuses == dict.fromkeys(("Dog", "Cow", "Ant"), "CREATE_COMPLETE")
    assert world.recorded == dict.fromkeys(("Dog", "Cow", "Ant"), ("succeeded", True))
    told = [line for line in ended.output.splitlines() if line.startswith(("==> Deploying", "The CDK CLI"))]
    assert told == [
        "==> Deploying Dog (1 of 3)",
        "The CDK CLI could not reach AWS. It is called again for Cow, Ant.",
        "==> Deploying Cow (2 of 3)",
        "==> Deploying Ant (3 of 3)",
    ]


def test_a_stack_that_failed_is_not_tried_again_because_of_an_outage(world: World) -> None:
    world.speak('$any "$@" > /dev/null; echo "‣ Error: connect ECONNREFUSED 127.0.0.1:443"; exit 1')
    ended = world.deploy({"Cow": BROKEN, "Ant": topic()})
    kind, message, _ = world.told
    assert (ended.exit_code, kind, message) == (
        1,
        "DeploymentFailed",
        "The deployment of Cow failed with exit status 1.\n"
        "Topic (AWS::SNS::Topic) CREATE_FAILED: No export named no-such-export found.",
    )
    assert (world.statuses, world.recorded) == ({"Cow": "ROLLBACK_COMPLETE"}, {"Cow": ("failed", None)})
