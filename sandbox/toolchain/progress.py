"""How far a Go build is and how long it still takes, from what the Go command prints."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

# Linking one large binary takes about as long as compiling this many bytes of Go.
LINK_WEIGHT = 6_000_000
# Before this part is done, the first packages' speed says nothing of the others'.
_TOO_EARLY = 0.02
_REPORT_EVERY_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a build is.

    Attributes:
        fraction: the part that is done, 0 to 1, by bytes of source and not by packages, whose sizes differ widely.
        compiled: packages compiled so far, those of an interrupted build included.
        packages: packages to compile.
        seconds_left: estimated from this build's own speed; None while it is too early.
    """

    fraction: float
    compiled: int
    packages: int
    seconds_left: float | None

    def __str__(self) -> str:
        left = "" if self.seconds_left is None else f", {duration(self.seconds_left)} left"
        return f"{self.fraction:.0%}, {self.compiled} of {self.packages} packages{left}"


class BuildMeter:
    """Turns the names that `go build -v` prints into progress."""

    def __init__(
        self, weights: Mapping[str, int], *, already: Iterable[str] = (), spent: float = 0.0, links: int = 1
    ) -> None:
        """Start at zero.

        Args:
            weights: bytes of source of each package of the build.
            already: packages that an interrupted build compiled, which Go takes from its cache.
            spent: seconds that it took for them.
            links: how many binaries are linked at the end.
        """
        self._weights = weights
        self._compiled = {name for name in already if name in weights}
        self._spent = spent
        self._done = sum(weights[name] for name in self._compiled)
        self._total = sum(weights.values()) + links * LINK_WEIGHT

    def compiled(self, package: str) -> bool:
        """Count a package; False when it is unknown or was counted before."""
        if package not in self._weights or package in self._compiled:
            return False
        self._compiled.add(package)
        self._done += self._weights[package]
        return True

    def progress(self, seconds: float) -> Progress:
        """Where the build is after running for `seconds`."""
        fraction = self._done / self._total
        left = (1 - fraction) / fraction * (self._spent + seconds) if fraction > _TOO_EARLY else None
        return Progress(
            fraction=fraction,
            compiled=len(self._compiled),
            packages=len(self._weights),
            seconds_left=left,
        )


class Throttle:
    """Passes a message on at most every two seconds: a build prints thousands of lines."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self._last = 0.0

    def __call__(self, message: str) -> None:
        """Pass the message on, or drop it."""
        now = time.monotonic()
        if now - self._last >= _REPORT_EVERY_SECONDS:
            self._last = now
            self._report(message)


def duration(seconds: float) -> str:
    """A length of time as a person says it: `40 s`, `3 min 20 s`."""
    whole = max(0, round(seconds))
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02d} s"
