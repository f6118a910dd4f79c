"""Whole stages as their pods run them: a real repository, real processes, and AWS at a moto server."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import pytest

from stages.console import Console
from stages.context import StageContext
from stages.keeper import kept_log
from stages.outcome import stage_failures
from tests.support.moto_endpoint import MotoEndpoint, moto_endpoint
from tests.support.pod import ROOT, RUN, Pod, bootstrap, end_by_signal, make_stores
from tests.support.repository import new_repository

CONFIG = """\
version: "1.0"
build:
  commands:
{commands}
environments:
  - name: dev
    region: us-east-1
    account: "222222222222"
    role: arn:aws:iam::222222222222:role/aphex-deployer
    stacks:
      - name: App
        path: app
    tests:
      role: arn:aws:iam::222222222222:role/aphex-tester
      commands:
        - test -f dist/app.txt
        - echo "tested as $AWS_PROFILE in $AWS_REGION, url $APHEX_OUTPUT_APP__URL"
"""


@pytest.fixture(scope="module")
def aws() -> Iterator[MotoEndpoint]:
    with moto_endpoint() as endpoint:
        yield endpoint


@pytest.fixture
def pod(aws: MotoEndpoint, tmp_path: Path) -> Pod:
    aws.reset()
    make_stores(aws)
    bootstrap(aws, "222222222222")
    return Pod(aws, new_repository(tmp_path / "repository"), tmp_path)


def commit(pod: Pod, *commands: str, config: str = CONFIG) -> str:
    lines = "\n".join(f"    - {json.dumps(command)}" for command in commands)
    files = {"aphex-config.yaml": config.format(commands=lines), "app/cdk.json": "{}", ".gitignore": "dist\n"}
    return pod.repository.commit(files)


def test_a_build_stores_its_artifact_and_the_tests_get_it(pod: Pod) -> None:
    sha = commit(pod, "mkdir dist", "echo built > dist/app.txt")
    assert pod.run("validate", sha).exit_code == 0
    built = pod.run("build", sha)
    assert built.exit_code == 0, built.output
    manifest = pod.json(f"artifacts/{sha}/{RUN}/manifest.json")
    assert [file["path"] for file in manifest["files"]] == ["dist/app.txt"]
    assert manifest["commit"] == sha
    assert built.result["artifact"]["sha256"] == manifest["sha256"]
    stored = pod.aws.client("s3").head_object(Bucket="aphex-shop", Key=manifest["key"])["Metadata"]
    assert stored["commit"] == sha
    assert stored["timestamp"] == manifest["created_at"]

    pod.aws.client("s3").put_object(
        Bucket="aphex-shop", Key=f"runs/{RUN}/outputs/dev.json", Body=json.dumps({"App": {"Url": "http://x"}})
    )
    tested = pod.run("test", sha, "test-dev", APHEX_ENVIRONMENT="dev")
    assert tested.exit_code == 0, tested.output
    assert "tested as target in us-east-1, url http://x" in tested.output
    assert tested.output == pod.text(f"runs/{RUN}/logs/test-dev.log")
    assert not (pod.folder / "test-dev" / "aphex" / "aws-config").exists()


def test_a_failed_command_stops_the_build_and_leaves_its_log_and_record(pod: Pod) -> None:
    sha = commit(pod, "echo before", "echo to stderr >&2; exit 3", "echo after")
    pod.run("validate", sha)
    built = pod.run("build", sha)
    assert built.exit_code == 1
    log = pod.text(f"runs/{RUN}/logs/build.log")
    assert "before" in log
    assert "to stderr" in log
    assert "$ echo after" not in log
    assert "Traceback" in log
    assert "Traceback" not in built.output
    error = pod.json(f"runs/{RUN}/errors/build.json")
    assert (error["field"], error["exit_code"], error["command"]) == (
        "build.commands[1]",
        3,
        "echo to stderr >&2; exit 3",
    )
    record = pod.item()["stages"]["build"]
    assert record["status"] == "failed"
    assert record["log"] == f"runs/{RUN}/logs/build.log"
    assert not any(key.startswith("artifacts/") for key in pod.stored())


JUNIT = "<testsuites><testsuite><testcase/><testcase><failure/></testcase></testsuite></testsuites>"


def test_a_failed_test_keeps_its_reports_and_the_deployment(pod: Pod) -> None:
    config = CONFIG.replace("test -f dist/app.txt", f"echo {json.dumps(JUNIT)} > dist/junit.xml; exit 1") + (
        "      reports: ['dist/*.xml']\n"
    )
    sha = commit(pod, "mkdir dist; touch dist/app.txt", config=config)
    assert pod.run("build", sha).exit_code == 0
    ended = pod.run("test", sha, "test-dev", APHEX_ENVIRONMENT="dev")
    assert ended.exit_code == 1
    error = pod.json(f"runs/{RUN}/errors/test-dev.json")
    assert (error["tests"], error["failures"]) == (2, 1)
    assert pod.text(error["reports"][0]).strip() == JUNIT
    assert pod.item()["stages"]["test-dev"]["status"] == "failed"


def test_the_log_of_a_running_stage_is_kept(pod: Pod, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_ENDPOINT_URL", pod.aws.url)
    context = StageContext.from_environment(pod.variables("build", "a" * 40))
    with Console(tmp_path / "log", io.StringIO()) as console:
        console.line("so far")
        with kept_log(context, tmp_path / "log", console, interval=0.05):
            deadline = time.monotonic() + 30
            while f"runs/{RUN}/logs/build.log" not in pod.stored() and time.monotonic() < deadline:
                time.sleep(0.05)
    assert pod.text(f"runs/{RUN}/logs/build.log") == "so far\n"


def test_a_stopped_pod_ends_its_command_and_still_records(pod: Pod) -> None:
    nap = f"61.{os.getpid()}"  # no other sleep on this machine is just as long
    sha = commit(pod, f"echo begun; sleep {nap}")
    process = pod.start("build", sha)
    output = end_by_signal(process, "begun")
    assert process.returncode == 143
    assert "ended by signal 15" in output
    assert "begun" in pod.text(f"runs/{RUN}/logs/build.log")
    assert pod.item()["stages"]["build"]["status"] == "failed"
    left = subprocess.run(["pgrep", "-f", f"sleep {nap.replace('.', '[.]')}"], capture_output=True, text=True).stdout
    assert left == ""


def test_validation_reports_everything_at_once(pod: Pod) -> None:
    config = CONFIG.replace("path: app", "path: nowhere")
    sha = commit(pod, "no-such-program --flag", "if true; then echo unclosed", config=config)
    ended = pod.run("validate", sha)
    assert ended.exit_code == 1
    found = {finding["field"]: finding for finding in pod.json(f"runs/{RUN}/errors/validate.json")["findings"]}
    assert "no-such-program" in found["build.commands[0]"]["cause"]
    assert "bash cannot read" in found["build.commands[1]"]["cause"]
    assert "nowhere" in found["environments[0].stacks[0].path"]["cause"]
    assert all(finding["fix"] for finding in found.values())
    assert pod.item()["status"] == "running"


# Property 19: any configuration is checked against the schema before a stage runs
def test_a_wrong_configuration_is_told_with_field_and_line(pod: Pod) -> None:
    sha = commit(pod, "true", config=CONFIG.replace("us-east-1", "us-east-7"))
    ended = pod.run("validate", sha)
    assert ended.exit_code == 1
    findings = pod.json(f"runs/{RUN}/errors/validate.json")["findings"]
    assert [(finding["field"], finding["line"]) for finding in findings] == [("environments[0].region", 7)]


def test_a_pull_request_reaches_for_no_account(pod: Pod) -> None:
    sha = commit(pod, "true")
    ended = pod.run("validate", sha, APHEX_TRIGGER="pull_request", APHEX_PULL_REQUEST="7")
    assert "accounts are not checked" in ended.output
    assert "Checking accounts" not in ended.output


def test_an_environment_that_the_commit_lacks_is_skipped(pod: Pod) -> None:
    sha = commit(pod, "true")
    ended = pod.run("environment", sha, "deploy-gone", APHEX_ENVIRONMENT="gone")
    assert (ended.exit_code, ended.result["status"]) == (0, "skipped")
    assert pod.item()["stages"]["deploy-gone"]["status"] == "skipped"


def test_a_failed_self_update_is_degraded(pod: Pod) -> None:
    sha = commit(pod, "true")
    ended = pod.run("self-update", sha)
    assert ended.exit_code == 1
    assert pod.item()["stages"]["self-update"]["status"] == "degraded"
    pod.run("exit", sha, APHEX_WORKFLOW_STATUS="Succeeded", APHEX_WORKFLOW_FAILURES="[]")
    assert pod.item()["status"] == "degraded"


def failure(name: str, template: str, message: str) -> dict[str, str]:
    """A failed node as Argo tells of it: the run, a task and each of its pods are nodes."""
    return {
        "displayName": name,
        "templateName": template,
        "message": message,
        "podName": f"{RUN}-{template}-1",
        "phase": "Failed",
        "finishedAt": "2026-11-23T13:00:00Z",
    }


def test_the_exit_handler_completes_the_record_of_a_killed_pod(pod: Pod) -> None:
    sha = commit(pod, "echo begun; sleep 5")
    pod.run("validate", sha)
    process = pod.start("build", sha)
    assert process.stdout is not None
    for line in process.stdout:
        if "begun" in line:
            break
    process.kill()
    process.communicate()
    failures = [
        failure("build(0)", "build", "OOMKilled (exit code 137)"),
        failure("build", "build", ""),
        failure(RUN, "run", "child 'shop-abc12-1' failed"),
    ]
    ended = pod.run(
        "exit", sha, APHEX_WORKFLOW_STATUS="Failed", APHEX_WORKFLOW_FAILURES=json.dumps(json.dumps(failures))
    )
    assert (ended.exit_code, ended.result) == (0, {"status": "failed", "problems": []})
    item = pod.item()
    assert item["status"] == "failed"
    assert item["ended_at"] > item["started_at"]
    assert item["stages"]["build"]["status"] == "failed"
    assert item["stages"]["build"]["error"]["message"] == (
        "The pod used more memory than its limit and was killed (OOMKilled).\nOOMKilled (exit code 137)"
    )
    assert set(item["stages"]) == {"validate", "build", "exit"}
    metrics = {each["MetricName"] for each in pod.aws.client("cloudwatch").list_metrics()["Metrics"]}
    assert {"RunFailed", "RunDuration", "StageFailed"} <= metrics


def test_of_a_stage_that_was_given_up_the_last_pod_tells_why() -> None:
    tries = [failure(f"build({number})", "build", f"pod {number} is gone") for number in (0, 10, 9)]
    task = failure("build", "build", "No more retries left")
    silent = failure("build(11)", "build", "")
    for order in permutations((*tries, task, silent)):
        assert stage_failures(order) == {"build": tries[1]}
    assert stage_failures([task]) == {"build": task}


def test_the_first_line_waits_for_no_cloud_sdk() -> None:
    code = "import sys, stages.runner, stages.context; sys.exit('boto3' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_a_missing_variable_is_named(pod: Pod) -> None:
    sha = commit(pod, "true")
    ended = pod.run("build", sha, APHEX_BUCKET="", APHEX_COMMIT="main")
    assert ended.exit_code == 2
    assert "APHEX_BUCKET is not set." in ended.output
    assert "APHEX_COMMIT: " in ended.output
