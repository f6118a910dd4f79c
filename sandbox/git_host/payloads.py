"""The bodies of webhooks, shaped as GitHub's.

https://docs.github.com/en/webhooks/webhook-events-and-payloads#push, `#pull_request` and `#ping`; what only GitHub
itself has, such as node ids and API addresses, is left out.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sandbox.git_host.history import Commit, Person
from sandbox.git_host.repository import MAIN_BRANCH, NO_COMMIT, Repository

Payload = dict[str, Any]
PullRequestAction = Literal["opened", "synchronize"]


@dataclass(frozen=True, kw_only=True)
class PushedRef:
    """A ref that a push moved, as git's post-receive hook is told it; forty zeros stand for no commit."""

    ref: str
    before: str
    after: str
    forced: bool = False


@dataclass(frozen=True, kw_only=True)
class PullRequestHeads:
    """The two sides of a pull request: branch names and their commits."""

    head: str
    head_sha: str
    base: str
    base_sha: str


def push_payload(repository: Repository, pushed: PushedRef, commits: Sequence[Commit], head: Commit | None) -> Payload:
    """The body of a `push` event.

    Args:
        repository: where it happened.
        pushed: the ref that moved.
        commits: what the push brought, oldest first.
        head: the commit that the ref is at now; None when it was deleted.
    """
    pusher = head.committer if head else Person(name="unknown", email="unknown@localhost")
    return {
        "ref": pushed.ref,
        "before": pushed.before,
        "after": pushed.after,
        "created": pushed.before == NO_COMMIT,
        "deleted": pushed.after == NO_COMMIT,
        "forced": pushed.forced,
        "base_ref": None,
        "compare": f"{_page(repository)}/compare/{pushed.before[:12]}...{pushed.after[:12]}",
        "commits": [commit_payload(repository, each) for each in commits],
        "head_commit": commit_payload(repository, head) if head else None,
        "repository": repository_payload(repository),
        "pusher": {"name": pusher.name, "email": pusher.email},
        "sender": user_payload(pusher.name),
    }


def pull_request_payload(
    repository: Repository,
    action: PullRequestAction,
    number: int,
    title: str,
    heads: PullRequestHeads,
    author: Person,
    before: str | None = None,
) -> Payload:
    """The body of a `pull_request` event.

    Args:
        repository: where both branches are.
        action: what happened to it.
        number: of the pull request.
        title: of the pull request.
        heads: its branches.
        author: who opened it.
        before: the commit that the head branch was at, for `synchronize`.
    """
    page = f"{_page(repository)}/pull/{number}"
    side = {"user": user_payload(repository.full_name.split("/")[0]), "repo": repository_payload(repository)}
    owner = repository.full_name.split("/")[0]
    payload: Payload = {
        "action": action,
        "number": number,
        "pull_request": {
            "number": number,
            "state": "open",
            "title": title,
            "body": None,
            "draft": False,
            "merged": False,
            "html_url": page,
            "user": user_payload(author.name),
            "head": {"label": f"{owner}:{heads.head}", "ref": heads.head, "sha": heads.head_sha, **side},
            "base": {"label": f"{owner}:{heads.base}", "ref": heads.base, "sha": heads.base_sha, **side},
        },
        "repository": repository_payload(repository),
        "sender": user_payload(author.name),
    }
    if before is not None:
        payload |= {"before": before, "after": heads.head_sha}
    return payload


def ping_payload(repository: Repository, hook: int, description: Payload) -> Payload:
    """The body of a `ping` event, which a webhook gets when it is made or when somebody asks for it."""
    owner = repository.full_name.split("/")[0]
    return {
        "zen": "Keep it logically awesome.",
        "hook_id": hook,
        "hook": description,
        "repository": repository_payload(repository),
        "sender": user_payload(owner),
    }


def commit_payload(repository: Repository, commit: Commit) -> Payload:
    """A commit as events tell it."""
    return {
        "id": commit.sha,
        "tree_id": commit.tree,
        "distinct": True,
        "message": commit.message,
        "timestamp": commit.timestamp,
        "url": f"{_page(repository)}/commit/{commit.sha}",
        "author": {"name": commit.author.name, "email": commit.author.email},
        "committer": {"name": commit.committer.name, "email": commit.committer.email},
        "added": commit.added,
        "removed": commit.removed,
        "modified": commit.modified,
    }


def repository_payload(repository: Repository) -> Payload:
    """A repository as events tell it."""
    owner = repository.full_name.split("/")[0]
    return {
        "id": _number(repository.full_name),
        "name": repository.name,
        "full_name": repository.full_name,
        "private": True,
        "fork": False,
        "owner": {**user_payload(owner), "name": owner},
        "html_url": _page(repository),
        "clone_url": repository.clone_url,
        "git_url": repository.clone_url,
        "url": _page(repository),
        "default_branch": MAIN_BRANCH,
        "master_branch": MAIN_BRANCH,
    }


def user_payload(login: str) -> Payload:
    """A person as events tell one."""
    return {"login": login, "id": _number(login), "type": "User", "site_admin": False}


def _page(repository: Repository) -> str:
    return repository.clone_url.removesuffix(".git")


def _number(name: str) -> int:
    """An id that is the same each time, as GitHub's are."""
    return zlib.crc32(name.encode())
