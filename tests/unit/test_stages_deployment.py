"""What is deployed, in which order, with which commands and as whom."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aphex.config import Environment, Stack
from stages import cdk
from stages.access import session_name
from stages.assembly import read_assembly
from stages.plan import StackNotFound, WrongAccount, deployment_plan
from stages.terminal import PLAIN_OUTPUT
from stages.variables import command_environment


def environment(*stacks: str) -> Environment:
    return Environment.model_validate(
        {
            "name": "dev",
            "region": "us-east-1",
            "account": "222222222222",
            "stacks": [{"name": stack, "path": "app"} for stack in stacks],
        }
    )


def write_assembly(folder: Path, *stacks: str, account: str = "unknown-account") -> Path:
    """An assembly with stacks; `Stage/Stack` is in a nested one."""
    folder.mkdir(parents=True, exist_ok=True)
    artifacts: dict[str, Any] = {"Tree": {"type": "cdk:tree", "properties": {"file": "tree.json"}}}
    for stack in stacks:
        stage, _, rest = stack.partition("/")
        if rest:
            nested = folder / f"assembly-{stage}"
            write_assembly(nested, stack.replace("/", "-"), account=account)
            document = json.loads((nested / "manifest.json").read_text())
            document["artifacts"][stack.replace("/", "-")]["displayName"] = stack
            (nested / "manifest.json").write_text(json.dumps(document))
            artifacts[f"assembly-{stage}"] = {
                "type": "cdk:cloud-assembly",
                "properties": {"directoryName": f"assembly-{stage}", "displayName": stage},
            }
        else:
            artifacts[stack] = {
                "type": "aws:cloudformation:stack",
                "environment": f"aws://{account}/unknown-region",
                "properties": {"templateFile": f"{stack}.template.json", "stackName": f"cfn-{stack}"},
                "displayName": stack,
            }
    (folder / "manifest.json").write_text(json.dumps({"version": "48.0.0", "artifacts": artifacts}))
    return folder


def test_stacks_deploy_in_the_configured_order(tmp_path: Path) -> None:
    assembly = read_assembly(write_assembly(tmp_path, "C", "A", "B"), "app")
    wanted = environment("B", "C", "A")
    plan = deployment_plan(wanted, wanted.account, [(stack, assembly) for stack in wanted.stacks])
    assert [deployment.artifact.path for deployment in plan] == ["B", "C", "A"]


def test_stacks_in_a_cdk_stage_are_found_by_path_and_by_name(tmp_path: Path) -> None:
    assembly = read_assembly(write_assembly(tmp_path, "Top", "Prod/Site"), "app")
    for names in (["Prod/Site", "cfn-Top"], ["cfn-Prod-Site", "Top"]):
        wanted = environment(*names)
        plan = deployment_plan(wanted, wanted.account, [(stack, assembly) for stack in wanted.stacks])
        assert [deployment.artifact.path for deployment in plan] == ["Prod/Site", "Top"]
        assert plan[0].artifact.template == tmp_path / "assembly-Prod" / "Prod-Site.template.json"


def test_all_missing_stacks_are_named_with_those_that_there_are(tmp_path: Path) -> None:
    assembly = read_assembly(write_assembly(tmp_path, "A", "B"), "app")
    wanted = environment("A", "X", "Y")
    with pytest.raises(StackNotFound) as caught:
        deployment_plan(wanted, wanted.account, [(stack, assembly) for stack in wanted.stacks])
    assert "X, Y" in caught.value.message
    assert "A, B" in caught.value.hint


OWN = "111111111111"
ROLE = "arn:aws:iam::222222222222:role/aphex-deployer"
TAKE_DEFAULT = "Let the app take CDK_DEFAULT_ACCOUNT, or the account from its context. Nothing was deployed."
SET_ROLE = (
    "Set environments[].role to a role of the environment's account, or let the app name that account itself: "
    f"CDK_DEFAULT_ACCOUNT is {OWN} without the role. Nothing was deployed."
)


@pytest.mark.parametrize(
    ("bound", "role", "is_so", "hint"),
    [
        ("999999999999", True, "is bound to account 999999999999", TAKE_DEFAULT),
        (OWN, False, f"is bound to account {OWN}", SET_ROLE),
        ("unknown-account", False, f"names no account and would go to the pipeline's, {OWN}", SET_ROLE),
    ],
)
def test_a_stack_that_would_go_to_another_account_is_refused(
    tmp_path: Path, bound: str, role: bool, is_so: str, hint: str
) -> None:
    assembly = read_assembly(write_assembly(tmp_path, "A", account=bound), "app")
    wanted = environment("A").model_copy(update={"role": ROLE if role else None})
    with pytest.raises(WrongAccount) as caught:
        deployment_plan(wanted, OWN, [(wanted.stacks[0], assembly)])
    assert (caught.value.message, caught.value.hint) == (
        f"The stack A {is_so}, but the environment dev is account 222222222222.",
        hint,
    )


@pytest.mark.parametrize(
    ("bound", "role", "own"),
    [
        ("unknown-account", True, OWN),
        ("222222222222", True, OWN),
        ("222222222222", False, OWN),  # by the roles that `cdk bootstrap` made there
        ("unknown-account", False, "222222222222"),
    ],
)
def test_a_stack_that_goes_to_the_environment_s_account_is_planned(
    tmp_path: Path, bound: str, role: bool, own: str
) -> None:
    assembly = read_assembly(write_assembly(tmp_path, "A", account=bound), "app")
    wanted = environment("A").model_copy(update={"role": ROLE if role else None})
    assert len(deployment_plan(wanted, own, [(wanted.stacks[0], assembly)])) == 1


def test_the_app_is_the_nearest_folder_with_a_cdk_json(tmp_path: Path) -> None:
    (tmp_path / "one/lib").mkdir(parents=True)
    (tmp_path / "cdk.json").write_text("{}")
    (tmp_path / "one/cdk.json").write_text("{}")
    (tmp_path / "one/lib/stack.ts").write_text("")
    (tmp_path / "other").mkdir()
    stacks = [Stack(name="A", path="one/lib/stack.ts"), Stack(name="B", path="other"), Stack(name="C", path="one")]
    groups = cdk.group_by_app(tmp_path, stacks)
    assert {app: [stack.name for stack in found] for app, found in groups.items()} == {"one": ["A", "C"], ".": ["B"]}
    with pytest.raises(cdk.AppNotFound, match="does not exist"):
        cdk.app_folder(tmp_path, Stack(name="D", path="nowhere"))


def test_one_synthesis_gets_the_context() -> None:
    synth = cdk.synth_command("/bin/cdk", Path("/w/assembly"), {"vpc": "a b", "az": "2", "flag": True})
    assert synth[:5] == ["/bin/cdk", "synth", "--quiet", "--output", "/w/assembly"]
    assert synth[-4:] == ["--context", "az=2", "--context", "vpc=a b"]


def test_context_that_is_not_text_keeps_its_type(tmp_path: Path) -> None:
    text = '{"app": "python3 app.py", "context": {"flag": false, "own": 1}}'
    (tmp_path / "cdk.json").write_text(text)
    with cdk.context_in_app(tmp_path, {"flag": True, "zones": [1, 2], "vpc": "a"}):
        seen = json.loads((tmp_path / "cdk.json").read_text())
    assert seen == {"app": "python3 app.py", "context": {"flag": True, "own": 1, "zones": [1, 2]}}
    assert (tmp_path / "cdk.json").read_text() == text


def test_commands_see_the_pods_variables_and_defaults_they_may_replace() -> None:
    hidden = {"APHEX_WORKFLOW_FAILURES": "[]", "APHEX_OUTPUTS_PARAMETER": "/outputs.json"}
    seen = command_environment({"CI": "false", "PATH": "/bin", **hidden}, 12)
    assert seen == {**PLAIN_OUTPUT, "CI": "false", "PATH": "/bin", "SOURCE_DATE_EPOCH": "12"}


def test_a_session_name_is_never_too_long() -> None:
    assert session_name("shop-abc12", "deploy-dev") == "shop-abc12.deploy-dev"
    assert len(session_name("a" * 63, "deploy-" + "b" * 40)) <= 64
