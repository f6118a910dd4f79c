"""Runs inline Pulumi programs with the real engine, and tells what it planned, did, kept and said."""

from __future__ import annotations

import gc
import json
import logging
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pulumi import automation as auto
from pulumi.automation.events import EngineEvent

from tests.support.control_plane import tool

Program = Callable[[], None]

SECRET_KEY = "4dabf18193072939515e22adb298388d"
_VOLATILE = frozenset(
    {
        "__fieldManager",
        "clusterIP",
        "clusterIPs",
        "creationTimestamp",
        "lastTransitionTime",
        "lastUpdateTime",
        "managedFields",
        "resourceVersion",
        "uid",
    }
)
_GENERATED = re.compile(r"-[0-9a-f]{8}\b")


@dataclass
class Observation:
    """What one run of the engine told.

    Attributes:
        steps: for each resource, by `type name`, the operations that were announced, in order.
        changes: for each resource, how each property changes, where there was a difference.
        errors: the messages of its errors.
        outputs: the stack's outputs after it.
        state: for each resource, its id, inputs and outputs as they were kept.
    """

    steps: dict[str, list[str]] = field(default_factory=dict)
    changes: dict[str, dict[str, str]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)
    state: dict[str, dict[str, Any]] = field(default_factory=dict)

    def record(self, event: EngineEvent) -> None:
        """Take in one of the engine's events."""
        if event.diagnostic_event and event.diagnostic_event.severity == "error":
            self.errors.append(scrubbed(event.diagnostic_event.message.strip()))
        if event.resource_pre_event:
            step = event.resource_pre_event.metadata
            label = _label(step.urn)
            self.steps.setdefault(label, []).append(str(step.op.value))
            if step.detailed_diff:
                kinds = {path: str(diff.diff_kind.value) for path, diff in step.detailed_diff.items()}
                self.changes.setdefault(label, {}).update(kinds)


class Engine:
    """A project of one stack, with its state in a folder.

    Args:
        directory: where its state and Pulumi home are.
        environment: what the engine and the provider get, besides the test's own environment.
        project: the project's name.
    """

    def __init__(self, directory: Path, environment: Mapping[str, str], project: str = "conformance") -> None:
        self.home = directory / "home"
        self._states = directory / "state"
        self._environment = environment
        self._project = project
        self._made: auto.Stack | None = None
        self._variables: dict[str, str] = {}

    @property
    def state_file(self) -> Path:
        """The stack's state as the backend keeps it."""
        (found,) = self._states.glob(f".pulumi/stacks/{self._project}/*.json")
        return found

    def sharing(self, other: Engine) -> Engine:
        """The same engine with the other's state."""
        shared = Engine(self.home.parent, self._environment, self._project)
        shared._states = other._states
        return shared

    def _stack(self, program: Program) -> auto.Stack:
        if self._made is None:
            self._states.mkdir(parents=True, exist_ok=True)
            backend = auto.ProjectBackend(f"file://{self._states}")
            variables = {
                "PULUMI_CONFIG_PASSPHRASE": "test",
                "PULUMI_HOME": str(self.home),
                "PULUMI_SKIP_UPDATE_CHECK": "true",
                **self._environment,
            }
            self._variables = variables
            options = auto.LocalWorkspaceOptions(
                env_vars=variables,
                project_settings=auto.ProjectSettings(self._project, "python", backend=backend),
                pulumi_command=auto.PulumiCommand(str(tool("pulumi").parent.parent), skip_version_check=True),
            )
            self._made = auto.create_or_select_stack("test", self._project, program, opts=options)
        self._made.workspace.program = program
        return self._made

    def unprotect(self, program: Program) -> None:
        """Lift the engine's protection of every resource."""
        stack = self._stack(program)
        words = ["state", "unprotect", "--all", "--yes", "--stack", stack.name]
        stack.workspace.pulumi_command.run(words, stack.workspace.work_dir, self._variables)

    def run(self, operation: str, program: Program, **options: Any) -> Observation:
        """Run `preview`, `up`, `refresh` or `destroy`; a failure is among the errors of what was observed."""
        stack = self._stack(program)
        seen = Observation()
        # A failed program's error is in the events; a log record of it would keep its event loop alive.
        logging.getLogger("grpc._server").disabled = True
        try:
            getattr(stack, operation)(on_event=seen.record, **options)
        except auto.CommandError:
            if not seen.errors:
                raise
            _let_go(stack)
        deployment = stack.workspace.export_stack(stack.name).deployment or {}
        for resource in deployment.get("resources", []):
            if resource["type"] == "pulumi:pulumi:Stack":
                seen.outputs = scrubbed(resource.get("outputs", {}))
            elif resource.get("custom") and not resource["type"].startswith("pulumi:"):
                seen.state[_label(resource["urn"])] = {
                    "id": scrubbed(resource["id"]),
                    "inputs": scrubbed(resource.get("inputs", {})),
                    "outputs": scrubbed(resource.get("outputs", {})),
                    "failures": len(resource.get("initErrors", [])),
                }
        return seen


def _let_go(stack: auto.Stack) -> None:
    """Make the SDK let go of a failed program, whose event loop it leaves open, while that can do no harm.

    It keeps the last program until another one runs. pytest would find the rest later and blame some other test.
    """
    stack.workspace.program = lambda: None
    stack.preview()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()


def _label(urn: str) -> str:
    kind, name = urn.split("::")[2:4]
    return f"{kind.rpartition('$')[2]} {name}"


def scrubbed(value: Any) -> Any:
    """A copy without what differs from run to run: generated names, times, versions and identities."""
    if isinstance(value, Mapping):
        if SECRET_KEY in value:
            return {"secret": scrubbed(json.loads(value["plaintext"]))}
        return {key: scrubbed(item) for key, item in value.items() if key not in _VOLATILE}
    if isinstance(value, list):
        return [scrubbed(item) for item in value]
    return _GENERATED.sub("-xxxxxxxx", value) if isinstance(value, str) else value
