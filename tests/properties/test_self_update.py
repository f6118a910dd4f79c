"""A self-update changes the following runs and no run before it: Property 7.

The real rendering, applied as the provider applies it, on a real API server; runs are started by `automation`'s own
code, and Argo's own workflow controller decides what each of them is made of. Only the pods are missing: there is no
node. The reruns of a self-update, which follow from that, are here for the same reason.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import count

import pytest
from aphex_platform.manifests.common import Manifest
from aphex_platform.manifests.workflow_templates import workflow_template
from hypothesis import given, settings
from hypothesis import strategies as st

from aphex.config import PipelineConfig
from aphex.run import Trigger, run_stages
from automation.access import AwsAccess, KubernetesAccess
from automation.argo import list_runs, start_run
from automation.runs import run_view
from automation.target import Target
from sandbox.providers.kubernetes.api import KubernetesApi
from sandbox.providers.kubernetes.connection import connect
from stages.context import StageContext
from stages.rerun import RerunFailed, parameters_of, rerun_when_shape_changed, stages_of
from tests.support.argo_controller import argo_controller
from tests.support.control_plane import control_plane
from tests.support.example import example_secrets, example_settings
from tests.support.strategies import environments, names

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

NAMESPACE = "aphex-shapes"
SECONDS = 60.0
# The controller hears of a changed template a moment later; a self-update's pod takes longer than that to end.
HEARING_SECONDS = 2.0
NUMBERS = count(1)


@dataclass(frozen=True)
class Argo:
    """Where runs are made."""

    target: Target
    api: KubernetesApi

    def pipeline(self, name: str) -> Target:
        """Another pipeline at the same place."""
        changed = self.target.settings.model_copy(update={"pipeline": name})
        return replace(self.target, settings=changed)

    def self_update(self, target: Target, config: PipelineConfig) -> None:
        """Apply a configuration's WorkflowTemplate as the provider does."""
        self.api.apply(workflow_template(config, target.settings), manager="pulumi", force=True)

    def live(self, name: str) -> Manifest:
        """A Workflow as it is now."""
        return self.api.get(workflow(name))

    def remove(self, name: str) -> None:
        """Remove a Workflow, whose pods would wait for a node for ever."""
        self.api.delete(workflow(name), propagation="Background")


def workflow(name: str) -> Manifest:
    """What names a Workflow to the API server."""
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": name, "namespace": NAMESPACE},
    }


@pytest.fixture(scope="module")
def argo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Argo]:
    with (
        control_plane(tmp_path_factory.mktemp("control-plane")) as cluster,
        argo_controller(cluster, NAMESPACE),
        closing(KubernetesApi(connect(str(cluster.kubeconfig)))) as api,
    ):
        target = Target(
            settings=example_settings(namespace=NAMESPACE),
            secrets=example_secrets(),
            aws=AwsAccess(region="us-east-1"),
            kubernetes=KubernetesAccess(kubeconfig=cluster.kubeconfig),
        )
        yield Argo(target, api)


@st.composite
def histories(draw: st.DrawFn) -> list[PipelineConfig]:
    """The configurations of successive commits: each adds, removes or keeps environments of a few."""
    chosen = draw(st.lists(names, min_size=2, max_size=5, unique=True))
    known = {name: draw(environments(name)) for name in chosen}
    subsets = st.lists(st.sampled_from(chosen), min_size=1, max_size=len(chosen), unique=True)
    return [
        PipelineConfig.model_validate(
            {"version": "1.0", "build": {"commands": ["true"]}, "environments": [known[name] for name in subset]}
        )
        for subset in draw(st.lists(subsets, min_size=2, max_size=3))
    ]


def unheard(workflow: Manifest) -> bool:
    """Whether Argo refused a run because it has not heard of a new template yet."""
    status = workflow.get("status") or {}
    return status.get("phase") == "Error" and "not found" in status.get("message", "")


def begun(argo: Argo, name: str) -> Manifest:
    """A run as soon as Argo has taken it up, or refused it because it has not heard of its template."""
    deadline = time.monotonic() + SECONDS
    while not stages_of(found := argo.live(name)) and not unheard(found):
        assert time.monotonic() < deadline, f"Argo does not take up {name}: {found.get('status')}"
        time.sleep(0.02)
    return found


def stages(config: PipelineConfig) -> list[str]:
    return [stage.name for stage in run_stages(config)]


def shown(workflow: Manifest) -> list[str]:
    """The stages that a person is shown of a run, whose exit handler comes when it ends."""
    return [stage.name for stage in run_view(workflow).stages]


def run_after(argo: Argo, target: Target, before: PipelineConfig | None, commit: str) -> str:
    """Start a run after a self-update and wait until Argo has taken it up; its name."""
    updated = time.monotonic()
    while True:
        run = start_run(target, commit=commit, branch="main").name
        live = begun(argo, run)
        heard = not unheard(live) and (before is None or stages_of(live) != stages(before))
        if heard or time.monotonic() - updated > HEARING_SECONDS:
            return run
        argo.remove(run)


