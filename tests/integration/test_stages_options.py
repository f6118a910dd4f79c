"""What `deployment` configures and CDK Stages, through the environment stage with the real CDK CLI.

Where the AWS stand-in does nothing different for an option, what the CLI asked CloudFormation for tells that it was
understood. The CDK app writes its cloud assembly itself, so that no CDK library is needed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import pytest

from tests.support.cdk_app import app_files, path_with_cdk
from tests.support.expiring_aws import expiring_aws
from tests.support.moto_endpoint import MotoEndpoint, moto_endpoint
from tests.support.pod import PIPELINE_ACCOUNT, RUN, Ended, Pod, make_stores
from tests.support.repository import new_repository

pytestmark = pytest.mark.engine

ROLE = "functions"
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
)


def topic() -> dict[str, Any]:
    return {
        "Parameters": {"Shown": {"Type": "String", "Default": "by default"}},
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": {"Ref": "Shown"}}}},
        "Outputs": {"Topic": {"Value": {"Ref": "Topic"}}},
    }


def function(word: str) -> dict[str, Any]:
    """A Lambda function, whose code can be changed past CloudFormation."""
    properties = {
        "FunctionName": "function",
        "Role": f"arn:aws:iam::{PIPELINE_ACCOUNT}:role/{ROLE}",
        "Runtime": "python3.12",
        "Handler": "index.handler",
        "Code": {"ZipFile": f"def handler(event, context):\n    return {word!r}\n"},
    }
    return {"Resources": {"Function": {"Type": "AWS::Lambda::Function", "Properties": properties}}}


# The ids of CDK's own Stages have a hash, and the stacks in them names of their own in CloudFormation.
STACKS = {
    "Live": {
        "Assembly": {
            "Stage": {
                "Net": {**topic(), "Assembly": {"Properties": {"stackName": "Live-Network"}}},
                "Web": {**topic(), "Assembly": {"Properties": {"stackName": "Live-Web"}, "Needs": ["Live-Net"]}},
            }
        }
    },
    "Alone": {**topic(), "Assembly": {"Properties": {"tags": {"owner": "team", "made-by": "app"}}}},
    "Function": function("first"),
}


@dataclass
class World:
    """A pod, the real CLI, and a record of what CloudFormation was asked."""

    pod: Pod
    path: str
    endpoint: str
    stage: str = ""
    commit: str = ""
    asked: list[dict[str, str]] = field(default_factory=list)

    def deploy(
        self,
        stacks: list[dict[str, Any]],
        deployment: dict[str, Any] | None = None,
        templates: dict[str, Any] | None = None,
        cdk: dict[str, Any] | None = None,
        files: dict[str, str] | None = None,
    ) -> Ended:
        """Build and deploy a commit; `asked` has what CloudFormation was asked meanwhile."""
        environment = {
            "name": "dev",
            "region": "us-east-1",
            "account": PIPELINE_ACCOUNT,
            "stacks": [{"path": "infra", **each} for each in stacks],
            "deployment": deployment or {},
        }
        build = {"commands": ["mkdir -p dist && date +%s%N > dist/made"]}
        config = {"version": "1.0", "build": build, "cdk": cdk or {}, "environments": [environment]}
        made = app_files(json.loads(json.dumps(templates or STACKS)))
        sha = self.pod.repository.commit(
            {".gitignore": "dist\n", "aphex-config.yaml": json.dumps(config), **made, **(files or {})}
        )
        assert self.pod.run("build", sha, f"build-{sha[:8]}").exit_code == 0
        self.commit = sha
        return self.again("deploy")

    def again(self, name: str) -> Ended:
        """Deploy the last commit by a stage of a name of its own."""
        self.stage = f"{name}-{self.commit[:8]}"
        self.asked.clear()
        return self.pod.run(
            "environment",
            self.commit,
            self.stage,
            APHEX_ENVIRONMENT="dev",
            APHEX_OUTPUTS_PARAMETER=str(self.pod.folder / "outputs.json"),
            AWS_ENDPOINT_URL=self.endpoint,
            AWS_ENDPOINT_URL_S3=self.pod.aws.url.replace("localhost", "127.0.0.1"),
            PATH=self.path,
        )

    def record(self, body: str) -> bool:
        """Keep a request."""
        self.asked.append({key: values[0] for key, values in parse_qs(body).items()})
        return False

    def requests(self, action: str) -> list[dict[str, str]]:
        """The requests for one action."""
        return [each for each in self.asked if each.get("Action") == action]

    def stack(self, name: str) -> dict[str, Any]:
        """A stack as CloudFormation has it."""
        found: dict[str, Any] = self.pod.aws.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
        return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    path = path_with_cdk(tmp_path_factory.mktemp("bin"))
    folder = tmp_path_factory.mktemp("pod")
    with moto_endpoint() as local:
        # The stand-in finds templates by addresses with the word localhost.
        aws = MotoEndpoint(local.url.replace("127.0.0.1", "localhost"))
        make_stores(aws)
        aws.client("iam").create_role(RoleName=ROLE, AssumeRolePolicyDocument=TRUST)
        made = World(Pod(aws, new_repository(folder / "repository"), folder), path, "")
        with expiring_aws(aws.url, made.record) as proxy:
            made.endpoint = proxy.url
            yield made


def parameters(stack: dict[str, Any]) -> dict[str, str]:
    return {each["ParameterKey"]: each["ParameterValue"] for each in stack.get("Parameters", [])}


def tags(stack: dict[str, Any]) -> dict[str, str]:
    return {each["Key"]: each["Value"] for each in stack["Tags"]}


def test_stacks_in_a_cdk_stage_with_parameters_and_tags_and_then_without_changes(world: World) -> None:
    ended = world.deploy(
        [
            {"name": "Live/Net", "parameters": {"Shown": "given = with, signs"}},
            {"name": "Live/Web"},
            {"name": "Alone", "parameters": {"Shown": "alone"}},
        ],
        {"tags": {"made-by": "configuration", "cost center": "42"}},
    )
    assert ended.exit_code == 0, ended.output
    assert [line for line in ended.output.splitlines() if line.startswith("==> Deploying")] == [
        "==> Deploying Live/Net (1 of 3)",
        "==> Deploying Live/Web (2 of 3)",
        "==> Deploying Alone (3 of 3)",
    ]
    assert [each["StackName"] for each in world.requests("CreateStack")] == ["Live-Network", "Live-Web", "Alone"]
    network, web, alone = (world.stack(name) for name in ("Live-Network", "Live-Web", "Alone"))
    assert [parameters(each) for each in (network, web, alone)] == [
        {"Shown": "given = with, signs"},
        {"Shown": "by default"},
        {"Shown": "alone"},
    ]
    given = {"made-by": "configuration", "cost center": "42"}
    assert [tags(each) for each in (network, web, alone)] == [given, given, {"owner": "team", **given}]
    records = world.pod.item()["stacks"]["dev"]
    assert {name: (each["status"], each["changed"]) for name, each in records.items()} == dict.fromkeys(
        ("Live/Net", "Live/Web", "Alone"), ("succeeded", True)
    )
    outputs = world.pod.json(f"runs/{RUN}/outputs/dev.json")
    assert outputs["Live/Net"]["Topic"].startswith("arn:aws:sns:")

    again = world.again("again")
    assert again.exit_code == 0, again.output
    assert [line.partition(" (")[0] for line in again.output.splitlines() if "has no changes" in line] == [
        "    Live/Net has no changes",
        "    Live/Web has no changes",
        "    Alone has no changes",
    ]
    assert (world.requests("UpdateStack"), world.requests("CreateStack")) == ([], [])
    assert [each["changed"] for each in world.pod.item()["stacks"]["dev"].values()] == [False, False, False]
    assert world.pod.json(f"runs/{RUN}/outputs/dev.json") == outputs


def test_express_is_what_cloudformation_is_asked_for(world: World) -> None:
    templates = {**STACKS, "Alone": {**topic(), "Metadata": {"changed": "for express"}}}
    ended = world.deploy([{"name": "Alone"}], {"express": True}, templates)
    assert ended.exit_code == 0, ended.output
    (update,) = world.requests("UpdateStack")
    assert update["DeploymentConfig.Mode"] == "EXPRESS"


def code(world: World) -> str:
    """The digest of the function's code."""
    found = world.pod.aws.client("lambda").get_function(FunctionName="function")
    return str(found["Configuration"]["CodeSha256"])


