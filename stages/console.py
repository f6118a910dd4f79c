"""Shows a stage's output as it comes and keeps all of it for the store."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO


class Console:
    """What a stage prints goes to standard output and to its log file, line by line."""

    def __init__(self, log: Path, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._log = log.open("w", encoding="utf-8", errors="replace")
        self._lock = threading.Lock()

    def line(self, text: str = "") -> None:
        """Print a line; also the callback for the output of programs."""
        self._write(text, show=True)

    def log_only(self, text: str) -> None:
        """Keep text in the log that would only hide the message on the console, such as a traceback."""
        self._write(text, show=False)

    def _write(self, text: str, *, show: bool) -> None:
        with self._lock:
            if not self._log.closed:
                self._log.write(text + "\n")
                self._log.flush()
            if show:
                print(text, file=self._stream, flush=True)

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Head a part of the output with its title and end it with its duration."""
        self.line(f"==> {title}")
        started = time.monotonic()
        yield
        self.line(f"    done in {elapsed(time.monotonic() - started)}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._log.close()


def elapsed(seconds: float) -> str:
    """Write a duration for people: `0.4 s`, `12 s`, `3 min 5 s`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60} s"


Report = Callable[[str], None]
