"""`python -m automation validate` as a person meets it: its whole output, and its exit statuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from automation.console import Terminal
from tests.support.bare_package import bare_environment
from tests.support.moto_endpoint import MotoEndpoint, moto_endpoint
from tests.support.pod import bootstrap

CONFIG = """\
version: "1.0"
build:
  commands:
    - echo built
environments:
  - name: dev
    region: us-east-1
    account: "222222222222"
    role: arn:aws:iam::222222222222:role/deployer
    stacks:
      - name: App
        path: app
"""
STAGES = "validate, build, self-update, deploy-dev"


def validate(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {key: os.environ[key] for key in ("PATH", "LANG") if key in os.environ}
    return subprocess.run(
        [sys.executable, "-m", "automation", "validate", *words],
        cwd=folder,
        env={**kept, "HOME": str(folder), **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A working tree in which there is nothing to find."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app/cdk.json").write_text("{}")
    (tmp_path / "aphex-config.yaml").write_text(CONFIG)
    return tmp_path


@pytest.fixture(scope="module")
def aws() -> Iterator[MotoEndpoint]:
    with moto_endpoint() as endpoint:
        yield endpoint


def credentials(aws: MotoEndpoint) -> dict[str, str]:
    return {"AWS_ENDPOINT_URL": aws.url, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}


def change(tree: Path, old: str, new: str) -> None:
    text = (tree / "aphex-config.yaml").read_text()
    assert old in text
    (tree / "aphex-config.yaml").write_text(text.replace(old, new))


def test_a_configuration_without_fault_is_told_with_its_stages(tree: Path) -> None:
    shown = validate(tree)
    assert shown.stdout == f"aphex-config.yaml is valid. A run has the stages: {STAGES}.\n"
    assert (shown.returncode, shown.stderr) == (0, "")


def test_a_file_that_cannot_be_used_ends_with_status_2(tree: Path) -> None:
    change(tree, "us-east-1", "us-east-7")
    change(tree, "    stacks:", "    stack: {}\n    stacks:")
    shown = validate(tree)
    assert shown.stdout == (
        "aphex-config.yaml:7  environments[0].region\n"
        '  "us-east-7" is not an AWS region. Did you mean us-east-1 or us-east-2?\n'
        "aphex-config.yaml:10  environments[0].stack\n"
        "  is not a setting. Check its spelling, or remove it.\n"
        "2 findings.\n"
    )
    assert (shown.returncode, shown.stderr) == (2, "")


def test_a_file_that_is_not_there_is_named_as_it_was_given(tree: Path) -> None:
    shown = validate(tree, "elsewhere/aphex-config.yaml")
    assert shown.stdout == (
        "elsewhere/aphex-config.yaml\n"
        "  There is no such file. A pipeline needs aphex-config.yaml at the root of its repository.\n"
        "1 finding.\n"
    )
    assert (shown.returncode, shown.stderr) == (2, "")


def test_findings_of_the_working_tree_come_before_warnings(tree: Path) -> None:
    change(tree, "echo built", "no-such-program --flag")
    change(tree, "path: app", "path: nowhere")
    change(tree, "environments:", "cdk: {required_context: [domain]}\nenvironments:")
    with (tree / "aphex-config.yaml").open("a") as file:
        file.write("      - name: Other\n        path: app\n")
    shown = validate(tree)
    assert shown.stdout == (
        "aphex-config.yaml:7  environments[0].context\n"
        '  The environment dev lacks the context value "domain", which cdk.required_context names.\n'
        '  Give "domain" in environments[0].context, in "context" of app/cdk.json, in app/cdk.context.json, or in '
        '"context" of ~/.cdk.json in the deployer\'s image.\n'
        "aphex-config.yaml:13  environments[0].stacks[0].path\n"
        '  The path "nowhere" of the stack App does not exist at this commit.\n'
        "  Name the stack's file or its CDK app's folder, relative to the repository's root.\n"
        "\n"
        "warning: aphex-config.yaml:4  build.commands[0]\n"
        "  no-such-program is not on this machine's PATH.\n"
        "  The image that runs this command must have it (pipeline.images.builder); it is checked again in the run.\n"
        "2 findings, 1 warning.\n"
    )
    assert (shown.returncode, shown.stderr) == (1, "")


def test_a_warning_alone_stops_nothing(tree: Path) -> None:
    change(tree, "echo built", "no-such-program --flag")
    shown = validate(tree)
    assert shown.stdout.endswith(f"\naphex-config.yaml is valid, with 1 warning. A run has the stages: {STAGES}.\n")
    assert shown.returncode == 0


def test_json_has_the_same(tree: Path) -> None:
    change(tree, "path: app", "path: nowhere")
    shown = validate(tree, "--json")
    assert json.loads(shown.stdout) == {
        "valid": False,
        "stages": STAGES.split(", "),
        "checked": ["schema", "apps", "context", "tools"],
        "left_out": {},
        "findings": [
            {
                "field": "environments[0].stacks[0].path",
                "cause": 'The path "nowhere" of the stack App does not exist at this commit.',
                "fix": "Name the stack's file or its CDK app's folder, relative to the repository's root.",
                "line": 12,
                "warning": False,
            }
        ],
    }
    assert (shown.returncode, shown.stderr) == (1, "")


def test_accounts_are_reached_when_that_is_asked_for(tree: Path, aws: MotoEndpoint) -> None:
    aws.reset()
    bootstrap(aws, "222222222222")
    shown = validate(tree, "--accounts", **credentials(aws))
    assert shown.stdout == f"aphex-config.yaml is valid. A run has the stages: {STAGES}.\n"
    told = [line for line in shown.stderr.splitlines() if not line.startswith("Checking ")]
    assert (shown.returncode, told) == (0, ["  dev: account 222222222222 reached in us-east-1"])


def test_an_account_that_is_not_bootstrapped_is_a_finding(tree: Path, aws: MotoEndpoint) -> None:
    aws.reset()
    shown = validate(tree, "--accounts", **credentials(aws))
    assert shown.stdout == (
        "aphex-config.yaml:9  environments[0].role\n"
        "  us-east-1 of account 222222222222 is not bootstrapped for CDK: it has no SSM parameter "
        "/cdk-bootstrap/hnb659fds/version.\n"
        "  Run `cdk bootstrap aws://222222222222/us-east-1` with credentials of the account. If the app has another "
        "qualifier, put it in cdk.json's context as @aws-cdk/core:bootstrapQualifier; if its stacks need no bootstrap, "
        "set cdk.bootstrap to false.\n"
        "1 finding.\n"
    )
    assert shown.returncode == 1


def test_without_credentials_the_rest_is_checked_all_the_same(tree: Path) -> None:
    change(tree, "path: app", "path: nowhere")
    shown = validate(tree, "--accounts")
    assert shown.stdout == (
        "aphex-config.yaml\n"
        "  There are no AWS credentials on this machine, so that accounts were not checked.\n"
        "  Log in first, for example with `aws sso login`, or leave out --accounts.\n"
        "aphex-config.yaml:12  environments[0].stacks[0].path\n"
        '  The path "nowhere" of the stack App does not exist at this commit.\n'
        "  Name the stack's file or its CDK app's folder, relative to the repository's root.\n"
        "2 findings.\n"
    )
    assert shown.returncode == 1


def test_a_folder_of_the_application_called_stages_is_not_taken_for_the_package(tree: Path) -> None:
    (tree / "stages").mkdir()
    (tree / "stages/__init__.py").write_text("raise SystemExit('the wrong stages')")
    assert validate(tree).returncode == 0


def test_without_the_extra_what_needs_no_more_is_checked_and_the_rest_is_named(tree: Path, tmp_path: Path) -> None:
    change(tree, "echo built", "no-such-program --flag")
    change(tree, "path: app", "path: nowhere")
    python, variables = bare_environment(tmp_path)
    shown = subprocess.run(
        [*python, "-m", "stages", "check", "--accounts", "aphex-config.yaml"],
        cwd=tree,
        env=variables,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert shown.stdout == (
        "aphex-config.yaml:12  environments[0].stacks[0].path\n"
        '  The path "nowhere" of the stack App does not exist at this commit.\n'
        "  Name the stack's file or its CDK app's folder, relative to the repository's root.\n"
        "1 finding.\n"
    )
    assert shown.stderr == (
        "The programs that commands call were not checked: tree_sitter, tree_sitter_bash not installed; the package's "
        "extra `stages` has it.\n"
        "The accounts were not checked: boto3, botocore not installed; the package's extra `stages` has it.\n"
    )
    assert shown.returncode == 1


def test_what_takes_long_says_so_and_what_does_not_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()
    with terminal.patience("Checking a"):
        pass
    with terminal.patience("Checking b"):
        time.sleep(2.2)
    assert capsys.readouterr().err == "Checking b ...\n"
