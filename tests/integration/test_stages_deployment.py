"""The environment stage with the real CDK CLI against the AWS stand-in: order, outputs, accounts and failures.

The CDK app writes its cloud assembly itself, so that no CDK library is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from tests.support.cdk_app import app_files, path_with_cdk
from tests.support.moto_endpoint import MotoEndpoint, moto_endpoint
from tests.support.pod import RUN, Pod, make_stores
from tests.support.repository import new_repository

pytestmark = pytest.mark.engine

TARGET = "222222222222"
CONFIG = """\
version: "1.0"
build:
  commands: ["mkdir dist && date +%s%N > dist/made"]
environments:
  - name: dev
    region: eu-west-1
    account: "222222222222"
    role: arn:aws:iam::222222222222:role/aphex-deployer
    context: {note: from the configuration, typed: {zones: [1, 2]}}
    hooks:
      pre: [test -f dist/made]
      post: ['echo "topic $APHEX_OUTPUT_CREATED__TOPIC"']
    stacks:
      - {name: Zoo, path: infra/app.py}
      - {name: Created, path: infra}
      - {name: Ant, path: infra}
"""


def topic(**more: Any) -> dict[str, Any]:
    return {
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic", "Properties": more}},
        "Outputs": {"Topic": {"Value": {"Ref": "Topic"}}},
    }


@pytest.fixture(scope="module")
def aws() -> Iterator[MotoEndpoint]:
    with moto_endpoint() as endpoint:
        # The stand-in finds templates by addresses with the word localhost.
        yield MotoEndpoint(endpoint.url.replace("127.0.0.1", "localhost"))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    return path_with_cdk(tmp_path_factory.mktemp("bin"))


@pytest.fixture(scope="module")
def pod(aws: MotoEndpoint, tmp_path_factory: pytest.TempPathFactory) -> Pod:
    make_stores(aws)
    folder = tmp_path_factory.mktemp("pod")
    return Pod(aws, new_repository(folder / "repository"), folder)


def commit(pod: Pod, stacks: dict[str, Any], config: str = CONFIG, **more: str) -> str:
    files = {".gitignore": "dist\n", "aphex-config.yaml": config, **app_files(stacks), **more}
    sha = pod.repository.commit(files)
    assert pod.run("build", sha).exit_code == 0
    return sha


def deploy(pod: Pod, sha: str, path: str, stage: str, **more: str) -> Any:
    local = pod.aws.url.replace("localhost", "127.0.0.1")
    more = {"APHEX_OUTPUTS_PARAMETER": str(pod.folder / "outputs.json"), **more}
    return pod.run("environment", sha, stage, APHEX_ENVIRONMENT="dev", AWS_ENDPOINT_URL_S3=local, PATH=path, **more)


def stacks_in(aws: MotoEndpoint, account: str) -> dict[str, Any]:
    """The stacks of an account and region eu-west-1, the oldest first."""
    root: Any = boto3.Session("test", "test", region_name="eu-west-1")
    role = root.client("sts", endpoint_url=aws.url).assume_role(
        RoleArn=f"arn:aws:iam::{account}:role/reader", RoleSessionName="reader"
    )["Credentials"]
    session: Any = boto3.Session(
        role["AccessKeyId"], role["SecretAccessKey"], role["SessionToken"], region_name="eu-west-1"
    )
    found = session.client("cloudformation", endpoint_url=aws.url).describe_stacks()["Stacks"]
    return {stack["StackName"]: stack for stack in sorted(found, key=lambda stack: stack["CreationTime"])}


# Property 9: stacks are deployed in the configured order (as CloudFormation received them)
# Property 23: each deployment's template was synthesized in its own stage
# Property 25: the synthesized code is that of the run's commit
def test_stacks_are_deployed_in_order_from_one_synthesis_of_the_commit(pod: Pod, aws: MotoEndpoint, path: str) -> None:
    sha = commit(pod, {"Ant": topic(), "Created": topic(), "Other": topic(), "Zoo": topic()})
    pod.repository.commit({"infra/stacks.json": "{}"}, "what comes after is not deployed")
    ended = deploy(pod, sha, path, "deploy-first")
    assert ended.exit_code == 0, ended.output
    found = stacks_in(aws, TARGET)
    assert list(found) == ["Zoo", "Created", "Ant"]
    assert {stack["Description"] for stack in found.values()} == {f"{sha} from the configuration {{'zones': [1, 2]}}"}
    assert (pod.folder / "deploy-first" / "syntheses").read_text() == "once\n"
    outputs = pod.json(f"runs/{RUN}/outputs/dev.json")
    assert list(ended.result["outputs"]) == ["Zoo", "Created", "Ant"]
    assert outputs["Created"]["Topic"].startswith(f"arn:aws:sns:eu-west-1:{TARGET}:")
    assert f"topic {outputs['Created']['Topic']}" in ended.output
    assert stacks_in(aws, "123456789012") == {}


def test_a_failed_stack_keeps_its_events_and_stops_the_rest(pod: Pod, path: str) -> None:
    broken = topic(DisplayName={"Fn::ImportValue": "no-such-export"})
    sha = commit(pod, {"Ant": topic(), "Created": broken, "Zoo": topic()})
    ended = deploy(pod, sha, path, "deploy-second")
    assert ended.exit_code == 1
    assert "==> Deploying Created" in ended.output
    assert "==> Deploying Ant" not in ended.output
    error = pod.json(f"runs/{RUN}/errors/deploy-second.json")
    assert error["stack"] == "Created"
    assert any("no-such-export" in event["reason"] for event in error["events"])
    assert "no-such-export" in error["message"]


def test_stacks_that_the_app_does_not_make_stop_the_stage_before_any_deployment(pod: Pod, path: str) -> None:
    sha = commit(pod, {"Zoo": topic(), "Ant": topic()})
    ended = deploy(pod, sha, path, "deploy-third")
    assert ended.exit_code == 1
    assert "no stack Created" in ended.output
    assert "It made: Ant, Zoo" in ended.output
    assert "==> Deploying" not in ended.output
