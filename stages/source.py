"""The run's commit on disk: cloned shallow, at exactly its SHA."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from aphex.process import Completed, ProcessError, ProcessTimeout, run
from stages.context import without_credentials
from stages.errors import StageError

_FETCH_TIMEOUT = 900.0
_ATTEMPTS = 5

# What git and curl print when another attempt may succeed.
_TRANSIENT = (
    "could not resolve host",
    "connection refused",
    "connection reset",
    "connection timed out",
    "operation timed out",
    "failed to connect",
    "early eof",
    "the remote end hung up unexpectedly",
    "unexpected disconnect",
    "rpc failed",
    "gnutls_handshake",
    "requested url returned error: 429",
    "requested url returned error: 5",
)
_REFUSED = ("not our ref", "unadvertised object", "remote error: want")


class CheckoutError(StageError):
    """The commit cannot be had."""


class _Transient(Exception):
    """The network or the server failed; another attempt may succeed."""

    def __init__(self, completed: Completed) -> None:
        super().__init__(completed.output)
        self.completed = completed


def checkout(repository: str, commit: str, folder: Path, report: Callable[[str], None]) -> int:
    """Clone `repository` into `folder` at `commit`; a folder that is there is replaced.

    Returns:
        The commit's time, in seconds since the epoch.

    Raises:
        CheckoutError: the repository cannot be reached, or has no such commit.
    """
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    shown = without_credentials(repository)
    git = _Git(folder, report, {f"url.{repository}.insteadOf": shown} if shown != repository else {})
    git.run("init", "--quiet")
    git.run("config", "remote.origin.url", shown)
    _fetch(git, shown, commit)
    git.run("checkout", "--quiet", "--detach", commit)
    head = git.run("rev-parse", "HEAD").output.strip()
    if head != commit:
        raise CheckoutError(f"The clone of {shown} is at {head}, not at {commit}.")
    timestamp = int(git.run("show", "--no-patch", "--format=%ct", "HEAD").output)
    _date_files(git, folder, timestamp)
    return timestamp


class _Git:
    """git in one folder, which asks no questions and uses no exotic transport.

    Settings are handed on as variables, where neither a list of processes nor the clone shows them.
    """

    def __init__(
        self,
        folder: Path,
        report: Callable[[str], None] = lambda _line: None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._folder = folder
        self._settings = dict(settings or {})
        self.report = report

    def run(self, *arguments: str, check: bool = True) -> Completed:
        try:
            return run(
                ["git", *arguments],
                cwd=self._folder,
                env=git_environment(os.environ, self._settings),
                timeout=_FETCH_TIMEOUT,
                check=check,
                label=f"git {arguments[0]}",
            )
        except ProcessError as error:
            raise CheckoutError(error.message, details={"command": error.completed.argv}) from error


def git_environment(base: Mapping[str, str], settings: Mapping[str, str]) -> dict[str, str]:
    """The environment in which git never waits for a person, speaks English, and has these settings."""
    numbered = {
        name: text
        for number, (key, value) in enumerate(settings.items())
        for name, text in ((f"GIT_CONFIG_KEY_{number}", key), (f"GIT_CONFIG_VALUE_{number}", value))
    }
    return {
        **base,
        **({"GIT_CONFIG_COUNT": str(len(settings)), **numbered} if settings else {}),
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": "https:http:ssh:git:file",
        "LC_ALL": "C.UTF-8",
    }


def _fetch(git: _Git, repository: str, commit: str) -> None:
    """Fetch the one commit; a server that refuses to serve commits by SHA is asked for its branches."""
    fetched = _retried(git, "fetch", "--quiet", "--no-tags", "--depth=1", "origin", commit)
    if fetched.ok:
        return
    if not _says(fetched, _REFUSED):
        raise CheckoutError(
            f"{repository} cannot be fetched.\n{fetched.output.strip()}",
            hint="Check the repository's address and that the pipeline may read it.",
        )
    git.report(f"The server does not serve {commit} by itself: fetching its branches and pull requests.")
    refs = ("+refs/heads/*:refs/remotes/origin/*", "+refs/pull/*/head:refs/remotes/pull/*")
    whole = _retried(git, "fetch", "--quiet", "--no-tags", "origin", *refs)
    if not git.run("cat-file", "-e", f"{commit}^{{commit}}", check=False).ok:
        raise CheckoutError(
            f"{repository} has no commit {commit}.\n{whole.output.strip()}".rstrip(),
            hint="It may have been removed by a forced push: push again to start a new run.",
        )


def _retried(git: _Git, *arguments: str) -> Completed:
    def attempt() -> Completed:
        try:
            completed = git.run(*arguments, check=False)
        except ProcessTimeout as error:
            raise CheckoutError(str(error)) from error
        if not completed.ok and _says(completed, _TRANSIENT):
            raise _Transient(completed)
        return completed

    retrying = Retrying(
        retry=retry_if_exception_type(_Transient),
        stop=stop_after_attempt(_ATTEMPTS),
        wait=wait_exponential_jitter(multiplier=0.5, max=10),
        before_sleep=lambda state: git.report(f"git fetch failed (attempt {state.attempt_number}), trying again"),
        reraise=True,
    )
    try:
        return retrying(attempt)
    except _Transient as error:
        return error.completed


def _says(completed: Completed, phrases: tuple[str, ...]) -> bool:
    text = completed.output.lower()
    return any(phrase in text for phrase in phrases)


def _date_files(git: _Git, folder: Path, timestamp: int) -> None:
    """Give each file the commit's time: the artifact's files have it too, so that make and Python see nothing stale."""
    for name in git.run("ls-files", "-z").output.split("\0"):
        if name:
            os.utime(folder / name, (timestamp, timestamp), follow_symlinks=False)


def changed_since(folder: Path, commit: str) -> tuple[list[str], list[str]]:
    """Tracked files that differ from the commit.

    Returns:
        Those that were changed or added to the index, and those that are gone.
    """
    git = _Git(folder)
    output = git.run("diff", "--name-status", "--no-renames", "-z", commit, "--").output.split("\0")
    pairs = list(zip(output[0::2], output[1::2], strict=False))
    return [name for status, name in pairs if status != "D"], [name for status, name in pairs if status == "D"]


def tracked_files(folder: Path, commit: str) -> set[str]:
    """The files that the commit has."""
    git = _Git(folder)
    listing = git.run("ls-tree", "-r", "-z", "--name-only", "--full-tree", commit).output
    return {name for name in listing.split("\0") if name}
