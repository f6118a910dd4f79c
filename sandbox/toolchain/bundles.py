"""What is built from Go modules, at which versions, and the key under which the binaries are cached."""

from __future__ import annotations

import hashlib
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

KUBERNETES = "1.34.4"
ETCD = "3.6.5"
COREDNS = "1.13.1"
ARGO_WORKFLOWS = "3.7.18"
ARGO_EVENTS = "1.9.11"
PULUMI = "3.259.0"

_SOURCES = Path(__file__).parent / "go"
# Changes when the way of building changes while sources and versions do not.
_RECIPE = "1"
_ARGO = "github.com/argoproj/argo-workflows/v3"


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """Binaries that one Go module builds together, so that what they share is compiled once.

    Attributes:
        name: the folder of the module below `root`.
        packages: the package that makes each binary.
        variables: values set at link time, by their full names.
        root: the folder that has the modules.
    """

    name: str
    packages: Mapping[str, str]
    variables: Mapping[str, str] = field(default_factory=dict)
    root: Path = _SOURCES

    @property
    def sources(self) -> Path:
        """The folder with the module's `go.mod`, sources and overlays."""
        return self.root / self.name

    @property
    def linker_flags(self) -> str:
        """The flags for `go build -ldflags`: no debug tables, and the versions."""
        settings = [f"-X {name}={value}" for name, value in sorted(self.variables.items())]
        return " ".join(["-s", "-w", *settings])

    def digest(self) -> str:
        """The key of these binaries: everything they are made from, and the machine they are for."""
        whole = hashlib.sha256()
        packages = sorted(self.packages.items())
        whole.update(repr((_RECIPE, sys.platform, platform.machine(), packages, self.linker_flags)).encode())
        for path in sorted(self.sources.rglob("*")):
            if path.is_file():
                whole.update(path.relative_to(self.sources).as_posix().encode() + b"\0")
                whole.update(hashlib.sha256(path.read_bytes()).digest())
        return whole.hexdigest()[:16]


SANDBOX = Bundle(
    name="sandbox",
    packages={
        "kube": "./kube",
        "argo-events": "./events",
        "workflow-controller": f"{_ARGO}/cmd/workflow-controller",
        "argoexec": f"{_ARGO}/cmd/argoexec",
        "argo": f"{_ARGO}/cmd/argo",
    },
    variables={
        "k8s.io/component-base/version.gitVersion": f"v{KUBERNETES}",
        "k8s.io/component-base/version.gitMajor": KUBERNETES.split(".")[0],
        "k8s.io/component-base/version.gitMinor": KUBERNETES.split(".")[1],
        f"{_ARGO}.version": f"v{ARGO_WORKFLOWS}",
        "github.com/argoproj/argo-events.version": f"v{ARGO_EVENTS}",
    },
)
PULUMI_CLI = Bundle(
    name="pulumi",
    packages={"pulumi": "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"},
    variables={"github.com/pulumi/pulumi/sdk/v3/go/common/version.Version": f"v{PULUMI}"},
)
BUNDLES = (SANDBOX, PULUMI_CLI)


def bundle_of(tool: str) -> Bundle | None:
    """The bundle that builds a tool; None for a tool that is not built here."""
    return next((bundle for bundle in BUNDLES if tool in bundle.packages), None)
