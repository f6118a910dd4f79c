"""Explains a deployment that failed: CloudFormation's events, the stack's state, the CLI's own words, the way out."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from stages.assembly import StackDeployment
from stages.blame import Course, course
from stages.cdk_hints import complaint, hints_for
from stages.cloudformation import Failure, console_link, event_text, failure_events, recent_events, record, root_cause
from stages.console import Console
from stages.errors import StageError
from stages.plan import UnconfiguredDependency
from stages.stacks import StackReader, StackState, judge
from stages.synthesis import Deployer

_AFTER = "Stacks and environments after it were not begun."
_NONE_BEGUN = "CloudFormation began no deployment of them in this stage, and the CDK CLI says of none that it failed."
_NONE_KNOWN = "CloudFormation cannot be asked about them, and the CDK CLI says of none that it failed."
_NOTHING = "None of them is deployed, and no environment after them was begun."
_UNSURE = "What is still going on, the next run waits for."


class DeploymentFailed(StageError):
    """A stack was not deployed; those after it were not begun."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a call of `cdk deploy` ended.

    Attributes:
        command: what was called.
        since: a time before it began.
        exit_code: its status; None when it was ended for taking too long.
        output: the last lines of its output.
        timed_out: how long it was given, when that was not enough.
    """

    command: list[str]
    since: datetime
    exit_code: int | None = None
    output: str = ""
    timed_out: str = ""

    @property
    def ok(self) -> bool:
        """Whether it succeeded."""
        return self.exit_code == 0

    @property
    def details(self) -> dict[str, Any]:
        """What the error record has of it."""
        how = {"timed_out": True} if self.timed_out else {"exit_code": self.exit_code, "output": self.output}
        return {"command": self.command, **how}

    @property
    def problem(self) -> str:
        """What is wrong, as a predicate."""
        if self.timed_out:
            return f"did not end within {self.timed_out}, which deployment.timeout gives to all stacks together"
        return f"failed with exit status {self.exit_code}"


def explained(
    deployer: Deployer,
    reader: StackReader,
    failed: StackDeployment,
    ended: Ended,
    dependencies: Sequence[UnconfiguredDependency],
) -> DeploymentFailed:
    """The error of a deployment, with all that can be had about it; the events are shown too.

    Args:
        deployer: whose deployment it is.
        reader: asks CloudFormation.
        failed: the stack.
        ended: how the CLI ended.
        dependencies: those of the plan that are not configured.
    """
    console, artifact = deployer.stage.console, failed.artifact
    region = reader.region(artifact)
    events, state, absent = _asked(deployer, reader, failed, ended.since, dependencies)
    if events:
        console.line(f"    CloudFormation's events of the failure of {artifact.name}, causes first:")
    for event in events:
        inside = f"{event['stack']}: " if event["stack"] != artifact.name else ""
        console.line(f"      {event['time']}  {inside}{event_text(event)}")
    cause = root_cause(events) or complaint(ended.output)
    link = console_link(region, state.id) if state.id else ""
    return DeploymentFailed(
        "\n".join(filter(None, [f"The deployment of {failed.stack.name} {ended.problem}.", cause, *absent])),
        hint="\n".join(_hints(failed, ended, state, region, link)),
        details={
            **ended.details,
            "stack": failed.stack.name,
            "stack_id": state.id,
            "stack_status": state.status,
            "console": link,
            "events": record(events),
        },
    )


def unexplained(stacks: Sequence[StackDeployment], ended: Ended, *, known: bool) -> DeploymentFailed:
    """The error of a call that failed without any of its stacks being known to have failed: none is blamed.

    Args:
        stacks: those of the call that are not finished.
        ended: how the CLI ended.
        known: whether CloudFormation could be asked.
    """
    names = ", ".join(each.stack.name for each in stacks) or "the stacks"
    parts = [f"The deployment of {names} {ended.problem}.", complaint(ended.output)]
    return DeploymentFailed(
        "\n".join(filter(None, [*parts, _NONE_BEGUN if known else _NONE_KNOWN])),
        hint="\n".join([*hints_for(ended.output), _NOTHING if known else _UNSURE]),
        details=ended.details,
    )


def courses_of(
    console: Console, reader: StackReader, stacks: Sequence[StackDeployment], since: datetime
) -> Mapping[str, Course] | None:
    """What CloudFormation did with stacks since a time, by their ids in the manifest; None when it cannot be asked."""
    found: dict[str, Course] = {}
    for each in stacks:
        artifact = each.artifact
        try:
            found[artifact.id] = course(recent_events(reader.client(artifact), artifact.name, since))
        except Exception as error:  # noqa: BLE001  # the deployment's own failure must not be hidden by this one
            console.line(f"warning: CloudFormation cannot be asked about {artifact.name}: {error}")
            console.log_only(traceback.format_exc())
            return None
    return found


def _hints(failed: StackDeployment, ended: Ended, state: StackState, region: str, link: str) -> list[str]:
    hints = hints_for(ended.output)
    if state.busy:
        hints.append(
            f"CloudFormation goes on with {failed.artifact.name}, which is {state.status}. The next run waits for that."
        )
    verdict = judge(failed.artifact.name, state.status, region)
    if verdict is not None:
        hints.append(f"{failed.artifact.name} is {state.status} now. {verdict.way_out}")
    if link:
        hints.append(f"In CloudFormation: {link}")
    return [*hints, _AFTER]


def _asked(
    deployer: Deployer,
    reader: StackReader,
    failed: StackDeployment,
    since: datetime,
    dependencies: Sequence[UnconfiguredDependency],
) -> tuple[list[Failure], StackState, list[str]]:
    """What CloudFormation says: events, state, and which unconfigured dependencies do not exist."""
    console, artifact = deployer.stage.console, failed.artifact
    events: list[Failure] = []
    state, absent = StackState(), list[str]()
    try:
        state = reader.state(artifact)
        # A stack that was deleted meanwhile is found by its ARN alone.
        events = failure_events(reader.client(artifact), state.id or artifact.name, since)
        absent = [
            f"{each.text}\n{each.needed.path} does not exist in the account."
            for each in dependencies
            if each.dependent == failed and not reader.state(each.needed).status
        ]
    except Exception as error:  # noqa: BLE001  # the deployment's own failure must not be hidden by this one
        console.line(f"warning: CloudFormation cannot be asked about {artifact.name}: {error}")
        console.log_only(traceback.format_exc())
    return events, state, absent
