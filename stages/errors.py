"""How a stage fails: errors that carry what the error record shows besides their message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aphex.errors import AphexError
from aphex.run import Status


class StageError(AphexError):
    """A stage cannot go on.

    Attributes:
        details: what the error record shows besides message and hint, such as the command or the stack.
        status: how the stage is recorded.
    """

    status: Status = Status.FAILED

    def __init__(self, message: str, *, hint: str = "", details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message, hint=hint)
        self.details: dict[str, Any] = dict(details or {})


class StageInterrupted(BaseException):
    """A signal asked the stage to end. Not an `Exception`, so that nothing between swallows it.

    Attributes:
        number: the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by signal {number}")
        self.number = number

    @property
    def exit_code(self) -> int:
        """The status by which a shell reports this signal: 130 for SIGINT, 143 for SIGTERM."""
        return 128 + self.number
