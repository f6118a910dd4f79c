"""Where everything is in a sandbox's state folder, and on the paths that the node shows it under."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

CONTAINERD_SOCKET = Path("/run/containerd/containerd.sock")
KUBELET_ROOT = Path("/var/lib/kubelet")
CNI_CACHE = Path("/var/lib/cni")


@dataclass(frozen=True)
class Layout:
    """The paths below one state folder."""

    directory: Path

    @property
    def etc(self) -> Path:
        """Configuration files."""
        return self.directory / "etc"

    @property
    def pki(self) -> Path:
        """Keys and certificates."""
        return self.directory / "pki"

    @property
    def trust(self) -> Path:
        """The host's CA bundle as containers see it; not there when the host has none."""
        return self.directory / "trust" / "ca-certificates.crt"

    @property
    def base_runtime_spec(self) -> Path:
        """What every container begins with."""
        return self.etc / "container.json"

    @property
    def logs(self) -> Path:
        """One log a component."""
        return self.directory / "logs"

    @property
    def events(self) -> Path:
        """What the supervisor did, a line an event."""
        return self.logs / "events.log"

    @property
    def plan(self) -> Path:
        """What the supervisor runs."""
        return self.directory / "plan.json"

    @property
    def state(self) -> Path:
        """The sandbox's state, once it has been started."""
        return self.directory / "state.json"

    @property
    def secrets(self) -> Path:
        """The sandbox's secrets."""
        return self.directory / "secrets.json"

    @property
    def network(self) -> Path:
        """The sandbox's addresses; they outlive a stop, because objects in etcd contain them."""
        return self.directory / "network.json"

    @property
    def process(self) -> Path:
        """Which process is the node's first."""
        return self.directory / "process.json"

    @property
    def status(self) -> Path:
        """How the components are, written by the supervisor."""
        return self.directory / "status.json"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.directory / "kubeconfig"

    def data(self, component: str) -> Path:
        """Where a component keeps its data."""
        return self.directory / "data" / component

    def certificate(self, name: str) -> Path:
        """A certificate of the sandbox's authority."""
        return self.pki / f"{name}.crt"

    def key(self, name: str) -> Path:
        """The key of a certificate."""
        return self.pki / f"{name}.key"
