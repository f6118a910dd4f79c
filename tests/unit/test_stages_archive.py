"""The archive is the same bytes each time, is plain tar and zstd, and unpacks nowhere but where it should."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from stages.archive import pack, unpack
from stages.artifact import ArtifactError, ArtifactFile, walk
from stages.staging import Staging
from tests.support.artifacts import COMMIT_TIME


def packed(source: Path, threads: int = 0) -> tuple[bytes, list[ArtifactFile]]:
    pieces: list[bytes] = []
    files = pack(source, sorted(walk(source), key=lambda file: file.path), COMMIT_TIME, pieces.append, threads)
    return b"".join(pieces), files


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """Files of several kinds, more of them than one job of the compressor takes."""
    folder = tmp_path / "made"
    (folder / "deep" / ("n" * 120)).mkdir(parents=True)
    (folder / "deep" / ("n" * 120) / "日本語\n").write_text("x")
    (folder / os.fsdecode(b"caf\xe9")).write_text("latin")
    (folder / "link").symlink_to("t" * 150)
    (folder / "empty").mkdir()
    (folder / "tool").write_text("#!/bin/sh\n")
    (folder / "tool").chmod(0o750)
    for number in range(5):
        (folder / f"large{number}").write_bytes(b"".join(i.to_bytes(4, "big") * 3 for i in range(500_000)))
    return folder


def test_the_same_files_give_the_same_bytes_with_any_number_of_threads(made: Path) -> None:
    first, files = packed(made, threads=1)
    for file in files:
        os.utime(made / file.path, (1, 1), follow_symlinks=False)
    assert packed(made, threads=2) == (first, files)
    assert packed(made, threads=3) == (first, files)
    shutil.copytree(made, made.parent / "elsewhere", symlinks=True)
    assert packed(made.parent / "elsewhere") == (first, files)


def test_what_was_packed_has_its_checksum(made: Path) -> None:
    _, files = packed(made)
    said = {file.path: file.sha256 for file in files if file.kind == "file"}
    assert said["tool"] == "a8076d3d28d21e02012b20eaf7dbf75409a6277134439025f282e368e3305abf"


def test_other_tools_read_it(made: Path, tmp_path: Path) -> None:
    archive, _ = packed(made)
    plain, target = tmp_path / "plain.tar", tmp_path / "target"
    plain.write_bytes(zstandard.ZstdDecompressor().stream_reader(archive).read())
    target.mkdir()
    subprocess.run(["tar", "-xf", plain, "-C", target], check=True)
    subprocess.run(["diff", "-r", "--no-dereference", made, target], check=True)
    with tarfile.open(plain, encoding="utf-8", errors="surrogateescape") as python:
        assert {member.mtime for member in python} == {COMMIT_TIME}


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    files = [ArtifactFile(path="dist/gone\n", kind="file")]
    with pytest.raises(ArtifactError) as caught:
        pack(tmp_path, files, COMMIT_TIME, lambda _piece: None)
    assert str(caught.value) == (
        'The artifact cannot be made: "dist/gone\\n" cannot be read: No such file or directory.\n'
        "The build's commands leave a file that their own user may not read. Change its mode in the build."
    )


@pytest.mark.parametrize("size", [1 << 20, 65 << 20])
def test_a_file_that_changes_while_it_is_packed_is_named(size: int, tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    log.touch()
    os.truncate(log, 64 << 20)
    # The first piece is there long before the last of the file is read.
    with pytest.raises(ArtifactError) as caught:
        pack(tmp_path, walk(tmp_path), COMMIT_TIME, lambda _piece: os.truncate(log, size), threads=1)
    assert str(caught.value) == (
        'The artifact cannot be made: "server.log" changed while it was packed.\n'
        "A program that the build started still writes to it. End it in the build, or narrow build.artifacts."
    )


def archive_of(*entries: tarfile.TarInfo) -> bytes:
    """An archive with entries as no build of ours makes them."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for each in entries:
            archive.addfile(each, io.BytesIO(b"x" * each.size))
    return zstandard.compress(plain.getvalue())


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, 1 if kind == tarfile.REGTYPE else 0
    return info


def unpacked(archive: bytes, folder: Path, *, deleted: tuple[str, ...] = ()) -> int:
    (folder / "target").mkdir(exist_ok=True)
    with Staging(folder / "staging") as staging:
        count = unpack(io.BytesIO(archive), staging)
        staging.land(folder / "target", deleted)
    return count


