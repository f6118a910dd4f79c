"""What is decided before anything is deployed: order, dependencies, tags, the CDK CLI and its options."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from aphex.config import Deployment, Environment
from stages import cdk
from stages.assembly import StackDeployment, read_assembly
from stages.cdk_cli import CdkCli, CliMissing, OptionMissing, find_cli, require_options
from stages.plan import WrongOrder, deployment_plan, deployment_runs, fix_order, unconfigured_dependencies
from stages.progress import DeploymentProgress

ROLE = "arn:${AWS::Partition}:iam::222222222222:role/cdk-hnb659fds-deploy-role-222222222222-eu-west-1"


def environment(*stacks: str, parameters: dict[str, str] | None = None, **deployment: Any) -> Environment:
    return Environment.model_validate(
        {
            "name": "dev",
            "region": "eu-west-1",
            "account": "222222222222",
            "deployment": deployment,
            "stacks": [{"name": name, "path": "app", "parameters": parameters or {}} for name in stacks],
        }
    )


def write_manifest(folder: Path, stacks: dict[str, list[str]], **properties: Any) -> None:
    artifacts: dict[str, Any] = {f"{name}.assets": {"type": "cdk:asset-manifest"} for name in stacks}
    for name, needs in stacks.items():
        artifacts[name] = {
            "type": "aws:cloudformation:stack",
            "properties": {"templateFile": f"{name}.json", "assumeRoleArn": ROLE, **properties},
            "dependencies": [*needs, f"{name}.assets"],
        }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps({"version": "48.0.0", "artifacts": artifacts}))


def planned(folder: Path, stacks: dict[str, list[str]], wanted: Environment) -> list[StackDeployment]:
    write_manifest(folder, stacks)
    assembly = read_assembly(folder, "app")
    return deployment_plan(wanted, wanted.account, [(stack, assembly) for stack in wanted.stacks])


def test_an_order_that_contradicts_the_app_is_refused_with_every_contradiction(tmp_path: Path) -> None:
    with pytest.raises(WrongOrder) as caught:
        planned(tmp_path, {"Data": [], "Api": ["Data"], "Site": ["Api"]}, environment("Site", "Api", "Data"))
    assert caught.value.message == (
        "The stacks of the environment dev cannot be deployed in their order:\n"
        "Site depends on Api, which comes after it.\n"
        "Site depends on Data, which comes after it.\n"
        "Api depends on Data, which comes after it."
    )
    assert caught.value.hint == "Change the order of stacks in aphex-config.yaml. Nothing was deployed."


def test_a_stack_by_two_names_is_refused(tmp_path: Path) -> None:
    write_manifest(tmp_path, {"Data": []}, stackName="cfn-Data")
    assembly, wanted = read_assembly(tmp_path, "app"), environment("Data", "cfn-Data")
    with pytest.raises(WrongOrder, match="Data and cfn-Data are the same stack"):
        deployment_plan(wanted, wanted.account, [(stack, assembly) for stack in wanted.stacks])


def test_dependencies_that_are_not_configured_are_reported(tmp_path: Path) -> None:
    plan = planned(tmp_path, {"Net": [], "Data": ["Net"], "Api": ["Data"]}, environment("Api"))
    assert [each.text for each in unconfigured_dependencies(plan)] == [
        "Api depends on Data, which is not among the environment's stacks and is not deployed by it. "
        "Add it before Api, or deploy it otherwise."
    ]


def test_the_manifest_fixes_the_order_and_joins_the_tags(tmp_path: Path) -> None:
    write_manifest(tmp_path, {"A": [], "B": [], "C": ["B"]}, tags={"team": "shop", "cost": "1"})
    assembly, wanted = read_assembly(tmp_path, "app"), environment("B", "A", "C")
    fix_order(deployment_plan(wanted, wanted.account, [(stack, assembly) for stack in wanted.stacks]), {"cost": "2"})
    artifacts = json.loads((tmp_path / "manifest.json").read_text())["artifacts"]
    assert {name: artifacts[name]["dependencies"] for name in "ABC"} == {
        "B": ["B.assets"],
        "A": ["A.assets", "B"],
        "C": ["A", "B", "C.assets"],
    }
    assert artifacts["A"]["properties"]["tags"] == {"team": "shop", "cost": "2"}


def test_neighbours_of_one_manifest_are_one_call_of_the_cli(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_manifest(tmp_path / name, {"A": [], "B": [], "C": []})
    one, two = read_assembly(tmp_path / "one", "one"), read_assembly(tmp_path / "two", "two")
    wanted = environment("A", "B", "C")
    pairs = list(zip(wanted.stacks, [one, one, two], strict=True))
    runs = deployment_runs(deployment_plan(wanted, wanted.account, pairs))
    assert [[each.artifact.path for each in run] for run in runs] == [["A", "B"], ["C"]]


def test_the_command_has_all_that_is_configured(tmp_path: Path) -> None:
    wanted = environment("A", "B", parameters={"Size": "a=b:c"}, method="direct", hotswap="fall-back")
    plan = planned(tmp_path, {"A": [], "B": []}, wanted)
    assert cdk.deploy_command("/bin/cdk", plan, wanted.deployment, "change-set") == [
        *("/bin/cdk", "deploy", "--app", str(tmp_path), "--exclusively", "--concurrency", "1"),
        *("--require-approval", "never", "--progress", "events", "--method", "direct", "--hotswap-fallback"),
        *("--parameters", "A:Size=a=b:c", "--parameters", "B:Size=a=b:c"),
        *("--no-color", "--no-notices", "--ci", "A", "B"),
    ]
    safe = cdk.deploy_command("/bin/cdk", plan, Deployment(), "change-set")
    assert safe[safe.index("--method") + 1] == "change-set"
    assert "--express" in cdk.deploy_command("/bin/cdk", plan, Deployment(express=True), "change-set")


def install(folder: Path, version: str, options: str = "") -> Path:
    """A CDK CLI as npm installs it, of which `deploy --help` says which options it has."""
    package = folder / "node_modules" / "aws-cdk"
    (package / "bin").mkdir(parents=True)
    (package / "package.json").write_text(json.dumps({"name": "aws-cdk", "version": version}))
    program = package / "bin" / "cdk"
    program.write_text(f"#!/bin/sh\nprintf '%s\\n' '{options}'\n")
    program.chmod(0o755)
    link = folder / "node_modules" / ".bin" / "cdk"
    link.parent.mkdir()
    link.symlink_to("../aws-cdk/bin/cdk")
    return link


@pytest.fixture
def image(tmp_path: Path) -> str:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "cdk").symlink_to(install(tmp_path / "opt", "2.1148.1"))
    (tmp_path / "opt" / "compile-cache").mkdir()
    return f"{tmp_path / 'bin'}{os.pathsep}/usr/bin:/bin"


def test_the_image_s_cli_is_used_unless_the_application_has_its_own(tmp_path: Path, image: str) -> None:
    source = tmp_path / "source"
    (source / "infra" / "app").mkdir(parents=True)
    found = find_cli(source, "infra/app", image)
    assert found.title == "the image's CDK CLI 2.1148.1"
    assert found.compile_cache == str(tmp_path / "opt" / "compile-cache")
    program = install(source, "2.1100.0")
    own = find_cli(source, "infra/app", image)
    assert own.program == str(program)
    assert own.title == f"the application's own CDK CLI 2.1100.0 ({program}); the image has 2.1148.1"
    assert (own.own, own.newer, own.compile_cache) == (True, False, "")
    nearer = install(source / "infra", "2.2000.0")
    assert find_cli(source, "infra/app", image).program == str(nearer)
    assert find_cli(source, "infra/app", image).newer


def test_an_own_cli_that_would_call_aws_itself_is_not_used_with_a_stand_in(tmp_path: Path, image: str) -> None:
    program = install(tmp_path, "2.150.0")
    bundle = tmp_path / "node_modules" / "aws-cdk" / "lib" / "index.js"
    bundle.parent.mkdir()
    bundle.write_text("process.env.AWS_REGION")
    passed = find_cli(tmp_path, ".", image, endpoint=True)
    assert passed.title == "the image's CDK CLI 2.1148.1; the application's own 2.150.0 knows no AWS_ENDPOINT_URL"
    assert not passed.own
    assert find_cli(tmp_path, ".", image).program == str(program)
    bundle.write_text("process.env.AWS_ENDPOINT_URL")
    assert find_cli(tmp_path, ".", image, endpoint=True).program == str(program)


def test_no_cli_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CliMissing) as caught:
        find_cli(tmp_path, ".", str(tmp_path))
    assert caught.value.message == ("There is no CDK CLI for the app in .: no program cdk is on the PATH of the image.")
    assert caught.value.hint == ("Use the platform's deployer image, or add aws-cdk to the application's package.json.")


def test_an_option_that_the_application_s_cli_lacks_is_refused_before_anything_is_deployed(tmp_path: Path) -> None:
    program = install(tmp_path, "2.50.0", "--method, -m  How to perform the deployment\n--hotswap  Attempts")
    cli = CdkCli(str(program), "2.50.0", "2.1148.1", own=True)
    env = {"PATH": "/usr/bin:/bin"}
    require_options(cli, Deployment(method="direct", hotswap="only"), env, tmp_path)
    with pytest.raises(OptionMissing) as caught:
        require_options(cli, Deployment(express=True), env, tmp_path)
    assert caught.value.message == (
        "deployment.express needs the option --express of cdk deploy.\n"
        "The CDK CLI that deploys the environment lacks that: "
        f"the application's own CDK CLI 2.50.0 ({program}); the image has 2.1148.1."
    )
    assert caught.value.hint == (
        "Update aws-cdk in the application, or remove it from there to have the image's; or change the field."
    )


# What cdk 2.1148.1 printed for three stacks, the last of which failed.
OUTPUT = """
✨  Synthesis time: 0.01s

