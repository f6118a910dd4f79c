"""Follows the CDK CLI's output: which stack it deploys now, which it has finished, and which it says failed."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence

from stages.assembly import StackDeployment

_FINISHED = re.compile(r"^\s*✅\s+(?P<title>.+?)(?P<unchanged> \(no changes\))?\s*$")
_FAILED = re.compile(r"^\s*❌\s+(?P<name>.+?) failed\b")


class DeploymentProgress:
    """Reads the output of one `cdk deploy` whose stacks are deployed one after another."""

    def __init__(
        self,
        stacks: Sequence[StackDeployment],
        on_begin: Callable[[StackDeployment], None],
        on_finish: Callable[[StackDeployment, bool, float], None],
    ) -> None:
        """Follow the deployment of stacks.

        Args:
            stacks: what is deployed, in order.
            on_begin: called with each stack when it begins.
            on_finish: called with each stack, whether it was changed, and how many seconds it took.
        """
        self._waiting = list(stacks)
        self._on_begin = on_begin
        self._on_finish = on_finish
        self._begun = False
        self._since = time.monotonic()
        self._failed = ""

    @property
    def waiting(self) -> list[StackDeployment]:
        """The stacks that are not finished, in order."""
        return list(self._waiting)

    @property
    def begun(self) -> StackDeployment | None:
        """The stack that the CLI said it deploys, until that is finished."""
        return self._waiting[0] if self._begun else None

    @property
    def failed(self) -> StackDeployment | None:
        """The stack that the CLI itself named as the one that failed, by its title or its name in CloudFormation."""
        return next((each for each in self._waiting if self._failed in (each.artifact.title, each.artifact.name)), None)

    @property
    def seconds(self) -> float:
        """How long the current stack has taken so far."""
        return time.monotonic() - self._since

    def before(self, line: str) -> None:
        """Take notice of a line before it is shown: it may be the first of a stack."""
        if self._begun or not self._waiting:
            return
        title = self._waiting[0].artifact.title
        if line == title or line.startswith(f"{title}: deploying..."):
            self._begin(self._waiting[0])

    def after(self, line: str) -> None:
        """Take notice of a line after it was shown: it may be the last of a stack."""
        if complaint := _FAILED.match(line):
            self._failed = complaint["name"]
        found = _FINISHED.match(line)
        if found and self._waiting and found["title"] == self._waiting[0].artifact.title:
            self._finish(self._waiting[0], changed=found["unchanged"] is None)

    def end(self) -> None:
        """The CLI succeeded: what it did not speak of is finished too, such as a stack without resources."""
        while self._waiting:
            self._finish(self._waiting[0], changed=True)

    def settle(self, changed: Sequence[bool]) -> None:
        """So many of the stacks that wait are finished, whatever the CLI said, and whether each was changed."""
        for each in changed:
            self._finish(self._waiting[0], changed=each)

    def _begin(self, stack: StackDeployment) -> None:
        self._begun = True
        self._on_begin(stack)

    def _finish(self, stack: StackDeployment, *, changed: bool) -> None:
        if not self._begun:
            self._begin(stack)
        seconds = self.seconds
        self._waiting.pop(0)
        self._begun = False
        self._since = time.monotonic()
        self._on_finish(stack, changed, seconds)
