"""A run as its Workflow shows it: pure functions from Argo's object to what a person wants to know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

EXIT_STAGE = "exit"
# What Argo says of a task whose last try failed, instead of why.
_GIVEN_UP = "No more retries left"
# What the kubelet says of every pod before it runs.
_ALL_PODS_SAY = frozenset({"ContainerCreating", "PodInitializing"})
_FINISHED = frozenset({"Succeeded", "Failed", "Error", "Skipped", "Omitted"})
_STATUS = {
    "": "waiting",
    "Pending": "starting",
    "Running": "running",
    "Succeeded": "succeeded",
    "Failed": "failed",
    "Error": "failed",
    "Skipped": "skipped",
    "Omitted": "skipped",
}


@dataclass(frozen=True, kw_only=True)
class StageView:
    """One stage of a run.

    Attributes:
        name: its task.
        status: waiting, starting, running, succeeded, failed or skipped.
        started: when it began; None before.
        ended: when it ended; None before.
        message: what Argo says of it, when it failed, or when its pod cannot start yet.
        pod: the name of its latest pod; empty before.
    """

    name: str
    status: str
    started: datetime | None = None
    ended: datetime | None = None
    message: str = ""
    pod: str = ""

    def seconds(self, now: datetime) -> float | None:
        """How long it took, or has taken by `now`; None before it began."""
        if self.started is None:
            return None
        return max(0.0, ((self.ended or now) - self.started).total_seconds())


@dataclass(frozen=True, kw_only=True)
class RunView:
    """One run.

    Attributes:
        name: its Workflow.
        status: waiting, running, succeeded, degraded or failed. Degraded: delivered, but a stage failed that may.
        stages: in their order, those to come included.
        commit: what it runs for.
        branch: of the commit.
        message: first line of the commit's message.
        author: of the commit.
        trigger: push, pull_request or manual.
        created: when it was made.
        ended: when it ended; None before.
        waits_for: what it waits for before it begins, in Argo's words.
    """

    name: str
    status: str
    stages: tuple[StageView, ...]
    commit: str = ""
    branch: str = ""
    message: str = ""
    author: str = ""
    trigger: str = ""
    created: datetime | None = None
    ended: datetime | None = None
    waits_for: str = ""

    @property
    def finished(self) -> bool:
        """Whether it has ended, exit handler included."""
        return self.ended is not None

    @property
    def ok(self) -> bool:
        """Whether it delivered what it was for."""
        return self.status in ("succeeded", "degraded")

    def stage(self, name: str) -> StageView | None:
        """The stage of that name, if there is one."""
        return next((each for each in self.stages if each.name == name), None)

    def seconds(self, now: datetime) -> float:
        """How long it took, or has taken by `now`."""
        return max(0.0, ((self.ended or now) - (self.created or now)).total_seconds())

    def document(self) -> dict[str, Any]:
        """The run as JSON has it."""
        now = self.ended or datetime.now(UTC)
        stages = [
            {
                "name": each.name,
                "status": each.status,
                "seconds": each.seconds(now),
                "message": each.message,
            }
            for each in self.stages
        ]
        return {
            "run": self.name,
            "status": self.status,
            "commit": self.commit,
            "branch": self.branch,
            "trigger": self.trigger,
            "started_at": self.created.isoformat() if self.created else None,
            "ended_at": self.ended.isoformat() if self.ended else None,
            "stages": stages,
        }


def run_view(workflow: Mapping[str, Any]) -> RunView:
    """Read a Workflow object."""
    metadata = workflow["metadata"]
    status = workflow.get("status") or {}
    stages = _stages(workflow, status)
    parameters = {
        each["name"]: str(each.get("value", ""))
        for each in (workflow.get("spec") or {}).get("arguments", {}).get("parameters", [])
    }
    phase = str(status.get("phase") or "")
    ended = _time(status.get("finishedAt")) if phase in _FINISHED else None
    return RunView(
        name=metadata["name"],
        status=_run_status(phase, stages),
        stages=stages,
        commit=parameters.get("commit", ""),
        branch=parameters.get("branch", ""),
        message=parameters.get("message", ""),
        author=parameters.get("author", ""),
        trigger=parameters.get("trigger", ""),
        created=_time(metadata.get("creationTimestamp")),
        ended=ended,
        waits_for=str(status.get("message") or "") if phase in ("", "Pending") else "",
    )


def _run_status(phase: str, stages: tuple[StageView, ...]) -> str:
    if phase == "Succeeded" and any(each.status == "failed" for each in stages):
        return "degraded"
    return "waiting" if phase in ("", "Pending") else _STATUS.get(phase, phase.lower())


def _stages(workflow: Mapping[str, Any], status: Mapping[str, Any]) -> tuple[StageView, ...]:
    nodes: dict[str, Mapping[str, Any]] = status.get("nodes") or {}
    by_task: dict[str, Mapping[str, Any]] = {}
    for node in nodes.values():
        name = str(node.get("displayName", ""))
        by_task.setdefault(EXIT_STAGE if name.endswith(".onExit") else name, node)
    names = [*_tasks(workflow, status), *([EXIT_STAGE] if EXIT_STAGE in by_task else [])]
    return tuple(_stage(name, by_task.get(name), nodes) for name in names)


def _tasks(workflow: Mapping[str, Any], status: Mapping[str, Any]) -> list[str]:
    """The run's tasks in their order: from the template that Argo stored with the run."""
    spec = status.get("storedWorkflowTemplateSpec") or workflow.get("spec") or {}
    entrypoint = spec.get("entrypoint")
    for template in spec.get("templates") or []:
        if template.get("name") == entrypoint and template.get("dag"):
            return [task["name"] for task in template["dag"]["tasks"]]
    return []


