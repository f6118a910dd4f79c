"""What holds for all tests: their order, and that they can interrupt what they start.

What is quick says first whether something is broken, the sandbox says so last.
"""

from __future__ import annotations

import signal

import pytest


def pytest_configure() -> None:
    """Let programs be interrupted: what a shell starts in the background ignores SIGINT, and so does all it starts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort tests by what they need, and otherwise leave them in their order."""
    items.sort(key=_needs)


def _needs(item: pytest.Item) -> int:
    if item.get_closest_marker("integration"):
        return 2
    return 1 if item.get_closest_marker("engine") else 0
