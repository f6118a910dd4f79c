"""Waiting for the node's components and for the cluster they make, and the few objects it needs from the start."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from aphex.errors import AphexError
from sandbox.node import host
from sandbox.node.layout import Layout
from sandbox.providers.kubernetes.api import ApiError, KubernetesApi, Unreachable
from sandbox.providers.kubernetes.connection import connect
from sandbox.state import ComponentState, Phase, Report, SandboxState, SandboxStatus, read_model

FIELD_MANAGER = "aphex-sandbox"
_POLL_SECONDS = 0.2
_COREDNS = "aphex:coredns"


@dataclass
class Wait:
    """Waits for conditions one after another, and reports each."""

    report: Report
    seconds: float = 180.0

    def until(self, what: str, condition: Callable[[], bool], *, alive: Callable[[], None] = lambda: None) -> None:
        """Wait until `condition` holds.

        Args:
            what: names what is waited for, to people.
            condition: asked a few times a second.
            alive: raises when waiting has become useless.

        Raises:
            AphexError: it did not hold in time.
        """
        started = time.monotonic()
        announced = False
        while not condition():
            if not announced:
                self.report(what, Phase.waiting, 0.0)
                announced = True
            alive()
            if time.monotonic() - started > self.seconds:
                raise AphexError(
                    f"{what} did not become ready within {self.seconds:g} s.",
                    hint="Look at `python -m automation sandbox status` and `python -m automation sandbox logs`.",
                )
            time.sleep(_POLL_SECONDS)
        self.report(what, Phase.ready, time.monotonic() - started)


def component_states(layout: Layout) -> dict[str, ComponentState]:
    """How each component is, as the supervisor last said."""
    if not layout.status.exists():
        return {}
    return {c.name: c.state for c in read_model(layout.status, SandboxStatus).components}


def wait_for_node(layout: Layout, state: SandboxState, names: list[str], node: str, report: Report) -> None:
    """Wait until every component is ready and the Kubernetes node takes pods.

    Raises:
        AphexError: the node's first process ended, or something took too long.
    """
    wait = Wait(report)

    def alive() -> None:
        if host.running(layout) is None:
            raise AphexError("The node's first process has ended.", hint=f"Read {layout.logs / 'supervisor.log'}.")

    def component(name: str) -> None:
        wait.until(name, lambda: component_states(layout).get(name) is ComponentState.ready, alive=alive)

    component("api-server")
    api = KubernetesApi(connect(str(state.kubeconfig)))
    try:
        for rule in coredns_rules():
            api.apply(rule, manager=FIELD_MANAGER, force=True)
        for name in names:
            if name != "api-server":
                component(name)
        since = _started(layout, "kubelet")
        wait.until("node", lambda: node_ready(api, node, since), alive=alive)
    finally:
        api.close()


def node_ready(api: KubernetesApi, name: str, since: float) -> bool:
    """Whether the node is ready for pods, as said by a kubelet that was started at `since` (epoch seconds).

    A node that was ready before a crash still says so until its kubelet is back, which renews its lease at once.
    """
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
    try:
        live = api.get({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
        renewed = api.get({**lease, "metadata": {"name": name, "namespace": "kube-node-lease"}})
    except (ApiError, Unreachable):
        return False
    if datetime.fromisoformat(renewed["spec"]["renewTime"]).timestamp() < since:
        return False
    conditions = live["status"].get("conditions") or []
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def coredns_rules() -> list[dict[str, object]]:
    """What lets CoreDNS, known by its certificate, read services; Kubernetes brings no role for it."""
    group = "rbac.authorization.k8s.io"
    head: dict[str, object] = {"apiVersion": f"{group}/v1", "metadata": {"name": _COREDNS}}
    rules = [
        {"apiGroups": [""], "resources": ["services", "namespaces"], "verbs": ["list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    ]
    role = {"apiGroup": group, "kind": "ClusterRole", "name": _COREDNS}
    subjects = [{"kind": "User", "name": _COREDNS, "apiGroup": group}]
    return [
        {**head, "kind": "ClusterRole", "rules": rules},
        {**head, "kind": "ClusterRoleBinding", "roleRef": role, "subjects": subjects},
    ]


def _started(layout: Layout, component: str) -> float:
    status = read_model(layout.status, SandboxStatus)
    return next(c.started for c in status.components if c.name == component)
