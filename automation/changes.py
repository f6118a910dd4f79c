"""What the Pulumi engine does or would do, told in the words that a person reads: pure over the engine's events."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pulumi.automation.events import EngineEvent, StepEventMetadata

Outcome = Literal["started", "done", "failed"]

_SIGNS = {"create": "+", "update": "~", "replace": "±", "delete": "-", "import": "=", "read": ">"}
# The engine replaces a resource in several steps; a reader thinks of one.
_MERGED = {
    "create-replacement": "replace",
    "import-replacement": "replace",
    "delete-replaced": "replace",
    "discard-replaced": "discard",
}
_PARTS = frozenset({"replace", "delete-replaced"})
_SILENT = frozenset({"same", "refresh", "discard", "remove-pending-replace", "read", "read-replacement"})
_CONSEQUENCES = frozenset({"error: update failed", "update failed", "error: preview failed", "preview failed"})
_LIST_HEAD = re.compile(r"\d+ errors? occurred:")
_NOT_RESOURCES = ("pulumi:pulumi:", "pulumi:providers:")


def kind_of(token: str) -> str:
    """A type token as people write it: `aws:s3:Bucket` for `aws:s3/bucket:Bucket`."""
    package, module, name = [*token.split(":"), "", ""][:3]
    family, _, resource = module.rpartition("/")
    short = family if family and resource.lower() == name.lower() else module
    return f"{package}:{short}:{name}" if name else token


@dataclass(frozen=True, kw_only=True)
class PropertyChange:
    """One property of a resource that differs; its values are left out, for they may be secret.

    Attributes:
        path: where in the resource's inputs, such as `spec.template.tasks[2]`.
        kind: `add`, `delete` or `update`.
        replaces: whether this difference alone makes the engine replace the resource.
    """

    path: str
    kind: str
    replaces: bool = False


@dataclass(frozen=True, kw_only=True)
class ResourceChange:
    """One operation on one resource.

    Attributes:
        operation: create, update, replace, delete or import.
        type: Pulumi's type token.
        name: the resource's name in the program.
        urn: the resource's identity in the state.
        properties: what differs, for updates and replacements.
    """

    operation: str
    type: str
    name: str
    urn: str
    properties: tuple[PropertyChange, ...] = ()

    @property
    def kind(self) -> str:
        """The type as people write it: `aws:s3:Bucket` for `aws:s3/bucket:Bucket`."""
        return kind_of(self.type)

    @property
    def sign(self) -> str:
        """One character for the operation, as Pulumi's own display has it."""
        return _SIGNS.get(self.operation, "?")


@dataclass(frozen=True, kw_only=True)
class Step:
    """A change that began, was finished or failed, as it happens.

    Attributes:
        change: what changes.
        outcome: whether it began, was finished or failed.
        part: whether it is a lesser part of a replacement, which is told of by its new resource.
    """

    change: ResourceChange
    outcome: Outcome
    part: bool = False


@dataclass(frozen=True, kw_only=True)
class Complaint:
    """What a provider or the program said of a failure.

    Attributes:
        message: its words; of an exception in the program its last line.
        name: of the resource that failed; empty when it is none in particular.
        kind: the resource's type as people write it; empty likewise.
    """

    message: str
    name: str = ""
    kind: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}: {self.message}" if self.name else self.message


@dataclass(kw_only=True)
class EventLog:
    """Collects an operation's events: its steps, and what the engine and the providers complained of."""

    steps: list[Step] = field(default_factory=list)
    complaints: list[Complaint] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def errors(self) -> list[str]:
        """The complaints as lines of text."""
        return [str(each) for each in self.complaints]

    def add(self, event: EngineEvent) -> Step | None:
        """Take one event; the step that it tells of, if it tells of any."""
        if event.diagnostic_event is not None:
            diagnostic = event.diagnostic_event
            self._complain(diagnostic.severity, diagnostic.message, diagnostic.urn or "")
        step = step_of(event)
        if step is not None:
            self.steps.append(step)
        return step

    def _complain(self, severity: str, message: str, urn: str) -> None:
        text = plain(message)
        if severity == "error" and text and text not in _CONSEQUENCES:
            complaint = complaint_of(text, urn)
            if complaint not in self.complaints:
                self.complaints.append(complaint)
        if severity == "warning" and text and text not in self.warnings:
            self.warnings.append(text)


