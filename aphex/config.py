"""aphex-config.yaml: the file in the application's repository that gives the pipeline its shape."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import Field, GetJsonSchemaHandler, JsonValue, model_validator
from pydantic.json_schema import JsonSchemaValue

from aphex.names import MAX_PIPELINE, PIPELINE_PATTERN
from aphex.notifications import Channel
from aphex.values import Account, Duration, Model, Region, RoleArn, ShellText, duration_seconds

CONFIG_FILE = "aphex-config.yaml"
_MAX_ENVIRONMENT_NAME = 40


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
    parameters: dict[str, str] = Field(
        default_factory=dict, description="Values of the stack's CloudFormation parameters; never secrets."
    )

    @model_validator(mode="after")
    def _inside(self) -> Stack:
        """`path` is relative to the repository's root and stays inside the repository."""
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


class Deployment(Model):
    """How `cdk deploy` deploys an environment's stacks. The defaults are the safe ones."""

    method: Literal["change-set", "direct"] | None = Field(
        default=None, description="Deploy by change set or directly. Without it: as the platform is set up."
    )
    express: bool = Field(
        default=False,
        description="Do not wait until resources are stable (`cdk deploy --express`): faster, and later stacks and "
        "tests may meet resources that are not ready.",
    )
    hotswap: Literal["off", "fall-back", "only"] = Field(
        default="off",
        description="Change resources past CloudFormation where CDK can, which makes stacks drift: for development.",
    )
    tags: dict[str, str] = Field(default_factory=dict, description="Tags of every stack, and so of its resources.")
    timeout: Duration = Field(default="2h", description="How long all stacks together may take, such as 90m.")

    @model_validator(mode="after")
    def _one_shortcut(self) -> Deployment:
        """At most one of `express` and `hotswap` is used."""
        if self.express and self.hotswap != "off":
            raise ValueError("express and hotswap exclude each other. Choose one.")
        return self

    @property
    def timeout_seconds(self) -> int:
        """The time-out in seconds."""
        return duration_seconds(self.timeout)


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
        "is used, which then needs the CDK bootstrap roles of the account; of another account than the pipeline's "
        "the app has to name the number itself.",
    )
    external_id: str | None = Field(
        default=None,
        min_length=2,
        max_length=1224,
        pattern=r"^[A-Za-z0-9_+=,.@:/-]+$",
        description="External id that the role's trust policy asks for. It is an identifier, not a secret.",
    )
    stacks: list[Stack] = Field(min_length=1, description="CDK stacks in the order of their deployment.")
    deployment: Deployment = Field(default_factory=Deployment, description="How the stacks are deployed.")
    context: dict[str, JsonValue] = Field(default_factory=dict, description="CDK context values for the synthesis.")
    hooks: Hooks = Field(default_factory=Hooks, description="Commands before and after the deployment.")
    tests: Tests | None = Field(default=None, description="Tests of the deployed environment.")

    @model_validator(mode="after")
    def _consistent(self) -> Environment:
        """Stacks have unique names, roles are in the environment's account, and `external_id` needs `role`."""
        _unique("stacks", (stack.name for stack in self.stacks))
        for field, role in (("role", self.role), ("tests.role", self.tests.role if self.tests else None)):
            if role is not None and role.split(":")[4] != self.account:
                raise ValueError(f"{field} is in account {role.split(':')[4]}, but account is {self.account}.")
        if self.external_id is not None and self.role is None:
            raise ValueError("external_id is for assuming a role, but there is no role. Configure role, or remove it.")
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
        """`log_days` is not shorter than `artifact_days`."""
        if self.log_days < self.artifact_days:
            raise ValueError(
                f"log_days ({self.log_days}) must not be shorter than artifact_days ({self.artifact_days})."
            )
        return self


class Pipeline(Model):
    """What concerns the pipeline as a whole."""

    name: str | None = Field(
        default=None,
        pattern=PIPELINE_PATTERN,
        max_length=MAX_PIPELINE,
        description="The pipeline's name, unique on its cluster. Without it: the repository's name.",
    )
    repository: str | None = Field(default=None, min_length=1, description="Clone URL of the application's repository.")
    branch: str = Field(default="main", min_length=1, description="The branch whose pushes start a run.")
    images: Images = Field(default_factory=Images, description="Images instead of the platform's own.")
    retention: Retention = Field(default_factory=Retention, description="How long the artifact bucket keeps what.")


class SelfUpdate(Model):
    """How the pipeline brings itself up to date."""

    rerun: bool = Field(
        default=False,
        description="After a self-update that changed the pipeline's shape, start one more run of the same commit, "
        "which then has the new shape.",
    )


class Cdk(Model):
    """What concerns every CDK app of the repository."""

    required_context: list[str] = Field(
        default_factory=list,
        description="Context keys without which no environment is synthesized. Values come from the environment's "
        "context, cdk.json, cdk.context.json or ~/.cdk.json.",
    )
    bootstrap: bool = Field(
        default=True,
        description="Whether the stacks use what `cdk bootstrap` made in their accounts, so that the validation looks "
        "for it. Set it to false for apps with a synthesizer that needs none.",
    )
    synthesis_timeout: Duration = Field(
        default="30m", description="How long the synthesis of one app may take in a stage, such as 90s or 1h."
    )

    @property
    def synthesis_timeout_seconds(self) -> int:
        """The time-out of a synthesis in seconds."""
        return duration_seconds(self.synthesis_timeout)

    @model_validator(mode="after")
    def _named(self) -> Cdk:
        """Each key is there once and is not blank."""
        _unique("required_context", self.required_context)
        if any(not key.strip() for key in self.required_context):
            raise ValueError("required_context has an empty key. Name the key, or remove the entry.")
        return self


class PipelineConfig(Model):
    """The whole of aphex-config.yaml."""

    version: Literal["1.0"] = Field(description='Version of this format: "1.0".')
    pipeline: Pipeline = Field(default_factory=Pipeline, description="The pipeline as a whole.")
    build: Build = Field(description="How the application is built.")
    cdk: Cdk = Field(default_factory=Cdk, description="The repository's CDK apps.")
    self_update: SelfUpdate = Field(default_factory=SelfUpdate, description="How the pipeline updates itself.")
    environments: list[Environment] = Field(min_length=1, description="Deployment targets, in order.")
    notifications: list[Channel] = Field(default_factory=list, description="Who is told how a run ended.")

    @model_validator(mode="after")
    def _unique_names(self) -> PipelineConfig:
        """Environments have unique names, and so have channels."""
        _unique("environments", (environment.name for environment in self.environments))
        _unique("notifications", (channel.name for channel in self.notifications))
        return self

    @model_validator(mode="after")
    def _channels_name_environments(self) -> PipelineConfig:
        """Channels name environments that the file has."""
        known = [environment.name for environment in self.environments]
        for index, channel in enumerate(self.notifications):
            unknown = [name for name in channel.environments if name not in known]
            if unknown:
                raise ValueError(
                    f"notifications[{index}].environments names {', '.join(unknown)}, which this configuration does "
                    f"not have. Its environments are {', '.join(known)}."
                )
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
