"""How each stack's deployment goes, while it goes: in the run's item for people, in CloudWatch for alarms."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

from aphex.run import RunRecord, StackRecord, Status
from stages.metrics import Metric, deployment_metrics, put_metrics, seconds_between
from stages.runner import Stage
from stages.table import now


@dataclass
class StackRecords:
    """The records of an environment's stacks. What cannot be written is said, and undoes no deployment.

    Attributes:
        stage: the stage that deploys.
        environment: the environment's name.
        records: by the stacks' configured names, those that were begun.
    """

    stage: Stage
    environment: str
    records: dict[str, StackRecord] = field(default_factory=dict)

    def begin(self, stack: str) -> None:
        """Note that a deployment begins: should the pod be killed, the exit handler knows which it was."""
        self.records[stack] = StackRecord(status=Status.RUNNING, started_at=now())
        self._write(stack)

    def end(self, stack: str, status: Status, seconds: float, changed: bool | None = None) -> None:
        """Note how a deployment ended, and send its metrics."""
        began = self.records.get(stack)
        self.records[stack] = StackRecord(
            status=status,
            started_at=began.started_at if began is not None else "",
            ended_at=now(),
            seconds=round(seconds, 3),
            changed=changed,
        )
        self._write(stack)
        metrics = deployment_metrics(self.stage.context.pipeline, self.environment, stack, status, seconds)
        self._attempt(f"the metrics of {stack}", lambda: put_metrics(self.stage.clients.cloudwatch, metrics))

    def _write(self, stack: str) -> None:
        self._attempt(f"the record of {stack}", lambda: self.stage.table.set_stacks(self.environment, self.records))

    def _attempt(self, what: str, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:  # noqa: BLE001  # the deployment itself is what counts
            self.stage.console.line(f"warning: {what} could not be written: {error}")
            self.stage.console.log_only(traceback.format_exc())


def interrupted_stacks(run: RunRecord, ended_at: str) -> dict[str, dict[str, StackRecord]]:
    """The stacks of environments in which a deployment had begun and nobody was left to say how it ended."""
    found: dict[str, dict[str, StackRecord]] = {}
    for environment, stacks in run.stacks.items():
        if any(each.status is Status.RUNNING for each in stacks.values()):
            found[environment] = {name: _interrupted(each, ended_at) for name, each in stacks.items()}
    return found


def _interrupted(stack: StackRecord, ended_at: str) -> StackRecord:
    if stack.status is not Status.RUNNING:
        return stack
    seconds = seconds_between(stack.started_at, ended_at)
    return stack.model_copy(update={"status": Status.FAILED, "ended_at": ended_at, "seconds": seconds})


def interrupted_metrics(run: RunRecord, interrupted: dict[str, dict[str, StackRecord]]) -> list[Metric]:
    """The metrics of those deployments, which nobody sent: they failed as far as anybody knows."""
    return [
        metric
        for environment, stacks in interrupted.items()
        for name, each in stacks.items()
        if run.stacks[environment][name].status is Status.RUNNING
        for metric in deployment_metrics(run.pipeline, environment, name, each.status, each.seconds)
    ]
