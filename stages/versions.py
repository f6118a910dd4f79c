"""Which versions of tools a stage used, without a process for each: from the files that they are installed with."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path


def stage_versions(stage: str, image: str, path: str) -> dict[str, str]:
    """Versions by tool: of this package and of Python, and of the stage's own tools as far as their files tell.

    Args:
        stage: the stage's name in the run.
        image: the image of its pod, if that is known.
        path: the PATH to look along.
    """
    found = {"aphex": _distribution("aphexpipeline"), "python": sys.version.partition(" ")[0], "image": image}
    if stage == "self-update":
        found["pulumi"] = _distribution("pulumi")
    if stage.startswith("deploy-"):
        found["cdk"] = _npm_version(path, "cdk", "aws-cdk")
        found["node"] = _node_version(path)
    return {name: version for name, version in found.items() if version}


def _distribution(name: str) -> str:
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _npm_version(path: str, program: str, package: str) -> str:
    """The version of the npm package that a program is of."""
    where = shutil.which(program, path=path)
    for folder in Path(where).resolve().parents if where else ():
        file = folder / "package.json"
        if file.is_file():
            told = _json(file)
            return str(told.get("version", "")) if told.get("name") == package else ""
    return ""


def _node_version(path: str) -> str:
    """Node's version, from the headers that are installed beside it."""
    where = shutil.which("node", path=path)
    if where is None:
        return ""
    header = Path(where).resolve().parents[1] / "include/node/node_version.h"
    if not header.is_file():
        return ""
    words = [line.split() for line in header.read_text(encoding="utf-8").splitlines()]
    numbers = {each[1]: each[2] for each in words if len(each) == 3 and each[0] == "#define"}
    parts = [numbers.get(f"NODE_{part}_VERSION", "") for part in ("MAJOR", "MINOR", "PATCH")]
    return ".".join(parts) if all(parts) else ""


def _json(file: Path) -> dict[str, object]:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
