"""A run as its Workflow shows it."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from automation.follow import run_table, transitions
from automation.runs import RunView, pod_name, run_view

AT = "2026-01-02T03:04:{:02d}Z"


def node(name: str, phase: str, start: int = 0, end: int | None = None, **more: Any) -> dict[str, Any]:
    return {
        "id": f"shop-abcde-{hash(name) % 10**9}",
        "name": f"shop-abcde.{name}",
        "displayName": name,
        "type": "Pod",
        "templateName": name,
        "phase": phase,
        "startedAt": AT.format(start),
        "finishedAt": AT.format(end) if end is not None else None,
        **more,
    }


def workflow(*nodes: dict[str, Any], phase: str = "Running", ended: int | None = None) -> dict[str, Any]:
    tasks = [{"name": name} for name in ("validate", "build", "self-update", "deploy-dev")]
    return {
        "metadata": {"name": "shop-abcde", "creationTimestamp": AT.format(0)},
        "spec": {"arguments": {"parameters": [{"name": "commit", "value": "c" * 40}, {"name": "author"}]}},
        "status": {
            "phase": phase,
            "finishedAt": AT.format(ended) if ended is not None else None,
            "nodes": {each["id"]: each for each in nodes},
            "storedWorkflowTemplateSpec": {
                "entrypoint": "run",
                "templates": [{"name": "build"}, {"name": "run", "dag": {"tasks": tasks}}],
            },
        },
    }


def test_stages_come_in_the_run_s_order_with_those_to_come() -> None:
    run = run_view(workflow(node("build", "Running", 5), node("validate", "Succeeded", 1, 4)))
    assert [(stage.name, stage.status) for stage in run.stages] == [
        ("validate", "succeeded"),
        ("build", "running"),
        ("self-update", "waiting"),
        ("deploy-dev", "waiting"),
    ]
    assert (run.status, run.finished, run.commit) == ("running", False, "c" * 40)


def test_a_stage_says_how_long_it_took_or_has_taken() -> None:
    run = run_view(workflow(node("validate", "Succeeded", 1, 4), node("build", "Running", 5)))
    now = datetime(2026, 1, 2, 3, 4, 25, tzinfo=UTC)
    assert [stage.seconds(now) for stage in run.stages] == [3.0, 20.0, None, None]


def test_a_run_is_finished_only_after_its_exit_handler() -> None:
    exit_handler = node("shop-abcde.onExit", "Running", 9)
    nodes = [node("validate", "Failed", 1, 4), exit_handler]
    run = run_view(workflow(*nodes))
    assert not run.finished
    assert run.stages[-1].name == "exit"
    ended = run_view(workflow(nodes[0], {**exit_handler, "phase": "Succeeded"}, phase="Failed", ended=12))
    assert ended.finished
    assert not ended.ok


def test_a_stage_that_was_given_up_says_why_its_last_pod_failed() -> None:
    tries = [
        node(f"build({number})", "Error", 1, 2, templateName="build", message=f'pods "build-{number}" is forbidden')
        for number in range(2)
    ]
    task = node("build", "Error", 1, 3, type="Retry", message="No more retries left")
    task["children"] = [each["id"] for each in tries]
    build = run_view(workflow(task, *tries)).stage("build")
    assert build is not None
    assert build.message == 'pods "build-1" is forbidden'


def test_a_stage_whose_pod_cannot_start_says_why_once() -> None:
    def view(phase: str, message: str) -> RunView:
        pod = node("validate(0)", phase, 1, templateName="validate", message=message)
        task = node("validate", "Running", 1, type="Retry", message="")
        return run_view(workflow({**task, "children": [pod["id"]]}, pod))

    refused = 'pods "validate-0" is forbidden: exceeded quota: team'
    shown: dict[str, str] = {}
    told = [
        transitions(view(phase, message), shown)
        for phase, message in (
            ("Pending", refused),
            ("Pending", refused),
            ("Pending", "PodInitializing"),
            ("Running", ""),
        )
    ]
    assert told == [[f"  validate cannot start yet: {refused}"], [], ["▸ validate running"], []]
    assert [stage.status for stage in view("Pending", refused).stages][:1] == ["starting"]
    table = io.StringIO()
    Console(file=table, width=120).print(run_table(view("Pending", refused)))
    assert refused in table.getvalue()


def test_a_run_that_delivered_without_its_self_update_is_degraded() -> None:
    nodes = [node("validate", "Succeeded", 1, 2), node("self-update", "Failed", 3, 4)]
    run = run_view(workflow(*nodes, phase="Succeeded", ended=9))
    assert (run.status, run.ok) == ("degraded", True)


def test_the_pod_of_a_stage_that_is_tried_again_is_that_of_its_last_try() -> None:
    first, second = node("build(0)", "Failed", 1, 2), node("build(1)", "Running", 3)
    for each in (first, second):
        each["templateName"] = "build"
    retry = node("build", "Running", 1, type="Retry", children=[first["id"], second["id"]])
    stage = run_view(workflow(retry, first, second)).stage("build")
    assert stage is not None
    assert stage.pod == pod_name(second)


def test_pods_are_named_as_argo_names_them() -> None:
    # Argo's GeneratePodName: workflow, template and the FNV hash of the node's name, which ends the node's id too.
    identity = {"id": "shop-abcde-3434214962", "name": "shop-abcde.validate", "templateName": "validate"}
    assert pod_name(identity) == "shop-abcde-validate-3434214962"


@pytest.mark.parametrize("status", [None, {}, {"phase": "Pending", "message": "Waiting for the lock"}])
def test_a_run_that_waits_for_its_turn_says_so(status: dict[str, str] | None) -> None:
    run = run_view({"metadata": {"name": "shop-abcde"}, "status": status})
    assert (run.status, run.finished) == ("waiting", False)
    assert run.waits_for == (status or {}).get("message", "")


def test_each_change_of_a_stage_is_told_once() -> None:
    shown: dict[str, str] = {}
    running = run_view(workflow(node("validate", "Running", 1)))
    failed = run_view(workflow(node("validate", "Failed", 1, 4, message="exit code 1")))
    assert transitions(running, shown) == ["▸ validate running"]
    assert transitions(running, shown) == []
    assert transitions(failed, shown) == ["✗ validate failed in 3.0 s: exit code 1"]
