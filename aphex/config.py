"""aphex-config.yaml: the file in the application's repository that gives the pipeline its shape."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    JsonValue,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue

from aphex.regions import region_problem

CONFIG_FILE = "aphex-config.yaml"
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_MAX_ENVIRONMENT_NAME = 40


def duration_seconds(text: str) -> int:
    """Seconds in a duration such as `90s`, `10m` or `1h30m`.

    Raises:
        ValueError: `text` is not such a duration, or is zero.
    """
    match = _DURATION.fullmatch(text.strip())
    hours, minutes, seconds = (int(part or 0) for part in match.groups()) if match else (0, 0, 0)
    total = hours * 3600 + minutes * 60 + seconds
    if total == 0:
        raise ValueError(f'"{text}" is not a duration. Write it as 90s, 10m or 1h30m.')
    return total


def _duration(text: str) -> str:
    duration_seconds(text)
    return text


def _region(name: str) -> str:
    problem = region_problem(name)
    if problem:
        raise ValueError(problem)
    return name


def _account(value: object) -> object:
    if isinstance(value, int):
        raise ValueError(f'is a number here, which loses leading zeros. Put it in quotes: "{value:012d}".')
    return value


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty. Write a command, or remove the entry.")
    return text


Region = Annotated[str, AfterValidator(_region)]
Account = Annotated[str, BeforeValidator(_account), Field(pattern=r"^\d{12}$")]
Duration = Annotated[str, AfterValidator(_duration)]
ShellText = Annotated[str, AfterValidator(_not_blank)]
RoleArn = Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+$")]


class Model(BaseModel):
    """What every part of the configuration is: immutable, and strict about unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=False)


class Command(Model):
    """A shell command; in the file a plain string is one with the defaults."""

    run: ShellText = Field(description="The command, as bash reads it.")
    timeout: Duration = Field(default="30m", description="How long it may take, such as 90s, 10m or 1h30m.")

    @model_validator(mode="before")
    @classmethod
    def _from_string(cls, value: Any) -> Any:
        return {"run": value} if isinstance(value, str) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Say in the published schema that a plain string will do."""
        return {"anyOf": [{"type": "string", "minLength": 1}, handler.resolve_ref_schema(handler(core_schema))]}

    @property
    def timeout_seconds(self) -> int:
        """The time-out in seconds."""
        return duration_seconds(self.timeout)


class Build(Model):
    """How the application is built."""

    commands: list[Command] = Field(min_length=1, description="Shell commands, run in order up to the first failure.")
    artifacts: list[str] | None = Field(
        default=None,
        min_length=1,
        description="Globs of files that later stages get. Without it: all that the commands added or changed.",
    )


class Stack(Model):
    """A CDK stack."""

    name: str = Field(
        pattern=r"^[A-Za-z][A-Za-z0-9-]*(/[A-Za-z][A-Za-z0-9-]*)*$",
        max_length=128,
        description="The stack's name, or its path in the CDK app when it is inside a CDK Stage.",
    )
    path: str = Field(
        min_length=1,
        description="The stack's file or its CDK app's folder; the app is the nearest folder upwards with a cdk.json.",
    )

    @model_validator(mode="after")
    def _inside(self) -> Stack:
        if self.path.startswith("/") or ".." in self.path.split("/"):
            raise ValueError(f'path "{self.path}" leaves the repository. Write it relative to the repository\'s root.')
        return self


class Hooks(Model):
    """Commands around an environment's deployment."""

    pre: list[Command] = Field(default_factory=list, description="Run before the synthesis.")
    post: list[Command] = Field(default_factory=list, description="Run after the last stack.")


class Tests(Model):
    """How a deployed environment is tested."""

    __test__ = False  # its name looks like a test's to pytest

    commands: list[Command] = Field(min_length=1, description="Shell commands, run in order up to the first failure.")
    role: RoleArn | None = Field(
        default=None, description="Role that the test commands assume in the environment's account."
    )
    reports: list[str] = Field(default_factory=list, description="Globs of JUnit XML reports to keep.")


