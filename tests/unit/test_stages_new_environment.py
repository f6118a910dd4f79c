"""The run of the commit that adds an environment: its validation comes before the self-update that allows its role."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from aphex_platform.manifests.workflow_templates import pull_request_template, workflow_template

from aphex.config import PipelineConfig
from stages.access import AccountAccess, account_access
from stages.account_checks import AccountCheck, account_checks, account_findings
from stages.findings import Finding
from tests.support.example import example_settings
from tests.support.moto_endpoint import moto_endpoint
from tests.support.pod import RUN, Pod, make_stores
from tests.support.repository import new_repository
from tests.support.sts import Refusal, Request, Sts
from tests.support.sts_pod import OWN_ROLE, sts_pod

PIPELINE_ACCOUNT = "123456789012"
DENIED = Refusal("AccessDenied", "User is not authorized to perform: sts:AssumeRole")


def environment(name: str, account: str, role: str | None, test_role: str | None = None) -> dict[str, Any]:
    tests = {"tests": {"commands": ["make check"], "role": f"arn:aws:iam::{account}:role/{test_role}"}}
    return {
        "name": name,
        "region": "us-east-1",
        "account": account,
        "stacks": [{"name": "App", "path": "app"}],
        **({"role": f"arn:aws:iam::{account}:role/{role}"} if role else {}),
        **(tests if test_role else {}),
    }


def config(*environments: dict[str, Any]) -> PipelineConfig:
    return PipelineConfig.model_validate(
        {"version": "1.0", "build": {"commands": ["make"]}, "environments": list(environments)}
    )


def assumable(deployed: PipelineConfig, make: Any = workflow_template) -> list[str] | None:
    """What the manifest of a deployed pipeline tells its validation."""
    pods = {each["name"]: each for each in make(deployed, example_settings())["spec"]["templates"]}
    variables = {each["name"]: each.get("value") for each in pods["validate"]["container"]["env"]}
    return variables["APHEX_ASSUMABLE"].split() if "APHEX_ASSUMABLE" in variables else None


@pytest.fixture
def sts(tmp_path: Path) -> Iterator[Sts]:
    with sts_pod(tmp_path) as server:
        yield server


def findings(commit: PipelineConfig, deployed: PipelineConfig, source: Path) -> list[Finding]:
    """What the validation of a commit finds of its accounts, in the shape of the pipeline that is deployed."""
    numbers = count()

    def connect(check: AccountCheck) -> AbstractContextManager[AccountAccess]:
        return account_access(source / f"config-{next(numbers)}", check.role, "us-east-1", "run.validate")

    (source / "app").mkdir(exist_ok=True)
    (source / "app/cdk.json").write_text("{}")
    return account_findings(
        account_checks(commit, source),
        connect,
        pipeline_account=PIPELINE_ACCOUNT,
        assumable=assumable(deployed),
        report=lambda _line: None,
    )


def test_a_new_environment_whose_role_is_refused_is_a_warning_in_the_run_that_adds_it(sts: Sts, tmp_path: Path) -> None:
    sts.refuse = lambda request: DENIED if request["Action"] == "AssumeRole" else None
    dev, prod = (
        environment("dev", "222222222222", "deployer"),
        environment("prod", "333333333333", "deployer", "tester"),
    )
    bare = environment("stage", "444444444444", None)
    found = findings(config(dev, prod, bare), config(dev), tmp_path)
    assert [(each.field, each.warning) for each in found] == [
        ("environments[0].role", False),
        ("environments[1].role", True),
        ("environments[1].tests.role", True),
        ("environments[2].account", True),
    ]
    role = "arn:aws:iam::333333333333:role/deployer"
    assert found[1].cause == (
        f"The pipeline may assume the role {role} only after the self-update of this run, so this tells little: "
        f"{OWN_ROLE} may not assume the role {role} with no external id: "
        "AccessDenied: User is not authorized to perform: sts:AssumeRole\n"
        "AWS gives this answer also when there is no such role, or when its trust policy asks for another external id."
    )
    assert found[1].fix == (
        "Nothing, if the role is ready. Otherwise:\n"
        "1. Check that the role exists: its name, path and account are part of the ARN.\n"
        "2. If its trust policy asks for sts:ExternalId, set environments[].external_id to the same value.\n"
        "3. Its trust policy needs this statement:\n"
        "{\n"
        '  "Effect": "Allow",\n'
        '  "Principal": {\n'
        '    "AWS": [\n'
        f'      "{OWN_ROLE}"\n'
        "    ]\n"
        "  },\n"
        '  "Action": [\n'
        '    "sts:AssumeRole",\n'
        '    "sts:TagSession"\n'
        "  ]\n"
        "}"
    )


def test_the_stage_goes_on_with_such_a_warning(sts: Sts, tmp_path: Path) -> None:
    sts.refuse = lambda request: DENIED if request["Action"] == "AssumeRole" else None
    dev, prod = environment("dev", "222222222222", "deployer"), environment("prod", "333333333333", "deployer")
    commit = config(dev, prod).model_dump(mode="json", exclude_none=True)
    with moto_endpoint() as aws:
        make_stores(aws)
        pod = Pod(aws, new_repository(tmp_path / "repository"), tmp_path)
        sha = pod.repository.commit({"aphex-config.yaml": json.dumps(commit), "app/cdk.json": "{}"})
        known = {"AWS_ENDPOINT_URL_STS": sts.url, "APHEX_ASSUMABLE": "arn:aws:iam::444444444444:role/another"}
        ended = pod.run("validate", sha, **known)
        assert (ended.exit_code, ended.result["warnings"]) == (0, 2), ended.output
        ended = pod.run("validate", sha, **{**known, "APHEX_ASSUMABLE": " ".join(assumable(config(dev)) or [])})
        assert ended.exit_code == 1
        found = pod.json(f"runs/{RUN}/errors/validate.json")["findings"]
        assert [(each["field"], each["warning"]) for each in found] == [
            ("environments[0].role", False),
            ("environments[1].role", True),
        ]


def test_the_run_after_it_takes_the_same_for_a_finding(sts: Sts, tmp_path: Path) -> None:
    def refuse(request: Request) -> Refusal | None:
        return DENIED if "333333333333" in request.get("RoleArn", "") else None

    sts.refuse = refuse
    both = config(environment("prod", "333333333333", "deployer"), environment("stage", "333333333333", None))
    found = findings(both, both, tmp_path)
    assert [(each.field, each.warning) for each in found] == [
        ("environments[0].role", False),
        ("environments[1].account", False),
    ]


def test_what_a_manifest_names_is_what_its_policy_allows_each_once() -> None:
    dev, same = environment("dev", "222222222222", "deployer", "tester"), environment("qa", "222222222222", "deployer")
    bare = environment("stage", "444444444444", None)
    assert assumable(config(dev, same, bare)) == [
        "arn:aws:iam::222222222222:role/deployer",
        "arn:aws:iam::222222222222:role/tester",
        "arn:aws:iam::444444444444:role/cdk-*-444444444444-us-east-1",
    ]


def test_the_run_of_a_pull_request_assumes_no_role_and_is_told_of_none() -> None:
    assert assumable(config(environment("dev", "222222222222", "deployer")), pull_request_template) is None
