"""What the build made: which files later stages need besides their own clone, and the manifest that lists them."""

from __future__ import annotations

import base64
import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator

from stages.changes import changes_since
from stages.errors import StageError
from stages.globs import matches

_SHOWN_NAMES = 10


class ArtifactError(StageError):
    """The artifact cannot be made, or is not what it should be."""


def _name_from_json(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and isinstance(value.get("base64"), str):
        return os.fsdecode(base64.b64decode(value["base64"], validate=True))
    raise ValueError('a name is a text, or {"base64": ...} when it is not UTF-8')


def _name_to_json(name: str) -> str | dict[str, str]:
    try:
        name.encode()
    except UnicodeEncodeError:
        return {"base64": base64.b64encode(os.fsencode(name)).decode()}
    return name


# A path as Python has it (bytes that are not UTF-8 are surrogates); JSON has those as {"base64": ...}.
Name = Annotated[str, PlainValidator(_name_from_json), PlainSerializer(_name_to_json)]


class ArtifactFile(BaseModel):
    """One entry of an artifact. A folder is listed when it is empty, or its mode is not that of new folders."""

    model_config = ConfigDict(frozen=True)

    path: Name
    kind: Literal["file", "link", "folder"]
    size: int = Field(default=0, description="Bytes of a file")
    mode: int = Field(default=0, description="Permissions of a file or folder, such as 493 for rwxr-xr-x")
    sha256: str = Field(default="", description="Of a file's content, hexadecimal")
    target: Name = Field(default="", description="What a link points to")


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
    deleted: list[Name] = Field(default_factory=list, description="Files of the commit that the build removed")


@dataclass(frozen=True)
class ArtifactPlan:
    """What goes into an artifact.

    Attributes:
        files: in the order of their paths.
        deleted: files of the commit that are to be removed after the clone.
    """

    files: tuple[ArtifactFile, ...]
    deleted: tuple[str, ...]


def shown(path: str) -> str:
    """A path as a message can have it: on one line, and in UTF-8."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def narrow(
    files: Iterable[ArtifactFile], globs: Sequence[str] | None, tracked: Iterable[str] = ()
) -> list[ArtifactFile]:
    """The files that one of the globs means; all of them when there are no globs.

    Raises:
        ArtifactError: names every glob that means nothing, neither among the files nor among those of the commit.
    """
    found = sorted(files, key=lambda file: file.path)
    if globs is None:
        return found
    tracked = list(tracked)
    empty = [
        index
        for index, glob in enumerate(globs)
        if not any(matches(file.path, glob) for file in found) and not any(matches(path, glob) for path in tracked)
    ]
    if empty:
        raise ArtifactError(
            "\n".join(f'build.artifacts[{index}]: nothing that the build made is "{globs[index]}".' for index in empty),
            hint=f"{_made(found)} Globs are relative to the repository's root; ** crosses folders.",
            details={"field": f"build.artifacts[{empty[0]}]", "globs": [globs[index] for index in empty]},
        )
    return [file for file in found if any(matches(file.path, glob) for glob in globs)]


def _made(files: Sequence[ArtifactFile]) -> str:
    names = list(dict.fromkeys(shown(file.path.split("/")[0]) for file in files))
    if not names:
        return "The build made no file."
    more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
    return f"The build made {', '.join(names[:_SHOWN_NAMES])}{more}."


def plan_artifact(source: Path, commit: str, globs: Sequence[str] | None) -> ArtifactPlan:
    """What the build commands added to or changed in the working tree, narrowed by the globs.

    Raises:
        ArtifactError: see `narrow`; or a folder cannot be read.
    """
    changes = changes_since(source, commit)
    try:
        everything = walk(source, but=changes.git_folders)
    except OSError as error:
        where = shown(os.path.relpath(error.filename or source, source))
        raise ArtifactError(
            f'The artifact cannot be made: "{where}" cannot be read: {error.strerror}.',
            hint="The build's commands leave something that their own user may not read. Change its mode in the build.",
        ) from error
    present = [file for file in everything if file.path not in changes.tracked or file.path in changes.changed]
    names = {file.path for file in everything}
    gone = [path for path in changes.deleted if path not in names]
    if globs is not None:
        gone = [path for path in gone if any(matches(path, glob) for glob in globs)]
    return ArtifactPlan(files=tuple(narrow(present, globs, changes.tracked)), deleted=tuple(sorted(gone)))


def walk(folder: Path, but: frozenset[str] = frozenset({".git"})) -> list[ArtifactFile]:
    """All files, symbolic links and empty folders below a folder, and folders with a mode of their own.

    Sockets, pipes and devices are no content and are left out, as are the paths in `but`.
    """
    usual = folder.stat().st_mode & 0o777
    found: list[ArtifactFile] = []
    pending = [("", usual)]
    while pending:
        prefix, mode = pending.pop()
        with os.scandir(folder / prefix) as entries:
            children = list(entries)
        if prefix and (not children or mode != usual):
            found.append(ArtifactFile.model_construct(path=prefix.rstrip("/"), kind="folder", mode=mode))
        for entry in children:
            path = prefix + entry.name
            if path in but:
                continue
            status = entry.stat(follow_symlinks=False)
            permissions = status.st_mode & 0o777
            if stat.S_ISDIR(status.st_mode):
                pending.append((path + "/", permissions))
            elif stat.S_ISREG(status.st_mode):
                found.append(
                    ArtifactFile.model_construct(path=path, kind="file", size=status.st_size, mode=permissions)
                )
            elif stat.S_ISLNK(status.st_mode):
                # Read here, so that the plan, the archive and the manifest say the same.
                target = os.readlink(entry.path)  # noqa: PTH115  # a Path would change what the link says
                found.append(ArtifactFile.model_construct(path=path, kind="link", target=target))
    return found
