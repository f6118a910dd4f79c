"""Upgrades of a cluster's versions: which ones there are, what each does, and which are refused. Pure.

What EKS allows is from https://docs.aws.amazon.com/eks/latest/userguide/update-cluster.html, how far kubelets may be
behind from https://kubernetes.io/releases/version-skew-policy/.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from aphex.errors import UsageError

if TYPE_CHECKING:
    from aphex.cluster_config import ClusterConfig

_KUBELET_SKEW = 3
_NOTES = {
    "argo_workflows": "https://argo-workflows.readthedocs.io/en/latest/upgrading/",
    "argo_events": "https://github.com/argoproj/argo-events/blob/master/CHANGELOG.md",
}
_TITLES = {"kubernetes": "Kubernetes", "argo_workflows": "Argo Workflows", "argo_events": "Argo Events"}
_SETTINGS = {
    "kubernetes": "kubernetes.version",
    "argo_workflows": "argo.workflows.version",
    "argo_events": "argo.events.version",
}


@dataclass(frozen=True, kw_only=True)
class Versions:
    """The versions of a cluster's parts: Kubernetes by its minor version, Argo's by whole ones."""

    kubernetes: str
    argo_workflows: str
    argo_events: str


@dataclass(frozen=True, kw_only=True)
class Upgrade:
    """One part that gets another version.

    Attributes:
        part: which part.
        before: the version that runs.
        after: the version that the file asks for.
        effects: what happens, in order, one sentence each.
    """

    part: str
    before: str
    after: str
    effects: tuple[str, ...]

    def lines(self) -> list[str]:
        """The upgrade as a person reads it."""
        return [f"{_TITLES[self.part]} {self.before} -> {self.after}", *(f"  - {each}" for each in self.effects)]

    def document(self) -> dict[str, Any]:
        """The same as JSON has it."""
        return asdict(self)


class UpgradeRefused(UsageError):
    """The file asks for a version that cannot be reached from the one that runs; nothing was changed."""


def versions_of(outputs: Mapping[str, Any]) -> Versions | None:
    """What runs, by the outputs of the cluster's stack; None before there is a cluster."""
    try:
        return Versions(
            kubernetes=str(outputs["kubernetes_version"]),
            argo_workflows=str(outputs["argo_version"]),
            argo_events=str(outputs["argo_events_version"]),
        )
    except KeyError:
        return None


def wanted_versions(config: ClusterConfig) -> Versions:
    """What the cluster's file asks for."""
    return Versions(
        kubernetes=config.kubernetes.version,
        argo_workflows=config.argo.workflows.version,
        argo_events=config.argo.events.version,
    )


def numbers(version: str) -> tuple[int, ...]:
    """A version as numbers that compare as versions do: `v3.7.18-rc1` is 3, 7, 18."""
    return tuple(int(part) for part in version.lstrip("v").split("-", 1)[0].split("+", 1)[0].split("."))


def refusals(running: Versions, wanted: Versions) -> UpgradeRefused | None:
    """The error of versions that cannot be reached, all of them at once; None when each can."""
    problems = [
        problem
        for part in _TITLES
        if (problem := _problem(part, getattr(running, part), getattr(wanted, part))) is not None
    ]
    if not problems:
        return None
    return UpgradeRefused(
        "\n".join(["The cluster cannot get these versions; nothing was changed:", *(f"  {each}" for each in problems)]),
        hint="Correct the versions in the cluster's file. `python -m automation cluster preview` explains an upgrade.",
    )


def _problem(part: str, before: str, after: str) -> str | None:
    old, new = numbers(before), numbers(after)
    title, setting = _TITLES[part], _SETTINGS[part]
    if new < old:
        why = "EKS never goes back" if part == "kubernetes" else "what the newer version stored may not be readable"
        return f"{title} {before} -> {after}: a downgrade, and {why}. Set {setting} to {before} or newer."
    if part == "kubernetes" and new[1] - old[1] > 1:
        step = f"{old[0]}.{old[1] + 1}"
        return f"{title} {before} -> {after}: EKS goes one minor version at a time. Set {setting} to {step} first."
    if part != "kubernetes" and new[0] - old[0] > 1:
        return f"{title} {before} -> {after}: skips the major version {old[0] + 1}. Set {setting} to one of it first."
    return None


def plan_upgrades(running: Versions, wanted: Versions, config: ClusterConfig) -> list[Upgrade]:
    """The parts that get another version, with what that does."""
    effects = {
        "kubernetes": _kubernetes_effects(wanted.kubernetes, config),
        "argo_workflows": _argo_effects("argo_workflows", running.argo_workflows, wanted.argo_workflows),
        "argo_events": _argo_effects("argo_events", running.argo_events, wanted.argo_events),
    }
    return [
        Upgrade(part=part, before=getattr(running, part), after=getattr(wanted, part), effects=effects[part])
        for part in _TITLES
        if getattr(running, part) != getattr(wanted, part)
    ]


def _kubernetes_effects(after: str, config: ClusterConfig) -> tuple[str, ...]:
    major, minor = numbers(after)
    if config.autoscaling.mode == "auto":
        nodes = (
            "Then Auto Mode replaces every node, a few at a time, as the pods' disruption budgets allow. A stage that "
            "runs keeps its node until it ends, for at most the node's termination grace period."
        )
    else:
        names = ", ".join(group.name for group in config.autoscaling.node_groups)
        nodes = (
            f"Then the managed node groups are replaced node by node: {names}. Pods are drained first, and a stage "
            "that does not end in time is stopped and tried again."
        )
    return (
        "The control plane is replaced first, in 10 to 15 minutes; the API stays reachable, runs go on.",
        nodes,
        "Add-ons follow: network, DNS, kube-proxy and storage, with a rolling restart of their pods.",
        f"Kubelets may be at most {_KUBELET_SKEW} minor versions behind the API server and never ahead of it: with "
        f"{after} none may be older than {major}.{minor - _KUBELET_SKEW}.",
        "EKS never goes back to the version before.",
    )


def _argo_effects(part: str, before: str, after: str) -> tuple[str, ...]:
    old, new = numbers(before), numbers(after)
    if part == "argo_workflows":
        rolled = (
            "Its controller and server are restarted. Runs go on: their pods stay, and the new controller takes them "
            "over. Pods that are started from then on have the new executor."
        )
    else:
        rolled = (
            "Its controller is restarted, and with it the EventSource and Sensors of every pipeline. A webhook that "
            "arrives in those seconds fails; send it again from the git host's list of deliveries."
        )
    kinds = "Its resource kinds (CRDs) are updated by the chart; what is stored stays."
    if old[:2] == new[:2]:
        return rolled, kinds
    return rolled, kinds, f"It is another {'major' if old[0] != new[0] else 'minor'} version; read {_NOTES[part]}"
