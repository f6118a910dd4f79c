"""Pull requests of the git host: no more than a number, two branches, and the events that tell of them."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from aphex.errors import UsageError
from sandbox.git_host.delivery import Delivery, deliver
from sandbox.git_host.history import Person, commit
from sandbox.git_host.payloads import PullRequestAction, PullRequestHeads, pull_request_payload
from sandbox.git_host.repository import MAIN_BRANCH, Repository

_FILE = "pull-requests.json"


class PullRequest(BaseModel):
    """An open pull request. `head` and `base` are branches; `sha` is the head's commit that was last announced."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int
    title: str
    head: str
    base: str
    sha: str
    author: str
    author_email: str


class _PullRequests(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    pull_requests: tuple[PullRequest, ...] = ()


class UnknownPullRequest(UsageError):
    """The repository has no such pull request."""


def list_pull_requests(repository: Repository) -> list[PullRequest]:
    """The pull requests of a repository by number."""
    path = repository.path / _FILE
    return list(_PullRequests.model_validate_json(path.read_bytes()).pull_requests) if path.exists() else []


def open_pull_request(
    repository: Repository, branch: str, title: str = "", base: str = MAIN_BRANCH
) -> tuple[PullRequest, Delivery]:
    """Ask to merge a branch, and send the event `pull_request` with the action `opened`.

    Args:
        repository: has both branches.
        branch: the one to merge.
        title: of the pull request; the first line of the branch's newest commit when empty.
        base: the branch to merge into.

    Raises:
        UnknownBranch: one of the branches is missing.
    """
    head = commit(repository, repository.tip(branch))
    repository.tip(base)
    with _locked(repository) as path:
        present = list_pull_requests(repository)
        pull_request = PullRequest(
            number=max((each.number for each in present), default=0) + 1,
            title=title or head.message.splitlines()[0],
            head=branch,
            base=base,
            sha=head.sha,
            author=head.author.name,
            author_email=head.author.email,
        )
        _save(path, [*present, pull_request])
    return pull_request, _announce(repository, pull_request, "opened", None)


def update_pull_request(repository: Repository, number: int, title: str = "") -> tuple[PullRequest, Delivery]:
    """Bring a pull request to its branch's newest commit, and send the action `synchronize`.

    Args:
        repository: the one it was opened in.
        number: which one.
        title: a new title; the same as before when empty.

    Raises:
        UnknownPullRequest: there is none of that number.
        UnknownBranch: its branch is gone.
    """
    with _locked(repository) as path:
        present = list_pull_requests(repository)
        former = next((each for each in present if each.number == number), None)
        if former is None:
            numbers = ", ".join(f"#{each.number}" for each in present) or "none"
            raise UnknownPullRequest(f"{repository.full_name} has no pull request #{number}.", hint=f"Has: {numbers}.")
        changes = {"sha": repository.tip(former.head), "title": title or former.title}
        pull_request = former.model_copy(update=changes)
        _save(path, [pull_request if each.number == number else each for each in present])
    return pull_request, _announce(repository, pull_request, "synchronize", former.sha)


def _announce(
    repository: Repository, pull_request: PullRequest, action: PullRequestAction, before: str | None
) -> Delivery:
    repository.git("update-ref", f"refs/pull/{pull_request.number}/head", pull_request.sha)
    heads = PullRequestHeads(
        head=pull_request.head,
        head_sha=pull_request.sha,
        base=pull_request.base,
        base_sha=repository.tip(pull_request.base),
    )
    author = Person(name=pull_request.author, email=pull_request.author_email)
    payload = pull_request_payload(
        repository, action, pull_request.number, pull_request.title, heads, author, before=before
    )
    return deliver(repository, "pull_request", payload)


@contextmanager
def _locked(repository: Repository) -> Iterator[Path]:
    """Hold the list of pull requests, so that two commands cannot take the same number."""
    path = repository.path / _FILE
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield path


def _save(path: Path, pull_requests: list[PullRequest]) -> None:
    temporary = path.with_suffix(".new")
    temporary.write_text(_PullRequests(pull_requests=tuple(pull_requests)).model_dump_json(indent=2))
    temporary.replace(path)
