"""A pod with a CDK CLI whose deployments fail as a test says, and what is told of that."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import any_cdk
from tests.support.moto_endpoint import MotoEndpoint
from tests.support.pod import PIPELINE_ACCOUNT, RUN, Ended, Pod, make_stores
from tests.support.repository import new_repository

STAGE = "deploy-dev"
APP = 'cp *.json "$CDK_OUTDIR"'
ANY = f"{sys.executable} -I -S {any_cdk.__file__}"


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
        variables: Mapping[str, str] | None = None,
        **deployment: str,
    ) -> Ended:
        """Build a commit and deploy it.

        Args:
            stacks: the templates that the app makes.
            wanted: the stacks that are configured; without it all.
            needs: which stacks need which.
            app: the app's command.
            variables: further variables of the pod.
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
        return self.pod.run("environment", sha, STAGE, **told, **(variables or {}))

    def speak(self, script: str) -> None:
        """Have another CLI deploy: a shell script, in which `$any` is the CLI that this one is otherwise."""
        program = f'any=\'{ANY}\'\nif [ "$1" != deploy ]; then exec $any "$@"; fi\n'
        self.cdk.write_text(f"#!/bin/sh\n{program}{script}\n")

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


def new_world(aws: MotoEndpoint, folder: Path) -> World:
    """A pod in an AWS that is empty but for what the platform makes."""
    aws.reset()
    make_stores(aws)
    program = folder / "bin" / "cdk"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {ANY} "$@"\n')
    program.chmod(0o755)
    return World(Pod(aws, new_repository(folder / "repository"), folder), program)
