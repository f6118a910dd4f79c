"""Runs in the cluster: found, started and read through the Kubernetes API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from aphex.errors import AphexError
from automation.runs import RunView, run_view

if TYPE_CHECKING:
    import lightkube

    from automation.target import Target

_LABEL = "aphex/pipeline"


class RunNotFound(AphexError):
    """The cluster has no such run; Argo removes finished ones after a while."""


def client(target: Target) -> lightkube.Client:
    """A client for the pipeline's namespace; to be closed."""
    return target.kubernetes.client(target.settings.namespace)


def workflow_kind() -> Any:
    """Lightkube's class for Workflows."""
    from lightkube.generic_resource import create_namespaced_resource

    return create_namespaced_resource("argoproj.io", "v1alpha1", "Workflow", "workflows")


def list_runs(target: Target, *, commit: str | None = None) -> list[RunView]:
    """The pipeline's runs that the cluster still has, the newest first."""
    labels: dict[str, Any] = {_LABEL: target.settings.pipeline}
    if commit:
        labels["aphex/commit"] = commit
    with client(target) as api:
        found = [run_view(each) for each in api.list(workflow_kind(), labels=labels)]
    return sorted(found, key=lambda run: str(run.created), reverse=True)


def get_run(target: Target, name: str) -> RunView:
    """One run.

    Raises:
        RunNotFound: the cluster has none of that name.
    """
    from lightkube.core.exceptions import ApiError

    try:
        with client(target) as api:
            return run_view(api.get(workflow_kind(), name))
    except ApiError as error:
        if error.status.code != 404:
            raise
        raise RunNotFound(
            f"There is no run {name} of the pipeline {target.settings.pipeline} in the cluster.",
            hint="`python -m automation status` lists those it has.",
        ) from error


def latest_run(target: Target) -> RunView:
    """The run that was made last.

    Raises:
        RunNotFound: there is none.
    """
    runs = list_runs(target)
    if not runs:
        raise RunNotFound(
            f"The pipeline {target.settings.pipeline} has no runs.",
            hint="Push a commit, or start one: python -m automation run",
        )
    return runs[0]


def start_run(target: Target, *, commit: str, branch: str, author: str = "", message: str = "") -> RunView:
    """Start a run for a commit, as the Sensor does for a push.

    Raises:
        AphexError: the pipeline is not deployed.
    """
    from lightkube.core.exceptions import ApiError

    from aphex.names import PipelineNames

    settings = target.settings
    values = {
        "commit": commit,
        "branch": branch,
        "repository": settings.repository,
        "author": author,
        "message": message,
        "trigger": "manual",
        "pull_request": "",
    }
    workflow = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {
            "generateName": f"{settings.pipeline}-",
            "namespace": settings.namespace,
            "labels": {_LABEL: settings.pipeline, "app.kubernetes.io/managed-by": "aphex"},
        },
        "spec": {
            "workflowTemplateRef": {"name": PipelineNames(settings.pipeline).template},
            "arguments": {"parameters": [{"name": name, "value": value} for name, value in values.items()]},
        },
    }
    try:
        with client(target) as api:
            return run_view(api.create(workflow_kind()(workflow)))
    except ApiError as error:
        if error.status.code not in (403, 404):
            raise
        raise AphexError(
            f"A run of {settings.pipeline} cannot be started: {error.status.message}",
            hint="Is the pipeline deployed? `python -m automation up` does that.",
        ) from error


def pod_log(target: Target, pod: str, *, follow: bool) -> Iterator[str]:
    """The lines that a stage's container printed, and with `follow` those to come.

    Raises:
        RunNotFound: there is no such pod any more.
    """
    from lightkube.core.exceptions import ApiError

    try:
        with client(target) as api:
            yield from api.log(pod, container="main", follow=follow)
    except ApiError as error:
        if error.status.code not in (400, 404):
            raise
        raise RunNotFound(f"The pod {pod} has no log: {error.status.message}") from error
