"""What the build changed in its clone, as git sees it; submodules are looked into."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from aphex.process import ProcessError, run
from stages.errors import StageError

_GITLINK = "160000"
_ESCAPE = re.compile(rb"\\([0-7]{3}|.)", re.DOTALL)
_LETTERS = {b"a": b"\a", b"b": b"\b", b"t": b"\t", b"n": b"\n", b"v": b"\v", b"f": b"\f", b"r": b"\r"}


class ChangesError(StageError):
    """git cannot say what the build changed."""


@dataclass
class Changes:
    """A working tree against its commit. Paths are relative, as Python has names: surrogates are bytes, not UTF-8.

    Attributes:
        tracked: the files of the commit, those of submodules among them.
        changed: those that differ.
        deleted: those that are gone.
        git_folders: git's own, which are no part of the working tree.
    """

    tracked: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    git_folders: frozenset[str] = frozenset({".git"})


def changes_since(folder: Path, commit: str) -> Changes:
    """Compare a working tree with a commit.

    Raises:
        ChangesError: git failed, for example because the build removed `.git`.
    """
    found = Changes()
    _collect(found, folder, "", commit)
    return found


def _collect(found: Changes, root: Path, prefix: str, commit: str) -> None:
    where = root / prefix
    for line in _git(where, "ls-tree", "-r", "--full-tree", commit):
        described, _, quoted = line.partition("\t")
        mode, _, identity = described.split(" ")
        path = prefix + unquoted(quoted)
        if mode != _GITLINK:
            found.tracked.add(path)
        elif (root / path / ".git").exists():
            found.git_folders |= {f"{path}/.git"}
            _collect(found, root, f"{path}/", identity)
    compare = ("diff", "--name-status", "--no-renames", "--no-ext-diff", "--ignore-submodules=all", "--no-relative")
    for line in _git(where, *compare, commit, "--"):
        status, _, quoted = line.partition("\t")
        (found.deleted if status == "D" else found.changed).add(prefix + unquoted(quoted))


def _git(folder: Path, *arguments: str) -> list[str]:
    # Quoted names rather than NUL between them: they are ASCII, so that no byte of a name is lost in decoding.
    argv = ["git", "-c", "core.quotePath=true", "-c", "core.fsmonitor=false", *arguments]
    # Without the clone's own .git another one further up would answer.
    env = {**os.environ, "LC_ALL": "C", "GIT_CEILING_DIRECTORIES": str(folder.parent)}
    try:
        completed = run(argv, cwd=folder, env=env, separate_errors=True)
    except ProcessError as error:
        raise ChangesError(
            f"git cannot say what the build changed.\n{error.completed.error_output.strip()}",
            hint="The build's commands must leave the clone's .git folder as it is.",
            details={"command": " ".join(argv)},
        ) from error
    return completed.output.splitlines()


def unquoted(name: str) -> str:
    """A name as git prints it with `core.quotePath`: in quotes, and with C's escapes, when it is not plain."""
    if not name.startswith('"'):
        return name
    raw = _ESCAPE.sub(_unescaped, name[1:-1].encode())
    return os.fsdecode(raw)


def _unescaped(found: re.Match[bytes]) -> bytes:
    code = found[1]
    return bytes([int(code, 8)]) if len(code) == 3 else _LETTERS.get(code, code)
