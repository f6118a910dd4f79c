"""Where a command's words go: results to standard output, progress and complaints to standard error."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from threading import Timer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_SLOW_SECONDS = 2.0


class Terminal:
    """The two outputs of one command. Colours and live displays appear only where a person watches.

    With `json_output` standard output carries one JSON document and nothing else.
    """

    def __init__(self, *, json_output: bool = False) -> None:
        self.json_output = json_output

    @cached_property
    def out(self) -> Console:
        """Standard output."""
        return _console(sys.stdout)

    @cached_property
    def err(self) -> Console:
        """Standard error."""
        return _console(sys.stderr)

    @property
    def live(self) -> bool:
        """Whether standard error can show a display that changes in place."""
        return self.err.is_terminal and not self.err.is_dumb_terminal

    def say(self, line: str, style: str | None = None) -> None:
        """Tell what is going on; never part of the result."""
        self.err.print(line, style=style, markup=False, highlight=False, soft_wrap=True)

    def warn(self, line: str) -> None:
        """Tell of something that did not stop the command but should be known."""
        self.say(f"Warning: {line}", style="yellow")

    def show(self, renderable: RenderableType) -> None:
        """Print a part of the result for a person; nothing when the result is JSON."""
        if not self.json_output:
            self.out.print(renderable, markup=False, highlight=False, soft_wrap=isinstance(renderable, str))

    def result(self, document: Any, *, one_line: bool = False) -> None:
        """Print the result as JSON when that was asked for; nothing otherwise."""
        if self.json_output:
            json.dump(document, sys.stdout, indent=None if one_line else 2, default=str)
            sys.stdout.write("\n")
            sys.stdout.flush()

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Show that something is under way, and how long it took when that was long enough to wonder."""
        started = time.monotonic()
        if self.live:
            with self.err.status(title):
                yield
        else:
            self.say(f"{title} ...")
            yield
        seconds = time.monotonic() - started
        if seconds > _SLOW_SECONDS or self.live:
            self.say(f"{title}: done in {duration(seconds)}", style="dim")

    @contextmanager
    def watched(self, title: str) -> Iterator[None]:
        """Show that something is under way, to a person who watches alone."""
        if self.live:
            with self.err.status(title):
                yield
        else:
            yield

    @contextmanager
    def patience(self, title: str) -> Iterator[None]:
        """Show that something is under way, but only once it takes so long that one would wonder."""
        status = self.err.status(title) if self.live else None
        timer = Timer(_SLOW_SECONDS, status.start if status is not None else lambda: self.say(f"{title} ..."))
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()
            if status is not None:
                status.stop()


class Silent(Terminal):
    """Tells of progress and prints no result, for a step of a larger command that prints the one result."""

    def __init__(self) -> None:
        super().__init__(json_output=True)

    def result(self, document: Any, *, one_line: bool = False) -> None:
        """Print nothing."""


def duration(seconds: float) -> str:
    """A length of time as people say it: `0.4 s`, `12 s`, `3 min 05 s`, `2 h 10 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _console(stream: Any) -> Console:
    from rich.console import Console

    # A log that is not a terminal keeps its lines whole, however long they are.
    return Console(file=stream) if stream.isatty() else Console(file=stream, width=200, no_color=True)
