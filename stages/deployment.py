"""Deploys the stacks of an environment in their order, each finished and recorded before the next."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

from aphex.process import ProcessTimeout
from aphex.run import Status
from stages import cdk, outage
from stages.access import session_name
from stages.assembly import StackDeployment
from stages.blame import Blame, Course, blame
from stages.cdk_hints import complaint
from stages.deployed import DeployedStack, DeploymentRecord
from stages.errors import StageError
from stages.failure import DeploymentFailed, Ended, courses_of, explained, unexplained
from stages.plan import deployment_runs, fix_order, unconfigured_dependencies
from stages.progress import DeploymentProgress
from stages.stack_records import StackRecords
from stages.stacks import StackReader, judge, wait_until_idle
from stages.synthesis import Deployer

__all__ = ["DeployedStack", "DeploymentFailed", "StackBlocked", "deploy_stacks"]

_CLOCK_SKEW = timedelta(seconds=5)


class StackBlocked(StageError):
    """Stacks are in a state in which they cannot be deployed; nothing was begun."""


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
    record = DeploymentRecord(deployer, reader, StackRecords(stage, environment.name), plan, dependencies)
    for run in deployment_runs(plan):
        _Run(deployer, record, deadline).deploy(run)
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


@dataclass(frozen=True)
class _Run:
    """Neighbours of one assembly, which one call of the CDK CLI deploys; after an outage of AWS another one goes on."""

    deployer: Deployer
    record: DeploymentRecord
    deadline: float
    since: datetime = field(default_factory=lambda: datetime.now(UTC) - _CLOCK_SKEW)

    @property
    def say(self) -> Callable[[str], None]:
        return self.deployer.stage.console.line

    def deploy(self, stacks: Sequence[StackDeployment]) -> None:
        """Deploy them. Raises DeploymentFailed."""
        calls = 0
        while stacks:
            calls += 1
            progress = DeploymentProgress(stacks, self.record.begin, self.record.finish)
            ended = self._call(stacks, progress)
            if ended.ok:
                progress.end()
                break
            cut_off = self._cut_off(ended)
            verdict = self._settled(progress)
            if not (cut_off and calls < outage.CALLS and self._may_go_on(progress, verdict)):
                raise self._failed(progress, verdict, ended)
            stacks = progress.waiting
            if stacks:
                names = ", ".join(each.stack.name for each in stacks)
                self.say(f"The CDK CLI could not reach AWS. It is called again for {names}.")
        self.record.store()

    def _call(self, stacks: Sequence[StackDeployment], progress: DeploymentProgress) -> Ended:
        stage, options = self.deployer.stage, self.deployer.environment.deployment
        app = stacks[0].assembly.app
        command = cdk.deploy_command(self.deployer.cli(app).program, stacks, options, stage.context.cdk_method)

        def on_line(text: str) -> None:
            progress.before(text)
            self.say(text)
            progress.after(text)

        try:
            completed = self.deployer.cdk(command, app, max(1.0, self.deadline - time.monotonic()), on_line)
        except ProcessTimeout:
            return Ended(command=command, since=self.since, timed_out=options.timeout)
        return Ended(command=command, since=self.since, exit_code=completed.exit_code, output=completed.output)

    def _cut_off(self, ended: Ended) -> bool:
        """Whether an outage of AWS ended the call, and is over; it is waited for."""
        access = self.deployer.access
        if ended.timed_out:
            return False
        look = partial(outage.unreachable, access.session, access.region)
        if not outage.speaks_of_outage(complaint(ended.output)) and not look():
            return False
        return outage.wait_until_reachable(look, self.say, min(self.deadline, time.monotonic() + outage.PATIENCE))

    def _settled(self, progress: DeploymentProgress) -> Blame:
        """Whose failure it is; stacks that CloudFormation finished are finished, whatever the CLI said of them."""
        courses = courses_of(self.deployer.stage.console, self.record.reader, progress.waiting, self.since)
        verdict = blame(progress.waiting, courses, progress.failed, progress.begun)
        progress.settle(verdict.finished)
        return verdict

    def _may_go_on(self, progress: DeploymentProgress, verdict: Blame) -> bool:
        """Whether nothing but the outage was wrong: CloudFormation is done with the stack, and did not fail it."""
        console, failed = self.deployer.stage.console, verdict.failed
        if failed is None or not verdict.known:
            return verdict.known
        read = partial(self.record.reader.state, failed.artifact)
        try:
            state = wait_until_idle(failed.artifact.name, read, console.line, self.deadline)
        except Exception as error:  # noqa: BLE001  # the deployment's own failure must not be hidden by this one
            console.line(f"warning: the state of the stack {failed.artifact.name} cannot be read: {error}")
            console.log_only(traceback.format_exc())
            return False
        found = (courses_of(console, self.record.reader, [failed], self.since) or {}).get(failed.artifact.id)
        if found is Course.DEPLOYED and progress.waiting[0] == failed:
            progress.settle([True])
        return not state.busy and found not in (None, Course.FAILED)

    def _failed(self, progress: DeploymentProgress, verdict: Blame, ended: Ended) -> DeploymentFailed:
        """The error; the failed stack is recorded, and what is finished is stored."""
        if verdict.failed is None:
            error = unexplained(progress.waiting, ended, known=verdict.known)
        else:
            self.record.records.end(verdict.failed.stack.name, Status.FAILED, progress.seconds)
            error = explained(self.deployer, self.record.reader, verdict.failed, ended, self.record.dependencies)
        error.details["stacks"] = [each.document() for each in self.record.done]
        self.record.store_late()
        return error
