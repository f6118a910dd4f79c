"""A deployment or a synthesis that fails, through the stage: whole messages, and what is kept of what was finished."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.support import any_cdk
from tests.support.moto_endpoint import MotoEndpoint, moto_endpoint
from tests.support.pod import PIPELINE_ACCOUNT, RUN, Ended, Pod, make_stores
from tests.support.repository import new_repository

STAGE = "deploy-dev"
AT = "--region us-east-1"
CONSOLE = "https://us-east-1.console.aws.amazon.com/cloudformation/home?region=us-east-1#/stacks/events?stackId="
APP = 'cp *.json "$CDK_OUTDIR"'
# What comes before the deployment is quick; what is deployed never ends.
STUCK = """\
#!/bin/sh
if [ "$1" = deploy ]; then echo "Cow: deploying... [1/2]"; exec sleep 600; fi
exec {python} -I -S {cdk} "$@"
"""


def topic(**properties: Any) -> dict[str, Any]:
    return {
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic", "Properties": properties}},
        "Outputs": {"Topic": {"Value": {"Ref": "Topic"}}},
    }


def imported(export: str) -> dict[str, Any]:
    return topic(DisplayName={"Fn::ImportValue": export})


BROKEN = imported("no-such-export")
EXPORTER = {**topic(), "Outputs": {"Name": {"Value": "a name", "Export": {"Name": "the-export"}}}}


@dataclass(frozen=True)
class World:
    """A pod with a CDK CLI."""

    pod: Pod
    cdk: Path

    def deploy(
        self,
        stacks: Mapping[str, Any],
        wanted: Sequence[str] = (),
        *,
        needs: Mapping[str, list[str]] | None = None,
        app: str = APP,
        **deployment: str,
    ) -> Ended:
        """Build a commit and deploy it.

        Args:
            stacks: the templates that the app makes.
            wanted: the stacks that are configured; without it all.
            needs: which stacks need which.
            app: the app's command.
            deployment: the options of the environment.
        """
        artifacts = {
            name: {
                "type": "aws:cloudformation:stack",
                "environment": "aws://unknown-account/unknown-region",
                "displayName": name,
                "properties": {"templateFile": f"{name}.json"},
                "dependencies": (needs or {}).get(name, []),
            }
            for name in stacks
        }
        environment = {
            "name": "dev",
            "region": "us-east-1",
            "account": PIPELINE_ACCOUNT,
            "stacks": [{"name": name, "path": "."} for name in wanted or stacks],
            "deployment": deployment,
        }
        build = {"commands": ["mkdir dist && echo built > dist/made"]}
        files: dict[str, str | None] = {f"{name}.json": json.dumps(each) for name, each in stacks.items()}
        files |= {"aphex-config.yaml": json.dumps({"version": "1.0", "build": build, "environments": [environment]})}
        files |= {".gitignore": "dist\n", "cdk.json": json.dumps({"app": app})}
        files |= {"manifest.json": json.dumps({"version": "36.0.0", "artifacts": artifacts})}
        sha = self.pod.repository.commit(files)
        for stage in ("build", STAGE):  # each pod has a volume of its own
            shutil.rmtree(self.pod.folder / stage, ignore_errors=True)
        assert self.pod.run("build", sha).exit_code == 0
        path = f"{self.cdk.parent}:/usr/bin:/bin"
        told = {"APHEX_ENVIRONMENT": "dev", "APHEX_OUTPUTS_PARAMETER": str(self.parameter), "PATH": path}
        return self.pod.run("environment", sha, STAGE, **told)

    @property
    def parameter(self) -> Path:
        """The outputs that Argo reads."""
        return self.pod.folder / "outputs.json"

    @property
    def error(self) -> dict[str, Any]:
        """The record of the failure."""
        error: dict[str, Any] = self.pod.json(f"runs/{RUN}/errors/{STAGE}.json")
        return error

    @property
    def told(self) -> tuple[str, str, list[str]]:
        """The kind of the failure, its message and the lines of its hint: as recorded, and the same in the item."""
        error, kept = self.error, self.pod.item()["stages"][STAGE]["error"]
        assert [kept[key] for key in ("type", "message", "hint")] == [error["type"], error["message"], error["hint"]]
        return error["type"], error["message"], error["hint"].splitlines()

    @property
    def recorded(self) -> dict[str, tuple[str, bool | None]]:
        """How each stack ended as the run's item has it, and whether it was changed."""
        stacks = self.pod.item()["stacks"].get("dev", {})
        return {name: (each["status"], each.get("changed")) for name, each in stacks.items()}

    @property
    def account(self) -> dict[str, dict[str, Any]]:
        """The stacks that there are."""
        return {each["StackName"]: each for each in self.pod.aws.client("cloudformation").describe_stacks()["Stacks"]}

    @property
    def statuses(self) -> dict[str, str]:
        """Their statuses."""
        return {name: each["StackStatus"] for name, each in self.account.items()}


@pytest.fixture(scope="module")
def aws() -> Iterator[MotoEndpoint]:
    with moto_endpoint() as endpoint:
        yield endpoint


@pytest.fixture
def world(aws: MotoEndpoint, tmp_path: Path) -> World:
    aws.reset()
    make_stores(aws)
    program = tmp_path / "bin" / "cdk"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S {any_cdk.__file__} "$@"\n')
    program.chmod(0o755)
    return World(Pod(aws, new_repository(tmp_path / "repository"), tmp_path), program)


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


def test_a_deployment_that_does_not_end_is_ended_and_the_time_it_had_is_named(world: World) -> None:
    world.cdk.write_text(STUCK.format(python=sys.executable, cdk=any_cdk.__file__))
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
