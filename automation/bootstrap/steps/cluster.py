"""The cluster: started in the sandbox, made on EKS, or looked at where it is there already; and its kubeconfig."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aphex.errors import AphexError
from automation.bootstrap.context import Context
from automation.bootstrap.step import Finding, blocked, done, to_do

if TYPE_CHECKING:
    from aphex.cluster_config import ClusterConfig
    from automation.console import Terminal

MakeCluster = Callable[["ClusterConfig", "Terminal"], object]


@dataclass(frozen=True, kw_only=True)
class SandboxStep:
    """The sandbox on this machine, started."""

    context: Context
    name: str = "cluster"
    title: str = "Sandbox"
    makes: str = "a Kubernetes with Argo, an AWS stand-in and a git host, on this machine"

    def check(self) -> Finding:
        """Whether all of it is ready."""
        from sandbox import lifecycle

        status = lifecycle.status(self.context.options.name)
        if not status.running:
            return to_do("it does not run")
        unready = [f"{each.name} is {each.state.value}" for each in status.components if each.state.value != "ready"]
        return to_do("; ".join(unready)) if unready else done(f"{len(status.components)} components are ready")

    def do(self) -> None:
        """Start it, or mend it."""
        from automation.sandbox_target import running_sandbox

        running_sandbox(self.context.options.name, self.context.terminal, start=True)


@dataclass(frozen=True, kw_only=True)
class StandInsStep:
    """What stands in for AWS and for a git host, as one process of this machine, beside a cluster that is elsewhere."""

    context: Context
    name: str = "stand-ins"
    title: str = "AWS stand-in and git host"
    makes: str = "one process of this machine, which the cluster's pods have to reach"

    def check(self) -> Finding:
        """Whether it serves."""
        from sandbox import lifecycle

        status = lifecycle.status(self.context.options.name)
        return done("both answer") if status.ready else to_do("they do not run")

    def do(self) -> None:
        """Start it, or start it again as it was."""
        from automation.sandbox_target import SandboxReporter
        from sandbox import services

        services.start(
            self.context.options.name, self.context.choice.context or "", SandboxReporter(self.context.terminal)
        )


@dataclass(frozen=True, kw_only=True)
class EksStep:
    """A cluster of the cluster stack, made.

    Attributes:
        make: brings the cluster to what its file says.
    """

    context: Context
    make: MakeCluster
    name: str = "cluster"
    title: str = "Cluster on EKS"

    @property
    def makes(self) -> str:
        """What is made."""
        return f"network, EKS, nodes, Argo, image repositories: all that {self.context.cluster_file} says"

    def check(self) -> Finding:
        """Whether the cluster's stack is complete and the cluster active.

        That of an existing cluster is not compared with its file: a pipeline's bootstrap changes no shared cluster.
        """
        file = self.context.cluster_file
        outputs = self.context.cluster_outputs()
        if outputs is None:
            if self.context.cluster() is None:
                return blocked(f"there is no cluster, and no {file} that says what one is like", f"Write {file} first.")
            return to_do("there is no complete cluster stack")
        name = str(outputs["cluster_name"])
        status = cluster_status(self.context, name)
        if status != "ACTIVE":
            return to_do(f"EKS says that {name} is {status or 'not there'}")
        return done(f"{name}, Kubernetes {outputs.get('kubernetes_version')}")

    def do(self) -> None:
        """Bring it up."""
        config = self.context.cluster()
        if config is None:
            raise AphexError(f"There is no {self.context.cluster_file}.", hint="Write it first.")
        self.make(config, self.context.terminal)
        self.context.forget_cluster()


def cluster_status(context: Context, name: str) -> str | None:
    """EKS's word for the state of a cluster; None when there is none."""
    eks = context.aws().client("eks")
    try:
        return str(eks.describe_cluster(name=name)["cluster"]["status"])
    except eks.exceptions.ResourceNotFoundException:
        return None


