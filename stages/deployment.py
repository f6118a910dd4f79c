"""Deploys the stacks of an environment in their order, each finished and recorded before the next."""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from aphex.process import ProcessTimeout
from aphex.run import Status
from stages import cdk
from stages.access import session_name
from stages.assembly import StackDeployment
from stages.console import elapsed
from stages.errors import StageError
from stages.failure import DeploymentFailed, Ended, explained
from stages.outputs import StackOutputs, store_outputs, write_parameter
from stages.plan import UnconfiguredDependency, deployment_runs, fix_order, unconfigured_dependencies
from stages.progress import DeploymentProgress
from stages.stack_records import StackRecords
from stages.stacks import StackReader, judge, wait_until_idle
from stages.synthesis import Deployer

__all__ = ["DeployedStack", "DeploymentFailed", "StackBlocked", "deploy_stacks"]

_CLOCK_SKEW = timedelta(seconds=5)


class StackBlocked(StageError):
    """Stacks are in a state in which they cannot be deployed; nothing was begun."""


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
class _Record:
    """Keeps what each finished stack left, in the bucket, in the run's item and for Argo, at once."""

    deployer: Deployer
    reader: StackReader
    records: StackRecords
    total: int
    dependencies: Sequence[UnconfiguredDependency]
    done: list[DeployedStack] = field(default_factory=list)
    late: list[tuple[StackDeployment, bool, float]] = field(default_factory=list)
    begun: int = 0

    def begin(self, deployment: StackDeployment) -> None:
        self.begun += 1
        self.deployer.stage.console.line(f"==> Deploying {deployment.stack.name} ({self.begun} of {self.total})")
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
        return {each.stack: dict(each.outputs) for each in self.done}


def deploy_stacks(deployer: Deployer, plan: Sequence[StackDeployment]) -> list[DeployedStack]:
    """Deploy stacks from their assemblies in the order of the plan.

    The outputs of each are stored when it is finished, so that they are there when a later one fails.

    Raises:
        StackBlocked: a stack is in a state in which it cannot be deployed; nothing was begun.
        DeploymentFailed: with CloudFormation's events; the stacks before it are deployed, those after it not begun.
    """
    stage, environment = deployer.stage, deployer.environment
    deadline = time.monotonic() + environment.deployment.timeout_seconds
    name = session_name(stage.context.run, stage.context.stage)
    reader = StackReader(deployer.access, environment.account, name)
    dependencies = unconfigured_dependencies(plan)
    for dependency in dependencies:
        stage.console.line(f"warning: {dependency.text}")
    fix_order(plan, environment.deployment.tags)
    _look_first(deployer, reader, plan, deadline)
    record = _Record(deployer, reader, StackRecords(stage, environment.name), len(plan), dependencies)
    for run in deployment_runs(plan):
        _deploy_run(deployer, run, record, deadline)
    return record.done


def _look_first(deployer: Deployer, reader: StackReader, plan: Sequence[StackDeployment], deadline: float) -> None:
    """Wait for stacks that something else is deploying, and refuse those that cannot be deployed."""
    console, options = deployer.stage.console, deployer.environment.deployment
    problems: list[tuple[str, str, str]] = []
    for deployment in plan:
        artifact = deployment.artifact
        try:
            state = wait_until_idle(artifact.name, partial(reader.state, artifact), console.line, deadline)
        except Exception as error:  # noqa: BLE001  # whether it can be deployed, the CDK CLI says then
            console.line(f"warning: the state of the stack {artifact.name} cannot be read: {error}")
            console.log_only(traceback.format_exc())
            continue
        if state.busy:
            text = f"{artifact.name} is {state.status}: something else has been deploying it for {options.timeout}."
            problems.append((deployment.stack.name, text, "Start a new run when that is over."))
            continue
        verdict = judge(artifact.name, state.status, reader.region(artifact), express=options.express)
        if verdict is not None and verdict.blocks:
            text = f"{artifact.name} is {state.status}. {verdict.meaning}"
            problems.append((deployment.stack.name, text, verdict.way_out))
        elif verdict is not None:
            console.line(f"warning: {artifact.name} is {state.status}. {verdict.meaning}")
    if problems:
        raise StackBlocked(
            "Stacks cannot be deployed as they are:\n" + "\n".join(text for _, text, _ in problems),
            hint="\n".join([*(way_out for _, _, way_out in problems), "Nothing was deployed."]),
            details={"stack": problems[0][0], "problems": [text for _, text, _ in problems]},
        )


def _deploy_run(deployer: Deployer, run: Sequence[StackDeployment], record: _Record, deadline: float) -> None:
    """Deploy neighbours of one assembly with one call of the CDK CLI."""
    stage, options = deployer.stage, deployer.environment.deployment
    app = run[0].assembly.app
    command = cdk.deploy_command(deployer.cli(app).program, run, options, stage.context.cdk_method)
    progress = DeploymentProgress(run, record.begin, record.finish)

    def on_line(text: str) -> None:
        progress.before(text)
        stage.console.line(text)
        progress.after(text)

    begun = datetime.now(UTC) - _CLOCK_SKEW
    ended = Ended(command=command, since=begun)
    try:
        completed = deployer.cdk(command, app, max(1.0, deadline - time.monotonic()), on_line)
        ended = Ended(command=command, since=begun, exit_code=completed.exit_code, output=completed.output)
    except ProcessTimeout:
        ended = Ended(command=command, since=begun, timed_out=options.timeout)
    if ended.ok:
        progress.end()
        record.store()
        return
    failed = progress.current or run[-1]
    record.records.end(failed.stack.name, Status.FAILED, progress.seconds)
    error = explained(deployer, record.reader, failed, ended, record.dependencies)
    error.details["stacks"] = [each.document() for each in record.done]
    _store_late(deployer, record)
    raise error


def _store_late(deployer: Deployer, record: _Record) -> None:
    """Store what could not be stored before; the deployment's own failure is not hidden by this one's."""
    try:
        record.store()
    except Exception as error:  # noqa: BLE001
        deployer.stage.console.line(f"warning: the outputs of some stacks are not stored: {error}")
        deployer.stage.console.log_only(traceback.format_exc())
