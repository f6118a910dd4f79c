"""One more run of the same commit after its self-update changed the pipeline's shape: when, and how it is started.

A run keeps the shape that it began with. With `self_update.rerun` the commit that changes the shape is run once more
with the new one. Never more than once: a rerun is not run again. And never when a later run waits, for then an
earlier commit would be deployed after a later one; that run, which may have the old shape too, sees to it itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aphex.config import PipelineConfig
from aphex.events import RUN_PARAMETERS
from aphex.names import PipelineNames
from aphex.run import Trigger, run_stages
from stages.context import StageContext
from stages.errors import StageError

PIPELINE_LABEL = "aphex/pipeline"
TRIGGER_LABEL = "aphex/trigger"
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_ENDED = frozenset({"Succeeded", "Failed", "Error"})
_CONFLICT = 409

Workflow = Mapping[str, Any]


class RerunFailed(StageError):
    """The pipeline was updated, but the run that should have its new shape could not be started."""


@dataclass(frozen=True, kw_only=True)
class ShapeChange:
    """How the stages of the following runs differ from those of a run.

    Attributes:
        added: stages that it does not have.
        removed: stages that they do not have.
        reordered: whether those that both have come in another order.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    reordered: bool

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.reordered)

    def __str__(self) -> str:
        parts = [
            f"with {', '.join(self.added)}" if self.added else "",
            f"without {', '.join(self.removed)}" if self.removed else "",
            "in another order" if self.reordered else "",
        ]
        return " and ".join(part for part in parts if part)


def shape_change(own: Sequence[str], following: Sequence[str]) -> ShapeChange:
    """Compare the stages of a run with those of the runs after it."""
    common = [name for name in own if name in following]
    return ShapeChange(
        added=tuple(name for name in following if name not in own),
        removed=tuple(name for name in own if name not in following),
        reordered=common != [name for name in following if name in own],
    )


def stages_of(workflow: Workflow) -> list[str]:
    """The stages of a run in their order: from the template that Argo stored in it."""
    spec = (workflow.get("status") or {}).get("storedWorkflowTemplateSpec") or {}
    for template in spec.get("templates") or []:
        if template.get("name") == spec.get("entrypoint"):
            return [task["name"] for task in (template.get("dag") or {}).get("tasks") or []]
    return []


def later_runs(own: Workflow, workflows: Sequence[Workflow]) -> list[str]:
    """The runs that were made after `own` and will still deploy; those of pull requests never do."""
    born = own["metadata"]["creationTimestamp"]
    return sorted(
        each["metadata"]["name"]
        for each in workflows
        if each["metadata"]["name"] != own["metadata"]["name"]
        and each["metadata"]["creationTimestamp"] >= born
        and (each.get("status") or {}).get("phase") not in _ENDED
        and parameters_of(each).get("trigger") != Trigger.PULL_REQUEST.value
    )


def parameters_of(workflow: Workflow) -> dict[str, str]:
    """A run's parameters."""
    arguments = (workflow.get("spec") or {}).get("arguments") or {}
    return {each["name"]: str(each.get("value", "")) for each in arguments.get("parameters") or []}


def rerun_name(run: str) -> str:
    """The name of a run's rerun: always the same, so that a stage that is tried again starts no second one."""
    return f"{run}-rerun"


def rerun_workflow(context: StageContext) -> dict[str, Any]:
    """The Workflow of the rerun: the pipeline's template with the run's own parameters."""
    values = {name: str(getattr(context, name)) for name in RUN_PARAMETERS} | {"trigger": Trigger.RERUN.value}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {
            "name": rerun_name(context.run),
            "namespace": context.namespace,
            "labels": {PIPELINE_LABEL: context.pipeline, "app.kubernetes.io/managed-by": "aphex"},
        },
        "spec": {
            "workflowTemplateRef": {"name": PipelineNames(context.pipeline).template},
            "arguments": {"parameters": [{"name": name, "value": values[name]} for name in RUN_PARAMETERS]},
        },
    }


def rerun_when_shape_changed(context: StageContext, config: PipelineConfig, say: Any, client: Any = None) -> str | None:
    """Start a rerun, if the configuration asks for one and it is this run's turn to; its name.

    Args:
        context: of the self-update.
        config: the configuration that the pipeline has now.
        say: where it is told what is done, or why not.
        client: a lightkube client of the cluster; the pod's own when None.

    Raises:
        RerunFailed: the cluster refused it, or cannot be asked.
    """
    if not config.self_update.rerun or context.trigger is Trigger.PULL_REQUEST:
        return None
    # The HTTP library that lightkube uses, whichever it is; its ApiError is one of those errors.
    from lightkube.core.exceptions import ConfigError
    from lightkube.core.exceptions import httpx as http  # type: ignore[attr-defined]

    try:
        with client or _own_client() as api:
            return _rerun(api, context, config, say)
    except (ConfigError, http.HTTPError) as error:
        raise RerunFailed(
            f"The pipeline is up to date, but the rerun with its new shape could not be started: {error}",
            hint="The next push has the new shape. To have it now: "
            f"python -m automation run --commit {context.commit} --pipeline {context.pipeline}",
        ) from error


def _own_client() -> Any:
    import lightkube
    from lightkube.config.kubeconfig import KubeConfig

    return lightkube.Client(config=KubeConfig.from_service_account(SERVICE_ACCOUNT), trust_env=False)


def _rerun(api: Any, context: StageContext, config: PipelineConfig, say: Any) -> str | None:
    from lightkube.core.exceptions import ApiError
    from lightkube.generic_resource import create_namespaced_resource

    kind: Any = create_namespaced_resource("argoproj.io", "v1alpha1", "Workflow", "workflows")
    own = api.get(kind, context.run, namespace=context.namespace)
    change = shape_change(stages_of(own), [stage.name for stage in run_stages(config)])
    if not change:
        return None
    if context.trigger is Trigger.RERUN:
        say(f"The pipeline's shape has changed again ({change}). A rerun is not run again: the next push has it.")
        return None
    runs = list(api.list(kind, namespace=context.namespace, labels={PIPELINE_LABEL: context.pipeline}))
    name = rerun_name(context.run)
    later = [each for each in later_runs(own, runs) if each != name]
    if later:
        say(f"No rerun with the new shape ({change}): {later[-1]} comes after this run and deploys a later commit.")
        return None
    try:
        api.create(kind(rerun_workflow(context)))
        say(f"Rerun {name} was started: the same commit with the new shape ({change}). It waits for its turn.")
    except ApiError as error:
        if error.status.code != _CONFLICT:
            raise
        say(f"Rerun {name} was started already, by an earlier attempt of this stage.")
    return name
