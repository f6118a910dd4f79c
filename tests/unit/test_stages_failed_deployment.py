"""A deployment or a synthesis that fails, through the stage: whole messages, and what is kept of what was finished."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.failing_world import BROKEN, EXPORTER, STAGE, World, imported, new_world, topic
from tests.support.moto_endpoint import MotoEndpoint, moto_endpoint

AT = "--region us-east-1"
CONSOLE = "https://us-east-1.console.aws.amazon.com/cloudformation/home?region=us-east-1#/stacks/events?stackId="


@pytest.fixture(scope="module")
def aws() -> Iterator[MotoEndpoint]:
    with moto_endpoint() as endpoint:
        yield endpoint


@pytest.fixture
def world(aws: MotoEndpoint, tmp_path: Path) -> World:
    return new_world(aws, tmp_path)


def test_a_failed_stack_is_explained_those_before_it_are_kept_and_those_after_it_not_begun(world: World) -> None:
    ended = world.deploy({"Dog": topic(), "Bee": topic(), "Cow": BROKEN, "Ant": topic()})
    assert ended.exit_code == 1
    stacks = world.account
    cow = stacks["Cow"]["StackId"]
    assert world.told == (
        "DeploymentFailed",
        "The deployment of Cow failed with exit status 1.\n"
        "Topic (AWS::SNS::Topic) CREATE_FAILED: No export named no-such-export found.",
        [
            "Cow is ROLLBACK_COMPLETE now. Correct the cause and start a new run, which deletes it first. "
            f"To delete it yourself: aws cloudformation delete-stack --stack-name Cow {AT}",
            f"In CloudFormation: {CONSOLE}{quote(cow, '')}",
            "Stacks and environments after it were not begun.",
        ],
    )
    assert world.statuses == {"Dog": "CREATE_COMPLETE", "Bee": "CREATE_COMPLETE", "Cow": "ROLLBACK_COMPLETE"}
    assert world.recorded == {"Dog": ("succeeded", True), "Bee": ("succeeded", True), "Cow": ("failed", None)}
    outputs = {name: {"Topic": stacks[name]["Outputs"][0]["OutputValue"]} for name in ("Dog", "Bee")}
    assert world.pod.item()["outputs"] == {"dev": outputs}
    assert json.loads(world.parameter.read_text()) == outputs
    error = world.error
    known = ("stack", "stack_id", "stack_status", "exit_code", "console")
    assert [error[key] for key in known] == ["Cow", cow, "ROLLBACK_COMPLETE", 1, f"{CONSOLE}{quote(cow, '')}"]
    assert [(each["resource"], each["status"], each["reason"]) for each in error["events"]] == [
        ("Topic", "CREATE_FAILED", "No export named no-such-export found."),
        ("Cow", "CREATE_FAILED", "No export named no-such-export found."),
    ]
    assert [(each["stack"], each["id"]) for each in error["stacks"]] == [
        (name, stacks[name]["StackId"]) for name in ("Dog", "Bee")
    ]


def test_a_stack_whose_creation_was_undone_is_deployed_by_the_next_run_which_says_so(world: World) -> None:
    assert world.deploy({"Cow": BROKEN}).exit_code == 1
    ended = world.deploy({"Cow": topic(), "Ant": topic()})
    assert (ended.exit_code, world.statuses) == (0, {"Cow": "CREATE_COMPLETE", "Ant": "CREATE_COMPLETE"})
    warnings = [line for line in ended.output.splitlines() if line.startswith("warning: ")]
    assert warnings == [
        "warning: Cow is ROLLBACK_COMPLETE. Its creation failed before and was undone. "
        "The CDK CLI deletes it and creates it again."
    ]


def test_stacks_that_cannot_be_deployed_are_all_named_before_anything_is_begun(world: World) -> None:
    client = world.pod.aws.client("cloudformation")
    client.create_stack(StackName="Exporter", TemplateBody=json.dumps(EXPORTER))
    for name in ("Cow", "Bee"):
        client.create_stack(StackName=name, TemplateBody=json.dumps(imported("the-export")))
    client.delete_stack(StackName="Exporter")
    for name in ("Cow", "Bee"):  # neither what is asked for nor what there was can be had
        client.update_stack(StackName=name, TemplateBody=json.dumps(BROKEN))
    before = {"Cow": "UPDATE_ROLLBACK_FAILED", "Bee": "UPDATE_ROLLBACK_FAILED"}
    assert world.statuses == before

    ended = world.deploy({"Ant": topic(), "Cow": topic(), "Bee": topic()})
    problems = [
        f"{name} is UPDATE_ROLLBACK_FAILED. An update of it failed, and so did undoing the update." for name in before
    ]
    restore = "Bring it back to its former state: aws cloudformation continue-update-rollback --stack-name"
    skip = "If a resource cannot be restored, add --resources-to-skip LOGICAL_ID. Then start a new run."
    assert (ended.exit_code, world.told) == (
        1,
        (
            "StackBlocked",
            "\n".join(["Stacks cannot be deployed as they are:", *problems]),
            [f"{restore} Cow {AT}", skip, f"{restore} Bee {AT}", skip, "Nothing was deployed."],
        ),
    )
    assert (world.error["stack"], world.error["problems"]) == ("Cow", problems)
    assert (world.statuses, world.recorded) == (before, {})


def test_a_stack_that_needs_one_that_nobody_deployed_is_told_so(world: World) -> None:
    stacks = {"Net": EXPORTER, "Cow": imported("the-export")}
    ended = world.deploy(stacks, ["Cow"], needs={"Cow": ["Net"]})
    needed = (
        "Cow depends on Net, which is not among the environment's stacks and is not deployed by it. "
        "Add it before Cow, or deploy it otherwise."
    )
    assert f"warning: {needed}" in ended.output.splitlines()
    assert (ended.exit_code, world.told[:2]) == (
        1,
        (
            "DeploymentFailed",
            "The deployment of Cow failed with exit status 1.\n"
            "Topic (AWS::SNS::Topic) CREATE_FAILED: No export named the-export found.\n"
            f"{needed}\nNet does not exist in the account.",
        ),
    )


def test_a_deployment_that_does_not_end_is_ended_and_the_time_it_had_is_named(world: World) -> None:
    # What comes before the deployment is quick; what is deployed never ends.
    world.speak('echo "Cow: deploying... [1/2]"; exec sleep 600')
    ended = world.deploy({"Cow": topic(), "Ant": topic()}, timeout="1s")
    assert (ended.exit_code, world.told) == (
        1,
        (
            "DeploymentFailed",
            "The deployment of Cow did not end within 1s, which deployment.timeout gives to all stacks together.",
            ["Stacks and environments after it were not begun."],
        ),
    )
    assert (world.error["timed_out"], world.recorded) == (True, {"Cow": ("failed", None)})


def test_an_app_that_fails_is_quoted_and_nothing_is_deployed(world: World) -> None:
    ended = world.deploy({"Cow": topic()}, app="sh -c 'echo Looking for a VPC; echo Error: no VPC >&2; exit 3'")
    assert (ended.exit_code, world.told) == (
        1,
        (
            "SynthesisFailed",
            "The synthesis of the CDK app in . failed with exit status 3.\nError: no VPC",
            ["Nothing was deployed."],
        ),
    )
    assert (world.error["exit_code"], world.error["output"]) == (3, "Looking for a VPC\nError: no VPC\n")
    assert (world.statuses, world.recorded) == ({}, {})


def test_an_app_that_writes_nothing_is_no_success(world: World) -> None:
    ended = world.deploy({"Cow": topic()}, app="true")
    file = world.pod.folder / STAGE / "assembly" / "app" / "manifest.json"
    message = f"The synthesis wrote no cloud assembly: {file} is missing."
    assert (ended.exit_code, world.told) == (1, ("StageError", message, []))
    assert (world.statuses, world.recorded) == ({}, {})


def test_stacks_that_the_app_did_not_make_are_named_with_those_that_it_made(world: World) -> None:
    ended = world.deploy({"Cow": topic(), "Ant": topic()}, ["Cow", "Dog", "Bee"])
    assert (ended.exit_code, world.told) == (
        1,
        (
            "StackNotFound",
            "The CDK app made no stack Dog, Bee.",
            ["It made: Ant, Cow. Correct the name in aphex-config.yaml, or the app."],
        ),
    )
    assert (world.error["missing"], world.error["available"]) == (["Dog", "Bee"], ["Ant", "Cow"])
    assert (world.statuses, world.recorded) == ({}, {})


def test_an_order_that_contradicts_the_app_is_refused_before_anything_is_begun(world: World) -> None:
    stacks = {"Ant": topic(), "Bee": topic(), "Cow": topic()}
    ended = world.deploy(stacks, ["Cow", "Bee", "Ant"], needs={"Bee": ["Ant"], "Cow": ["Bee"]})
    problems = [
        "Cow depends on Bee, which comes after it.",
        "Cow depends on Ant, which comes after it.",
        "Bee depends on Ant, which comes after it.",
    ]
    assert (ended.exit_code, world.told) == (
        1,
        (
            "WrongOrder",
            "\n".join(["The stacks of the environment dev cannot be deployed in their order:", *problems]),
            ["Change the order of stacks in aphex-config.yaml. Nothing was deployed."],
        ),
    )
    assert (world.error["problems"], world.statuses, world.recorded) == (problems, {}, {})
