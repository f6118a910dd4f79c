"""What the engine's events become for a person."""

from __future__ import annotations

from typing import Any

import pytest
from pulumi.automation.events import EngineEvent

from automation.changes import EventLog, ResourceChange, complaint_of, plain, planned, sentence, step_of
from automation.console import duration

URN = "urn:pulumi:pipeline-shop::aphex::aphex:Pipeline$aws:s3/bucket:Bucket::shop-artifacts"


def event(kind: str, op: str = "create", **metadata: Any) -> EngineEvent:
    state = {"type": "aws:s3/bucket:Bucket", "urn": URN, "id": "", "parent": "", "provider": "", "custom": True}
    body = {
        "op": op,
        "urn": URN,
        "type": "aws:s3/bucket:Bucket",
        "provider": "",
        "new": state,
        "old": state if op in ("update", "replace", "delete") else None,
        **metadata,
    }
    return EngineEvent.from_json({"sequence": 1, "timestamp": 0, kind: {"metadata": body}})


def test_a_resource_that_is_made_begins_and_ends() -> None:
    log = EventLog()
    log.add(event("resourcePreEvent"))
    log.add(event("resOutputsEvent"))
    assert [(step.outcome, step.change.operation, step.change.name) for step in log.steps] == [
        ("started", "create", "shop-artifacts"),
        ("done", "create", "shop-artifacts"),
    ]


def test_what_stays_is_not_a_change() -> None:
    assert step_of(event("resOutputsEvent", op="same")) is None


def test_components_and_providers_are_not_resources_of_their_own() -> None:
    component = {"type": "aphex:Pipeline", "urn": URN, "id": "", "parent": "", "provider": "", "custom": False}
    assert step_of(event("resOutputsEvent", type="aphex:Pipeline", new=component)) is None
    assert step_of(event("resOutputsEvent", type="pulumi:providers:aws")) is None


def test_an_update_names_its_properties_and_not_their_values() -> None:
    diff = {
        "tags.team": {"diffKind": "add", "inputDiff": True},
        "bucket": {"diffKind": "update-replace", "inputDiff": True},
    }
    step = step_of(event("resOutputsEvent", op="update", detailedDiff=diff))
    assert step is not None
    assert [(each.path, each.kind, each.replaces) for each in step.change.properties] == [
        ("bucket", "update", True),
        ("tags.team", "add", False),
    ]


def test_the_steps_of_a_replacement_are_one_change() -> None:
    log = EventLog()
    for op in ("create-replacement", "replace", "delete-replaced"):
        log.add(event("resOutputsEvent", op=op))
    assert [change.operation for change in planned(log.steps)] == ["replace"]


def test_a_complaint_is_told_once_and_without_colour_marks() -> None:
    log = EventLog()
    message = "<{%fg 1%}>error: <{%reset%}>the bucket belongs to somebody else\n"
    diagnostic = {"message": message, "color": "never", "severity": "error"}
    for _ in range(2):
        log.add(EngineEvent.from_json({"sequence": 1, "timestamp": 0, "diagnosticEvent": diagnostic}))
    assert log.errors == ["the bucket belongs to somebody else"]


@pytest.mark.parametrize("text", ["", "no marks", "half a <{% mark"])
def test_text_without_whole_marks_stays_as_it_is(text: str) -> None:
    assert plain(text) == text


@pytest.mark.parametrize(
    ("token", "kind"),
    [
        ("aws:s3/bucket:Bucket", "aws:s3:Bucket"),
        ("aws:iam/rolePolicy:RolePolicy", "aws:iam:RolePolicy"),
        ("kubernetes:core/v1:Secret", "kubernetes:core/v1:Secret"),
        ("pulumi:pulumi:Stack", "pulumi:pulumi:Stack"),
    ],
)
def test_types_are_written_as_people_do(token: str, kind: str) -> None:
    assert ResourceChange(operation="create", type=token, name="x", urn=URN).kind == kind


def test_changes_are_told_in_a_sentence() -> None:
    made = ResourceChange(operation="create", type="t", name="a", urn="1")
    changed = ResourceChange(operation="update", type="t", name="b", urn="2")
    assert sentence([made, changed]) == "1 created, 1 updated."
    assert sentence([], would=True) == "Nothing would change."
    assert sentence([]) == "Nothing changed: everything is as configured."


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.7, "1 min 00 s"), (65, "1 min 05 s"), (7800, "2 h 10 min")],
)
def test_durations_are_read_at_a_glance(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("message", "urn", "text"),
    [
        ("error: the bucket is gone", URN, "aws:s3:Bucket shop-artifacts: the bucket is gone"),
        ("error: 1 error occurred:\n\t* the table is gone\n\n", URN, "aws:s3:Bucket shop-artifacts: the table is gone"),
        ("error: the passphrase is wrong", "", "the passphrase is wrong"),
        (
            "error: Program failed with an unhandled exception:\nTraceback (most recent call last):\n"
            '  File "/opt/program.py", line 7, in program\n    raise ValueError("no such region")\n'
            "ValueError: no such region",
            "urn:pulumi:pipeline-shop::aphex::pulumi:pulumi:Stack::aphex-pipeline-shop",
            "ValueError: no such region",
        ),
    ],
)
def test_a_complaint_names_its_resource_and_spares_the_trace(message: str, urn: str, text: str) -> None:
    assert str(complaint_of(message, urn)) == text


def test_that_the_update_failed_is_no_complaint_of_its_own() -> None:
    log = EventLog()
    diagnostic = {"message": "<{%reset%}>update failed<{%reset%}>\n", "color": "never", "severity": "error"}
    log.add(EngineEvent.from_json({"sequence": 1, "timestamp": 0, "diagnosticEvent": diagnostic}))
    assert log.errors == []
