"""The Python environment of a CDK app: the one that its build made, as if a developer had activated it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

NAME = ".venv"


def activated(source: Path, app: str, variables: Mapping[str, str]) -> dict[str, str]:
    """The variables with the virtual environment of an app: the nearest `.venv` from its folder up to the root.

    What `cdk init --language python` writes (`"app": "python3 app.py"`) expects that it is active.

    Args:
        source: the repository's root.
        app: the app's folder, relative to it.
        variables: of the program that is to run; unchanged when there is no virtual environment.
    """
    folder = PurePosixPath(app)
    for each in (folder, *folder.parents):
        programs = source / each / NAME / "bin"
        if (programs / "python").exists():
            path = os.pathsep.join([str(programs), variables.get("PATH", os.defpath)])
            return {**variables, "PATH": path, "VIRTUAL_ENV": str(programs.parent)}
    return dict(variables)
