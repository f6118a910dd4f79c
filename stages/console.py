"""Shows a stage's output as it comes and keeps all of it for the store, plain and without secrets."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from stages.masking import Masker
from stages.terminal import plain


class Console:
    """What a stage prints goes to standard output and to its log file, line by line.

    Args:
        log: the log file.
        stream: where it is shown; standard output when None.
        masker: what replaces the secrets.
    """

    def __init__(self, log: Path, stream: TextIO | None = None, masker: Masker | None = None) -> None:
        self._stream = stream or sys.stdout
        self._log = log.open("w", encoding="utf-8", errors="replace")
        self._lock = threading.Lock()
        self.masker = masker or Masker()

    def line(self, text: str = "") -> None:
        """Print a line; also the callback for the output of programs."""
        self.shown(text)

    def shown(self, text: str) -> str:
        """Print a line; returns it as it was printed."""
        return self._write(text, show=True)

    def log_only(self, text: str) -> None:
        """Keep text in the log that would only hide the message on the console, such as a traceback."""
        for line in text.rstrip("\n").split("\n"):
            self._write(line, show=False)

    def _write(self, text: str, *, show: bool) -> str:
        text = plain(text)
        with self._lock:
            text = self.masker.line(text)
            if not self._log.closed:
                self._log.write(text + "\n")
                self._log.flush()
            if show:
                self._show(text + "\n")
        return text

    def _show(self, text: str) -> None:
        try:
            self._stream.write(text)
        except UnicodeEncodeError:
            encoding = self._stream.encoding or "ascii"
            self._stream.write(text.encode(encoding, "replace").decode(encoding))
        self._stream.flush()

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Head a part of the output with its title and the time of day, and end it with its duration."""
        self.line(f"==> {title}, {time_of_day()}")
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


def time_of_day() -> str:
    """The time for the head of a part of the output, in UTC as all times of a run are: `18:04:59 UTC`."""
    return datetime.now(UTC).strftime("%H:%M:%S UTC")


Report = Callable[[str], None]
