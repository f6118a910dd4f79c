"""The artifact's archive: tar compressed with zstd, written and read as a stream, the same bytes for the same files.

Headers are GNU tar's, so that `tar --zstd -xf` reads it too and a name may be any bytes. They are made and read here
because `tarfile` takes most of the time of 20,000 small files for itself.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Protocol, cast

import zstandard

from stages.artifact import ArtifactError, ArtifactFile, shown
from stages.staging import Staging

_LEVEL = 3
_MAX_THREADS = 4
_CHUNK = 1 << 20
_BLOCK = tarfile.BLOCKSIZE
_LONG = {tarfile.GNUTYPE_LONGNAME: "path", tarfile.GNUTYPE_LONGLINK: "target"}
_LONGEST = 1 << 16  # bytes of a name; Linux has none of more than 4,096


class Readable(Protocol):
    """Gives the archive's bytes in their order."""

    def read(self, size: int, /) -> bytes:
        """At most that many bytes; none at the end."""


def pack(
    source: Path, files: Sequence[ArtifactFile], timestamp: int, write: Callable[[bytes], None], threads: int = 0
) -> list[ArtifactFile]:
    """Write the archive piece by piece; the same files give the same bytes, with any number of threads.

    Args:
        source: the folder that the files are in.
        files: what to pack.
        timestamp: the time that every entry gets, in seconds since the epoch.
        write: gets each piece.
        threads: that compress; as many as there are processors, up to four, when 0.

    Returns:
        The files with the size and SHA-256 of what was packed.

    Raises:
        ArtifactError: a file cannot be read, or changes meanwhile.
    """
    compressing = _Compressing(write, threads or min(os.cpu_count() or 1, _MAX_THREADS))
    packed = [
        _add_file(compressing.add, source, file, timestamp)
        if file.kind == "file"
        else _add(compressing.add, file, timestamp)
        for file in files
    ]
    compressing.end()
    return packed


class _Compressing:
    """Gathers small pieces, compresses them and hands them on."""

    def __init__(self, write: Callable[[bytes], None], threads: int) -> None:
        # Never without threads: zstd cuts its input otherwise then, and the bytes would depend on the machine.
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL, threads=threads).compressobj()
        self._write = write
        self._waiting: list[bytes] = []
        self._size = 0

    def add(self, piece: bytes) -> None:
        self._waiting.append(piece)
        self._size += len(piece)
        if self._size >= _CHUNK:
            self._flush()

    def _flush(self) -> None:
        if compressed := self._compressor.compress(b"".join(self._waiting)):
            self._write(compressed)
        self._waiting.clear()
        self._size = 0

    def end(self) -> None:
        self.add(bytes(2 * _BLOCK))
        self._flush()
        self._write(self._compressor.flush())


def _add(
    add: Callable[[bytes], None], file: ArtifactFile, timestamp: int, size: int = 0, mode: int = 0o777
) -> ArtifactFile:
    info = tarfile.TarInfo(file.path)
    info.mtime, info.size, info.mode = timestamp, size, mode
    if file.kind == "link":
        info.type, info.linkname = tarfile.SYMTYPE, file.target
    elif file.kind == "folder":
        info.type, info.mode = tarfile.DIRTYPE, file.mode
    add(info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape"))
    return file


def _add_file(add: Callable[[bytes], None], source: Path, file: ArtifactFile, timestamp: int) -> ArtifactFile:
    try:
        descriptor = os.open(f"{source}/{file.path}", os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        raise ArtifactError(
            f'The artifact cannot be made: "{shown(file.path)}" cannot be read: {error.strerror}.',
            hint="The build's commands leave a file that their own user may not read. Change its mode in the build.",
            details={"file": shown(file.path)},
        ) from error
    try:
        status = os.fstat(descriptor)
        size, left = status.st_size, status.st_size
        _add(add, file, timestamp, size, status.st_mode & 0o777)
        digest = hashlib.sha256()
        while piece := os.read(descriptor, min(left + 1, _CHUNK)):
            left -= len(piece)
            if left < 0:
                raise _changing(file)
            digest.update(piece)
            add(piece)
        if left:
            raise _changing(file)
    finally:
        os.close(descriptor)
    add(bytes(-size % _BLOCK))
    return file.model_copy(update={"size": size, "mode": status.st_mode & 0o777, "sha256": digest.hexdigest()})


def _changing(file: ArtifactFile) -> ArtifactError:
    return ArtifactError(
        f'The artifact cannot be made: "{shown(file.path)}" changed while it was packed.',
        hint="A program that the build started still writes to it. End it in the build, or narrow build.artifacts.",
        details={"file": shown(file.path)},
    )


def unpack(archive: Readable, staging: Staging) -> int:
    """Unpack an archive into a folder that nothing else uses.

    Returns:
        How many entries were unpacked.

    Raises:
        ArtifactError: the archive is damaged, or holds an entry that is not allowed.
    """
    # Read in large pieces: each read of the decompressor has its price.
    decompressed = zstandard.ZstdDecompressor().stream_reader(cast("io.BufferedReader", archive), read_size=_CHUNK)
    try:
        with io.BufferedReader(cast("io.RawIOBase", decompressed), _CHUNK) as stream:
            return _unpack_all(stream, staging)
    except (zstandard.ZstdError, tarfile.HeaderError) as error:
        raise ArtifactError(f"The artifact's archive is damaged: {error}.") from error


def _unpack_all(stream: IO[bytes], staging: Staging) -> int:
    longer: dict[str, str] = {}
    count = 0
    while True:
        block = _exactly(stream, _BLOCK)
        if not any(block):
            return count
        info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        if info.type in _LONG:
            longer[_LONG[info.type]] = _long_name(stream, info.size)
            continue
        path, target = longer.get("path", info.name), longer.get("target", info.linkname)
        longer.clear()
        if info.type == tarfile.SYMTYPE:
            staging.add_link(path, target, info.mtime)
        elif info.type == tarfile.DIRTYPE:
            staging.add_folder(path.rstrip("/"), info.mode, info.mtime)
        elif info.type == tarfile.REGTYPE:
            _extract(stream, staging, path, info)
        else:
            raise ArtifactError(f'The artifact has an entry "{shown(path)}" that is neither file, link nor folder.')
        count += 1


def _extract(stream: IO[bytes], staging: Staging, path: str, info: tarfile.TarInfo) -> None:
    left = info.size
    descriptor = staging.add_file(path)
    try:
        while left:
            piece = _exactly(stream, min(left, _CHUNK))
            left -= len(piece)
            _write(descriptor, piece)
        os.fchmod(descriptor, info.mode & 0o777)
        os.utime(descriptor, (info.mtime, info.mtime))
    finally:
        os.close(descriptor)
    _exactly(stream, -info.size % _BLOCK)


def _write(descriptor: int, piece: bytes) -> None:
    written = os.write(descriptor, piece)
    while written < len(piece):
        written += os.write(descriptor, piece[written:])


def _long_name(stream: IO[bytes], size: int) -> str:
    if size > _LONGEST:
        raise ArtifactError(f"The artifact's archive is damaged: it has a name of {size} bytes.")
    return os.fsdecode(_exactly(stream, size + -size % _BLOCK)[:size].partition(b"\0")[0])


def _exactly(stream: IO[bytes], size: int) -> bytes:
    found = stream.read(size)
    if len(found) < size:
        raise ArtifactError("The artifact's archive is damaged: it ends in the middle.")
    return found
