"""How things are measured: CPU time, alternately, and the best of several rounds, which noise disturbs least."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """What one benchmark found.

    Attributes:
        name: what is compared with what.
        value: the ratio measured.
        target: the ratio to reach.
        better: whether a lower or a higher value is better.
        detail: the two measurements, for people.
    """

    name: str
    value: float
    target: float
    better: Literal["lower", "higher"]
    detail: str

    @property
    def reached(self) -> bool:
        """Whether the value is at least as good as the target."""
        return self.value <= self.target if self.better == "lower" else self.value >= self.target

    def document(self) -> dict[str, Any]:
        """The result as `build/bench.json` has it."""
        found = asdict(self)
        del found["detail"]
        return {**found, "value": round(self.value, 4)}


def side_by_side(one: Callable[[], float], other: Callable[[], float], rounds: int) -> tuple[float, float]:
    """Measure two things in turn; the best of each, in seconds."""
    pairs = [(one(), other()) for _ in range(rounds)]
    return min(first for first, _ in pairs), min(second for _, second in pairs)


def cpu_of(work: Callable[[], object]) -> float:
    """Seconds of CPU that a piece of work takes in this process."""
    started = time.process_time()
    work()
    return time.process_time() - started


def cpu_of_python(*arguments: str) -> float:
    """Seconds of CPU that a Python program takes, with everything that it starts.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "platform")])}
    before = os.times()
    subprocess.run([sys.executable, *arguments], cwd=ROOT, env=env, check=True, stdout=subprocess.DEVNULL, timeout=120)
    after = os.times()
    return (after.children_user + after.children_system) - (before.children_user + before.children_system)
