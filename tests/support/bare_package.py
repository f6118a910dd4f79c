"""The package as a plain `pip install` of the repository leaves it: with its base dependencies and no extra."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("aphex", "stages")


def bare_environment(folder: Path) -> tuple[list[str], dict[str, str]]:
    """How Python is called in such an environment, and its variables.

    It is made of links to what is installed here, so that nothing is fetched.
    """
    site = folder / "site"
    site.mkdir()
    for entry in {entry for name in _needed("aphexpipeline") for entry in _entries(name)}:
        (site / entry.name).symlink_to(entry)
    for package in PACKAGES:
        (site / package).symlink_to(ROOT / package)
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
    # -S leaves out this environment's own packages, -P the folder in which the command runs.
    return [sys.executable, "-S", "-P"], {**kept, "PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}


def _needed(name: str) -> Iterator[str]:
    """The distributions that one needs without any extra, and what those need."""
    for line in distribution(name).requires or []:
        if "extra ==" not in line:
            required = re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0]
            yield required
            yield from _needed(required)


def _entries(name: str) -> Iterator[Path]:
    """Top-level files and folders of a distribution."""
    found = distribution(name)
    for file in found.files or []:
        if ".." not in file.parts:
            yield Path(str(found.locate_file(file.parts[0])))
