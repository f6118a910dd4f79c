"""How a cluster is: what EKS says of it, what its nodes and Argo say, and which pipelines are on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from automation.cluster_check import CONTROLLERS, Controller, controllers_named, image_version

if TYPE_CHECKING:
    from rich.table import Table

    from automation.home import StackHome


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of a cluster.

    Attributes:
        name: of the part.
        version: its version; empty when it is not known.
        ready: whether it does its work.
        detail: what is known besides.
    """

    name: str
    version: str
    ready: bool
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class ClusterStatus:
    """A cluster and its parts.

    Attributes:
        cluster: its name.
        parts: control plane, nodes and Argo.
        pipelines: the pipelines on it.
    """

    cluster: str
    parts: tuple[Part, ...]
    pipelines: tuple[str, ...]

    @property
    def ready(self) -> bool:
        """Whether every part does its work."""
        return all(part.ready for part in self.parts)

    def document(self) -> dict[str, Any]:
        """The status as JSON has it."""
        return {"ready": self.ready, **asdict(self)}


def read_status(home: StackHome, outputs: Mapping[str, Any]) -> ClusterStatus:
    """Ask EKS and the cluster's API.

    Raises:
        AphexError: EKS does not know the cluster, or refuses.
    """
    from automation.cluster_removal import pipelines_of

    return ClusterStatus(
        cluster=home.owner,
        parts=(_control_plane(home, str(outputs["cluster_name"])), *_inside(outputs)),
        pipelines=tuple(pipelines_of(home, outputs)),
    )


def _control_plane(home: StackHome, name: str) -> Part:
    from botocore.exceptions import ClientError

    try:
        found = home.aws.client("eks").describe_cluster(name=name)["cluster"]
    except ClientError as error:
        return Part(name="control plane", version="", ready=False, detail=str(error))
    return Part(
        name="control plane", version=str(found["version"]), ready=found["status"] == "ACTIVE", detail=found["status"]
    )


def _inside(outputs: Mapping[str, Any]) -> tuple[Part, ...]:
    """What the cluster's own API tells; one part that says so when it does not answer."""
    from lightkube.resources.core_v1 import Node

    from automation.cluster_facts import read_facts
    from automation.context_target import ClusterNotReady, reachable
    from automation.eks_target import cluster_access

    access = cluster_access(outputs)
    try:
        facts = read_facts(access, [])
        with reachable(access) as api:
            nodes = [
                (str(each.status.nodeInfo.kubeletVersion), any(_is_ready(c) for c in each.status.conditions or []))
                for each in api.list(Node)
            ]
    except ClusterNotReady as error:
        return (Part(name="API", version="", ready=False, detail=error.message),)
    controllers = facts.controllers or ()
    return (
        node_part(nodes),
        *(argo_part(name, product, controllers) for name, (product, _oldest) in CONTROLLERS.items()),
    )


def _is_ready(condition: Any) -> bool:
    return bool(condition.type == "Ready" and condition.status == "True")


def node_part(nodes: list[tuple[str, bool]]) -> Part:
    """All nodes as one part: kubelet's versions, and how many are ready. Auto Mode has none while nothing runs."""
    ready = sum(1 for _version, is_ready in nodes if is_ready)
    versions = ", ".join(sorted({version for version, _ready in nodes}))
    return Part(name="nodes", version=versions, ready=ready == len(nodes), detail=f"{ready} of {len(nodes)} ready")


def argo_part(name: str, product: str, controllers: tuple[Controller, ...]) -> Part:
    """One of Argo's controllers, found by the end of its name: Helm puts the release's before it."""
    named = controllers_named(name, controllers)
    running = [each for each in named if each.ready]
    version = image_version((running or named)[0].images) if named else None
    return Part(
        name=product,
        version=".".join(str(part) for part in version or ()),
        ready=bool(running),
        detail=", ".join(f"{each.namespace}/{each.name}" for each in named) or "not installed",
    )


def status_table(status: ClusterStatus) -> Table:
    """The status for a person."""
    from rich.table import Table

    table = Table(box=None, show_header=True, header_style="bold", pad_edge=False)
    for title in ("", "part", "version", ""):
        table.add_column(title, overflow="fold")
    for part in status.parts:
        table.add_row("✓" if part.ready else "✗", part.name, part.version, part.detail)
    table.add_row("", "pipelines", "", ", ".join(status.pipelines) or "none")
    return table
