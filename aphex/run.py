"""What a run is: its stages, its record, and where in the artifact bucket everything of it lies."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from aphex.config import PipelineConfig


class StageKind(StrEnum):
    """The kinds of stage; each is `python -m stages KIND`."""

    VALIDATE = "validate"
    BUILD = "build"
    SELF_UPDATE = "self-update"
    ENVIRONMENT = "environment"
    TEST = "test"
    EXIT = "exit"


class Status(StrEnum):
    """How a run or a stage stands."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    DEGRADED = "degraded"
    SKIPPED = "skipped"


class Trigger(StrEnum):
    """What started a run."""

    PUSH = "push"
    PULL_REQUEST = "pull_request"
    MANUAL = "manual"
    RERUN = "rerun"


@dataclass(frozen=True)
class StageSpec:
    """One stage in the shape of a run.

    Attributes:
        kind: what it does.
        name: its task in the run, unique in it.
        environment: the environment it is for; None for those that are for the whole run.
    """

    kind: StageKind
    name: str
    environment: str | None = None


def deploy_name(environment: str) -> str:
    """The task that deploys an environment."""
    return f"deploy-{environment}"


def test_name(environment: str) -> str:
    """The task that tests an environment."""
    return f"test-{environment}"


test_name.__test__ = False  # type: ignore[attr-defined]  # its name looks like a test's to pytest


def run_stages(config: PipelineConfig) -> list[StageSpec]:
    """The stages of a run in their order: its shape."""
    stages = [
        StageSpec(StageKind.VALIDATE, "validate"),
        StageSpec(StageKind.BUILD, "build"),
        StageSpec(StageKind.SELF_UPDATE, "self-update"),
    ]
    for environment in config.environments:
        stages.append(StageSpec(StageKind.ENVIRONMENT, deploy_name(environment.name), environment.name))
        if environment.tests is not None:
            stages.append(StageSpec(StageKind.TEST, test_name(environment.name), environment.name))
    return stages


def pull_request_stages() -> list[StageSpec]:
    """The stages of a pull request's run, which deploys nothing."""
    return [StageSpec(StageKind.VALIDATE, "validate"), StageSpec(StageKind.BUILD, "build")]


@dataclass(frozen=True)
class RunKeys:
    """Keys in the artifact bucket. Each begins with the run's own prefix, so that no run overwrites another."""

    run: str

    def log(self, stage: str) -> str:
        """The whole output of a stage, as text."""
        return f"runs/{self.run}/logs/{stage}.log"

    def result(self, stage: str) -> str:
        """What a stage found out, as JSON."""
        return f"runs/{self.run}/results/{stage}.json"

    def error(self, stage: str) -> str:
        """Why a stage failed, as JSON."""
        return f"runs/{self.run}/errors/{stage}.json"

    def outputs(self, environment: str) -> str:
        """The stack outputs of an environment: `{STACK: {KEY: value}}` as JSON."""
        return f"runs/{self.run}/outputs/{environment}.json"

    def artifact(self, commit: str) -> str:
        """The build's artifact: a tar archive compressed with zstd."""
        return f"artifacts/{commit}/{self.run}/artifact.tar.zst"

    def manifest(self, commit: str) -> str:
        """What is in the artifact, and its checksums, as JSON."""
        return f"artifacts/{commit}/{self.run}/manifest.json"


class StageRecord(BaseModel):
    """How one stage of a run went, as the run table keeps it. Times are RFC 3339 in UTC."""

    model_config = ConfigDict(extra="ignore")

    status: Status
    started_at: str = ""
    ended_at: str = ""
    pod: str = Field(default="", description="The pod that wrote this")
    log: str = Field(default="", description="S3 key of the whole log")
    error: dict[str, Any] | None = None
    result: dict[str, Any] | None = None


class StackRecord(BaseModel):
    """How the deployment of one stack went. Times are RFC 3339 in UTC."""

    model_config = ConfigDict(extra="ignore")

    status: Status
    started_at: str = ""
    ended_at: str = ""
    seconds: float | None = None
    changed: bool | None = Field(default=None, description="False when there was nothing to deploy")


class ChannelRecord(BaseModel):
    """How a channel took the notification of a run; never its address."""

    model_config = ConfigDict(extra="ignore")

    status: Literal["sent", "refused", "timed out", "misconfigured"]
    reason: str = ""
    told: Status = Field(description="The status of the run that it was told")


class RunRecord(BaseModel):
    """One run, as the run table keeps it: `run_id` is the hash key. Times are RFC 3339 in UTC."""

    model_config = ConfigDict(extra="ignore")

    run_id: str
    pipeline: str
    commit: str
    branch: str = ""
    repository: str = ""
    author: str = ""
    message: str = ""
    trigger: Trigger = Trigger.PUSH
    pull_request: str = ""
    started_at: str
    ended_at: str = ""
    status: Status = Status.RUNNING
    stages: dict[str, StageRecord] = Field(default_factory=dict)
    artifact: dict[str, Any] | None = None
    outputs: dict[str, dict[str, dict[str, str]]] = Field(default_factory=dict, description="By environment and stack")
    outputs_at: dict[str, str] = Field(default_factory=dict, description="S3 keys of outputs too large for an item")
    stacks: dict[str, dict[str, StackRecord]] = Field(default_factory=dict, description="By environment and stack")
    versions: dict[str, dict[str, str]] = Field(default_factory=dict, description="Of tools, by stage")
    error: dict[str, Any] | None = Field(default=None, description="Of the first stage that failed")
    notifications: dict[str, ChannelRecord] = Field(default_factory=dict, description="By channel")