NOT_ALLOWED = 'The artifact has an entry "{}", which is not allowed.'
DAMAGED = "The artifact's archive is damaged: {}"


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([entry("/etc/evil")], NOT_ALLOWED.format("/etc/evil")),
        ([entry("../evil")], NOT_ALLOWED.format("../evil")),
        ([entry("a/../../evil")], NOT_ALLOWED.format("a/../../evil")),
        ([entry("a//evil")], NOT_ALLOWED.format("a//evil")),
        ([entry("..", tarfile.DIRTYPE)], NOT_ALLOWED.format("..")),
        ([entry(f"{'d' * 120}/../../evil")], NOT_ALLOWED.format(f"{'d' * 120}/../../evil")),
        ([entry(".git/hooks/post-checkout")], NOT_ALLOWED.format(".git/hooks/post-checkout")),
        (
            [entry("link", tarfile.SYMTYPE, "/tmp"), entry("link/evil")],
            'The artifact has an entry "link/evil", but "link" is no folder in it.',
        ),
        (
            [entry("link", tarfile.SYMTYPE, "/tmp"), entry("link", tarfile.DIRTYPE)],
            'The artifact has an entry "link", but "link" is no folder in it.',
        ),
        ([entry("link", tarfile.SYMTYPE, "/evil"), entry("link")], 'The artifact has the entry "link" twice.'),
        ([entry("link"), entry("link", tarfile.SYMTYPE, "/evil")], 'The artifact has the entry "link" twice.'),
        (
            [entry("d/x"), entry("hard", tarfile.LNKTYPE, "/etc/passwd")],
            'The artifact has an entry "hard" that is neither file, link nor folder.',
        ),
        (
            [entry("device", tarfile.CHRTYPE)],
            'The artifact has an entry "device" that is neither file, link nor folder.',
        ),
        ([entry("n" * 70_000)], DAMAGED.format("it has a name of 70001 bytes.")),
    ],
)
def test_an_entry_that_leaves_the_folder_is_refused(
    entries: list[tarfile.TarInfo], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ArtifactError) as caught:
        unpacked(archive_of(*entries), tmp_path)
    assert str(caught.value) == message
    assert [path.name for path in tmp_path.rglob("*")] == ["target"]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda archive: archive[: len(archive) // 2], "it ends in the middle."),
        (lambda archive: b"", "it ends in the middle."),
        (lambda archive: b"no zstd", "zstd decompress error: Unknown frame descriptor."),
        (lambda archive: zstandard.compress(b"x" * 512), "invalid header."),
    ],
)
def test_a_damaged_archive_is_told_so(damage: Callable[[bytes], bytes], reason: str, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError) as caught:
        unpacked(damage(archive_of(entry("a"), entry("b"))), tmp_path)
    assert str(caught.value) == DAMAGED.format(reason)
    assert [path.name for path in tmp_path.rglob("*")] == ["target"]


def test_nothing_is_written_through_a_link_that_the_repository_has(tmp_path: Path) -> None:
    target, outside = tmp_path / "target", tmp_path / "outside"
    target.mkdir()
    outside.mkdir()
    (target / "folder").symlink_to(outside)
    (target / "name").symlink_to(outside / "victim")
    unpacked(archive_of(entry("folder/file"), entry("name")), tmp_path)
    assert not list(outside.iterdir())
    assert (target / "folder/file").read_text() == (target / "name").read_text() == "x"
    assert not (target / "folder").is_symlink()


def test_what_the_build_put_in_the_place_of_something_else_is_there(tmp_path: Path) -> None:
    target = tmp_path / "target"
    (target / "was-folder").mkdir(parents=True)
    (target / "was-folder/file").write_text("1")
    (target / "was-file").write_text("1")
    (target / "old/deep").mkdir(parents=True)
    (target / "old/deep/file").write_text("1")
    entries = entry("was-folder", tarfile.SYMTYPE, "elsewhere"), entry("was-file/inside")
    assert unpacked(archive_of(*entries), tmp_path, deleted=("was-folder/file", "old/deep/file", "never/there")) == 2
    assert {str(path.relative_to(target)) for path in target.rglob("*")} == {
        "was-folder",
        "was-file",
        "was-file/inside",
    }
    assert str((target / "was-folder").readlink()) == "elsewhere"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("../victim", 'The artifact removes "../victim", which is not allowed.'),
        ("/victim", 'The artifact removes "/victim", which is not allowed.'),
        (".git/config", 'The artifact removes ".git/config", which is not allowed.'),
        ("link/victim", 'The artifact removes "link/victim", which lies below a symbolic link.'),
    ],
)
def test_nothing_outside_is_removed(path: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("x")
    (tmp_path / "target").mkdir()
    (tmp_path / "target/link").symlink_to(tmp_path)
    with pytest.raises(ArtifactError) as caught:
        unpacked(archive_of(), tmp_path, deleted=(path,))
    assert str(caught.value) == message
    assert (tmp_path / "victim").exists()
