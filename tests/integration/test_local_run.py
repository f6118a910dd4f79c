"""Runs without a cluster: the real stages, the real CDK CLI, and an AWS stand-in that each run starts by itself.

The CDK app writes its cloud assembly itself, so that no CDK library is needed.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest

from sandbox.aws import accounts
from tests.support.moto_endpoint import MotoEndpoint, moto_endpoint
from tests.support.repository import Repository, new_repository
from tests.support.typed import Typed

pytestmark = pytest.mark.engine

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 300.0
APP = """\
import json, os
out = os.environ["CDK_OUTDIR"]
where = "aws://" + os.environ["CDK_DEFAULT_ACCOUNT"] + "/" + os.environ["CDK_DEFAULT_REGION"]
template = {
    "Resources": {"Word": {"Type": "AWS::SSM::Parameter", "Properties": {
        "Name": "/mini/" + open("dist/word").read().strip(), "Type": "String", "Value": "here"}}},
    "Outputs": {"Word": {"Value": {"Ref": "Word"}}},
}
json.dump(template, open(f"{out}/Mini.json", "w"))
artifacts = {"Mini": {"type": "aws:cloudformation:stack", "environment": where,
                      "properties": {"templateFile": "Mini.json"}, "displayName": "Mini"}}
json.dump({"version": "36.0.0", "artifacts": artifacts}, open(f"{out}/manifest.json", "w"))
"""
ENVIRONMENT = """\
  - name: {name}
    region: {region}
    account: "{account}"
    role: arn:aws:iam::{account}:role/aphex-deployer
    stacks:
      - {{name: Mini, path: app.py}}
    tests:
      role: arn:aws:iam::{account}:role/aphex-tester
      commands: ['echo "tested $APHEX_OUTPUT_MINI__WORD in $AWS_REGION"']
