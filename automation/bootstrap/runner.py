"""Goes through the steps: each is looked at, done when it has to be, and looked at again."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aphex.errors import AphexError
from automation.bootstrap.step import Finding, Step
from automation.console import duration

if TYPE_CHECKING:
    from automation.console import Terminal

GOES_ON = "What was done is kept: the same command goes on from there."
_STYLES = {"done": "green", "to-do": "cyan", "by-hand": "yellow", "blocked": "bold red"}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a step.

    Attributes:
        step: its name.
        title: for a person.
        finding: what the last look at it said.
        changed: whether it was done just now.
        seconds: how long that took.
    """

    step: str
    title: str
    finding: Finding
    changed: bool = False
    seconds: float = 0.0

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        took = {"changed": self.changed, "seconds": round(self.seconds, 1)}
        return {"step": self.step, "title": self.title, **self.finding.document(), **took}


class StepFailed(AphexError):
    """A step could not be done.

    Attributes:
        step: its name.
        outcomes: of the steps before it.
    """

    def __init__(self, message: str, *, hint: str, step: str, outcomes: Sequence[Outcome]) -> None:
        super().__init__(message, hint=hint)
        self.step = step
        self.outcomes = tuple(outcomes)


def look(steps: Sequence[Step]) -> list[Outcome]:
    """What each step finds, with nothing done.

    What one step cannot see yet is no error: an earlier one has to be done first, or it cannot be done at all.
    """
    outcomes = []
    for step in steps:
        try:
            with _told():
                finding = step.check()
        except AphexError as error:
            finding = Finding(state="blocked", why=error.message, fix=error.hint)
        outcomes.append(Outcome(step=step.name, title=step.title, finding=finding))
    return outcomes


def carry_out(steps: Sequence[Step], terminal: Terminal) -> list[Outcome]:
    """Do what is left to do, step by step.

    Raises:
        StepFailed: one failed, or is blocked.
    """
    outcomes: list[Outcome] = []
    for number, step in enumerate(steps, start=1):
        where = f"[{number}/{len(steps)}] {step.title}"
        try:
            with _told():
                outcomes.append(_carry_out(step, where, terminal))
        except AphexError as error:
            # What is wrong with the usage or the world is told as it is; how to go on is what the reader needs besides.
            hint = "\n".join(part for part in (error.hint, GOES_ON) if part)
            message = f"Step {number} of {len(steps)} ({step.title}) failed: {error.message}"
            raise StepFailed(message, hint=hint, step=step.name, outcomes=outcomes) from error
    return outcomes


@contextmanager
def _told() -> Iterator[None]:
    """Turn what AWS, Kubernetes or this machine refuses into an error for a person."""
    from botocore.exceptions import BotoCoreError, ClientError

    from automation.access import kubernetes_errors

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        hint = "Look at your credentials and their rights: aws sts get-caller-identity"
        raise AphexError(f"AWS refuses: {error}", hint=hint) from error
    except kubernetes_errors() as error:
        raise AphexError(f"{type(error).__name__}: {error}") from error


def _carry_out(step: Step, where: str, terminal: Terminal) -> Outcome:
    before = step.check()
    if before.state != "to-do":
        return _settled(step, where, before, terminal)
    terminal.say(f"{where}: {before.why}", style=_STYLES["to-do"])
    started = time.monotonic()
    step.do()
    after = step.check()
    seconds = time.monotonic() - started
    if after.state == "to-do":
        raise AphexError(f"It was done, and yet: {after.why}", hint="See what changes it meanwhile.")
    outcome = _settled(step, where, after, terminal, seconds)
    return Outcome(step=step.name, title=step.title, finding=outcome.finding, changed=True, seconds=seconds)


def _settled(step: Step, where: str, finding: Finding, terminal: Terminal, seconds: float | None = None) -> Outcome:
    if finding.state == "blocked":
        raise AphexError("\n".join([finding.why, *(f"  {line}" for line in finding.details)]), hint=finding.fix)
    took = f" ({duration(seconds)})" if seconds is not None else ""
    words = "by hand" if finding.state == "by-hand" else "done"
    terminal.say(f"{where}: {words}{took}: {finding.why}", style=_STYLES[finding.state])
    for line in finding.details:
        terminal.say(f"      {line}")
    if finding.fix:
        terminal.say(f"      {finding.fix}")
    return Outcome(step=step.name, title=step.title, finding=finding)