def _stage(name: str, node: Mapping[str, Any] | None, nodes: Mapping[str, Mapping[str, Any]]) -> StageView:
    if node is None:
        return StageView(name=name, status="waiting")
    phase = str(node.get("phase") or "")
    pod_node = _last_pod(node, nodes)
    status, message = _STATUS.get(phase, phase.lower()), _message(node, pod_node or {})
    # Every pod takes a moment to start; what keeps it from starting has a message.
    if status == "running" and message and (pod_node or {}).get("phase") == "Pending":
        status = "starting"
    return StageView(
        name=name,
        status=status,
        started=_time(node.get("startedAt")),
        ended=_time(node.get("finishedAt")) if phase in _FINISHED else None,
        message=message,
        pod=pod_name(pod_node) if pod_node else "",
    )


def _message(node: Mapping[str, Any], pod_node: Mapping[str, Any]) -> str:
    own, of_pod = (str(each.get("message") or "") for each in (node, pod_node))
    said = of_pod or own if own in ("", _GIVEN_UP) else own
    return "" if said in _ALL_PODS_SAY else said


def _last_pod(node: Mapping[str, Any], nodes: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The pod's node below a stage's node: itself, or the last try of a stage that is tried again."""
    if node.get("type") == "Pod":
        return node
    children = [nodes[child] for child in node.get("children") or [] if child in nodes]
    pods = [child for child in children if child.get("type") == "Pod"]
    return pods[-1] if pods else None


def pod_name(node: Mapping[str, Any]) -> str:
    """The name that Argo gives the pod of a node (its format v2: WORKFLOW-TEMPLATE-HASH, where the id has the hash)."""
    identity = str(node["id"])
    run, _, number = identity.rpartition("-")
    if not run or identity == node.get("name"):
        return identity
    template = node.get("templateName") or (node.get("templateRef") or {}).get("template") or ""
    return f"{run}-{template}-{number}" if template else identity


def _time(text: Any) -> datetime | None:
    return datetime.fromisoformat(str(text)).astimezone(UTC) if text else None
