"""The virtual environment that an app's build made is active for the CDK CLI and the app."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

from stages.python_environment import activated


def test_the_nearest_environment_is_active_for_the_app(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "infra"):
        venv.EnvBuilder(with_pip=False).create(folder / ".venv")
    (tmp_path / "infra" / "app").mkdir()
    for app, owner in ((".", tmp_path), ("infra/app", tmp_path / "infra")):
        variables = activated(tmp_path, app, {"PATH": "/usr/bin:/bin", "KEPT": "yes"})
        shown = subprocess.run(
            ["python3", "-c", "import os, sys; print(sys.prefix, os.environ['VIRTUAL_ENV'], os.environ['KEPT'])"],
            env=variables,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout.split()
        assert shown == [str(owner / ".venv"), str(owner / ".venv"), "yes"]


def test_without_an_environment_nothing_changes(tmp_path: Path) -> None:
    (tmp_path / ".venv").mkdir()
    assert activated(tmp_path, ".", {"PATH": "/bin", "HOME": sys.prefix}) == {"PATH": "/bin", "HOME": sys.prefix}
