"""Working trees after a build, and artifacts of them in a bucket."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aphex.run import RunKeys
from stages.artifact import ArtifactManifest
from stages.artifact_store import ArtifactStore
from stages.source import checkout
from tests.support.repository import new_repository

COMMIT_TIME = 1_700_000_000


@dataclass(frozen=True)
class Snapshot:
    """One thing in a folder: what it is, its permissions, and its content or where it points to."""

    kind: int
    mode: int
    content: bytes


def snapshot(folder: Path) -> dict[str, Snapshot]:
    """All that is in a folder, folders themselves among it, but for its own `.git`."""
    found: dict[str, Snapshot] = {}
    for parent, folders, files in os.walk(folder):
        if parent == str(folder):
            folders.remove(".git")
        for name in (*folders, *files):
            path = Path(parent, name)
            status = path.lstat()
            content = b""
            if path.is_symlink():
                content = os.fsencode(path.readlink())
            elif path.is_file():
                content = path.read_bytes()
            found[str(path.relative_to(folder))] = Snapshot(
                stat.S_IFMT(status.st_mode), stat.S_IMODE(status.st_mode), content
            )
    return found


def known(run: str, commit: str, **more: Any) -> ArtifactManifest:
    """What is known of an artifact before it is packed."""
    keys = RunKeys(run)
    values: dict[str, Any] = {
        "pipeline": "shop",
        "run": run,
        "commit": commit,
        "branch": "main",
        "repository": "https://git.example.com/acme/shop.git",
        "created_at": "2026-01-02T03:04:05Z",
        "commit_timestamp": COMMIT_TIME,
        "builder": "builder:1",
        "key": keys.artifact(commit),
        "sha256": "",
        "size": 0,
        "files": [],
    }
    return ArtifactManifest(**{**values, **more})


def fetched(store: ArtifactStore, run: str, commit: str, target: Path) -> int:
    """Fetch a run's artifact over a folder, as a stage does."""
    manifest = store.manifest(RunKeys(run).manifest(commit), run, commit)
    return store.fetch(manifest, target.parent / "staging", target)


@dataclass(frozen=True)
class Clone:
    """A clone that is copied rather than made again, because git takes longest."""

    path: Path
    commit: str
    timestamp: int

    def copy(self, target: Path) -> Path:
        """A clone of the test's own."""
        shutil.copytree(self.path, target, symlinks=True)
        return target


def new_clone(folder: Path, files: Mapping[str, str | None]) -> Clone:
    """Commit files to a new repository and clone it."""
    repository = new_repository(folder / "repository")
    commit = repository.commit(files)
    path = folder / "clone"
    nothing: Callable[[str], None] = lambda _line: None  # noqa: E731
    timestamp = checkout(repository.url, commit, path, nothing)
    return Clone(path, commit, timestamp)
