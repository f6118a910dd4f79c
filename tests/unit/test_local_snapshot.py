"""The commit of a local run: what the user has, and nothing in the user's repository."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from aphex.errors import UsageError
from aphex.process import run
from automation.local.snapshot import Snapshot, take_snapshot
from tests.support.repository import Repository, new_repository

CONFIG = "aphex-config.yaml"


@pytest.fixture(autouse=True)
def _hermetic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


def snapshot(folder: Path, into: Path, commit: str | None = None, said: list[str] | None = None) -> Snapshot:
    into.mkdir()
    return take_snapshot(folder, into / "repository.git", commit, (said if said is not None else []).append)


def cloned(taken: Snapshot, folder: Path) -> Path:
    """What a stage has of it."""
    run(["git", "clone", "--quiet", taken.url, str(folder)])
    run(["git", "checkout", "--quiet", "--detach", taken.commit], cwd=folder)
    return folder


def files(folder: Path) -> dict[str, str]:
    paths = sorted(path for path in folder.rglob("*") if ".git" not in path.parts and not path.is_dir())
    return {str(path.relative_to(folder)): path.read_text() for path in paths}


def state(repository: Path) -> dict[str, str]:
    """Every file of a repository's folder with its content and times."""
    return {
        str(path.relative_to(repository)): f"{path.lstat().st_mtime_ns} "
        + (hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "")
        for path in sorted(repository.rglob("*"))
    }


@pytest.fixture
def application(tmp_path: Path) -> Repository:
    repository = new_repository(tmp_path / "application")
    repository.commit({CONFIG: "one\n", "gone": "", "kept": "as it is\n", ".gitignore": "ignored\n*.log\n"})
    return repository


def test_the_working_tree_is_taken_as_it_is(application: Repository, tmp_path: Path) -> None:
    (application.path / CONFIG).write_text("two\n")
    (application.path / "gone").unlink()
    (application.path / "nëw file").write_text("untracked\n")
    (application.path / "ignored").write_text("no\n")
    (application.path / "staged").write_text("staged\n")
    application.git("add", "staged")
    before = state(application.path)
    taken = snapshot(application.path, tmp_path / "run")
    assert state(application.path) == before
    assert files(cloned(taken, tmp_path / "clone")) == {
        ".gitignore": "ignored\n*.log\n",
        CONFIG: "two\n",
        "kept": "as it is\n",
        "nëw file": "untracked\n",
        "staged": "staged\n",
    }
    assert taken.branch == "main"
    assert taken.message == f"The working tree on top of {application.git('rev-parse', '--short=10', 'HEAD')}"
    assert taken.title == f"the working tree {application.path}"


def test_a_clean_working_tree_is_its_commit(application: Repository, tmp_path: Path) -> None:
    taken = snapshot(application.path, tmp_path / "run")
    head = application.git("rev-parse", "HEAD")
    assert (taken.commit, taken.author, taken.message) == (head, "Ann", "change")
    assert taken.title == f"commit {head[:10]}"
    assert taken.read(CONFIG) == "one\n"
    assert taken.read("no such file") is None


def test_a_commit_is_taken_whatever_the_working_tree_is(application: Repository, tmp_path: Path) -> None:
    first = application.git("rev-parse", "HEAD")
    application.commit({CONFIG: "two\n"}, "second")
    (application.path / CONFIG).write_text("three\n")
    before = state(application.path)
    taken = snapshot(application.path, tmp_path / "run", "HEAD~1")
    assert state(application.path) == before
    assert taken.commit == first
    assert files(cloned(taken, tmp_path / "clone"))[CONFIG] == "one\n"


def test_modes_and_links_are_kept(application: Repository, tmp_path: Path) -> None:
    script = application.path / "script"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    (application.path / "link").symlink_to("script")
    clone = cloned(snapshot(application.path, tmp_path / "run"), tmp_path / "clone")
    assert os.access(clone / "script", os.X_OK)
    assert (clone / "link").readlink() == Path("script")


