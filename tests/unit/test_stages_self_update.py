"""What the self-update says: when nothing changed, when something did, and when it failed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aphex.process import Completed
from stages.rerun import later_runs, rerun_name, shape_change
from stages.self_update import GOES_ON, sentence, summarize, update_failure
from tests.support.moto_endpoint import MotoEndpoint, moto_endpoint
from tests.support.pod import RUN, Pod, make_stores
from tests.support.repository import new_repository

CONFIG = """\
version: "1.0"
build: {commands: ["true"]}
environments:
  - name: dev
    region: us-east-1
    account: "222222222222"
    stacks: [{name: App, path: app}]
"""


@pytest.fixture(scope="module")
def aws() -> Iterator[MotoEndpoint]:
    with moto_endpoint() as endpoint:
        yield endpoint


@pytest.fixture
def pod(aws: MotoEndpoint, tmp_path: Path) -> Pod:
    aws.reset()
    make_stores(aws)
    return Pod(aws, new_repository(tmp_path / "repository"), tmp_path)


def failed(pod: Pod, config: str) -> dict[str, Any]:
    """The error record of a self-update, whose run is degraded by it and by nothing else."""
    commit = pod.repository.commit({"aphex-config.yaml": config, "app/cdk.json": "{}"})
    ended = pod.run("self-update", commit)
    assert ended.exit_code == 1
    assert pod.item()["stages"]["self-update"]["status"] == "degraded"
    assert "Traceback" not in ended.output
    error: dict[str, Any] = pod.json(f"runs/{RUN}/errors/self-update.json")
    return error


def test_the_update_s_own_words_are_the_stage_s_error(pod: Pod) -> None:
    error = failed(pod, CONFIG)
    assert (error["message"], error["hint"]) == (
        "The self-update failed.\n/etc/aphex/settings/settings.json cannot be read: No such file or directory.",
        GOES_ON,
    )
    assert error["exit_code"] == 2
    assert error["output"] == "Error: /etc/aphex/settings/settings.json cannot be read: No such file or directory."
    pod.run("exit", "a" * 40, APHEX_WORKFLOW_STATUS="Succeeded", APHEX_WORKFLOW_FAILURES="[]")
    assert pod.item()["status"] == "degraded"


def test_a_broken_configuration_is_told_with_line_and_field(pod: Pod) -> None:
    error = failed(pod, CONFIG.replace("us-east-1", "us-east-7"))
    assert (error["message"], error["hint"]) == (
        'The self-update could not be begun.\naphex-config.yaml:5  environments[0].region\n  "us-east-7" is not an '
        "AWS region. Did you mean us-east-1 or us-east-2?",
        GOES_ON,
    )


def completed(exit_code: int, output: str = "", errors: str = "") -> Completed:
    return Completed(argv=("automation",), exit_code=exit_code, output=output, error_output=errors, seconds=1.0)


def test_an_engine_s_failure_names_the_resource_and_keeps_the_update_s_hint() -> None:
    resource = {"message": "AccessDenied", "name": "shop-deploy", "kind": "aws:iam:Role"}
    told = {
        "type": "DeploymentError",
        "message": "Deploying the pipeline shop failed.\n  aws:iam:Role shop-deploy: AccessDenied",
        "hint": "The caller may not do that.",
        "resources": [resource],
    }
    error = update_failure(completed(1, json.dumps({"error": told}), "Error: Deploying\n"))
    assert str(error) == (
        "The self-update failed.\n"
        "Deploying the pipeline shop failed.\n"
        "  aws:iam:Role shop-deploy: AccessDenied\n"
        "The caller may not do that.\n"
        "The run goes on with the shape that the pipeline has; the next run tries again."
    )
    assert error.details["resources"] == [resource]


@pytest.mark.parametrize(
    ("exit_code", "errors", "expected"),
    [
        (-9, "Deploying ...\n ~ updated a\n", "The self-update ended by signal 9.\n~ updated a"),
        (1, "Traceback ...\nKeyError: 'x'\n\n", "The self-update ended with status 1.\nKeyError: 'x'"),
        (1, "", "The self-update ended with status 1.\nIt printed nothing."),
    ],
)
def test_an_update_that_was_ended_is_told_with_its_last_line(exit_code: int, errors: str, expected: str) -> None:
    assert str(update_failure(completed(exit_code, "", errors))) == f"{expected}\n{GOES_ON}"


def change(operation: str, kind: str, name: str) -> dict[str, str]:
    return {"operation": operation, "type": kind, "name": name}


def test_no_change_is_said_with_the_time_that_it_took() -> None:
    summary = summarize({"changed": False, "changes": []})
    assert summary == {"status": "succeeded", "changed": False, "shape_changed": False, "changes": []}
    assert sentence(summary, 1.23) == "The pipeline is up to date; nothing changed (1.2 s)."


def test_a_change_is_said_and_whether_it_changes_the_shape() -> None:
    bucket = change("update", "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration", "shop-artifacts")
    template = change("update", "kubernetes:argoproj.io/v1alpha1:WorkflowTemplate", "shop-run")
    assert sentence(summarize({"changed": True, "changes": [bucket]}), 21.0) == (
        "The pipeline was updated in 21 s: update shop-artifacts."
    )
    assert sentence(summarize({"changed": True, "changes": [bucket, template]}), 21.0) == (
        "The pipeline was updated in 21 s: update shop-artifacts, update shop-run. "
        "It has a new shape: the following runs have it, this one keeps its own."
    )


@pytest.mark.parametrize(
    ("own", "following", "expected"),
    [
        (["build", "deploy-dev"], ["build", "deploy-dev"], ""),
        (["build", "deploy-dev"], ["build", "deploy-dev", "deploy-prod"], "with deploy-prod"),
        (["build", "deploy-dev", "test-dev"], ["build", "deploy-dev"], "without test-dev"),
        (["deploy-a", "deploy-b"], ["deploy-b", "deploy-a"], "in another order"),
        (["deploy-a", "deploy-b"], ["deploy-c", "deploy-b"], "with deploy-c and without deploy-a"),
    ],
)
def test_shapes_are_compared_stage_by_stage(own: list[str], following: list[str], expected: str) -> None:
    found = shape_change(own, following)
    assert (str(found), bool(found)) == (expected, bool(expected))


def workflow(name: str, created: str, phase: str = "", trigger: str = "push") -> dict[str, Any]:
    return {
        "metadata": {"name": name, "creationTimestamp": created},
        "spec": {"arguments": {"parameters": [{"name": "trigger", "value": trigger}]}},
        "status": {"phase": phase},
    }


def test_only_runs_that_will_still_deploy_count_as_later() -> None:
    own = workflow("shop-b", "2026-01-02T00:00:02Z", "Running")
    others = [
        workflow("shop-a", "2026-01-02T00:00:01Z", "Running"),
        workflow("shop-c", "2026-01-02T00:00:03Z", "Succeeded"),
        workflow("shop-pr-d", "2026-01-02T00:00:04Z", "Running", "pull_request"),
        workflow("shop-e", "2026-01-02T00:00:05Z"),
        workflow("shop-f", "2026-01-02T00:00:06Z", "Pending", "manual"),
    ]
    assert later_runs(own, [own, *others]) == ["shop-e", "shop-f"]
    assert rerun_name("shop-b") == "shop-b-rerun"
