"""Follows the CDK CLI's output: which stack it deploys now, and which it has finished."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence

from stages.assembly import StackDeployment

_FINISHED = re.compile(r"^\s*✅\s+(?P<path>.+?)(?P<unchanged> \(no changes\))?\s*$")


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

    @property
    def current(self) -> StackDeployment | None:
        """The first stack that is not finished."""
        return self._waiting[0] if self._waiting else None

    @property
    def seconds(self) -> float:
        """How long the current stack has taken so far."""
        return time.monotonic() - self._since

    def before(self, line: str) -> None:
        """Take notice of a line before it is shown: it may be the first of a stack."""
        stack = self.current
        if stack and not self._begun and (line == stack.artifact.path or line.startswith(f"{stack.artifact.path}: ")):
            self._begin(stack)

    def after(self, line: str) -> None:
        """Take notice of a line after it was shown: it may be the last of a stack."""
        found = _FINISHED.match(line)
        stack = self.current
        if found and stack and found["path"] == stack.artifact.path:
            self._finish(stack, changed=found["unchanged"] is None)

    def end(self) -> None:
        """The CLI succeeded: what it did not speak of is finished too, such as a stack without resources."""
        while self._waiting:
            self._finish(self._waiting[0], changed=True)

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
