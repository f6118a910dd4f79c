"""What the build made: which files later stages need besides their own clone, and the manifest that lists them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from stages.errors import StageError
from stages.globs import matches
from stages.source import changed_since, tracked_files


class ArtifactError(StageError):
    """The artifact cannot be made, or is not what it should be."""


class ArtifactFile(BaseModel):
    """One entry of an artifact. A folder is listed only when it is empty."""

    model_config = ConfigDict(frozen=True)

    path: str
    kind: Literal["file", "link", "folder"]
    size: int = Field(default=0, description="Bytes of a file")


class ArtifactManifest(BaseModel):
    """What is stored beside an artifact: where it comes from, what is in it and its checksum."""

    model_config = ConfigDict(frozen=True)

    pipeline: str
    run: str
    commit: str
    branch: str
    repository: str
    created_at: str = Field(description="RFC 3339 in UTC")
    commit_timestamp: int = Field(description="The commit's time, seconds since the epoch; that of every entry")
    builder: str = Field(description="The image of the build, or what is known of it")
    key: str = Field(description="The archive's key in the bucket")
    sha256: str = Field(description="Of the archive, hexadecimal")
    size: int = Field(description="Bytes of the archive")
    files: list[ArtifactFile]
    deleted: list[str] = Field(default_factory=list, description="Files of the commit that the build removed")


@dataclass(frozen=True)
class ArtifactPlan:
    """What goes into an artifact.

    Attributes:
        files: in the order of their paths.
        deleted: files of the commit that are to be removed after the clone.
    """

    files: tuple[ArtifactFile, ...]
    deleted: tuple[str, ...]


def narrow(
    files: Iterable[ArtifactFile], globs: Sequence[str] | None, tracked: Iterable[str] = ()
) -> list[ArtifactFile]:
    """The files that one of the globs means; all of them when there are no globs.

    Raises:
        ArtifactError: a glob means nothing, neither among the files nor among those of the commit.
    """
    found = sorted(files, key=lambda file: file.path)
    if globs is None:
        return found
    tracked = list(tracked)
    for index, glob in enumerate(globs):
        if not any(matches(file.path, glob) for file in found) and not any(matches(path, glob) for path in tracked):
            raise ArtifactError(
                f'build.artifacts[{index}]: nothing that the build made is "{glob}".',
                hint="Globs are relative to the repository's root; ** crosses folders.",
                details={"field": f"build.artifacts[{index}]"},
            )
    return [file for file in found if any(matches(file.path, glob) for glob in globs)]


def plan_artifact(source: Path, commit: str, globs: Sequence[str] | None) -> ArtifactPlan:
    """What the build commands added to or changed in the working tree, narrowed by the globs.

    Raises:
        ArtifactError: see `narrow`.
    """
    tracked = tracked_files(source, commit)
    changed, deleted = changed_since(source, commit)
    interesting = set(changed)
    present = [file for file in walk(source) if file.path not in tracked or file.path in interesting]
    gone = [path for path in deleted if not os.path.lexists(source / path)]
    if globs is not None:
        gone = [path for path in gone if any(matches(path, glob) for glob in globs)]
    return ArtifactPlan(files=tuple(narrow(present, globs, tracked)), deleted=tuple(sorted(gone)))


def walk(folder: Path) -> list[ArtifactFile]:
    """All files, symbolic links and empty folders below a folder, but for its own `.git`."""
    found: list[ArtifactFile] = []
    pending = [""]
    while pending:
        prefix = pending.pop()
        with os.scandir(folder / prefix) as entries:
            children = [entry for entry in entries if prefix or entry.name != ".git"]
        if prefix and not children:
            found.append(ArtifactFile.model_construct(path=prefix.rstrip("/"), kind="folder", size=0))
        for entry in children:
            path = prefix + entry.name
            if entry.is_symlink():
                found.append(ArtifactFile.model_construct(path=path, kind="link", size=0))
            elif entry.is_dir():
                pending.append(path + "/")
            elif entry.is_file():
                size = entry.stat(follow_symlinks=False).st_size
                found.append(ArtifactFile.model_construct(path=path, kind="file", size=size))
    return found