# Property 7: adding or removing an environment shows in the runs after the self-update and in no run before it
@given(history=histories())
@settings(max_examples=100, deadline=None)
def test_a_self_update_shows_in_the_runs_after_it_and_in_none_before(argo: Argo, history: list[PipelineConfig]) -> None:
    target = argo.pipeline(f"p{next(NUMBERS)}")
    before: PipelineConfig | None = None
    runs: list[str] = []
    for number, config in enumerate(history):
        argo.self_update(target, config)
        changed = before if before is not None and stages(before) != stages(config) else None
        runs.append(run_after(argo, target, changed, f"{number:040x}"))
        before = config
    # All of them are looked at once more at the end: the first holds the mutex, the others wait in the queue.
    for name, config in zip(runs, history, strict=True):
        live = argo.live(name)
        assert stages_of(live) == stages(config)
        assert shown(live)[: len(stages(config))] == stages(config)
    for name in runs:
        argo.remove(name)


def configured(*environments: str, rerun: bool = True) -> PipelineConfig:
    """A configuration with environments of these names."""
    stacks = [{"name": "App", "path": "app"}]
    return PipelineConfig.model_validate(
        {
            "version": "1.0",
            "build": {"commands": ["true"]},
            "self_update": {"rerun": rerun},
            "environments": [
                {"name": name, "region": "us-east-1", "account": "222222222222", "stacks": stacks}
                for name in environments
            ],
        }
    )


@dataclass
class Updated:
    """A run at the end of its self-update, which added the environment `prod`."""

    argo: Argo
    target: Target
    run: str
    config: PipelineConfig
    said: list[str]

    def context(self, trigger: Trigger = Trigger.PUSH, run: str = "") -> StageContext:
        """What the self-update's pod says."""
        return StageContext(
            pipeline=self.target.settings.pipeline,
            run=run or self.run,
            stage="self-update",
            commit="c" * 40,
            branch="main",
            repository=self.target.settings.repository,
            author="Ann",
            message="Add prod",
            trigger=trigger,
            bucket="b",
            table="t",
            account="123456789012",
            region="us-east-1",
            namespace=NAMESPACE,
        )

    def rerun(self, trigger: Trigger = Trigger.PUSH, config: PipelineConfig | None = None) -> str | None:
        """What the self-update does at its end."""
        client = self.target.kubernetes.client()
        return rerun_when_shape_changed(self.context(trigger), config or self.config, self.said.append, client)

    def runs(self) -> list[str]:
        """All runs of the pipeline."""
        return sorted(run.name for run in list_runs(self.target))


@pytest.fixture
def updated(argo: Argo) -> Iterator[Updated]:
    target = argo.pipeline(f"p{next(NUMBERS)}")
    argo.self_update(target, configured("dev"))
    run = run_after(argo, target, None, "c" * 40)
    argo.self_update(target, configured("dev", "prod"))
    found = Updated(argo, target, run, configured("dev", "prod"), [])
    yield found
    for name in found.runs():
        argo.remove(name)


def test_a_commit_that_changes_the_shape_is_run_once_more_with_it(updated: Updated) -> None:
    name = updated.rerun()
    assert name == f"{updated.run}-rerun"
    assert updated.said == [
        f"Rerun {name} was started: the same commit with the new shape (with deploy-prod). It waits for its turn."
    ]
    live = begun(updated.argo, name)
    assert stages_of(live) == stages(updated.config)
    assert parameters_of(live) == {
        "commit": "c" * 40,
        "branch": "main",
        "repository": updated.target.settings.repository,
        "author": "Ann",
        "message": "Add prod",
        "trigger": "rerun",
        "pull_request": "",
    }
    assert run_view(live).trigger == "rerun"


def test_a_stage_that_is_tried_again_starts_no_second_rerun(updated: Updated) -> None:
    first = updated.rerun()
    assert updated.rerun() == first
    assert updated.said[1:] == [f"Rerun {first} was started already, by an earlier attempt of this stage."]
    assert updated.runs() == sorted([updated.run, str(first)])


def test_a_rerun_is_never_run_again(updated: Updated) -> None:
    assert updated.rerun(Trigger.RERUN) is None
    assert updated.said == [
        "The pipeline's shape has changed again (with deploy-prod). A rerun is not run again: the next push has it."
    ]
    assert updated.runs() == [updated.run]


def test_without_a_changed_shape_or_without_being_asked_for_there_is_no_rerun(updated: Updated) -> None:
    assert updated.rerun(config=configured("dev")) is None
    assert updated.rerun(config=configured("dev", "prod", rerun=False)) is None
    assert updated.rerun(Trigger.PULL_REQUEST) is None
    assert (updated.said, updated.runs()) == ([], [updated.run])


def test_an_earlier_commit_is_not_deployed_again_after_a_later_one(updated: Updated) -> None:
    time.sleep(1.1)  # Kubernetes tells the time of creation in whole seconds
    later = start_run(updated.target, commit="d" * 40, branch="main").name
    begun(updated.argo, later)
    assert updated.rerun() is None
    assert updated.said == [
        f"No rerun with the new shape (with deploy-prod): {later} comes after this run and deploys a later commit."
    ]


def test_a_rerun_that_cannot_be_started_is_told_with_what_to_do(updated: Updated) -> None:
    context = updated.context(run="p0-gone")
    with pytest.raises(RerunFailed) as raised:
        rerun_when_shape_changed(context, updated.config, updated.said.append, updated.target.kubernetes.client())
    assert str(raised.value) == (
        "The pipeline is up to date, but the rerun with its new shape could not be started: "
        'workflows.argoproj.io "p0-gone" not found\n'
        "The next push has the new shape. To have it now: "
        f"python -m automation run --commit {'c' * 40} --pipeline {context.pipeline}"
    )
