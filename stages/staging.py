"""Where an artifact is unpacked before it is known to be right, and from where it lands in the clone by renaming."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from stages.artifact import ArtifactError, shown


class Staging:
    """A folder of its own for one artifact. All that is in it was made through this class.

    Nothing is written through a symbolic link, whatever the entries are: a folder is either made here or refused.
    A link itself may point anywhere, as those of a Python environment do.
    """

    def __init__(self, folder: Path) -> None:
        self._root = os.fspath(folder)
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        self._folders: set[str] = {""}
        self._finished: dict[str, tuple[int, float]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._root, ignore_errors=True)

    def add_file(self, path: str) -> int:
        """Make a file; returns its descriptor."""
        place = self._place(path)
        try:
            return os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        except FileExistsError:
            raise _twice(path) from None

    def add_link(self, path: str, target: str, mtime: float) -> None:
        """Make a symbolic link."""
        place = self._place(path)
        try:
            os.symlink(target, place)  # noqa: PTH211  # a Path would change what the link says
        except FileExistsError:
            raise _twice(path) from None
        os.utime(place, (mtime, mtime), follow_symlinks=False)

    def add_folder(self, path: str, mode: int, mtime: float) -> None:
        """Make a folder; its mode is set when it has landed, because it may forbid to write to it."""
        self._place(path)
        self._make(path, path)
        self._finished[path] = (mode & 0o777, mtime)

    def _place(self, path: str) -> str:
        parts = path.split("/")
        if parts[0] == ".git" or any(part in ("", ".", "..") for part in parts):
            raise ArtifactError(f'The artifact has an entry "{shown(path)}", which is not allowed.')
        self._make(path.rpartition("/")[0], path)
        return f"{self._root}/{path}"

    def _make(self, folder: str, path: str) -> None:
        if folder in self._folders:
            return
        self._make(folder.rpartition("/")[0], path)
        try:
            os.mkdir(f"{self._root}/{folder}")  # noqa: PTH102  # called for each of very many
        except FileExistsError:
            raise ArtifactError(
                f'The artifact has an entry "{shown(path)}", but "{shown(folder)}" is no folder in it.'
            ) from None
        self._folders.add(folder)

    def land(self, target: Path, deleted: Iterable[str] = ()) -> None:
        """Remove what the build removed, and put everything over what is in the target folder.

        What is in the way of an entry gives way to it; folders are merged. Only renaming: both are on one volume.

        Raises:
            ArtifactError: a file to remove lies outside the target folder.
        """
        root = os.fspath(target)
        for path in deleted:
            _remove(root, path)
        _merge(self._root, root)
        for path in sorted(self._finished, reverse=True):
            mode, mtime = self._finished[path]
            os.utime(f"{root}/{path}", (mtime, mtime))
            os.chmod(f"{root}/{path}", mode)  # noqa: PTH101


def _twice(path: str) -> ArtifactError:
    return ArtifactError(f'The artifact has the entry "{shown(path)}" twice.')


def _merge(source: str, target: str) -> None:
    with os.scandir(source) as entries:
        children = list(entries)
    for entry in children:
        place = f"{target}/{entry.name}"
        there = os.lstat(place).st_mode if os.path.lexists(place) else 0
        if entry.is_dir(follow_symlinks=False):
            if stat.S_ISDIR(there):
                _merge(entry.path, place)
                continue
            if there:
                os.unlink(place)  # noqa: PTH108
        elif stat.S_ISDIR(there):
            shutil.rmtree(place)
        os.replace(entry.path, place)  # noqa: PTH105


def _remove(root: str, path: str) -> None:
    """Remove one file, and the folders that are empty without it."""
    parts = path.split("/")
    if parts[0] == ".git" or any(part in ("", ".", "..") for part in parts):
        raise ArtifactError(f'The artifact removes "{shown(path)}", which is not allowed.')
    folders = [f"{root}/{'/'.join(parts[:depth])}" for depth in range(1, len(parts))]
    if any(os.path.islink(folder) for folder in folders):  # noqa: PTH114
        raise ArtifactError(f'The artifact removes "{shown(path)}", which lies below a symbolic link.')
    if not os.path.lexists(f"{root}/{path}"):
        return
    os.unlink(f"{root}/{path}")  # noqa: PTH108
    for folder in reversed(folders):
        with os.scandir(folder) as entries:
            if next(entries, None) is not None:
                return
        os.rmdir(folder)  # noqa: PTH106