"""
ENVIRONMENTS = ENVIRONMENT.format(name="dev", region="us-east-1", account="222222222222") + ENVIRONMENT.format(
    name="prod", region="eu-west-1", account="333333333333"
)
ALL = ["validate", "build", "self-update", "deploy-dev", "test-dev", "deploy-prod", "test-prod"]


def application(build: str = "mkdir dist && cp word.txt dist/word") -> dict[str, str]:
    """A small application of one stack and two environments: its files."""
    return {
        "aphex-config.yaml": f'version: "1.0"\npipeline: {{name: mini}}\nbuild:\n  commands: [{json.dumps(build)}]\n'
        f"environments:\n{ENVIRONMENTS}",
        "cdk.json": json.dumps({"app": "python3 app.py"}),
        "app.py": APP,
        "word.txt": "committed\n",
        ".gitignore": "dist\n*.secret\n",
    }


@dataclass(frozen=True)
class Desk:
    """A developer's machine.

    Attributes:
        repository: the application.
        temporary: where programs make temporary folders.
        state: where they keep what stays.
    """

    repository: Repository
    temporary: Path
    state: Path
    _started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(
        self, *arguments: str, folder: Path | None = None, variables: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """Start a local run of the repository, or of another folder."""
        config = (folder or self.repository.path) / "aphex-config.yaml"
        foreign = ("AWS_", "APHEX_")
        machine = {
            key: value for key, value in os.environ.items() if not key.startswith(foreign) or key == "APHEX_CACHE"
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "automation", "run", "--local", "--config", str(config), *arguments],
            cwd=ROOT,
            env={**machine, "TMPDIR": str(self.temporary), "APHEX_STATE": str(self.state), **(variables or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._started.append(process)
        return process

    def clear(self) -> None:
        """End what a failed test left running: as a user would, so that it takes what it started with it."""
        for process in self._started:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                process.communicate(timeout=SECONDS)

    def run(self, *arguments: str, variables: Mapping[str, str] | None = None) -> Ended:
        """Run it to its end."""
        return ended(self.start(*arguments, variables=variables))


class Ended(Typed):
    """A local run that ended."""

    def statuses(self) -> dict[str, str]:
        """How each stage ended."""
        return {each["name"]: each["status"] for each in self.document["stages"]}


def ended(process: subprocess.Popen[str]) -> Ended:
    output, errors = process.communicate(timeout=SECONDS)
    return Ended(process.returncode, output, errors)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    repository = new_repository(tmp_path / "application")
    repository.commit(application())
    for name in ("temporary", "state"):
        (tmp_path / name).mkdir()
    desk = Desk(repository, tmp_path / "temporary", tmp_path / "state")
    yield desk
    desk.clear()


def content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def processes_with(text: str) -> list[str]:
    """The command lines of processes whose variables or arguments hold a text."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes()
            if text.encode() in (folder / "environ").read_bytes() + line and int(folder.name) != os.getpid():
                found.append(line.replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


def leaves_nothing(desk: Desk) -> None:
    assert list(desk.temporary.iterdir()) == []
    assert processes_with(str(desk.temporary)) == []


def test_the_working_tree_is_delivered_as_it_is_and_the_repository_stays_untouched(desk: Desk) -> None:
    (desk.repository.path / "word.txt").write_text("uncommitted\n")
    (desk.repository.path / "untracked.txt").write_text("new\n")
    git_before = desk.repository.git("status", "--porcelain")
    before = content(desk.repository.path)
    done = desk.run("--environment", "dev", "--json")
    assert done.exit_code == 0, done.errors
    assert [(each["name"], each["status"], each["message"]) for each in done.document["stages"]] == [
        ("validate", "succeeded", ""),
        ("build", "succeeded", ""),
        ("self-update", "skipped", "not applied: there is no cluster"),
        ("deploy-dev", "succeeded", ""),
        ("test-dev", "succeeded", ""),
        ("deploy-prod", "skipped", "--environment dev"),
        ("test-prod", "skipped", "--environment dev"),
        ("exit", "succeeded", ""),
    ]
    assert done.document["outputs"] == {"dev": {"Mini": {"Word": "/mini/uncommitted"}}}
    assert "tested /mini/uncommitted in us-east-1" in done.errors
    assert content(desk.repository.path) == before
    assert desk.repository.git("status", "--porcelain") == git_before
    record = Path(done.document["record"])
    assert sorted(path.stem for path in (record / "logs").iterdir()) == sorted([*ALL[:5], "exit"])
    assert "tested /mini/uncommitted" in (record / "logs" / "test-dev.log").read_text()
    leaves_nothing(desk)


def test_one_environment_can_be_delivered_from_a_commit_and_a_person_gets_a_table(desk: Desk) -> None:
    commit = desk.repository.git("rev-parse", "HEAD")
    desk.repository.commit({"word.txt": "later\n"})
    done = desk.run("--environment", "prod", "--commit", commit)
    assert done.exit_code == 0, done.errors
    table = re.sub(r"mini-local-[0-9a-f]{6}", "RUN", re.sub(r"(\d+ min )?[\d.]+ s\b", "TIME", done.output))
    words = [line.split() for line in table.splitlines()]
    assert words == [
        [],
        ["RUN", commit[:10], "succeeded", "TIME"],
        ["stage", "status", "took"],
        ["✓", "validate", "succeeded", "TIME"],
        ["✓", "build", "succeeded", "TIME"],
        ["-", "self-update", "skipped", "not", "applied:", "there", "is", "no", "cluster"],
        ["-", "deploy-dev", "skipped", "--environment", "prod"],
        ["-", "test-dev", "skipped", "--environment", "prod"],
        ["✓", "deploy-prod", "succeeded", "TIME"],
        ["✓", "test-prod", "succeeded", "TIME"],
        ["✓", "exit", "succeeded", "TIME"],
        ["Stack", "outputs"],
        ["environment", "stack", "output", "value"],
        ["prod", "Mini", "Word", "/mini/committed"],
        ["Logs:", f"{desk.state}/local-runs/RUN/logs"],
    ]
    headers = [line for line in done.errors.splitlines() if line.startswith("=== ")]
    ran = ("validate", "build", "self-update", "deploy-prod", "test-prod", "exit")
    assert headers == [f"=== {name}" for name in ran]
    leaves_nothing(desk)


def test_a_build_that_fails_stops_the_run_and_says_why(desk: Desk) -> None:
    desk.repository.commit(application(build="echo about to fail; exit 3"))
    done = desk.run("--json")
    assert done.exit_code == 1
    message = "build.commands[0] failed with exit status 3: echo about to fail; exit 3"
    assert done.document["status"] == "failed"
    assert [(each["name"], each["status"], each["message"]) for each in done.document["stages"]] == [
        ("validate", "succeeded", ""),
        ("build", "failed", message),
        *((name, "skipped", "build failed") for name in ALL[2:]),
        ("exit", "succeeded", ""),
    ]
    assert done.document["outputs"] == {}
    assert "about to fail" in done.errors
    assert re.search(rf"^✗ build failed in (\d+ min )?[\d.]+ s: {re.escape(message)}$", done.errors, re.MULTILINE)
    error = json.loads((Path(done.document["record"]) / "errors" / "build.json").read_text())
    assert error["message"].splitlines()[0] == message
    leaves_nothing(desk)


def test_two_runs_at_the_same_time_stop_where_they_were_told_to(desk: Desk, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    for name, text in application().items():
        (plain / name).write_text(text)
    both = [desk.start("--until", "build", "--json"), desk.start("--until", "build", "--json", folder=plain)]
    for done in [ended(process) for process in both]:
        assert done.exit_code == 0, done.errors
        assert done.statuses() == {
            "validate": "succeeded",
            "build": "succeeded",
            **dict.fromkeys(ALL[2:], "skipped"),
            "exit": "succeeded",
        }
    leaves_nothing(desk)


def test_a_run_that_is_interrupted_leaves_nothing_behind(desk: Desk) -> None:
    desk.repository.commit(application(build="setsid sleep 301 > away.log 2>&1 & echo here; sleep 302"))
    process = desk.start("--json")
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if line == "here\n":
            break
    run = lines[0].partition(":")[0]
    deadline = time.monotonic() + SECONDS
    while {"sleep 301 ", "sleep 302 "} - set(processes_with(f"APHEX_RUN={run}")):
        assert time.monotonic() < deadline, processes_with(f"APHEX_RUN={run}")
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    done = ended(process)
    assert done.exit_code == 130, done.errors
    assert "Interrupted: build was ended." in done.errors.splitlines()
    assert done.statuses() == {"validate": "succeeded", "build": "failed", **dict.fromkeys(ALL[2:], "skipped")}
    assert {each["message"] for each in done.document["stages"][1:]} == {"interrupted"}
    assert processes_with(f"APHEX_RUN={run}") == []
    leaves_nothing(desk)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--environment", "staging"),
            "Error: The configuration has no environment staging.\nIt has: dev, prod.\n",
        ),
        (
            ("--until", "deploy-staging"),
            'Error: The run has no stage "deploy-staging".\n'
            "It has: validate, build, self-update, deploy-dev, test-dev, deploy-prod, test-prod. A kind of stage is "
            "understood too: validate, build, self-update, environment, test.\n",
        ),
    ],
)
def test_a_wrong_option_is_said_before_anything_starts(desk: Desk, arguments: tuple[str, ...], message: str) -> None:
    done = desk.run(*arguments)
    assert (done.exit_code, done.output, done.errors) == (2, "", message)
    assert list(desk.state.iterdir()) == []
    leaves_nothing(desk)


