"""The artifact holds what the build made, the same bytes each time, and unpacks nowhere but where it should."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest
import zstandard

from stages.archive import file_digest, pack, unpack, verify
from stages.artifact import ArtifactError, ArtifactFile, ArtifactManifest, narrow, plan_artifact
from stages.globs import matches
from stages.source import checkout
from tests.support.repository import new_repository


@pytest.fixture
def built(tmp_path: Path) -> tuple[Path, str]:
    """A clone in which a build has run, and its commit."""
    repository = new_repository(tmp_path / "repository")
    sha = repository.commit(
        {".gitignore": "node_modules\n.venv\n", "src/main.py": "1", "lock": "1", "old": "1", "src/kept": "1"}
    )
    clone = tmp_path / "source"
    checkout(repository.url, sha, clone, lambda _line: None)
    (clone / "node_modules/.bin").mkdir(parents=True)
    (clone / "node_modules/tool.js").write_text("run()")
    (clone / "node_modules/tool.js").chmod(0o755)
    (clone / "node_modules/.bin/tool").symlink_to("../tool.js")
    (clone / ".venv/bin").mkdir(parents=True)
    (clone / ".venv/bin/python").symlink_to("/usr/bin/python3")
    (clone / "dist/empty").mkdir(parents=True)
    (clone / "dist/häßlich name.txt").write_text("x")
    (clone / "lock").write_text("2")
    (clone / "old").unlink()
    return clone, sha


def test_the_artifact_is_what_the_build_added_or_changed(built: tuple[Path, str]) -> None:
    clone, sha = built
    plan = plan_artifact(clone, sha, None)
    assert {file.path: file.kind for file in plan.files} == {
        ".venv/bin/python": "link",
        "dist/empty": "folder",
        "dist/häßlich name.txt": "file",
        "lock": "file",
        "node_modules/.bin/tool": "link",
        "node_modules/tool.js": "file",
    }
    assert plan.deleted == ("old",)


def test_what_the_build_itself_commits_is_in_the_artifact(built: tuple[Path, str]) -> None:
    clone, sha = built
    (clone / "version.txt").write_text("1.2.3")
    from tests.support.repository import Repository

    Repository(clone).commit({})
    assert "version.txt" in {file.path for file in plan_artifact(clone, sha, None).files}


def test_globs_narrow_the_artifact(built: tuple[Path, str]) -> None:
    clone, sha = built
    plan = plan_artifact(clone, sha, ["dist", "**/*.js"])
    assert [file.path for file in plan.files] == ["dist/empty", "dist/häßlich name.txt", "node_modules/tool.js"]
    assert plan.deleted == ()


def test_a_glob_that_means_nothing_is_an_error() -> None:
    with pytest.raises(ArtifactError, match=r"build.artifacts\[1\]"):
        narrow([ArtifactFile(path="dist/a", kind="file")], ["dist/**", "out/**"])


def test_the_artifact_comes_back_as_it_was(built: tuple[Path, str], tmp_path: Path) -> None:
    clone, sha = built
    plan = plan_artifact(clone, sha, None)
    archive = tmp_path / "artifact"
    pack(clone, plan.files, archive, 1_700_000_000)
    fresh = tmp_path / "fresh"
    checkout(f"file://{tmp_path}/repository", sha, fresh, lambda _line: None)
    unpack(archive, fresh, plan.deleted)
    assert (fresh / "node_modules/tool.js").stat().st_mode & 0o777 == 0o755
    assert str((fresh / "node_modules/.bin/tool").readlink()) == "../tool.js"
    assert str((fresh / ".venv/bin/python").readlink()) == "/usr/bin/python3"
    assert (fresh / "dist/empty").is_dir()
    assert (fresh / "dist/häßlich name.txt").read_text() == "x"
    assert (fresh / "lock").read_text() == "2"
    assert not (fresh / "old").exists()
    assert (fresh / "lock").stat().st_mtime == 1_700_000_000
    assert plan_artifact(fresh, sha, None) == plan


def test_the_same_files_give_the_same_bytes(built: tuple[Path, str], tmp_path: Path) -> None:
    clone, sha = built
    files = plan_artifact(clone, sha, None).files
    first = pack(clone, files, tmp_path / "1", 1_700_000_000)
    for file in files:
        os.utime(clone / file.path, (1, 1), follow_symlinks=False)
    second = pack(clone, files, tmp_path / "2", 1_700_000_000)
    assert first == second
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()
    assert first == (file_digest(tmp_path / "1"), (tmp_path / "1").stat().st_size)


def test_a_changed_archive_is_noticed(tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    archive.write_bytes(b"other")
    manifest = ArtifactManifest(
        pipeline="p",
        run="r",
        commit="c",
        branch="main",
        repository="u",
        created_at="t",
        commit_timestamp=0,
        builder="",
        key="k",
        sha256="0" * 64,
        size=5,
        files=[],
    )
    with pytest.raises(ArtifactError, match="is not what the build stored"):
        verify(archive, manifest)


def hostile(path: Path, *entries: tarfile.TarInfo) -> Path:
    """An archive with entries as no build of ours makes them."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        for entry in entries:
            archive.addfile(entry, io.BytesIO(b"x" * entry.size))
    path.write_bytes(zstandard.compress(plain.getvalue()))
    return path


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, 1 if kind == tarfile.REGTYPE else 0
    return info


@pytest.mark.parametrize(
    "entries",
    [
        [entry("/etc/evil")],
        [entry("../evil")],
        [entry("a/../../evil")],
        [entry(".git/hooks/post-checkout")],
        [entry("link", tarfile.SYMTYPE, "/tmp"), entry("link/evil")],
        [entry("d/x"), entry("hard", tarfile.LNKTYPE, "/etc/passwd")],
        [entry("device", tarfile.CHRTYPE)],
    ],
)
def test_an_entry_that_leaves_the_folder_is_refused(entries: list[tarfile.TarInfo], tmp_path: Path) -> None:
    archive = hostile(tmp_path / "archive", *entries)
    target = tmp_path / "target"
    target.mkdir()
    with pytest.raises(ArtifactError):
        unpack(archive, target)
    assert not list(tmp_path.rglob("evil"))


def test_nothing_is_written_through_a_link_that_the_repository_has(tmp_path: Path) -> None:
    target, outside = tmp_path / "target", tmp_path / "outside"
    target.mkdir()
    outside.mkdir()
    (target / "link").symlink_to(outside)
    with pytest.raises(ArtifactError, match="symbolic link"):
        unpack(hostile(tmp_path / "archive", entry("link/file")), target)
    (target / "name").symlink_to(outside / "victim")
    unpack(hostile(tmp_path / "archive", entry("name")), target)
    assert not (outside / "victim").exists()
    assert not (target / "name").is_symlink()


@pytest.mark.parametrize(
    ("path", "glob", "expected"),
    [
        ("dist/a.js", "dist/**", True),
        ("dist/x/a.js", "dist", True),
        ("dist/x/a.js", "dist/*", True),
        ("dist/a.js", "dist/*.js", True),
        ("dist/x/a.js", "dist/*.js", False),
        ("a.js", "**/*.js", True),
        ("x/y/a.js", "**/*.js", True),
        ("xdist", "dist", False),
        ("dist2", "dist", False),
        ("a+b.txt", "a+b.txt", True),
        ("b1", "[ab]?", True),
        ("c1", "[!ab]?", True),
    ],
)
def test_globs(path: str, glob: str, expected: bool) -> None:
    assert matches(path, glob) is expected
