"""Reads commits out of a repository in the form that webhooks tell them."""

from __future__ import annotations

from dataclasses import dataclass, field

from sandbox.git_host.repository import NO_COMMIT, Repository

_FIELDS = ("%H", "%T", "%cI", "%an", "%ae", "%cn", "%ce", "%B")
_RECORD, _UNIT = "\x1e", "\x1f"
_KINDS = {"A": "added", "D": "removed"}
MOST_COMMITS = 2048
"""GitHub tells no more commits of one push."""


@dataclass(frozen=True, kw_only=True)
class Person:
    """Who wrote or made a commit."""

    name: str
    email: str


@dataclass(frozen=True, kw_only=True)
class Commit:
    """A commit. `timestamp` is RFC 3339; the files are paths in the repository."""

    sha: str
    tree: str
    timestamp: str
    author: Person
    committer: Person
    message: str
    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    modified: list[str] = field(default_factory=list)


def commit(repository: Repository, sha: str) -> Commit:
    """One commit.

    Raises:
        ProcessError: the repository has no such commit.
    """
    return _log(repository, "--no-walk", sha)[0]


def pushed_commits(repository: Repository, ref: str, before: str, after: str) -> list[Commit]:
    """The commits that a push brought to a ref, oldest first: for a new ref those that no other ref has."""
    if after == NO_COMMIT:
        return []
    limits = ["--not", f"--exclude={ref}", "--glob=refs/*"] if before == NO_COMMIT else ["--not", before]
    return _log(repository, "--reverse", f"--max-count={MOST_COMMITS}", after, *limits)


def is_forced(repository: Repository, before: str, after: str) -> bool:
    """Whether a ref that moved from one commit to the other left commits behind."""
    if NO_COMMIT in (before, after):
        return False
    return repository.git("rev-list", "--max-count=1", before, "--not", after) != ""


def _log(repository: Repository, *which: str) -> list[Commit]:
    form = _RECORD + _UNIT.join(_FIELDS) + _UNIT
    text = repository.git("log", "--no-renames", "--name-status", f"--format=format:{form}", *which)
    return [_parse(record) for record in text.split(_RECORD)[1:]]


def _parse(record: str) -> Commit:
    sha, tree, timestamp, author, author_email, committer, committer_email, message, files = record.split(_UNIT)
    changed: dict[str, list[str]] = {"added": [], "removed": [], "modified": []}
    for line in files.strip("\n").splitlines():
        status, _, path = line.partition("\t")
        changed[_KINDS.get(status, "modified")].append(path)
    return Commit(
        sha=sha,
        tree=tree,
        timestamp=timestamp,
        author=Person(name=author, email=author_email),
        committer=Person(name=committer, email=committer_email),
        message=message.rstrip("\n"),
        **changed,
    )