def test_hotswap_changes_a_resource_past_cloudformation(world: World) -> None:
    assert world.deploy([{"name": "Function"}]).exit_code == 0
    before = code(world)
    ended = world.deploy([{"name": "Function"}], {"hotswap": "only"}, {**STACKS, "Function": function("swapped")})
    assert ended.exit_code == 0, ended.output
    assert (world.requests("UpdateStack"), world.requests("CreateChangeSet")) == ([], [])
    assert code(world) != before
    template = world.pod.aws.client("cloudformation").get_template(StackName="Function")["TemplateBody"]
    assert "swapped" not in json.dumps(template)


def test_hotswap_falls_back_to_a_deployment_for_what_it_cannot_change(world: World) -> None:
    changed = function("deployed")
    changed["Resources"]["Topic"] = {"Type": "AWS::SNS::Topic"}
    ended = world.deploy([{"name": "Function"}], {"hotswap": "fall-back"}, {**STACKS, "Function": changed})
    assert ended.exit_code == 0, ended.output
    resources = world.pod.aws.client("cloudformation").describe_stack_resources(StackName="Function")["StackResources"]
    assert {each["LogicalResourceId"] for each in resources} == {"Function", "Topic"}


def test_a_synthesis_that_does_not_end_is_stopped_and_nothing_is_deployed(world: World) -> None:
    files = {"infra/app.py": "import time\nprint('Bundling', flush=True)\ntime.sleep(600)\n"}
    ended = world.deploy([{"name": "Alone"}], cdk={"synthesis_timeout": "6s"}, files=files)
    assert ended.exit_code == 1
    error = world.pod.json(f"runs/{RUN}/errors/{world.stage}.json")
    assert (error["type"], error["message"], error["hint"], error["timed_out"]) == (
        "SynthesisFailed",
        "The synthesis of the CDK app in infra did not end within 6s and was stopped.",
        "Give it a longer cdk.synthesis_timeout in aphex-config.yaml if it needs one. Nothing was deployed.",
        True,
    )
    assert "Bundling" in ended.output
    assert world.requests("UpdateStack") == []
