"""An application team and its pipeline in a running sandbox: what they type, push and find in AWS."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from aphex.process import Completed, run
from aphex.run import RunRecord
from automation.argo import get_run, list_runs
from automation.console import Terminal
from automation.options import TargetOptions
from automation.records import read_record
from automation.resolve import find
from automation.runs import RunView
from automation.target import Target
from sandbox import git_host
from sandbox.state import StandIns

ROOT = Path(__file__).resolve().parents[2]
RUN_SECONDS = 600.0
_AUTHOR = ("-c", "user.name=Ada Developer", "-c", "user.email=ada@example.com", "-c", "commit.gpgsign=false")

APP = """\
import aws_cdk as cdk
from aws_cdk import aws_ssm as ssm

app = cdk.App()
stack = cdk.Stack(app, "Mini")
word = open("word.txt").read().strip()
parameter = ssm.StringParameter(stack, "Word", parameter_name="/mini/word", string_value=word)
cdk.CfnOutput(stack, "WordName", value=parameter.parameter_name)
app.synth()
"""


def environment_yaml(name: str, account: str, region: str) -> str:
    """An environment of the small application as its configuration has it."""
    return f"""\
  - name: {name}
    region: {region}
    account: "{account}"
    role: arn:aws:iam::{account}:role/aphex-deployer
    stacks:
      - name: Mini
        path: app.py
"""


def mini_application(name: str, word: str = "hello") -> dict[str, str]:
    """A small application of one stack and one environment: its files."""
    config = f"""\
version: "1.0"
pipeline:
  name: {name}
build:
  commands:
    - test -s word.txt
