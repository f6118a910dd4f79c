"""Stages of several runs, run in the test's own process on one bucket and table at a moto server."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aphex.run import StageRecord, Status
from stages.__main__ import STAGES
from stages.clients import PipelineClients
from stages.context import StageContext
from stages.runner import run_stage
from stages.table import RunTable
from tests.support.moto_endpoint import MotoEndpoint
from tests.support.pod import Pod, make_stores
from tests.support.repository import new_repository

BEGAN, ENDED = "2026-01-02T03:04:05Z", "2026-01-02T03:06:10Z"
COMMAND = r"printf 'token ghp_%036d\n' 7; echo 'no such file' >&2; exit 3"
CONFIG = """\
version: "1.0"
build:
  commands: ["echo one", "printf 'token ghp_%036d\\\\n' 7; echo 'no such file' >&2; exit 3"]
environments:
  - {name: dev, region: us-east-1, account: "222222222222", role: "arn:aws:iam::222222222222:role/aphex-deployer",
     stacks: [{name: App, path: app}]}
"""


@dataclass
class Runs:
    """Runs stages.

    Attributes:
        pod: where the stages find everything.
        patch: sets their variables.
        sha: the commit that they run for.
    """

    pod: Pod
    patch: pytest.MonkeyPatch
    sha: str

    def context(self, run: str, stage: str, **more: str) -> StageContext:
        variables = {**self.pod.variables(stage, self.sha), "APHEX_MESSAGE": "Sell more", "APHEX_RUN": run, **more}
        variables["APHEX_NOTIFICATIONS"] = str(self.pod.folder / "secret")
        for name, value in variables.items():
            self.patch.setenv(name, value)
        return StageContext.from_environment(variables)

    def run(self, run: str, stage: str, **more: str) -> int:
        return run_stage(STAGES[stage], self.context(run, stage, **more))

    def end(self, run: str, status: str = "Succeeded", **more: str) -> dict[str, Any]:
        """Run the exit handler; its result."""
        told = {"APHEX_WORKFLOW_STATUS": status, "APHEX_WORKFLOW_FAILURES": "[]", **more}
        assert self.run(run, "exit", **told) == 0
        result: dict[str, Any] = json.loads((self.pod.folder / "result.json").read_text())
        return result

    def table(self, run: str, **more: str) -> RunTable:
        return RunTable(PipelineClients("us-east-1"), self.context(run, "build", **more))

    def begun(self, run: str, **stages: Status) -> RunTable:
        """A run of which some stages have ended; `_` in a name stands for `-`."""
        table = self.table(run)
        table.begin_run()
        for name, status in stages.items():
            table.set_stage(
                name.replace("_", "-"), StageRecord(status=status, started_at=BEGAN, ended_at="2026-01-02T03:05:05Z")
            )
        return table


def make_runs(aws: MotoEndpoint, folder: Path, patch: pytest.MonkeyPatch) -> Runs:
    """Everything new, and clocks that stand still: stages begin at BEGAN, the run ends at ENDED."""
    aws.reset()
    make_stores(aws)
    repository = new_repository(folder / "repository")
    sha = repository.commit({"aphex-config.yaml": CONFIG, "app/cdk.json": "{}"})
    (folder / "secret").mkdir()
    patch.setenv("AWS_ACCESS_KEY_ID", "test")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    patch.setattr("stages.exit.now", lambda: ENDED)
    patch.setattr("stages.runner.now", lambda: BEGAN)
    return Runs(Pod(aws, repository, folder), patch, sha)


def channel(name: str, url: str, **more: Any) -> dict[str, Any]:
    """A channel with an address without a secret."""
    return {"name": name, "url": url, **more}
