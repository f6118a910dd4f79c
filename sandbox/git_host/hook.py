"""What git's post-receive hook runs: one webhook for each ref that a push moved, as GitHub sends them."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from aphex.errors import AphexError
from sandbox.git_host.delivery import Delivery, deliver
from sandbox.git_host.history import commit, is_forced, pushed_commits
from sandbox.git_host.payloads import Payload, PushedRef, push_payload
from sandbox.git_host.repository import NO_COMMIT, Repository, open_repository

_ANNOUNCED = ("refs/heads/", "refs/tags/")


def moved_refs(lines: Iterable[str]) -> list[PushedRef]:
    """The branches and tags in what git hands to the hook: a line `before after ref` for each ref."""
    refs = []
    for line in lines:
        before, after, ref = line.rstrip("\n").split(" ", 2)
        if ref.startswith(_ANNOUNCED):
            refs.append(PushedRef(ref=ref, before=before, after=after))
    return refs


def describe(repository: Repository, moved: PushedRef) -> Payload:
    """The `push` event of one ref."""
    forced = is_forced(repository, moved.before, moved.after)
    pushed = PushedRef(ref=moved.ref, before=moved.before, after=moved.after, forced=forced)
    head = None if moved.after == NO_COMMIT else commit(repository, moved.after)
    commits = pushed_commits(repository, moved.ref, moved.before, moved.after)
    return push_payload(repository, pushed, commits, head)


def announce(repository: Repository, lines: Iterable[str]) -> list[Delivery]:
    """Send the events of a push, in the order that git tells its refs."""
    return [deliver(repository, "push", describe(repository, moved)) for moved in moved_refs(lines)]


def main() -> int:
    """Run in the repository's folder, with git's lines on standard input; what is printed reaches the pusher."""
    try:
        results = announce(open_repository(Path.cwd()), sys.stdin)
    except AphexError as error:
        print(f"webhook: {error}", flush=True)
        return 1
    for result in results:
        print(result.summary(), flush=True)
    return 0 if all(result.ok or not result.url for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