def test_an_application_in_a_folder_of_a_repository_is_that_folder(tmp_path: Path) -> None:
    repository = new_repository(tmp_path / "many")
    sha = repository.commit({"shop/aphex-config.yaml": "one\n", "other/file": "", ".gitignore": "*.log\n"})
    taken = snapshot(repository.path / "shop", tmp_path / "run", sha)
    assert files(cloned(taken, tmp_path / "clone")) == {CONFIG: "one\n"}
    assert taken.title == f"shop of commit {sha[:10]}"
    (repository.path / "shop" / "noise.log").write_text("ignored by the folder above\n")
    (repository.path / "shop" / "more").write_text("more\n")
    again = snapshot(repository.path / "shop", tmp_path / "run-2")
    assert files(cloned(again, tmp_path / "clone-2")) == {CONFIG: "one\n", "more": "more\n"}


def test_a_folder_that_is_no_repository_works_too(tmp_path: Path) -> None:
    folder = tmp_path / "plain"
    folder.mkdir()
    (folder / CONFIG).write_text("one\n")
    (folder / ".gitignore").write_text("dist\n")
    (folder / "dist").mkdir()
    (folder / "dist" / "made").write_text("no\n")
    taken = snapshot(folder, tmp_path / "run")
    assert files(cloned(taken, tmp_path / "clone")) == {CONFIG: "one\n", ".gitignore": "dist\n"}
    assert sorted(path.name for path in folder.iterdir()) == [".gitignore", CONFIG, "dist"]
    with pytest.raises(UsageError) as raised:
        snapshot(folder, tmp_path / "run-2", "HEAD")
    assert str(raised.value) == f"{folder} is not in a git repository: there is no commit to run.\nLeave --commit out."


def test_an_unborn_branch_works_too(tmp_path: Path) -> None:
    repository = new_repository(tmp_path / "new")
    (repository.path / CONFIG).write_text("one\n")
    assert snapshot(repository.path, tmp_path / "run").message == "The working tree"


def test_a_repository_within_is_left_out_and_said(application: Repository, tmp_path: Path) -> None:
    new_repository(application.path / "inner").commit({"file": ""})
    said: list[str] = []
    taken = snapshot(application.path, tmp_path / "run", said=said)
    assert said == ["inner/ is a repository of its own, and no submodule: it is left out."]
    assert "inner/file" not in files(cloned(taken, tmp_path / "clone"))


def test_a_submodule_stays_one_at_the_commit_that_is_checked_out(application: Repository, tmp_path: Path) -> None:
    library = new_repository(tmp_path / "library")
    library.commit({"file": "one\n"})
    application.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", library.url, "library")
    application.git("commit", "--quiet", "--message", "library")
    newer = library.commit({"file": "two\n"})
    run(["git", "pull", "--quiet"], cwd=application.path / "library")
    taken = snapshot(application.path, tmp_path / "run")
    listed = run(["git", "ls-tree", taken.commit, "library"], cwd=taken.repository).output
    assert listed.split() == ["160000", "commit", newer, "library"]


def test_inside_a_hook_the_hooks_own_repository_is_not_taken_for_it(
    application: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = new_repository(tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(other.path / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other.path / ".git" / "index"))
    taken = snapshot(application.path, tmp_path / "run")
    assert taken.read(CONFIG) == "one\n"


def test_a_commit_that_is_not_there_is_named(application: Repository, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as raised:
        snapshot(application.path, tmp_path / "run", "f" * 40)
    assert str(raised.value) == (
        f"There is no commit {'f' * 40} in the repository of {application.path}.\nIs it fetched?"
    )


def test_a_folder_without_a_configuration_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    with pytest.raises(UsageError) as raised:
        snapshot(folder, tmp_path / "run")
    assert str(raised.value) == (
        f"{folder / CONFIG} is not there, or git ignores it.\nName another folder's with --config."
    )