def step_of(event: EngineEvent) -> Step | None:
    """The step on a real resource that an event tells of; none for components, providers and what stays."""
    outcomes: list[tuple[Outcome, Any]] = [
        ("started", event.resource_pre_event),
        ("done", event.res_outputs_event),
        ("failed", event.res_op_failed_event),
    ]
    for outcome, payload in outcomes:
        if payload is not None:
            change = change_of(payload.metadata)
            part = str(getattr(payload.metadata.op, "value", "")) in _PARTS
            return Step(change=change, outcome=outcome, part=part) if change else None
    return None


def change_of(metadata: StepEventMetadata) -> ResourceChange | None:
    """The change that a step makes; none when it concerns no resource of ours or changes nothing."""
    operation = str(getattr(metadata.op, "value", metadata.op))
    if operation in _SILENT or metadata.type.startswith(_NOT_RESOURCES):
        return None
    state = metadata.new or metadata.old
    if state is not None and not state.custom:
        return None
    return ResourceChange(
        operation=_MERGED.get(operation, operation),
        type=metadata.type,
        name=metadata.urn.rsplit("::", 1)[-1],
        urn=metadata.urn,
        properties=_properties(metadata),
    )


def _properties(metadata: StepEventMetadata) -> tuple[PropertyChange, ...]:
    if metadata.old is None or metadata.new is None:
        return ()
    detailed = metadata.detailed_diff or {}
    if detailed:
        changes = [
            PropertyChange(
                path=path,
                kind=str(diff.diff_kind.value).removesuffix("-replace"),
                replaces=str(diff.diff_kind.value).endswith("-replace"),
            )
            for path, diff in detailed.items()
        ]
    else:
        replacing = set(metadata.keys or ())
        changes = [
            PropertyChange(path=path, kind="update", replaces=path in replacing)
            for path in {*(metadata.diffs or ()), *replacing}
        ]
    return tuple(sorted(changes, key=lambda change: change.path))


def complaint_of(message: str, urn: str = "") -> Complaint:
    """A diagnostic as a person reads it: without the trace of a program's exception, and with the resource's name."""
    told = message.removeprefix("error: ").removeprefix("Preview failed: ")
    lines = [line for line in told.strip().splitlines() if line.strip()]
    if any(line.lstrip().startswith("Traceback (most recent call last)") for line in lines):
        # What follows the last line of code is the exception itself.
        code = max(index for index, line in enumerate(lines) if line.lstrip().startswith(("File ", "Traceback")))
        lines = [line for line in lines[code + 1 :] if line == line.lstrip()] or lines[-1:]
    # Go programs put several errors, and even one, into a list.
    text = "\n".join(line.lstrip("\t* ") for line in lines if not _LIST_HEAD.fullmatch(line.strip()))
    kind = urn.rsplit("::", 2)[-2].rpartition("$")[2] if urn.count("::") >= 2 else ""
    if not kind or kind.startswith("pulumi:pulumi:"):
        return Complaint(message=text)
    name = urn.rsplit("::", 1)[-1]
    return Complaint(message=text, name=name, kind=kind_of(kind))


def planned(steps: Iterable[Step]) -> list[ResourceChange]:
    """Each changed resource once, in the order in which the engine came to it."""
    by_resource: dict[str, ResourceChange] = {}
    for step in steps:
        known = by_resource.get(step.change.urn)
        if known is None or len(step.change.properties) > len(known.properties):
            by_resource[step.change.urn] = step.change
    return list(by_resource.values())


def counts(changes: Sequence[ResourceChange]) -> dict[str, int]:
    """How many resources each operation concerns."""
    totals: dict[str, int] = {}
    for change in changes:
        totals[change.operation] = totals.get(change.operation, 0) + 1
    return totals


def sentence(changes: Sequence[ResourceChange], *, would: bool = False) -> str:
    """One line for many changes: `3 created, 1 updated`; says so when there is nothing."""
    if not changes:
        return "Nothing would change." if would else "Nothing changed: everything is as configured."
    past = {"create": "created", "update": "updated", "replace": "replaced", "delete": "deleted"}
    parts = [f"{number} {past.get(name, name + 'ed')}" for name, number in counts(changes).items()]
    return ("Would be " if would else "") + ", ".join(parts) + "."


def as_json(changes: Sequence[ResourceChange]) -> list[dict[str, Any]]:
    """The changes as JSON has them."""
    return [asdict(change) for change in changes]


def plain(message: str) -> str:
    """A diagnostic without Pulumi's colour marks `<{%…%}>` and the blank lines around it."""
    while "<{%" in message and "%}>" in message:
        start = message.index("<{%")
        end = message.find("%}>", start)
        if end < 0:
            break
        message = message[:start] + message[end + 3 :]
    return message.strip()