def test_what_is_kept_can_be_looked_at(desk: Desk) -> None:
    done = desk.run("--until", "build", "--keep", "--json")
    assert done.exit_code == 0, done.errors
    (folder,) = desk.temporary.iterdir()
    assert done.errors.splitlines()[-1] == f"Kept: {folder}"
    assert (folder / "aws.snapshot").is_file()
    port = re.search(r"--port (\d+)", done.document["restart_aws"])
    assert port is not None
    assert done.document["restart_aws"] == (
        f"python -m sandbox.aws.server --port {port[1]} --account 123456789012 --region us-east-1 "
        f"--snapshot {folder}/aws.snapshot"
    )
    assert processes_with(str(desk.temporary)) == []


@pytest.fixture(scope="module")
def real() -> Iterator[MotoEndpoint]:
    """What stands for AWS itself: another stand-in, with accounts that are ready."""
    with moto_endpoint() as endpoint:
        local = MotoEndpoint(endpoint.url.replace("127.0.0.1", "localhost"))
        accounts.prepare_at(local.url, "222222222222", "us-east-1", "123456789012", lambda _line: None)
        accounts.prepare_at(local.url, "333333333333", "eu-west-1", "123456789012", lambda _line: None)
        yield local


def access(real: MotoEndpoint) -> dict[str, str]:
    """The variables of a developer who is logged in there."""
    return {
        "AWS_ENDPOINT_URL": real.url,
        "AWS_ENDPOINT_URL_S3": real.url.replace("localhost", "127.0.0.1"),
        "AWS_ACCESS_KEY_ID": "ada",
        "AWS_SECRET_ACCESS_KEY": "ada's secret",
        "AWS_REGION": "us-east-1",
    }


