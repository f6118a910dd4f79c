"""The programs that the stages' commands find on this machine: as far as possible those of the images."""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from aphex import process
from aphex.errors import AphexError

if TYPE_CHECKING:
    from sandbox.aws.cdk_cli import CdkCli

_LOCK = Path(__file__).resolve().parents[2] / "docker" / "cdk.lock"
_NEEDED = ("git", "bash")
_INSTALL_SECONDS = 900.0


def check_programs(path: str | None = None) -> None:
    """See that this machine has what a local run takes from it.

    Args:
        path: where to look; the PATH when None.

    Raises:
        AphexError: names every program that is missing.
    """
    missing = [name for name in _NEEDED if shutil.which(name, path=path) is None]
    if missing:
        verb, object_ = ("is", "it") if len(missing) == 1 else ("are", "them")
        raise AphexError(
            f"A local run needs {' and '.join(missing)}, which {verb} not on the PATH.",
            hint=f"Install {object_}, on Debian with: apt-get install {' '.join(missing)}",
        )


def ensure_python(report: Callable[[str], None]) -> Path:
    """The `bin` folder of a Python that imports what the images' does: aws-cdk-lib, constructs and boto3.

    Raises:
        ProcessError: the packages could not be installed.
        AphexError: this is not a checkout of the project, which has the versions in docker/cdk.lock.
    """
    from sandbox.toolchain.cache import cache_root, locked, remove

    if not _LOCK.is_file():
        raise AphexError(f"{_LOCK} is missing.", hint="Run this from a checkout of the project.")
    # A virtual environment is bound to its interpreter.
    identity = f"{_LOCK.read_text(encoding='utf-8')}\0{platform.python_version()}\0{sys.base_prefix}"
    folder = cache_root() / "local-python" / hashlib.sha256(identity.encode()).hexdigest()[:12]
    ready = folder / ".ready"
    if not ready.is_file():
        with locked(folder.with_suffix(".lock"), report, "Installing the CDK library"):
            if not ready.is_file():
                report("Installing the CDK library for Python")
                remove(folder)
                _install(folder)
                ready.touch()
    return folder / "bin"


def _install(folder: Path) -> None:
    uv = find_uv()
    make: list[list[str | Path]]
    if uv:
        python: Path = folder / "bin" / "python"
        make = [
            [uv, "venv", "--quiet", "--python", sys.executable, folder],
            [uv, "pip", "install", "--quiet", "--python", python, "--require-hashes", "-r", _LOCK],
        ]
    else:
        pip: list[str | Path] = [folder / "bin" / "python", "-m", "pip", "install", "--quiet"]
        make = [
            [sys.executable, "-m", "venv", folder],
            [*pip, "--disable-pip-version-check", "--require-hashes", "-r", _LOCK],
        ]
    for words in make:
        process.run(words, timeout=_INSTALL_SECONDS, label=f"installing {_LOCK.name}")


def find_uv() -> str | None:
    """The installer uv: the project's own, else that of the PATH."""
    beside = Path(sys.executable).parent / "uv"
    return str(beside) if beside.is_file() else shutil.which("uv")


def make_bin(folder: Path, cli: CdkCli) -> Path:
    """A folder with node, npm, npx, cdk and uv."""
    folder.mkdir(parents=True)
    node = cli.node.resolve()
    (folder / "node").symlink_to(node)
    npm = node.parent.parent / "lib" / "node_modules" / "npm" / "bin"
    _script(folder / "npm", [str(node), str(npm / "npm-cli.js")])
    _script(folder / "npx", [str(node), str(npm / "npx-cli.js")])
    (folder / "cdk").symlink_to(cli.folder / "node_modules" / ".bin" / "cdk")
    if uv := find_uv():
        (folder / "uv").symlink_to(Path(uv).resolve())
    return folder


def _script(file: Path, words: list[str]) -> None:
    file.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n', encoding="utf-8")
    file.chmod(0o755)


def search_path(base: str, programs: list[Path], *, first: bool) -> str:
    """The PATH of the stages.

    Args:
        base: this machine's; the project's own environment is taken out of it, since no image has it.
        programs: folders of the images' programs.
        first: whether they come before this machine's own.
    """
    ours = Path(sys.prefix).resolve() / "bin" if sys.prefix != sys.base_prefix else None
    machine = [each for each in base.split(os.pathsep) if each and Path(each).resolve() != ours]
    images = [str(each) for each in programs]
    return os.pathsep.join([*images, *machine] if first else [*machine, *images])
