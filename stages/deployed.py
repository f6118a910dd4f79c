"""What each finished stack of an environment leaves: kept in the bucket, in the run's item and for Argo, at once."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aphex.run import Status
from stages.assembly import StackDeployment
from stages.console import elapsed
from stages.outputs import StackOutputs, store_outputs, write_parameter
from stages.plan import UnconfiguredDependency
from stages.stack_records import StackRecords
from stages.stacks import StackReader
from stages.synthesis import Deployer


@dataclass(frozen=True)
class DeployedStack:
    """A stack whose deployment is finished.

    Attributes:
        stack: its configured name.
        name: its name in CloudFormation.
        id: its ARN.
        changed: whether the deployment changed anything.
        seconds: how long it took.
        outputs: its outputs.
    """

    stack: str
    name: str
    id: str
    changed: bool
    seconds: float
    outputs: Mapping[str, str]

    def document(self) -> dict[str, Any]:
        """What the stage's result has of it."""
        return {
            "stack": self.stack,
            "name": self.name,
            "id": self.id,
            "changed": self.changed,
            "seconds": round(self.seconds, 3),
        }


@dataclass
class DeploymentRecord:
    """Keeps what each finished stack left, in the bucket, in the run's item and for Argo, at once."""

    deployer: Deployer
    reader: StackReader
    records: StackRecords
    plan: Sequence[StackDeployment]
    dependencies: Sequence[UnconfiguredDependency]
    done: list[DeployedStack] = field(default_factory=list)
    late: list[tuple[StackDeployment, bool, float]] = field(default_factory=list)

    def begin(self, deployment: StackDeployment) -> None:
        """Say and record that a stack's deployment begins."""
        place = f"{self.plan.index(deployment) + 1} of {len(self.plan)}"
        self.deployer.stage.console.line(f"==> Deploying {deployment.stack.name} ({place})")
        self.records.begin(deployment.stack.name)

    def finish(self, deployment: StackDeployment, changed: bool, seconds: float) -> None:
        """Record a stack while the CLI goes on; a fault that may pass is tried again when the CLI has ended."""
        console, name = self.deployer.stage.console, deployment.stack.name
        outcome = f"deployed in {elapsed(seconds)}" if changed else f"has no changes ({elapsed(seconds)})"
        console.line(f"    {name} {outcome}")
        self.records.end(name, Status.SUCCEEDED, seconds, changed)
        self.late.append((deployment, changed, seconds))
        try:
            self.store()
        except Exception as error:  # noqa: BLE001  # tried again in `store`, which then may raise
            console.line(f"warning: the outputs of {name} are not stored yet: {error}")
            console.log_only(traceback.format_exc())

    def store(self) -> None:
        """Store what is not stored yet. Raises botocore's errors as they are."""
        stage, environment = self.deployer.stage, self.deployer.environment.name
        if not self.late:
            return
        states = [(*late, self.reader.state(late[0].artifact)) for late in self.late]
        self.done += [
            DeployedStack(each.stack.name, each.artifact.name, state.id, changed, seconds, state.outputs)
            for each, changed, seconds, state in states
        ]
        self.late = []
        self.keep()
        stage.console.log_only(f"    outputs of {environment} stored: {', '.join(each.stack for each in self.done)}")

    def keep(self) -> None:
        """Write the outputs of all stacks that are done."""
        stage, environment = self.deployer.stage, self.deployer.environment.name
        key, outputs = stage.context.keys.outputs(environment), self.outputs
        write_parameter(stage.context.outputs_parameter, outputs, key)
        store_outputs(stage.store, stage.table, key, environment, outputs)

    @property
    def outputs(self) -> StackOutputs:
        """The outputs of the stacks that are done."""
        return {each.stack: dict(each.outputs) for each in self.done}

    def store_late(self) -> None:
        """Store what could not be stored before; the deployment's own failure is not hidden by this one's."""
        try:
            self.store()
        except Exception as error:  # noqa: BLE001
            self.deployer.stage.console.line(f"warning: the outputs of some stacks are not stored: {error}")
            self.deployer.stage.console.log_only(traceback.format_exc())