environments:
{environment_yaml("dev", "222222222222", "us-east-1")}"""
    return {
        "aphex-config.yaml": config,
        "cdk.json": json.dumps({"app": "python3 app.py"}),
        "app.py": APP,
        "word.txt": word + "\n",
    }


@dataclass
class Team:
    """A team with a clone of its application's repository.

    Attributes:
        sandbox: where its pipeline is.
        name: of the pipeline.
        folder: its clone.
        context: of the kubeconfig, when the pipeline is in a cluster elsewhere.
    """

    sandbox: StandIns
    name: str
    folder: Path
    context: str | None = None
    _target: Target | None = field(default=None, repr=False)

    def write(self, files: dict[str, str]) -> None:
        """Write files into the clone."""
        for path, text in files.items():
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).write_text(text, encoding="utf-8")

    @property
    def where(self) -> list[str]:
        """The options that say where the pipeline is."""
        elsewhere = ["--cluster", f"context:{self.context}", "--aws", "sandbox"] if self.context else []
        return [*elsewhere, "--name", self.sandbox.name]

    def automation(self, *arguments: str, check: bool = True) -> Completed:
        """Type a command of `python -m automation` for this pipeline."""
        return run(
            [sys.executable, "-m", "automation", *arguments, *self.where],
            cwd=ROOT,
            env={**os.environ, "NO_COLOR": "1", "COLUMNS": "200"},
            separate_errors=True,
            check=check,
            timeout=RUN_SECONDS,
            label=f"python -m automation {arguments[0]}",
        )

    def document(self, *arguments: str) -> Any:
        """What a command prints with `--json`."""
        return json.loads(self.automation(*arguments, "--json").output)

    def up(self) -> Any:
        """Bring the pipeline to the clone's configuration."""
        return self.document("up", "--config", str(self.folder / "aphex-config.yaml"), "--yes")

    def git(self, *arguments: str) -> str:
        """A git command in the clone."""
        return run(["git", *_AUTHOR, *arguments], cwd=self.folder, label=f"git {arguments[0]}").output.strip()

    @property
    def repository(self) -> git_host.Repository:
        """The repository on the sandbox's git host."""
        return git_host.find_repository(self.sandbox, self.name)

    def commit(self, message: str, files: dict[str, str] | None = None) -> str:
        """Commit the clone as it is, with these files written first; the commit."""
        if not (self.folder / ".git").exists():
            self.git("init", "--quiet", "--initial-branch=main")
        self.write(files or {})
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")

    def push(self, message: str, files: dict[str, str] | None = None, branch: str = "main") -> str:
        """Commit and push; the commit."""
        commit = self.commit(message, files)
        self.git("push", "--quiet", str(self.repository.path), f"HEAD:{branch}")
        return commit

    @property
    def target(self) -> Target:
        """The pipeline as the command line finds it."""
        if self._target is None:
            options = TargetOptions(
                pipeline=self.name,
                name=self.sandbox.name,
                cluster=f"context:{self.context}" if self.context else None,
                aws="sandbox" if self.context else None,
            )
            self._target = find(options, Terminal(json_output=True))
        return self._target

    def runs(self, commit: str) -> list[RunView]:
        """The runs for a commit, the newest first."""
        return list_runs(self.target, commit=commit)

    def run_of(self, commit: str) -> RunView:
        """The run that a push of this commit started, as soon as there is one."""
        deadline = time.monotonic() + 60
        while not (found := self.runs(commit)):
            assert time.monotonic() < deadline, f"no run for {commit}: {self.deliveries()}"
            time.sleep(0.5)
        return found[-1]

    def finished(self, run_name: str) -> tuple[RunView, RunRecord]:
        """A run and its record, once it has ended."""
        deadline = time.monotonic() + RUN_SECONDS
        while not (view := get_run(self.target, run_name)).finished:
            assert time.monotonic() < deadline, f"{run_name} did not end: {view}"
            time.sleep(1)
        record = read_record(self.target, run_name)
        assert record is not None, f"{run_name} is not in the run table"
        return view, record

    def delivered(self, commit: str) -> tuple[RunView, RunRecord]:
        """The run of a pushed commit and its record, once it has ended well."""
        view, record = self.finished(self.run_of(commit).name)
        assert view.status == "succeeded", self.told(view)
        return view, record

    def told(self, view: RunView) -> str:
        """A run's stages and the end of each failed one's log, for the message of a failing test."""
        lines = [f"{view.name} {view.status}"]
        for stage in view.stages:
            lines.append(f"  {stage.name} {stage.status} {stage.message}")
            if stage.status == "failed":
                log = self.automation("logs", view.name, stage.name, "--pipeline", self.name, check=False)
                lines += [f"    {line}" for line in (log.output + log.error_output).splitlines()[-40:]]
        return "\n".join(lines)

    def deliveries(self) -> list[git_host.Delivery]:
        """The webhooks that the git host has sent for this repository."""
        return list(git_host.deliveries(self.repository))

    def stored(self, key: str) -> str:
        """A text in the artifact bucket."""
        bucket = f"aphex-{self.name}-{self.sandbox.account}-{self.sandbox.region}"
        return str(self.aws("s3").get_object(Bucket=bucket, Key=key)["Body"].read().decode())

    def aws(self, service: str, account: str | None = None, region: str | None = None) -> Any:
        """A client of the sandbox's AWS: in the pipeline's own account, or in another by a role there."""
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        make: Any = boto3.client
        config = Config(s3={"addressing_style": "path"})
        common = {"endpoint_url": self.sandbox.aws_endpoint, "region_name": region or self.sandbox.region}
        if account is not None:
            role = make("sts", **common, **keys).assume_role(
                RoleArn=f"arn:aws:iam::{account}:role/aphex-tester", RoleSessionName="test"
            )["Credentials"]
            keys = {
                "aws_access_key_id": role["AccessKeyId"],
                "aws_secret_access_key": role["SecretAccessKey"],
                "aws_session_token": role["SessionToken"],
            }
        return make(service, config=config, **common, **keys)

    def word(self, account: str, region: str) -> str | None:
        """What the small application has deployed there; None when it is not there."""
        client = self.aws("ssm", account, region)
        try:
            return str(client.get_parameter(Name="/mini/word")["Parameter"]["Value"])
        except client.exceptions.ParameterNotFound:
            return None


def period(view: RunView) -> tuple[datetime, datetime]:
    """When a run's stages were at work: from the start of the first to the end of the last."""
    begun = [stage.started for stage in view.stages if stage.started is not None]
    ended = [stage.ended for stage in view.stages if stage.ended is not None]
    return min(begun), max(ended)
