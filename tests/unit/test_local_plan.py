"""What a local run decides before anything starts: its stages, its programs, its variables."""

from __future__ import annotations

import json
import os
import stat
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from aphex.config import PipelineConfig
from aphex.errors import AphexError, UsageError
from aphex.run import StageKind, StageSpec, run_stages
from automation.console import Terminal
from automation.local.execute import stage_variables
from automation.local.plan import deployments, plan_run
from automation.local.programs import check_programs, search_path
from automation.local.records import read_outputs, superseded
from automation.local.run import LocalOptions, run_local
from automation.local.sequence import Sequel, exit_variables
from automation.local.update import render_update
from automation.run_commands import check_local_options
from automation.runs import StageView
from tests.support.example import example_config

ALL = ["validate", "build", "self-update", "deploy-dev", "test-dev", "deploy-prod", "test-prod"]


def running(config: PipelineConfig, environments: tuple[str, ...] = (), until: str | None = None) -> list[str]:
    return [each.spec.name for each in plan_run(config, environments=environments, until=until) if not each.skipped]


def test_a_run_has_the_stages_of_the_cluster_in_their_order() -> None:
    planned = plan_run(example_config())
    assert [each.spec for each in planned] == run_stages(example_config())
    assert [each.spec.name for each in planned if not each.skipped] == ALL


@pytest.mark.parametrize(
    ("environments", "until", "expected"),
    [
        ((), "build", ["validate", "build"]),
        ((), "validate", ["validate"]),
        ((), "deploy-dev", ALL[:4]),
        ((), "environment", ALL[:4]),
        ((), "test", ALL[:5]),
        ((), "test-prod", ALL),
        (("dev",), None, ALL[:5]),
        (("prod",), None, [*ALL[:3], "deploy-prod", "test-prod"]),
        (("prod",), "environment", [*ALL[:3], "deploy-prod"]),
        (("prod", "dev"), None, ALL),
    ],
)
def test_environments_and_the_last_stage_can_be_chosen(
    environments: tuple[str, ...], until: str | None, expected: list[str]
) -> None:
    assert running(example_config(), environments, until) == expected


def test_what_is_left_out_says_why() -> None:
    planned = plan_run(example_config(), environments=("prod",), until="deploy-prod")
    assert {each.spec.name: each.skipped for each in planned if each.skipped} == {
        "deploy-dev": "--environment prod",
        "test-dev": "--environment prod",
        "test-prod": "--until deploy-prod",
    }


def test_an_unknown_environment_is_named_with_those_that_there_are() -> None:
    with pytest.raises(UsageError) as raised:
        plan_run(example_config(), environments=("dev", "staging", "qa"))
    assert str(raised.value) == "The configuration has no environment staging, qa.\nIt has: dev, prod."


def test_an_unknown_last_stage_is_named_with_those_that_there_are() -> None:
    with pytest.raises(UsageError) as raised:
        plan_run(example_config(), environments=("dev",), until="deploy-prod")
    assert str(raised.value) == (
        'The run has no stage "deploy-prod".\n'
        "It has: validate, build, self-update, deploy-dev, test-dev. "
        "A kind of stage is understood too: validate, build, self-update, environment, test."
    )


def test_what_will_be_deployed_is_told_before() -> None:
    config = example_config()
    assert deployments(config, plan_run(config, environments=("prod",))) == [
        "prod: ShopData, ShopService in account 333333333333, eu-west-1"
    ]
    assert deployments(config, plan_run(config, until="build")) == []


def test_options_of_the_other_kind_of_run_are_refused() -> None:
    with pytest.raises(UsageError) as raised:
        check_local_options(True, cluster_only={"--branch": "main", "--follow": True, "--target": None}, local_only={})
    assert str(raised.value) == (
        "--branch, --follow mean nothing with --local.\n`python -m automation run --help` lists the options."
    )
    with pytest.raises(UsageError) as raised:
        check_local_options(False, cluster_only={}, local_only={"--until": "build", "--keep": False})
    assert str(raised.value) == (
        "--until means nothing without --local.\n`python -m automation run --help` lists the options."
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            LocalOptions(config=Path("aphex-config.yaml"), aws="moon"),
            '"moon" is not an AWS.\n--aws is sandbox or account.',
        ),
        (
            LocalOptions(config=Path("other.yaml")),
            "The stages read aphex-config.yaml, not other.yaml.\nName a file aphex-config.yaml with --config.",
        ),
    ],
)
def test_options_that_no_stage_understands_are_refused(options: LocalOptions, message: str) -> None:
    with pytest.raises(UsageError) as raised:
        run_local(options, Terminal())
    assert str(raised.value) == message


