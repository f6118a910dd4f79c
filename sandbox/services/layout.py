"""Where the services keep what they need in their state folder."""

from __future__ import annotations

from pathlib import Path


def state_file(directory: Path) -> Path:
    """Their addresses and ports, which outlive a stop."""
    return directory / "services.json"


def lock_file(directory: Path) -> Path:
    """Held by the process that serves, while it lives."""
    return directory / "services.lock"


def log_file(directory: Path) -> Path:
    """What that process prints."""
    return directory / "logs" / "services.log"
