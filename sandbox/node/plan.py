"""What the supervisor is told to run: written by the host, read by the first process of the node."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ProbeKind(StrEnum):
    """How a component shows that it is ready."""

    tcp = "tcp"
    http = "http"
    unix = "unix"


class Probe(_Part):
    """A question whose answer says that a component is ready."""

    kind: ProbeKind
    target: str = Field(description="host:port, URL, or path of a socket")


class Component(_Part):
    """One process to keep alive."""

    name: str
    command: tuple[str, ...]
    environment: dict[str, str] = {}
    after: tuple[str, ...] = Field(default=(), description="Components that have to be ready first")
    probe: Probe
    stop_seconds: float = Field(default=2.0, description="How long it may take to end before it is killed")


class Bind(_Part):
    """A folder or file of the state folder shown at a fixed path inside the node."""

    source: Path
    target: Path


class NodePlan(_Part):
    """Everything that the node's first process needs to know."""

    hostname: str
    directory: Path
    device: str
    address: str = Field(description="Of the node, with its prefix length")
    gateway: str
    cgroup: str = Field(
        description="The control group, below the root of each hierarchy, that the node takes for the root"
    )
    binds: tuple[Bind, ...] = ()
    scratch: tuple[Path, ...] = Field(default=(), description="Folders that are empty and in memory in the node")
    components: tuple[Component, ...]
    sources: str = Field(default="", description="Digest of this project's code that the node runs")
