"""The one base of every error that a person is meant to read."""

from __future__ import annotations


class AphexError(Exception):
    """Something went wrong that the reader can act on.

    Attributes:
        message: what happened, where, and why.
        hint: what to do about it; empty when there is nothing better than the message.
        exit_code: the status of the process that ends with this error.
    """

    exit_code: int = 1

    def __init__(self, message: str, *, hint: str = "", exit_code: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if exit_code is not None:
            self.exit_code = exit_code

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class UsageError(AphexError):
    """The command line or an input file was wrong; nothing was done."""

    exit_code = 2
