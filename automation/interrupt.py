"""Interruptions while the engine works: it is asked to stop, and finishes what it has begun."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from automation.console import Terminal


class Interruption:
    """Whether an operation was interrupted. The second interruption ends the process at once."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self.happened = False

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        """Take a signal."""
        if self.happened:
            raise KeyboardInterrupt
        self.happened = True
        self._terminal.say("Interrupted: the engine finishes what it has begun. Interrupt again to leave it.")
        # Ctrl-C reaches every process of the terminal's foreground group, the engine too; any other signal only us.
        # The engine takes a second one as the wish to be left half done.
        if number != signal.SIGINT or not _from_terminal():
            for engine in engines(os.getpid()):
                os.kill(engine, signal.SIGINT)


@contextmanager
def interruptible(terminal: Terminal) -> Iterator[Interruption]:
    """Take interruptions for the engine as long as the context lasts; a thread other than the first changes nothing."""
    interruption = Interruption(terminal)
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    before: dict[int, Any] = {number: signal.signal(number, interruption) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def engines(parent: int) -> list[int]:
    """The Pulumi processes that a process has started and that still run."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            head, _, tail = entry.read_text().rpartition(")")
        except OSError:
            continue  # it has just ended
        if int(tail.split()[1]) == parent and head.partition("(")[2].startswith("pulumi"):
            found.append(int(entry.parent.name))
    return found


def _from_terminal() -> bool:
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return False
