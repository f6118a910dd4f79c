"""What a sandbox is, kept in its state folder so that every later command finds it again."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from aphex.errors import AphexError, UsageError
from aphex.names import slug

DEFAULT_NAME = "default"
ACCOUNT = "123456789012"
REGION = "us-east-1"
REGISTRY_ALIAS = "registry.aphex.internal"
AWS_ALIAS = "aws-localhost"
API_PORT = 6443
AWS_PORT = 5000
REGISTRY_PORT = 5001
GIT_PORT = 8080
NATS_PORT = 4222
ARGO_PORT = 2746
_MAX_NAME = 40

Model = TypeVar("Model", bound=BaseModel)


class Phase(StrEnum):
    """Whether something that is reported is still waited for."""

    waiting = "waiting"
    ready = "ready"


Report = Callable[[str, Phase, float], None]
"""Called with what is waited for, whether it is ready, and the seconds since the wait began."""


class SandboxNotRunning(AphexError):
    """A command needs a sandbox that is not there."""

    def __init__(self, name: str, context: str | None = None) -> None:
        """Name the command that starts it; `context` is that of the cluster that it is beside, if it is."""
        words = "" if context is None else f" --beside context:{context}"
        words += "" if name == DEFAULT_NAME else f" --name {name}"
        super().__init__(
            f'The sandbox "{name}" is not running.',
            hint=f"Start it with: python -m automation sandbox start{words}",
        )


class _Saved(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def save(self, path: Path) -> None:
        """Write the model as JSON that only its owner can read, whole or not at all."""
        write_private(path, self.text())

    def text(self) -> str:
        """The model as JSON, as it is written."""
        return self.model_dump_json(indent=2) + "\n"


class SandboxSecrets(_Saved):
    """What only the owner of a sandbox may know; kept apart from its state, hidden in its representation."""

    nats_username: str = Field(description="User of the EventBus")
    nats_password: str = Field(description="Password of the EventBus", repr=False)
    passphrase: str = Field(description="Encrypts the secrets in Pulumi's state", repr=False)
    webhook_secret: str = Field(description="Signs the git host's webhooks", repr=False)
    admin_token: str = Field(description="Bearer token of the cluster's administrator", repr=False)

    @classmethod
    def generate(cls) -> SandboxSecrets:
        """Make new random secrets of 256 bits each."""
        return cls(
            nats_username="argo-events",
            nats_password=secrets.token_hex(32),
            passphrase=secrets.token_hex(32),
            webhook_secret=secrets.token_hex(32),
            admin_token=secrets.token_hex(32),
        )


class StandIns(_Saved):
    """What stands in for AWS and for a git host: a whole sandbox has it, and so have services beside a cluster."""

    name: str = Field(description="Name of the sandbox, unique on this machine for its user")
    directory: Path = Field(description="State folder")
    aws_endpoint: str = Field(description="The AWS stand-in, for programs on the host")
    aws_endpoint_in_pods: str = Field(description="The AWS stand-in, for programs in pods")
    aws_s3_endpoint_in_pods: str = Field(description="Its S3, for programs in pods: an address, so path-style")
    account: str = Field(default=ACCOUNT, description="AWS account of the pipeline")
    region: str = Field(default=REGION, description="AWS region of the pipeline")
    git_url: str = Field(description="Base address of the git host")
    nats_url: str | None = Field(
        default=None, description="NATS server of the EventBus; none: one of the cluster's own"
    )

    def secrets(self) -> SandboxSecrets:
        """Read the secrets that belong to this sandbox.

        Raises:
            AphexError: the file is missing or damaged.
        """
        return read_model(self.directory / "secrets.json", SandboxSecrets)


class SandboxState(StandIns):
    """Where everything of a sandbox is: its addresses, its files and the names used inside its pods."""

    node_ip: str = Field(description="Address of the node, reached from the host and from pods")
    host_ip: str = Field(description="The host's address on the link to the node")
    pod_cidr: str = Field(description="Addresses of pods")
    service_cidr: str = Field(description="Addresses of services")
    kubeconfig: Path = Field(description="kubeconfig of the administrator, readable by its owner alone")
    context: str = Field(description="Name of the context in the kubeconfig")
    supervisor_pid: int = Field(description="First process of the node's namespaces, as the host sees it")
    registry: str = Field(description="host:port to push images to")
    image_prefix: str = Field(default=REGISTRY_ALIAS, description="The registry's name in image references")
    oidc_issuer: str = Field(description="Issuer of service-account tokens")
    argo_server_url: str = Field(description="Argo's user interface and API, from the host")
    ca_bundle: Path | None = Field(default=None, description="The host's own CA bundle, if it has one")


class ServicesState(StandIns):
    """Stand-ins without a node: one process of this machine, for a cluster that is elsewhere."""

    address: str = Field(description="Address of this machine that they listen on, reached from the cluster's pods")
    aws_port: int
    git_port: int
    context: str = Field(description="The kubeconfig's context whose cluster they are for")


class ComponentState(StrEnum):
    """How a supervised component is doing."""

    starting = "starting"
    ready = "ready"
    restarting = "restarting"
    stopped = "stopped"


class ComponentStatus(_Saved):
    """One supervised component as its supervisor sees it."""

    name: str
    state: ComponentState
    pid: int | None = Field(default=None, description="Process id inside the node")
    restarts: int = 0
    since: float = Field(description="When it came into this state, in seconds since the epoch")
    started: float = Field(default=0.0, description="When its process was started, in seconds since the epoch")


class SandboxStatus(_Saved):
    """Whether a sandbox runs, and how its components are."""

    name: str
    running: bool
    components: tuple[ComponentStatus, ...] = ()

    @property
    def ready(self) -> bool:
        """Whether it runs and all of its components are ready."""
        return self.running and all(c.state is ComponentState.ready for c in self.components)


def sandboxes_directory() -> Path:
    """The folder that holds the state folders of all sandboxes of this user."""
    if chosen := os.environ.get("APHEX_STATE"):
        return Path(chosen).absolute() / "sandbox"
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base).absolute() / "aphex" / "sandbox"


def state_directory(name: str) -> Path:
    """The state folder of a sandbox.

    Raises:
        UsageError: the name is not a valid Kubernetes name of at most 40 characters.
    """
    if not name or slug(name) != name or len(name) > _MAX_NAME:
        raise UsageError(
            f'"{name}" is not a name for a sandbox.',
            hint=f"Use lower case letters, digits and single dashes, at most {_MAX_NAME} characters.",
        )
    return sandboxes_directory() / name


def read_model(path: Path, model: type[Model]) -> Model:
    """Read a model that was saved in a state folder.

    Raises:
        AphexError: the file is missing or is not what was saved.
    """
    try:
        return model.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise AphexError(f"{path} is missing.", hint="Stop the sandbox and start it again.") from error
    except ValidationError as error:
        raise AphexError(
            f"{path} does not hold what this version writes: {error.error_count()} field(s) differ.",
            hint="Stop the sandbox with --remove and start it again.",
        ) from error


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    temporary.replace(path)
