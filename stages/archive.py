"""The artifact's archive: packed reproducibly, verified, and unpacked without leaving its folder."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, cast

import zstandard

from stages.artifact import ArtifactError, ArtifactFile, ArtifactManifest

_LEVEL = 3
_CHUNK = 1 << 20


class _Hashing(io.RawIOBase):
    """Counts and hashes what is written through it."""

    def __init__(self, target: IO[bytes]) -> None:
        self._target = target
        self.digest = hashlib.sha256()
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.digest.update(data)
        self.size += len(data)
        self._target.write(data)
        return len(data)


def pack(source: Path, files: Sequence[ArtifactFile], target: Path, timestamp: int) -> tuple[str, int]:
    """Write the archive; the same files give the same bytes.

    Returns:
        The archive's SHA-256, hexadecimal, and its size in bytes.
    """
    with target.open("wb") as raw:
        hashing = _Hashing(raw)
        compressor = zstandard.ZstdCompressor(level=_LEVEL, threads=-1)
        with (
            compressor.stream_writer(cast(IO[bytes], hashing), closefd=False) as compressed,
            tarfile.open(fileobj=compressed, mode="w|", format=tarfile.PAX_FORMAT) as archive,
        ):
            for file in files:
                _add(archive, source / file.path, file, timestamp)
        return hashing.digest.hexdigest(), hashing.size


def _add(archive: tarfile.TarFile, path: Path, file: ArtifactFile, timestamp: int) -> None:
    info = tarfile.TarInfo(file.path)
    info.mtime = timestamp
    if file.kind == "link":
        info.type, info.mode, info.linkname = tarfile.SYMTYPE, 0o777, str(path.readlink())
        archive.addfile(info)
        return
    status = path.stat()
    executable = bool(status.st_mode & 0o100)
    if file.kind == "folder":
        info.type, info.mode = tarfile.DIRTYPE, 0o755
        archive.addfile(info)
        return
    info.mode, info.size = (0o755 if executable else 0o644), status.st_size
    with path.open("rb") as content:
        archive.addfile(info, content)


def file_digest(path: Path) -> str:
    """The SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify(path: Path, manifest: ArtifactManifest) -> None:
    """Compare an archive with its manifest.

    Raises:
        ArtifactError: it is not the archive that the build stored.
    """
    found = file_digest(path)
    if found != manifest.sha256:
        raise ArtifactError(
            f"The artifact {manifest.key} is not what the build stored: SHA-256 {found}, not {manifest.sha256}.",
            hint="Start the run again. If it happens again, look for who else writes to the artifact bucket.",
            details={"expected": manifest.sha256, "found": found, "key": manifest.key},
        )


def unpack(
    archive: Path, folder: Path, deleted: Sequence[str] = (), report: Callable[[str], None] | None = None
) -> int:
    """Unpack an archive over a clone and remove what the build removed.

    Nothing is written outside the folder: names are relative, and no entry is written through a symbolic link.

    Returns:
        How many entries were unpacked.

    Raises:
        ArtifactError: the archive holds an entry that is not allowed.
    """
    guard = _Guard(folder)
    for path in deleted:
        guard.target(path).unlink(missing_ok=True)
    count = 0
    with (
        archive.open("rb") as raw,
        zstandard.ZstdDecompressor().stream_reader(raw) as stream,
        tarfile.open(fileobj=stream, mode="r|") as entries,
    ):
        for entry in entries:
            _extract(entries, entry, guard)
            count += 1
    if report is not None:
        report(f"{count} entries unpacked")
    return count


class _Guard:
    """Knows where in the folder an entry may be written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._checked: set[str] = set()

    def target(self, name: str) -> Path:
        parts = name.split("/")
        if name.startswith("/") or any(part in ("", ".", "..") for part in parts) or parts[0] == ".git":
            raise ArtifactError(f'The artifact has an entry "{name}", which is not allowed.')
        for depth in range(1, len(parts)):
            parent = "/".join(parts[:depth])
            if parent in self._checked:
                continue
            if (self._folder / parent).is_symlink():
                raise ArtifactError(f'The artifact has an entry "{name}" below the symbolic link "{parent}".')
            self._checked.add(parent)
        return self._folder / name

    def forget(self) -> None:
        """A folder may have become a symbolic link."""
        self._checked.clear()


def _extract(archive: tarfile.TarFile, entry: tarfile.TarInfo, guard: _Guard) -> None:
    target = guard.target(entry.name)
    if entry.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return
    if not entry.isreg() and not entry.issym():
        raise ArtifactError(f'The artifact has an entry "{entry.name}" that is neither a file, a link nor a folder.')
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir() and not target.is_symlink():
        target.rmdir()
    else:
        target.unlink(missing_ok=True)
    if entry.issym():
        target.symlink_to(entry.linkname)
        guard.forget()
    else:
        _write_file(archive, entry, target)
    os.utime(target, (entry.mtime, entry.mtime), follow_symlinks=False)


def _write_file(archive: tarfile.TarFile, entry: tarfile.TarInfo, target: Path) -> None:
    content = archive.extractfile(entry)
    assert content is not None
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, entry.mode & 0o755)
    with os.fdopen(descriptor, "wb") as file:
        while chunk := content.read(_CHUNK):
            file.write(chunk)
