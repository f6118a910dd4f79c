"""Hooks around a deployment: what a failed one stops, and what it leaves as it is."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support import any_cdk
from tests.support.moto_endpoint import MotoEndpoint, moto_endpoint
from tests.support.pod import PIPELINE_ACCOUNT, RUN, Ended, Pod, make_stores
from tests.support.repository import new_repository

CONFIG = f"""\
version: "1.0"
build:
  commands: ["mkdir dist && echo built > dist/made"]
environments:
  - name: dev
    region: us-east-1
    account: "{PIPELINE_ACCOUNT}"
    hooks: {{hooks}}
    stacks:
      - {{{{name: App, path: .}}}}
"""
TEMPLATE = {
    "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
    "Outputs": {"Topic": {"Value": {"Ref": "Topic"}}},
}
MANIFEST = {
    "version": "36.0.0",
    "artifacts": {
        "App": {
            "type": "aws:cloudformation:stack",
            "environment": "aws://unknown-account/unknown-region",
            "displayName": "App",
            "properties": {"templateFile": "App.json"},
        }
    },
}


@dataclass(frozen=True)
class World:
    """A pod with a CDK CLI, and what its AWS has of stacks."""

    pod: Pod
    path: str

    def deploy(self, **hooks: list[str]) -> Ended:
        files: dict[str, str | None] = {".gitignore": "dist\n"}
        files |= {"aphex-config.yaml": CONFIG.format(hooks=json.dumps(hooks))}
        files |= {"App.json": json.dumps(TEMPLATE), "manifest.json": json.dumps(MANIFEST)}
        files |= {"cdk.json": json.dumps({"app": 'cp App.json manifest.json "$CDK_OUTDIR"'})}
        sha = self.pod.repository.commit(files)
        assert self.pod.run("build", sha).exit_code == 0
        outputs = str(self.pod.folder / "outputs.json")
        told = {"APHEX_ENVIRONMENT": "dev", "APHEX_OUTPUTS_PARAMETER": outputs, "PATH": self.path}
        return self.pod.run("environment", sha, "deploy-dev", **told)

    def stacks(self) -> list[str]:
        return [each["StackName"] for each in self.pod.aws.client("cloudformation").describe_stacks()["Stacks"]]

    def error(self) -> dict[str, Any]:
        error = self.pod.json(f"runs/{RUN}/errors/deploy-dev.json")
        return {key: error[key] for key in ("message", "field", "command", "exit_code", "output")}


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
    return World(Pod(aws, new_repository(tmp_path / "repository"), tmp_path), f"{program.parent}:/usr/bin:/bin")


def test_hooks_run_around_the_deployment_with_its_account_and_outputs(world: World) -> None:
    ended = world.deploy(
        pre=["cat dist/made; echo before in $AWS_REGION"], post=['echo "after ${APHEX_OUTPUT_APP__TOPIC##*:}"']
    )
    assert ended.exit_code == 0, ended.output
    topic = world.pod.json(f"runs/{RUN}/outputs/dev.json")["App"]["Topic"].rpartition(":")[2]
    order = ["\nbuilt\n", "\nbefore in us-east-1\n", "\n✅  App\n", f"\nafter {topic}\n"]
    assert all(text in ended.output for text in order), ended.output
    assert sorted(order, key=ended.output.index) == order


def test_a_failed_hook_before_the_deployment_deploys_nothing(world: World) -> None:
    ended = world.deploy(pre=["echo checked", "echo not today; exit 3", "echo never"], post=["echo never"])
    assert ended.exit_code == 1
    assert world.error() == {
        "message": "environments[0].hooks.pre[1] failed with exit status 3: echo not today; exit 3",
        "field": "environments[0].hooks.pre[1]",
        "command": "echo not today; exit 3",
        "exit_code": 3,
        "output": "not today\n",
    }
    assert world.stacks() == []
    assert "Synthesizing" not in ended.output
    assert world.pod.item()["stages"]["deploy-dev"]["status"] == "failed"


def test_a_failed_hook_after_the_deployment_leaves_it_and_its_outputs(world: World) -> None:
    ended = world.deploy(post=["echo smoke; exit 4", "echo never"])
    assert ended.exit_code == 1
    assert world.error() == {
        "message": "environments[0].hooks.post[0] failed with exit status 4: echo smoke; exit 4",
        "field": "environments[0].hooks.post[0]",
        "command": "echo smoke; exit 4",
        "exit_code": 4,
        "output": "smoke\n",
    }
    assert world.stacks() == ["App"]
    assert list(world.pod.json(f"runs/{RUN}/outputs/dev.json")) == ["App"]
    assert json.loads((world.pod.folder / "outputs.json").read_text()).keys() == {"App"}
    assert world.pod.item()["stages"]["deploy-dev"]["status"] == "failed"
