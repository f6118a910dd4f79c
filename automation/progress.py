"""Shows an engine operation while it runs: a display that changes in place on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from automation.changes import EventLog, Step
from automation.console import Terminal, duration

if TYPE_CHECKING:
    from pulumi.automation.events import EngineEvent
    from rich.table import Table

STYLES = {"create": "green", "update": "yellow", "replace": "magenta", "delete": "red", "import": "cyan"}
_VERBS = {
    "create": "created",
    "update": "updated",
    "replace": "replaced",
    "delete": "deleted",
    "import": "imported",
}


class Progress:
    """Takes the engine's events, keeps them in a log, and shows each resource as it changes."""

    def __init__(self, terminal: Terminal, log: EventLog) -> None:
        self._terminal = terminal
        self._log = log
        self._started: dict[str, tuple[float, Step]] = {}
        self.failure: BaseException | None = None

    def __call__(self, event: EngineEvent) -> None:
        """Take one event.

        The engine waits for its events to be taken, for ever if need be: so nothing is raised here. The first failure
        is kept instead, and nothing more is shown.
        """
        try:
            step = self._log.add(event)
            if step is not None and self.failure is None:
                self._show(step)
        except BaseException as error:  # noqa: BLE001 - raised by `shown`, in the caller's thread
            self.failure = error

    def _show(self, step: Step) -> None:
        if step.part and step.outcome != "failed":
            return
        key = f"{step.change.operation} {step.change.urn}"
        now = time.monotonic()
        if step.outcome == "started":
            self._started.setdefault(key, (now, step))
            return
        began, _ = self._started.pop(key, (now, step))
        self._finished(step, now - began)

    def _finished(self, step: Step, seconds: float) -> None:
        change = step.change
        verb = "failed" if step.outcome == "failed" else _VERBS.get(change.operation, change.operation)
        style = "bold red" if step.outcome == "failed" else STYLES.get(change.operation)
        detail = ", ".join(each.path for each in change.properties[:4])
        detail += f" and {len(change.properties) - 4} more" if len(change.properties) > 4 else ""
        tail = f" [{detail}]" if detail and change.operation in ("update", "replace") else ""
        line = f" {change.sign} {verb:<8} {change.kind} {change.name}{tail} ({duration(seconds)})"
        self._terminal.say(line, style=style)

    def __rich__(self) -> Table:
        """What is under way at this moment."""
        from rich.spinner import Spinner
        from rich.table import Table

        table = Table.grid(padding=(0, 1))
        now = time.monotonic()
        for began, step in list(self._started.values())[:12]:
            text = f"{step.change.operation} {step.change.kind} {step.change.name} {duration(now - began)}"
            table.add_row(Spinner("dots", text=text))
        return table


@contextmanager
def shown(terminal: Terminal, log: EventLog) -> Iterator[Callable[[EngineEvent], None]]:
    """What to give the engine as `on_event`; the display lasts as long as the context."""
    progress = Progress(terminal, log)
    if terminal.live:
        from rich.live import Live

        with Live(progress, console=terminal.err, refresh_per_second=8, transient=True):
            yield progress
    else:
        yield progress
    # Rich ends the process when nobody reads its output any more; the operation itself was carried out all the same.
    if progress.failure is not None and not isinstance(progress.failure, (OSError, SystemExit)):
        raise progress.failure
