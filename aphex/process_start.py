"""Starts a program so that a signal at the wrong moment leaves nothing running."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from typing import Any

from aphex.process_tree import end_group

_SECONDS = 10.0


class _Start(threading.Thread):
    def __init__(self, start: Callable[[], subprocess.Popen[Any]]) -> None:
        super().__init__(name="start of a program")
        self._start_program = start
        self.made: list[subprocess.Popen[Any]] = []
        self.error: Exception | None = None
        self.done = threading.Event()

    def run(self) -> None:
        try:
            self.made.append(self._start_program())
        except Exception as error:  # noqa: BLE001 - raised where the program was asked for
            self.error = error
        finally:
            self.done.set()


def start_program(start: Callable[[], subprocess.Popen[Any]], grace: float, mark: str) -> subprocess.Popen[Any]:
    """What `start` makes.

    A signal's handler that raises does so between any two steps of the main thread, also between the program's begin
    and the moment when its number is known; then nobody could end it. So another thread starts it: no handler runs
    there.

    Args:
        start: makes the process, the leader of a group.
        grace: how long it may take to end when the caller was interrupted, as in `end_group`.
        mark: of the process, as in `end_group`.

    Raises:
        OSError: as `subprocess.Popen` does.
    """
    thread = _Start(start)
    try:
        thread.start()
        thread.done.wait()
    except BaseException:
        thread.done.wait(_SECONDS)  # it may not even have begun; then there is nothing to end
        for process in thread.made:
            with process:
                end_group(process, grace, mark)
        raise
    if thread.error is not None:
        raise thread.error
    return thread.made[0]
