"""The `resolve` command of the Argo Events binary: a Sensor's parameters and filters by Argo Events' own code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aphex.process import run
from sandbox import toolchain

pytestmark = pytest.mark.engine
PUSH = {"body": {"ref": "refs/heads/main", "after": "abc", "n": 7, "nothing": None}}


@pytest.fixture(scope="module")
def argo_events() -> Path:
    return toolchain.ensure("argo-events").path("argo-events")


def resolve(binary: Path, *questions: dict[str, Any]) -> list[dict[str, Any]]:
    lines = "".join(json.dumps(question) + "\n" for question in questions)
    answered = run([binary, "resolve"], input=lines, timeout=60, separate_errors=True)
    return [json.loads(line) for line in answered.output.splitlines()]


def parameter(**source: str) -> dict[str, Any]:
    return {"src": {"dependencyName": "push", **source}, "dest": "spec.value"}


def dependency(*values: str) -> dict[str, Any]:
    return {"name": "push", "filters": {"data": [{"path": "body.ref", "type": "string", "value": list(values)}]}}


def test_values_are_those_that_the_sensor_would_set(argo_events: Path) -> None:
    asked = {
        "events": {"push": PUSH},
        "parameters": [
            parameter(dataKey="body.after"),
            parameter(dataKey="body.n"),
            parameter(dataTemplate='{{ .Input.body.ref | trimPrefix "refs/heads/" }}'),
            parameter(dataKey="body.absent", value="otherwise"),
        ],
        "resource": {"spec": {}},
    }
    (answer,) = resolve(argo_events, asked)
    assert answer["values"] == ["abc", "7", "main", "otherwise"]
    assert answer["resource"] == {"spec": {"value": "otherwise"}}
    assert "error" not in answer


def test_filters_let_through_what_the_sensor_would(argo_events: Path) -> None:
    answers = resolve(
        argo_events,
        {"events": {"push": PUSH}, "dependencies": [dependency("refs/heads/main")]},
        {"events": {"push": PUSH}, "dependencies": [dependency("refs/heads/other")]},
        {"events": {"push": PUSH}, "dependencies": [{"name": "push"}]},
        {"events": {}, "dependencies": [dependency("refs/heads/main")]},
    )
    assert [answer["passed"] for answer in answers] == [{"push": True}, {"push": False}, {"push": True}, {}]


def test_a_value_that_is_not_there_is_an_error_and_the_next_question_is_answered(argo_events: Path) -> None:
    answers = resolve(
        argo_events,
        {"events": {"push": PUSH}, "parameters": [parameter(dataKey="body.absent")]},
        {"events": {"push": PUSH}, "parameters": [parameter(dataKey="body.after")]},
    )
    assert "unable to resolve 'push' parameter value" in answers[0]["error"]
    assert answers[1]["values"] == ["abc"]


def test_what_is_not_a_question_is_refused(argo_events: Path) -> None:
    answered = run([argo_events, "resolve"], input="not json", check=False, timeout=60)
    assert answered.exit_code == 2
    assert "not a question in JSON" in answered.output
