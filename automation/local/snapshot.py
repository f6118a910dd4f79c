"""The commit of a local run: a repository of its own with one commit, made from what the user has and never in it.

The working tree becomes a commit of a bare repository elsewhere; the user's index, references and objects are only
read.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from aphex.config import CONFIG_FILE
from aphex.errors import AphexError, UsageError
from aphex.process import run as run_program

# `git rev-parse --local-env-vars`: inside a hook they would point every git at the repository of the hook.
REPOSITORY_VARIABLES = frozenset(
    {
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_COMMON_DIR",
        "GIT_CONFIG",
        "GIT_CONFIG_COUNT",
        "GIT_CONFIG_PARAMETERS",
        "GIT_DIR",
        "GIT_GRAFT_FILE",
        "GIT_IMPLICIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_INTERNAL_SUPER_PREFIX",
        "GIT_NO_REPLACE_OBJECTS",
        "GIT_OBJECT_DIRECTORY",
        "GIT_PREFIX",
        "GIT_REPLACE_REF_BASE",
        "GIT_SHALLOW_FILE",
        "GIT_WORK_TREE",
    }
)
_REF = "refs/heads/local"
_SUBMODULE = "160000"
_NO_REPOSITORY = ("not a git repository", "must be run in a work tree")


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The one commit of a repository of its own.

    Attributes:
        repository: the bare repository.
        commit: its SHA.
        branch: the user's branch; empty when there is none.
        author: of the commit, else who works here.
        message: of the commit.
        title: what it is, for people.
    """

    repository: Path
    commit: str
    branch: str
    author: str
    message: str
    title: str

    @property
    def url(self) -> str:
        """What the stages clone."""
        return self.repository.as_uri()

    def read(self, path: str) -> str | None:
        """A file of the commit; None when it has none of that name."""
        return _run(self.repository, "show", f"{self.commit}:{path}")


@dataclass(frozen=True, kw_only=True)
class _Origin:
    """The user's repository.

    Attributes:
        folder: the application's folder in it.
        prefix: that folder in the repository, with a slash at its end; empty at its top.
    """

    folder: Path
    prefix: str

    def git(self, *arguments: str) -> str:
        return _required(self.folder, *arguments)

    def maybe(self, *arguments: str) -> str:
        return (_run(self.folder, *arguments) or "").strip()

    def path(self, name: str) -> Path:
        return (self.folder / self.git("rev-parse", "--git-path", name).strip()).resolve()


def take_snapshot(folder: Path, into: Path, commit: str | None, report: Callable[[str], None]) -> Snapshot:
    """Make the commit of a run.

    Args:
        folder: the application's folder, the one with its configuration.
        into: the repository to make; its parent is there.
        commit: a commit of the user's repository; None for the working tree as it is.
        report: told what a person may not expect.

    Raises:
        UsageError: there is no such commit, or no repository that could have one.
        AphexError: git cannot read the folder.
    """
    folder = folder.resolve()
    origin = _origin(folder)
    _required(into.parent, "init", "--quiet", "--bare", str(into))
    if commit is not None:
        if origin is None:
            raise UsageError(
                f"{folder} is not in a git repository: there is no commit to run.", hint="Leave --commit out."
            )
        return _of_commit(origin, into, _resolved(origin, commit))
    tree = _tree(folder, origin, into, report)
    if origin is not None and not origin.prefix and origin.maybe("rev-parse", "--verify", "HEAD^{tree}") == tree:
        return _of_commit(origin, into, _resolved(origin, "HEAD"))
    return _of_tree(folder, origin, into, tree)


def _origin(folder: Path) -> _Origin | None:
    if not folder.is_dir():
        raise UsageError(f"There is no folder {folder}.")
    asked = run_program(
        ["git", "rev-parse", "--show-prefix"], cwd=folder, env=git_variables(), check=False, separate_errors=True
    )
    if asked.ok:
        return _Origin(folder=folder, prefix=asked.output.strip("\n"))
    if any(words in asked.error_output for words in _NO_REPOSITORY):
        return None
    raise AphexError(f"git cannot read {folder}.\n{asked.error_output.strip()}")


def _resolved(origin: _Origin, commit: str) -> str:
    found = origin.maybe("rev-parse", "--verify", "--quiet", "--end-of-options", f"{commit}^{{commit}}")
    if not found:
        raise UsageError(f"There is no commit {commit} in the repository of {origin.folder}.", hint="Is it fetched?")
    return found


