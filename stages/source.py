"""The run's commit on disk: cloned shallow, at exactly its SHA."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from stages.context import without_credentials
from stages.git import CheckoutError, Git, Retries, reason, says
from stages.git_content import fetch_large_files, fetch_submodules
from stages.git_credentials import git_access
from stages.git_errors import Origin

# How servers say that they serve no commit by its SHA alone, or not without its history.
_NOT_BY_ITSELF = ("not our ref", "unadvertised object", "remote error: want", "dumb http transport")
_SSH = re.compile(r"^(?:ssh://|[^/:]+@[^/:]+:)")


class CommitMissing(CheckoutError):
    """The repository has no such commit, any more or yet."""


def checkout(
    repository: str,
    commit: str,
    folder: Path,
    report: Callable[[str], None],
    *,
    credentials: Path | None = None,
    namespace: str = "",
    retries: Retries = Retries(),  # noqa: B008  # it is frozen
) -> int:
    """Clone `repository` into `folder` at `commit`, with its submodules and large files.

    Args:
        repository: its address.
        commit: its SHA.
        folder: where it goes; a folder that is there is replaced.
        report: told what is done besides, and what is tried again.
        credentials: the folder of the mounted Secret `aphex-git`.
        namespace: the pipeline's, for the commands in hints.
        retries: how often a network fault is tried again.

    Returns:
        The commit's time, in seconds since the epoch.

    Raises:
        CheckoutError: the repository cannot be reached, or has no such commit.
    """
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    shown = without_credentials(repository)
    with git_access(repository, credentials) as access:
        git = Git(folder, access.settings, access.variables, report, retries)
        origin = Origin(shown, access, namespace, ssh=bool(_SSH.match(shown)))
        git.run("init", "--quiet")
        git.run("config", "remote.origin.url", shown)
        _fetch(git, origin, commit)
        git.run("checkout", "--quiet", "--detach", commit, GIT_LFS_SKIP_SMUDGE="1")
        for each in [git, *fetch_submodules(git, origin)]:
            fetch_large_files(each, origin)
    head = git.run("rev-parse", "HEAD").output.strip()
    if head != commit:
        raise CheckoutError(f"The clone of {shown} is at {head}, not at {commit}.")
    timestamp = int(git.run("show", "--no-patch", "--format=%ct", "HEAD").output)
    _date_files(git, timestamp)
    return timestamp


def _fetch(git: Git, origin: Origin, commit: str) -> None:
    """Fetch the one commit; a server that refuses to serve commits by SHA is asked for its branches."""
    fetched = git.retried("fetch", "--quiet", "--no-tags", "--depth=1", "origin", commit)
    if fetched.ok:
        return
    if not says(fetched, _NOT_BY_ITSELF):
        raise origin.error(fetched)
    git.report(f"The server does not serve {commit} by itself: fetching its branches and pull requests.")
    refs = ("+refs/heads/*:refs/remotes/origin/*", "+refs/pull/*/head:refs/remotes/pull/*")
    whole = git.retried("fetch", "--quiet", "--no-tags", "origin", *refs)
    if git.run("cat-file", "-e", f"{commit}^{{commit}}", check=False).ok:
        return
    if not whole.ok:
        raise origin.error(whole)
    if says(whole, ("shallow roots are not allowed",)):
        raise CommitMissing(
            f"{origin.what} has no commit {commit} in the part of its history that the server has: its own copy is "
            "shallow.",
            hint="Make the server's copy whole (git fetch --unshallow there), or build a newer commit.",
        )
    raise CommitMissing(
        f"{origin.what} has no commit {commit}.\ngit: {reason(fetched)}",
        hint="It may have been removed by a forced push: push again to start a new run.",
    )


def _date_files(git: Git, timestamp: int) -> None:
    """Give each file the commit's time: the artifact's files have it too, so that make and Python see nothing stale."""
    for name in git.run("ls-files", "-z", "--recurse-submodules").output.split("\0"):
        if name and os.path.lexists(git.folder / name):
            os.utime(git.folder / name, (timestamp, timestamp), follow_symlinks=False)
    # Its own notes of the times too, or it would read every file again to tell what was changed.
    git.run("update-index", "-q", "--refresh", check=False)
