"""The artifact is what the build added to or changed in its clone, narrowed by globs."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from stages.artifact import ArtifactError, ArtifactFile, ArtifactManifest, narrow, plan_artifact, shown, walk
from stages.changes import ChangesError, changes_since, unquoted
from stages.globs import matches
from tests.support.artifacts import Clone, known, new_clone
from tests.support.repository import Repository, new_repository

NOT_UTF8 = os.fsdecode(b"caf\xe9")


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    """A clone in which a build has run."""
    clone = new_clone(
        tmp_path, {".gitignore": "node_modules\n.venv\n", "src/main.py": "1", "lock": "1", "old": "1", "src/kept": "1"}
    )
    folder = clone.path
    (folder / "node_modules/.bin").mkdir(parents=True)
    (folder / "node_modules/tool.js").write_text("run()")
    (folder / "node_modules/tool.js").chmod(0o755)
    (folder / "node_modules/.bin/tool").symlink_to("../tool.js")
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / ".venv/bin/python").symlink_to("/usr/bin/python3")
    (folder / "dist/empty").mkdir(parents=True)
    (folder / "dist/häßlich name.txt").write_text("x")
    (folder / "lock").write_text("2")
    (folder / "old").unlink()
    return clone


def planned(clone: Clone, globs: list[str] | None = None) -> dict[str, str]:
    return {file.path: file.kind for file in plan_artifact(clone.path, clone.commit, globs).files}


def test_the_artifact_is_what_the_build_added_or_changed(clone: Clone) -> None:
    assert planned(clone) == {
        ".venv/bin/python": "link",
        "dist/empty": "folder",
        "dist/häßlich name.txt": "file",
        "lock": "file",
        "node_modules/.bin/tool": "link",
        "node_modules/tool.js": "file",
    }
    assert plan_artifact(clone.path, clone.commit, None).deleted == ("old",)


def test_what_the_build_itself_commits_is_in_the_artifact(clone: Clone) -> None:
    (clone.path / "version.txt").write_text("1.2.3")
    Repository(clone.path).commit({})
    assert "version.txt" in planned(clone)


def test_names_of_any_bytes_are_in_the_artifact_and_told_from_tracked_ones(tmp_path: Path) -> None:
    odd = ["new\nline", "tab\t", 'quote"', "back\\slash", "日本語", " space ", NOT_UTF8]
    clone = new_clone(tmp_path, {**dict.fromkeys(odd[:-1], "1"), "gone\n": "1"})
    assert planned(clone) == {}
    for name in odd:
        (clone.path / name).write_text("2")
        (clone.path / f"dist{name}").write_text("2")
    (clone.path / "gone\n").unlink()
    assert planned(clone) == {name: "file" for each in odd for name in (each, f"dist{each}")}
    assert plan_artifact(clone.path, clone.commit, None).deleted == ("gone\n",)


def test_a_submodule_has_its_own_commit(tmp_path: Path) -> None:
    inner = new_repository(tmp_path / "inner")
    inner.commit({"same": "1", "changed": "1", "removed": "1"})
    outer = new_repository(tmp_path / "outer")
    outer.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", inner.url, "lib/inner")
    commit = outer.commit({"own": "1"})
    (outer.path / "lib/inner/changed").write_text("2")
    (outer.path / "lib/inner/removed").unlink()
    (outer.path / "lib/inner/added").write_text("1")
    plan = plan_artifact(outer.path, commit, None)
    assert [file.path for file in plan.files] == ["lib/inner/added", "lib/inner/changed"]
    assert plan.deleted == ("lib/inner/removed",)
    assert changes_since(outer.path, commit).git_folders == {".git", "lib/inner/.git"}


def test_a_build_that_removes_the_git_folder_is_told_so(clone: Clone) -> None:
    (clone.path / ".git").rename(clone.path.parent / "moved")
    with pytest.raises(ChangesError) as caught:
        plan_artifact(clone.path, clone.commit, None)
    assert str(caught.value) == (
        "git cannot say what the build changed.\n"
        "fatal: not a git repository (or any of the parent directories): .git\n"
        "The build's commands must leave the clone's .git folder as it is."
    )


def test_folders_with_a_mode_of_their_own_are_listed_and_sockets_are_not(tmp_path: Path) -> None:
    (tmp_path / "private").mkdir(mode=0o700)
    (tmp_path / "private/file").write_text("x")
    tmp_path.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
    os.mkfifo(tmp_path / "pipe")
    assert sorted((file.path, file.kind, oct(file.mode)) for file in walk(tmp_path)) == [
        ("private", "folder", "0o700"),
        ("private/file", "file", "0o644"),
    ]


def test_globs_narrow_the_artifact(clone: Clone) -> None:
    assert list(planned(clone, ["dist", "**/*.js"])) == ["dist/empty", "dist/häßlich name.txt", "node_modules/tool.js"]
    assert plan_artifact(clone.path, clone.commit, ["dist"]).deleted == ()
    assert list(planned(clone, ["**/.bin/*", ".*"])) == [".venv/bin/python", "node_modules/.bin/tool"]


def test_a_glob_that_means_an_unchanged_file_of_the_commit_is_no_error(clone: Clone) -> None:
    assert planned(clone, ["src"]) == {}


def test_every_glob_that_means_nothing_is_named(clone: Clone) -> None:
    with pytest.raises(ArtifactError) as caught:
        plan_artifact(clone.path, clone.commit, ["dist/**", "out/**", "/dist"])
    assert str(caught.value) == (
        'build.artifacts[1]: nothing that the build made is "out/**".\n'
        'build.artifacts[2]: nothing that the build made is "/dist".\n'
        "The build made .venv, dist, lock, node_modules. "
        "Globs are relative to the repository's root; ** crosses folders."
    )
    assert caught.value.details == {"field": "build.artifacts[1]", "globs": ["out/**", "/dist"]}


def test_a_build_that_made_nothing_is_told_so() -> None:
    with pytest.raises(ArtifactError) as caught:
        narrow([], ["dist"])
    assert str(caught.value) == (
        'build.artifacts[0]: nothing that the build made is "dist".\n'
        "The build made no file. Globs are relative to the repository's root; ** crosses folders."
    )


def test_of_much_that_was_made_a_part_is_named() -> None:
    with pytest.raises(ArtifactError) as caught:
        narrow([ArtifactFile(path=f"f{number:02}", kind="file") for number in range(12)], ["dist"])
    assert caught.value.hint == (
        "The build made f00, f01, f02, f03, f04, f05, f06, f07, f08, f09 and 2 more. "
        "Globs are relative to the repository's root; ** crosses folders."
    )


def test_the_manifest_keeps_names_of_any_bytes() -> None:
    manifest = known("r", "a" * 40).model_copy(
        update={
            "files": [ArtifactFile.model_construct(path=NOT_UTF8, kind="link", target="日本\n語")],
            "deleted": [NOT_UTF8],
        }
    )
    text = manifest.model_dump_json()
    assert '"deleted":[{"base64":"Y2Fm6Q=="}]' in text
    assert ArtifactManifest.model_validate_json(text) == manifest


@pytest.mark.parametrize(
    ("path", "text"), [("日本語", "日本語"), ("a\nb", r"a\nb"), (NOT_UTF8, r"caf\xe9"), ("a\x1b[31m", r"a\x1b[31m")]
)
def test_a_message_shows_a_path_on_one_line(path: str, text: str) -> None:
    assert shown(path) == text


@pytest.mark.parametrize(
    ("quoted", "name"),
    [("plain", "plain"), (r'"a\nb\t\"\\"', 'a\nb\t"\\'), (r'"caf\351"', NOT_UTF8), (r'"\346\227\245"', "日")],
)
def test_names_as_git_quotes_them(quoted: str, name: str) -> None:
    assert unquoted(quoted) == name


@pytest.mark.parametrize(
    ("path", "glob", "expected"),
    [
        ("dist/a.js", "dist/**", True),
        ("dist/x/a.js", "dist", True),
        ("dist/x/a.js", "./dist/", True),
        ("dist/x/a.js", "dist/*", True),
        ("dist/a.js", "dist/*.js", True),
        ("dist/x/a.js", "dist/*.js", False),
        ("dist/.hidden", "dist/*", True),
        (".hidden/x", "**/x", True),
        ("a.js", "**/*.js", True),
        ("x/y/a.js", "**/*.js", True),
        ("xdist", "dist", False),
        ("dist2", "dist", False),
        ("a+b.txt", "a+b.txt", True),
        ("b1", "[ab]?", True),
        ("c1", "[!ab]?", True),
        ("a/b", "a[!x]b", False),
        ("a-b", "a[\\^-]b", True),
        ("a[b", "a[b", True),
        ("отчёт/данные.csv", "отч?т/*.csv", True),
        ("cafe\u0301/menu", "caf\u00e9", True),
        ("new\nline/x", "new?line/**", True),
        (NOT_UTF8, "caf?", True),
    ],
)
def test_globs(path: str, glob: str, expected: bool) -> None:
    assert matches(path, glob) is expected