def test_missing_programs_are_named_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(AphexError) as raised:
        check_programs(str(tmp_path))
    assert str(raised.value) == (
        "A local run needs git and bash, which are not on the PATH.\n"
        "Install them, on Debian with: apt-get install git bash"
    )
    git = tmp_path / "git"
    git.write_text("#!/bin/sh\n")
    git.chmod(git.stat().st_mode | stat.S_IXUSR)
    with pytest.raises(AphexError) as raised:
        check_programs(str(tmp_path))
    assert str(raised.value) == (
        "A local run needs bash, which is not on the PATH.\nInstall it, on Debian with: apt-get install bash"
    )


def test_the_programs_of_the_images_come_first_and_those_of_this_project_never() -> None:
    own = str(Path(sys.prefix) / "bin")
    machine = os.pathsep.join([own, "/usr/bin", "", "/bin"])
    assert search_path(machine, [Path("/a"), Path("/b")], first=True) == "/a:/b:/usr/bin:/bin"
    assert search_path(machine, [Path("/a"), Path("/b")], first=False) == "/usr/bin:/bin:/a:/b"


def test_stages_get_this_machines_variables_but_for_those_of_another_place() -> None:
    machine = {
        "HOME": "/home/ada",
        "HTTPS_PROXY": "http://proxy.example",
        "PATH": "/bin",
        "AWS_PROFILE": "prod",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "APHEX_RUN": "another",
        "CDK_DEFAULT_ACCOUNT": "1",
        "GIT_DIR": "/home/ada/app/.git",
        "GIT_INDEX_FILE": "/home/ada/app/.git/index",
        "VIRTUAL_ENV": "/home/ada/venv",
        "PYTHONPATH": "/home/ada/lib",
    }
    assert stage_variables(machine, "/a:/bin") == {
        "HOME": "/home/ada",
        "HTTPS_PROXY": "http://proxy.example",
        "PATH": "/a:/bin",
    }


def test_the_exit_handler_is_told_what_argo_would_tell() -> None:
    sequel = Sequel()
    ended = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    sequel.add(StageSpec(StageKind.VALIDATE, "validate"), StageView(name="validate", status="succeeded"))
    sequel.add(
        StageSpec(StageKind.ENVIRONMENT, "deploy-dev", "dev"),
        StageView(name="deploy-dev", status="failed", ended=ended, message="No such stack."),
    )
    variables = exit_variables(sequel)
    assert variables["APHEX_WORKFLOW_STATUS"] == "Failed"
    assert json.loads(variables["APHEX_WORKFLOW_FAILURES"]) == [
        {
            "displayName": "deploy-dev",
            "templateName": "environment",
            "message": "No such stack.",
            "phase": "Failed",
            "finishedAt": "2026-01-02T03:04:05Z",
        }
    ]


def test_a_self_update_that_cannot_be_rendered_stops_no_deployment() -> None:
    sequel = Sequel()
    sequel.add(StageSpec(StageKind.SELF_UPDATE, "self-update"), StageView(name="self-update", status="failed"))
    assert sequel.delivered
    assert exit_variables(sequel)["APHEX_WORKFLOW_STATUS"] == "Succeeded"


def test_the_update_is_rendered_and_not_applied() -> None:
    said: list[str] = []
    render_update(example_config(), "shop", "123456789012", "us-east-1", said.append)
    assert said == [
        "Rendered: 1 EventBus, 1 EventSource, 5 NetworkPolicy, 1 PodDisruptionBudget, 2 Sensor, 2 WorkflowTemplate.",
        f"A run's stages: {', '.join(ALL)}, and the exit handler.",
        "Not applied: there is no cluster.",
    ]


def test_only_the_oldest_records_go() -> None:
    records = [Path(str(number)) for number in range(5)]
    assert superseded(records, kept=3) == records[:2]
    assert superseded(records, kept=5) == []


def test_outputs_are_read_in_the_order_of_the_environments(tmp_path: Path) -> None:
    (tmp_path / "outputs").mkdir()
    for name in ("prod", "dev"):
        (tmp_path / "outputs" / f"{name}.json").write_text(json.dumps({"Stack": {"Name": name}}))
    assert list(read_outputs(tmp_path, ["dev", "qa", "prod"])) == ["dev", "prod"]
