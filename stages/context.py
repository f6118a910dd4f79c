"""What a stage is told by its pod, all of it in environment variables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from aphex.errors import UsageError
from aphex.run import RunKeys, Trigger

_PREFIX = "APHEX_"
_PATH_SEGMENT = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
_USER = re.compile(r"(?<=://)[^/@\s]+@")
_SSH_PASSWORD = re.compile(r"(?<=^ssh://)([^/@:]*):[^/@]*(?=@)")
_REPOSITORY = r"^[^-\s]\S*$"  # git takes what begins with a dash for an option

DEFAULT_WORKSPACE = Path("/workspace")
DEFAULT_RESULT = Path("/tmp/aphex/result.json")  # noqa: S108  # Argo reads the output parameter from there
DEFAULT_OUTPUTS = Path("/tmp/aphex/outputs.json")  # noqa: S108  # and that of an environment's outputs from here

OrEmpty = BeforeValidator(lambda value: value or "")


class StageContext(BaseModel):
    """The variables of a stage's pod: `APHEX_COMMIT` is `commit` here, and so on."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    pipeline: str = Field(pattern=_PATH_SEGMENT)
    run: str = Field(pattern=_PATH_SEGMENT)
    stage: str = Field(pattern=_PATH_SEGMENT)
    environment: str = ""
    commit: str = Field(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$")
    branch: str
    repository: str = Field(pattern=_REPOSITORY)
    author: str = ""
    message: str = ""
    trigger: Trigger = Trigger.PUSH
    pull_request: str = ""
    bucket: str = Field(min_length=1)
    table: str = Field(min_length=1)
    account: str = Field(pattern=r"^\d{12}$")
    region: str = Field(min_length=1)
    argo_url: Annotated[str, OrEmpty] = ""
    store_endpoint: str = ""  # of bucket, table and metrics, when they are not where the rest of AWS is
    notify: Literal["on", "off"] = "on"
    channels: str = ""  # of `notifications` in aphex-config.yaml, as JSON
    pod: str = ""
    namespace: str = ""
    environments: str = ""  # whose accounts are checked, with spaces between; all when empty
    assumable: str = ""  # patterns of the roles that the deployed policies allow, with spaces between
    cdk_method: Literal["change-set", "direct"] = "change-set"
    started: str = ""
    image: str = ""
    workspace: Path = DEFAULT_WORKSPACE
    result: Path = DEFAULT_RESULT
    outputs_parameter: Path = DEFAULT_OUTPUTS
    git_credentials: Path = Path("/etc/aphex/git")
    notifications: Path = Path("/etc/aphex/notifications")
    workflow_status: str = ""
    workflow_failures: str = ""
    workflow_duration: str = ""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> StageContext:
        """Read the variables of a stage's pod.

        Raises:
            UsageError: names every variable that is missing or wrong.
        """
        values = {
            key.removeprefix(_PREFIX).lower(): value
            for key, value in environment.items()
            if key.startswith(_PREFIX) and (value or key in ("APHEX_BRANCH", "APHEX_MESSAGE"))
        }
        values["region"] = environment.get("AWS_REGION", "")
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            problems = [_problem(str(each["loc"][0]), each["type"], each["msg"]) for each in error.errors()]
            message = "This is not the environment of a stage:\n" + "\n".join(f"  {line}" for line in problems)
            raise UsageError(
                message, hint="The pipeline's WorkflowTemplate sets these variables; docs/stages.md lists them."
            ) from None

    @property
    def keys(self) -> RunKeys:
        """Where the run's objects are in the artifact bucket."""
        return RunKeys(self.run)

    def required_environment(self) -> str:
        """The environment that the stage is for.

        Raises:
            UsageError: the pod names none.
        """
        if not self.environment:
            raise UsageError(f"The stage {self.stage} is for an environment, but APHEX_ENVIRONMENT is not set.")
        return self.environment


def without_credentials(repository: str) -> str:
    """A repository's address without the user and password in it, as it may be shown and kept.

    The user of an SSH address stays: it is no secret, and without it the address is another one.
    """
    if repository.startswith("ssh://"):
        return _SSH_PASSWORD.sub(r"\1", repository)
    return _USER.sub("", repository)


def _problem(field: str, kind: str, message: str) -> str:
    variable = "AWS_REGION" if field == "region" else _PREFIX + field.upper()
    if kind == "missing" or (field == "region" and kind == "string_too_short"):
        return f"{variable} is not set."
    return f"{variable}: {message[0].lower()}{message[1:]}."