class Environment(Model):
    """A deployment target."""

    name: str = Field(
        pattern=r"^[a-z]([a-z0-9-]*[a-z0-9])?$",
        max_length=_MAX_ENVIRONMENT_NAME,
        description="Unique name; lower-case letters, digits and dashes.",
    )
    region: Region = Field(description="AWS region, such as eu-west-1.")
    account: Account = Field(description="AWS account: twelve digits, in quotes.")
    role: RoleArn | None = Field(
        default=None,
        description="Role that deployments assume in the account. Without it the pipeline's own deployment role "
        "is used, which then needs the CDK bootstrap roles of the account.",
    )
    stacks: list[Stack] = Field(min_length=1, description="CDK stacks in the order of their deployment.")
    context: dict[str, JsonValue] = Field(default_factory=dict, description="CDK context values for the synthesis.")
    hooks: Hooks = Field(default_factory=Hooks, description="Commands before and after the deployment.")
    tests: Tests | None = Field(default=None, description="Tests of the deployed environment.")

    @model_validator(mode="after")
    def _consistent(self) -> Environment:
        _unique("stacks", (stack.name for stack in self.stacks))
        for field, role in (("role", self.role), ("tests.role", self.tests.role if self.tests else None)):
            if role is not None and role.split(":")[4] != self.account:
                raise ValueError(f"{field} is in account {role.split(':')[4]}, but account is {self.account}.")
        return self


class Images(Model):
    """Images that a pipeline uses instead of the platform's own."""

    builder: str | None = Field(default=None, min_length=1, description="Image of the build stages.")
    deployer: str | None = Field(default=None, min_length=1, description="Image of the deployment stages.")


class Retention(Model):
    """How long the artifact bucket keeps what. Durations are in days."""

    artifact_days: int = Field(default=90, ge=1, description="Build artifacts.")
    log_days: int = Field(default=365, ge=1, description="Logs, results and outputs of runs: the audit trail.")
    noncurrent_days: int = Field(default=30, ge=1, description="Versions that were overwritten or deleted.")

    @model_validator(mode="after")
    def _audit_trail_outlives_artifacts(self) -> Retention:
        if self.log_days < self.artifact_days:
            raise ValueError(
                f"log_days ({self.log_days}) must not be shorter than artifact_days ({self.artifact_days})."
            )
        return self


class Pipeline(Model):
    """What concerns the pipeline as a whole."""

    name: str | None = Field(
        default=None,
        pattern=r"^[a-z]([a-z0-9-]*[a-z0-9])?$",
        max_length=40,
        description="The pipeline's name, unique on its cluster. Without it: the repository's name.",
    )
    repository: str | None = Field(default=None, min_length=1, description="Clone URL of the application's repository.")
    branch: str = Field(default="main", min_length=1, description="The branch whose pushes start a run.")
    images: Images = Field(default_factory=Images, description="Images instead of the platform's own.")
    retention: Retention = Field(default_factory=Retention, description="How long the artifact bucket keeps what.")


class PipelineConfig(Model):
    """The whole of aphex-config.yaml."""

    version: Literal["1.0"] = Field(description='Version of this format: "1.0".')
    pipeline: Pipeline = Field(default_factory=Pipeline, description="The pipeline as a whole.")
    build: Build = Field(description="How the application is built.")
    environments: list[Environment] = Field(min_length=1, description="Deployment targets, in order.")

    @model_validator(mode="after")
    def _unique_environments(self) -> PipelineConfig:
        _unique("environments", (environment.name for environment in self.environments))
        return self

    def environment(self, name: str) -> Environment | None:
        """The environment of that name, if there is one."""
        return next((each for each in self.environments if each.name == name), None)


def _unique(field: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f'{field} has the name "{name}" twice. Names must be unique.')
        seen.add(name)
