"""The order of tests: what is quick says first whether something is broken, the sandbox says so last."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort tests by what they need, and otherwise leave them in their order."""
    items.sort(key=_needs)


def _needs(item: pytest.Item) -> int:
    if item.get_closest_marker("integration"):
        return 2
    return 1 if item.get_closest_marker("engine") else 0