@dataclass(frozen=True, kw_only=True)
class ExistingStep:
    """A cluster of the caller's kubeconfig: looked at, never changed."""

    context: Context
    name: str = "cluster"
    title: str = "Existing cluster"
    makes: str = ""

    def check(self) -> Finding:
        """Whether it answers and has Argo; what else a pipeline needs is looked at before it is deployed."""
        from automation.access import KubernetesAccess, default_kubeconfig
        from automation.cluster_check import Needs, asks_of, lacks
        from automation.cluster_facts import read_facts
        from automation.context_target import ClusterNotReady

        name = self.context.choice.context or "the current context"
        file = default_kubeconfig()
        if not file.exists():
            return blocked(f"there is no kubeconfig at {file}", "Set KUBECONFIG to yours.")
        access = KubernetesAccess(kubeconfig=file, context=self.context.choice.context or None)
        namespace = self.context.namespace
        try:
            facts = read_facts(access, asks_of(namespace))
        except ClusterNotReady as error:
            return blocked(error.message, error.hint)
        found = lacks(facts, Needs(storage=not self.context.in_sandbox))
        if found:
            return blocked(f"{name} lacks what a pipeline needs", "Then run this again.", *map(str, found))
        return done(f"{name} answers and has what a pipeline needs")

    def do(self) -> None:
        """There is nothing to do: it is somebody's cluster."""


@dataclass(frozen=True, kw_only=True)
class KubeconfigStep:
    """A context for the cluster in the caller's kubeconfig, beside what is there.

    Attributes:
        file: the kubeconfig.
    """

    context: Context
    file: Path
    name: str = "kubeconfig"
    title: str = "Kubeconfig"

    @property
    def makes(self) -> str:
        """What is made."""
        return f"a context in {self.file}, whose tokens are made when they are needed; a copy of the file as it was"

    def check(self) -> Finding:
        """Whether the file has the context."""
        outputs = self.context.cluster_outputs()
        if outputs is None:
            return to_do("there is no cluster yet")
        wanted = wanted_entries(outputs)
        present = read_kubeconfig(self.file)
        name = str(outputs["cluster_name"])
        if foreign := foreign_entries(present, wanted):
            return blocked(
                f"{self.file} has {foreign} of another cluster under the name {name}",
                f"Rename it: kubectl config rename-context {name} OTHER; or set KUBECONFIG to another file.",
            )
        if any(wanted[section][0] not in (present.get(section) or []) for section in _SECTIONS):
            return to_do(f"{self.file} has no context {name}, or an older one")
        return done(f"the context {name} of {self.file}", f"Try it: kubectl --context {name} get nodes")

    def do(self) -> None:
        """Add the context; the file as it was is kept beside it."""
        from automation.eks_access import write_kubeconfig

        outputs = self.context.cluster_outputs()
        if outputs is None:
            raise AphexError("There is no cluster yet.")
        if self.file.exists():
            copy = backup(self.file)
            self.context.terminal.say(f"      {self.file} as it was: {copy}")
        write_kubeconfig(self.file, wanted_entries(outputs), switch=False)


_SECTIONS = ("clusters", "users", "contexts")


def wanted_entries(outputs: Mapping[str, Any]) -> dict[str, Any]:
    """The kubeconfig of the cluster alone."""
    from automation.eks_access import kubeconfig
    from automation.eks_target import given_kubeconfig

    name = str(outputs["cluster_name"])
    return kubeconfig(given_kubeconfig(outputs), name, str(outputs["region"]), name)


def foreign_entries(present: Mapping[str, Any], wanted: Mapping[str, Any]) -> str | None:
    """What of a kubeconfig has our name and is another cluster's; None when nothing."""
    ours = wanted["clusters"][0]
    for each in present.get("clusters") or []:
        if each.get("name") == ours["name"] and (each.get("cluster") or {}).get("server") != ours["cluster"]["server"]:
            return f"the address {(each.get('cluster') or {}).get('server')}"
    return None


def read_kubeconfig(file: Path) -> dict[str, Any]:
    """A kubeconfig; empty when there is none.

    Raises:
        AphexError: the file is something else.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    if not file.exists():
        return {}
    try:
        document = YAML(typ="safe").load(file.read_text(encoding="utf-8"))
    except YAMLError as error:
        raise AphexError(f"{file} is no kubeconfig: {error}", hint="Set KUBECONFIG to another file.") from error
    if document is not None and not isinstance(document, dict):
        raise AphexError(f"{file} is no kubeconfig.", hint="Set KUBECONFIG to another file.")
    return dict(document or {})


def backup(file: Path) -> Path:
    """Copy a kubeconfig beside itself, readable by its owner alone; where to."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    copy = file.with_name(f"{file.name}.before-aphex-{stamp}")
    copy.touch(mode=0o600)
    copy.write_bytes(file.read_bytes())
    return copy