A
A: deploying... [1/3]
A | 0/2 | 6:06:20 PM | CREATE_IN_PROGRESS      | AWS::CloudFormation::Stack | A User Initiated

✅  A

✨  Deployment time: 0.1s

Outputs:
A.T = arn:aws:sns:us-east-1:123456789012:A-T-OQM0YZQ3YFAJ
Stage/B (Shop-B)
Stage/B (Shop-B): deploying... [2/3]

✅  Stage/B (Shop-B) (no changes)

C: deploying... [3/3]
❌  C failed to deploy
"""


def test_progress_is_read_from_the_cli_s_output(tmp_path: Path) -> None:
    write_manifest(tmp_path, {"A": [], "B": [], "C": []})
    document = json.loads((tmp_path / "manifest.json").read_text())
    document["artifacts"]["B"]["displayName"] = "Stage/B"
    document["artifacts"]["B"]["properties"]["stackName"] = "Shop-B"
    (tmp_path / "manifest.json").write_text(json.dumps(document))
    assembly, wanted = read_assembly(tmp_path, "app"), environment("A", "Stage/B", "C")
    plan = deployment_plan(wanted, wanted.account, [(stack, assembly) for stack in wanted.stacks])
    seen: list[str] = []
    progress = DeploymentProgress(
        plan,
        lambda stack: seen.append(f"begin {stack.stack.name}"),
        lambda stack, changed, _seconds: seen.append(f"end {stack.stack.name} {changed}"),
    )
    for line in OUTPUT.splitlines():
        progress.before(line)
        progress.after(line)
    assert seen == ["begin A", "end A True", "begin Stage/B", "end Stage/B False", "begin C"]
    assert (progress.begun, progress.failed, progress.waiting) == (plan[2], plan[2], [plan[2]])
    progress.end()
    assert seen[-1] == "end C True"
