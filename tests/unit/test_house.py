"""Rules of the house that a tool can check."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("aphex", "automation", "stages", "sandbox", "platform/aphex_platform")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def test_platform_does_not_shadow_the_standard_library() -> None:
    assert not (ROOT / "platform" / "__init__.py").exists()
    subprocess.run(
        [sys.executable, "-c", "import uuid, platform; assert platform.system()"], cwd=ROOT, check=True, timeout=60
    )


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_says_why_it_exists_and_fits_in_the_head(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.lstrip().startswith('"""'), "the first line is a docstring"
    assert text.count("\n") <= 400


def test_imports_go_one_way() -> None:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout


def test_no_lock_file_names_a_host() -> None:
    for lock in [*ROOT.glob("*.lock"), *ROOT.glob("docker/**/*.lock"), *ROOT.glob("docker/**/package-lock.json")]:
        assert "://" not in "".join(
            line
            for line in lock.read_text(encoding="utf-8").splitlines()
            if "funding" not in line and "url" not in line
        ) or '"resolved"' not in lock.read_text(encoding="utf-8"), lock
