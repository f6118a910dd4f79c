"""Properties of the clone, over real git histories."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from aphex.process import run
from stages.source import checkout
from tests.support.repository import new_repository

EXAMPLES = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
NAMES = ("a", "b c", "d/e", "d/f/g", "ä\u2028\n.txt", "-x", "*")
MODES = ("100644", "100755", "120000")
File = tuple[str, str]


@dataclass(frozen=True)
class Change:
    """A commit to be made.

    Attributes:
        parents: positions of earlier commits; the first one's files are gone on with.
        files: what it writes, as mode and content; None removes.
    """

    parents: tuple[int, ...]
    files: Mapping[str, File | None]


@st.composite
def histories(draw: st.DrawFn) -> list[Change]:
    """Commits in any shape: lines, branches, merges, several beginnings."""
    contents = st.tuples(st.sampled_from(MODES), st.text("ab\r\n é$", min_size=1, max_size=8))
    history: list[Change] = []
    for position in range(draw(st.integers(1, 6))):
        earlier = st.lists(st.integers(0, position - 1), unique=True, max_size=2) if position else st.just([])
        files = draw(st.dictionaries(st.sampled_from(NAMES), st.none() | contents, max_size=4))
        history.append(Change(tuple(draw(earlier)), files))
    return history


def contents_of(history: list[Change]) -> list[dict[str, File]]:
    """The files of each commit."""
    done: list[dict[str, File]] = []
    for change in history:
        files = dict(done[change.parents[0]]) if change.parents else {}
        for name, file in change.files.items():
            if file is not None:
                files[name] = file
            else:
                files.pop(name, None)
        done.append(files)
    return done


def made(history: list[Change], repository: Path, head: int) -> list[str]:
    """Make the history with its HEAD at one commit, which may leave others on no branch; returns the SHAs."""
    lines: list[str] = []
    for position, change in enumerate(history):
        lines += ["reset refs/heads/main", "", "commit refs/heads/main", f"mark :{position + 1}"]
        lines += [f"committer Ann <ann@example.com> {1_700_000_000 + position} +0000", "data 1", "m"]
        lines += [f"{word} :{parent + 1}" for word, parent in zip(("from", "merge"), change.parents, strict=False)]
        for name, file in change.files.items():
            quoted = '"' + name.replace("\n", "\\n") + '"'
            if file is None:
                lines.append(f"D {quoted}")
            else:
                lines += [f"M {file[0]} inline {quoted}", f"data {len(file[1].encode())}", file[1]]
        lines.append("")
    lines += ["reset refs/heads/main", f"from :{head + 1}", "", "done", ""]
    marks = repository / "marks"
    command = ["git", "fast-import", "--quiet", "--force", "--done", f"--export-marks={marks}"]
    run(command, cwd=repository, input="\n".join(lines))
    by_mark = dict(line.split() for line in marks.read_text().splitlines())
    return [by_mark[f":{position + 1}"] for position in range(len(history))]


def files_of(clone: Path) -> dict[str, File]:
    """All files of a clone, as git would record them."""
    found: dict[str, File] = {}
    for folder, folders, names in os.walk(clone):
        if ".git" in folders:
            folders.remove(".git")
        for path in (Path(folder) / name for name in names):
            if path.is_symlink():
                file = ("120000", str(path.readlink()))
            else:
                mode = "100755" if path.stat().st_mode & 0o100 else "100644"
                file = (mode, path.read_bytes().decode())
            found[str(path.relative_to(clone))] = file
    return found


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository without commits, which each example copies."""
    return new_repository(tmp_path_factory.mktemp("empty") / "repository").path


# Property 2: for any commit of a repository, the clone is at that commit, not at HEAD
@EXAMPLES
@given(history=histories(), data=st.data())
def test_a_clone_is_at_the_commit(empty: Path, history: list[Change], data: st.DataObject) -> None:
    head = data.draw(st.integers(0, len(history) - 1), label="head")
    wanted = data.draw(st.integers(0, len(history) - 1), label="wanted")
    event("the commit is HEAD" if head == wanted else "the commit is not HEAD")
    with tempfile.TemporaryDirectory() as folder:
        repository, clone = Path(folder) / "repository", Path(folder) / "clone"
        shutil.copytree(empty, repository)
        commits = made(history, repository / ".git", head)
        timestamp = checkout(f"file://{repository}", commits[wanted], clone, lambda _line: None)
        assert (clone / ".git" / "HEAD").read_text().strip() == commits[wanted]
        assert files_of(clone) == contents_of(history)[wanted]
        assert timestamp == 1_700_000_000 + wanted