def test_with_an_account_the_stacks_go_there_and_the_records_stay_here(desk: Desk, real: MotoEndpoint) -> None:
    done = desk.run("--aws", "account", "--environment", "dev", "--yes", "--json", variables=access(real))
    assert done.exit_code == 0, done.errors
    assert "This deploys to AWS, with the credentials of account 123456789012:" in done.errors.splitlines()
    assert "  dev: Mini in account 222222222222, us-east-1" in done.errors.splitlines()
    assert done.document["outputs"] == {"dev": {"Mini": {"Word": "/mini/committed"}}}
    root: Any = boto3.Session("test", "test", region_name="us-east-1")
    role = root.client("sts", endpoint_url=real.url).assume_role(
        RoleArn="arn:aws:iam::222222222222:role/reader", RoleSessionName="reader"
    )["Credentials"]
    target: Any = boto3.Session(
        role["AccessKeyId"], role["SecretAccessKey"], role["SessionToken"], region_name="us-east-1"
    )
    parameter = target.client("ssm", endpoint_url=real.url).get_parameter(Name="/mini/committed")["Parameter"]
    assert parameter["Value"] == "here"
    assert real.client("s3").list_buckets()["Buckets"] == []
    assert real.client("dynamodb").list_tables()["TableNames"] == []
    assert "ada's secret" not in done.errors + done.output + "".join(
        file.read_text() for file in desk.state.rglob("*") if file.is_file()
    )
    leaves_nothing(desk)


def test_nothing_is_deployed_to_an_account_unasked(desk: Desk, real: MotoEndpoint) -> None:
    done = desk.run("--aws", "account", "--environment", "prod", variables=access(real))
    assert done.exit_code == 2
    assert done.errors.splitlines()[1:] == [
        "This deploys to AWS, with the credentials of account 123456789012:",
        "  prod: Mini in account 333333333333, eu-west-1",
        "Error: Nobody is there to confirm this; nothing was done.",
        "Say so beforehand with --yes.",
    ]
    leaves_nothing(desk)


def test_without_credentials_an_account_is_not_tried(desk: Desk) -> None:
    nowhere = {
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    done = desk.run("--aws", "account", variables=nowhere)
    assert (done.exit_code, done.output, done.errors) == (
        1,
        "",
        "Error: There are no AWS credentials on this machine.\n"
        "Log in first, for example with `aws sso login`, and choose a profile with AWS_PROFILE.\n",
    )
    leaves_nothing(desk)
