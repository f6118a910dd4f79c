"""What Helm charts know of values, by lists that were taken from the charts themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

KNOWN = Path(__file__).parent / "chart_values"


@cache
def known_keys(chart: str, version: str) -> frozenset[str]:
    """The keys of a chart's values; `.*` at the end means whatever is below."""
    lines = (KNOWN / f"{chart}-{version}.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(line for line in lines if not line.startswith("#"))


def unknown(values: Mapping[str, Any], known: frozenset[str], prefix: str = "") -> Iterator[str]:
    """The keys that a chart would silently ignore."""
    for key, value in values.items():
        path = f"{prefix}{key}"
        if f"{path}.*" in known:
            continue
        below = [each for each in known if each.startswith(f"{path}.")]
        if path not in known and not below:
            yield path
        elif isinstance(value, Mapping) and below:
            yield from unknown(value, known, f"{path}.")