def _of_commit(origin: _Origin, into: Path, sha: str) -> Snapshot:
    """Borrow the user's objects; a folder of the repository becomes a commit of its own."""
    (into / "objects" / "info" / "alternates").write_text(f"{origin.path('objects')}\n", encoding="utf-8")
    if (shallow := origin.path("shallow")).is_file():
        shutil.copyfile(shallow, into / "shallow")
    if (large := origin.path("lfs")).is_dir():
        (into / "lfs").symlink_to(large)
    author, message = origin.git("show", "--no-patch", "--format=%an%n%s", sha).rstrip("\n").split("\n", 1)
    chosen, title = sha, f"commit {sha[:10]}"
    if origin.prefix:
        tree = origin.maybe("rev-parse", "--verify", "--quiet", f"{sha}:{origin.prefix.rstrip('/')}")
        if not tree:
            raise UsageError(f"The commit {sha} has no folder {origin.prefix.rstrip('/')}.")
        date = origin.git("show", "--no-patch", "--format=%cI", sha).strip()
        chosen = _commit(into, tree, author, message, date)
        title = f"{origin.prefix.rstrip('/')} of commit {sha[:10]}"
    _required(into, "update-ref", _REF, chosen)
    return Snapshot(repository=into, commit=chosen, branch=_branch(origin), author=author, message=message, title=title)


def _of_tree(folder: Path, origin: _Origin | None, into: Path, tree: str) -> Snapshot:
    author = (_run(folder, "config", "user.name") or "").strip()
    head = origin.maybe("rev-parse", "--short=10", "--verify", "--quiet", "HEAD") if origin else ""
    message = f"The working tree on top of {head}" if head else "The working tree"
    commit = _commit(into, tree, author, message)
    _required(into, "update-ref", _REF, commit)
    return Snapshot(
        repository=into,
        commit=commit,
        branch=_branch(origin) if origin else "",
        author=author,
        message=message,
        title=f"the working tree {folder}",
    )


def _tree(folder: Path, origin: _Origin | None, into: Path, report: Callable[[str], None]) -> str:
    """Write what the folder holds, without what is ignored, and return the tree."""
    here = {"GIT_DIR": str(into), "GIT_WORK_TREE": str(folder)}
    listing = {} if origin is not None else here
    kept = _required(folder, "ls-files", "-z", "--cached", "--stage", variables=listing).split("\0")
    others = _required(folder, "ls-files", "-z", "--others", "--exclude-standard", variables=listing).split("\0")
    files: dict[str, None] = {}
    for entry in filter(None, kept):
        words, _, name = entry.partition("\t")
        mode, sha, _stage = words.split()
        if mode == _SUBMODULE:
            sha = _checked_out(folder / name) or sha
            _required(folder, "update-index", "--add", "--cacheinfo", f"{mode},{sha},{name}", variables=here)
        elif os.path.lexists(folder / name):
            files[name] = None
    for name in filter(None, others):
        if name.endswith("/"):
            report(f"{name} is a repository of its own, and no submodule: it is left out.")
        else:
            files[name] = None
    if CONFIG_FILE not in files:
        raise UsageError(
            f"{folder / CONFIG_FILE} is not there, or git ignores it.", hint="Name another folder's with --config."
        )
    paths = "".join(f"{name}\0" for name in files)
    _required(folder, "update-index", "--add", "-z", "--stdin", variables=here, text=paths)
    return _required(folder, "write-tree", variables=here).strip()


def _checked_out(submodule: Path) -> str:
    """The commit that a submodule is at; empty when it is not checked out."""
    if not (submodule / ".git").exists():
        return ""
    return (_run(submodule, "rev-parse", "--verify", "--quiet", "HEAD") or "").strip()


def _branch(origin: _Origin) -> str:
    return origin.maybe("symbolic-ref", "--quiet", "--short", "HEAD")


def _commit(into: Path, tree: str, author: str, message: str, date: str = "") -> str:
    who = {
        f"GIT_{role}_{key}": value
        for role in ("AUTHOR", "COMMITTER")
        for key, value in (("NAME", author or "Local run"), ("EMAIL", "local@aphex.invalid"), ("DATE", date))
        if value
    }
    return _required(into, "commit-tree", tree, "-m", message, variables=who).strip()


def git_variables(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment in which git finds the repository by its folder, asks nothing and writes nothing by the way."""
    kept = {name: value for name, value in os.environ.items() if name not in REPOSITORY_VARIABLES}
    return {**kept, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C.UTF-8", **(more or {})}


def _required(
    folder: Path, *arguments: str, variables: Mapping[str, str] | None = None, text: str | None = None
) -> str:
    return run_program(
        ["git", *arguments],
        cwd=folder,
        env=git_variables(variables),
        input=text,
        separate_errors=True,
        label=f"git {arguments[0]}",
    ).output


def _run(folder: Path, *arguments: str) -> str | None:
    done = run_program(["git", *arguments], cwd=folder, env=git_variables(), check=False, separate_errors=True)
    return done.output if done.ok else None
