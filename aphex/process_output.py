"""Reads what a program prints, line by line, in bounded memory whatever it prints."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import IO

_CHUNK = 64 * 1024
# A longer line is handed on in pieces, so that one without an end needs no memory without an end.
LONGEST_LINE = 1024 * 1024
_CUT_WITHIN = 64 * 1024
# Where no word and so no secret is torn.
_BETWEEN_WORDS = (b"\r", b" ", b"\t", b",", b";", b'"', b"'", b"<", b">", b"|")
_SILENCE_SECONDS = 2.0


class Reader(threading.Thread):
    """Collects one output of a program, whole or only its tail, and hands each line on.

    Args:
        stream: what to read.
        on_line: called with each line without its end; an exception of it is raised by `finish`.
        limit: how many last lines are kept; all when None.
        errors: what to do with bytes that are not UTF-8, as in `bytes.decode`.
    """

    def __init__(
        self, stream: IO[bytes], on_line: Callable[[str], None] | None, limit: int | None, errors: str = "replace"
    ) -> None:
        super().__init__(daemon=True)
        self._stream = stream
        self._on_line = on_line
        self._errors = errors
        self.lines: deque[str] = deque(maxlen=limit)
        self._heard = time.monotonic()
        self._handing_on = False
        self.failure: Exception | None = None
        self.start()

    def run(self) -> None:
        """Read to the end."""
        with self._stream:
            for raw in pieces(self._stream):
                line = raw.decode("utf-8", self._errors)
                if line.endswith("\r\n"):
                    line = line[:-2] + "\n"
                self.lines.append(line)
                self._handing_on = True
                self._hand_on(line)
                self._heard, self._handing_on = time.monotonic(), False

    def _hand_on(self, line: str) -> None:
        if self._on_line is None or self.failure is not None:
            return
        try:
            self._on_line(line.rstrip("\r\n"))
        except Exception as error:  # noqa: BLE001  handed to the caller's thread, which raises it
            self.failure = error

    def finish(self) -> None:
        """Wait as `settle` does, and raise what handing on raised."""
        self.settle()
        if self.failure is not None:
            raise self.failure

    def settle(self) -> None:
        """Wait for the end, or for a silence: what a program left in the background may hold its output for long.

        As long as a line is being handed on, that is no silence, however long it takes.
        """
        self._heard = time.monotonic()
        while self.is_alive() and (self._handing_on or time.monotonic() - self._heard < _SILENCE_SECONDS):
            self.join(0.05)
        self._on_line = None


def pieces(stream: IO[bytes]) -> Iterator[bytes]:
    """Lines with their ends; a line that is too long comes in pieces, of which only the last has an end."""
    rest = bytearray()
    while chunk := stream.read1(_CHUNK):  # type: ignore[attr-defined]  # every buffered reader has it
        first, *others = chunk.split(b"\n")
        rest += first
        while len(rest) > LONGEST_LINE:
            end = _place_to_cut(rest)
            yield bytes(rest[:end])
            del rest[:end]
        if others:
            yield bytes(rest) + b"\n"
            yield from (line + b"\n" for line in others[:-1])
            rest = bytearray(others[-1])
    if rest:
        yield bytes(rest)


def _place_to_cut(line: bytearray) -> int:
    begin = LONGEST_LINE - _CUT_WITHIN
    found = max(line.rfind(mark, begin, LONGEST_LINE) for mark in _BETWEEN_WORDS)
    if found >= 0:
        return found + 1
    end = LONGEST_LINE
    while line[end] & 0xC0 == 0x80:  # within a character of several bytes
        end -= 1
        if end == LONGEST_LINE - 4:
            return LONGEST_LINE  # not UTF-8 at all
    return end
