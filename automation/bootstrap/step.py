"""A step of the bootstrap: looked at before it is done, and after, so that it can be begun again at any time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

State = Literal["done", "to-do", "by-hand", "blocked"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a look at the world says of a step.

    Attributes:
        state: done; to-do; by-hand (a person has to, and the rest goes on without); blocked (nothing goes on).
        why: what was found.
        fix: what a person does, when it is theirs to do.
        details: further lines, such as one for each account.
    """

    state: State
    why: str
    fix: str = ""
    details: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"state": self.state, "why": self.why, "fix": self.fix, "details": list(self.details)}


def done(why: str, *details: str) -> Finding:
    """There is nothing to do."""
    return Finding(state="done", why=why, details=details)


def to_do(why: str, *details: str) -> Finding:
    """It is to be done."""
    return Finding(state="to-do", why=why, details=details)


def by_hand(why: str, fix: str, *details: str) -> Finding:
    """Somebody has to do it; the bootstrap goes on."""
    return Finding(state="by-hand", why=why, fix=fix, details=details)


def blocked(why: str, fix: str, *details: str) -> Finding:
    """The bootstrap cannot go on before somebody does it."""
    return Finding(state="blocked", why=why, fix=fix, details=details)


class Step(Protocol):
    """One step.

    Attributes:
        name: by which results tell it.
        title: for a person.
        makes: what is made when it is to do; empty for a step that only looks.
    """

    @property
    def name(self) -> str:
        """By which results tell it."""

    @property
    def title(self) -> str:
        """For a person."""

    @property
    def makes(self) -> str:
        """What is made when it is to do; empty for a step that only looks."""

    def check(self) -> Finding:
        """Look at the world; nothing is changed.

        Raises:
            AphexError: the world cannot be looked at.
        """

    def do(self) -> None:
        """Do it. Whatever of it is done already does no harm.

        Raises:
            AphexError: it failed.
        """
