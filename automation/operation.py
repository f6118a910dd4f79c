"""Carries out one engine operation: after its turn has come, with what was left half done settled, and shown live."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from automation.changes import EventLog
from automation.interrupt import interruptible
from automation.locks import clear_path
from automation.pending import repair
from automation.progress import shown
from automation.stack import failure

if TYPE_CHECKING:
    from pulumi.automation.events import EngineEvent

    from automation.console import Terminal
    from automation.stack import OpenStack

Result = TypeVar("Result")
OnEvent = Callable[["EngineEvent"], Any]

LOCK_WAIT_SECONDS = 600.0
_ATTEMPTS = 5


def operate(
    opened: OpenStack,
    terminal: Terminal,
    what: str,
    call: Callable[[OnEvent], Result],
    *,
    first: Callable[[Mapping[str, Any]], None] | None = None,
) -> tuple[EventLog, Result]:
    """Run `call`, an operation of the stack, and give what happened with its result.

    Args:
        opened: the stack.
        terminal: where progress is shown.
        what: the operation, as errors call it.
        call: the operation; it gets what to call with each of the engine's events.
        first: is given the settled state before the operation begins, and may refuse by raising.

    Raises:
        DeploymentError: the engine, the program or a provider failed.
        StackLocked: somebody else's operation did not end in time.
        KeyboardInterrupt: it was interrupted; the engine has finished what it had begun.
    """
    from pulumi.automation import CommandError, ConcurrentUpdateError

    for attempt in range(_ATTEMPTS):
        clear_path(opened.home, terminal, wait=LOCK_WAIT_SECONDS)
        deployment = repair(opened, terminal)
        if first is not None:
            first(deployment)
        log = EventLog()
        try:
            with interruptible(terminal) as interruption, shown(terminal, log) as on_event:
                return log, call(on_event)
        except ConcurrentUpdateError as error:
            if attempt == _ATTEMPTS - 1:
                raise failure(what, error, log) from error
        except CommandError as error:
            if interruption.happened:
                raise KeyboardInterrupt from error
            raise failure(what, error, log) from error
    raise AssertionError("the last attempt returns or raises")
