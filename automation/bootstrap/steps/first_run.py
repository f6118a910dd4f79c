"""The first run: by a push to the sandbox's git host, or by hand for the branch's newest commit; followed."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from aphex import process
from aphex.config import CONFIG_FILE
from aphex.errors import AphexError
from automation.bootstrap.context import Context
from automation.bootstrap.step import Finding, blocked, done, to_do
from automation.console import Silent, Terminal

if TYPE_CHECKING:
    from automation.runs import RunView
    from automation.target import Target

_RUN_SECONDS = 90.0
_POLL_SECONDS = 0.3
_REMOTE_SECONDS = 60.0


class RunFailed(AphexError):
    """The pipeline is there, and its first run failed."""


@dataclass(frozen=True, kw_only=True)
class Checkout:
    """The working tree that holds the configuration.

    Attributes:
        folder: its top.
        commit: what is checked out.
        clean: whether the configuration is committed as it is.
    """

    folder: Path
    commit: str
    clean: bool


def checkout_of(config: Path) -> Checkout | str:
    """The working tree whose top has the configuration; else why there is none, for a person."""
    folder = config.absolute().parent
    top = _git(folder, "rev-parse", "--show-toplevel")
    if top is None:
        return f"{folder} is no git repository"
    if Path(top).resolve() != folder.resolve() or config.name != CONFIG_FILE:
        return f"{config} is not the {CONFIG_FILE} at the top of the repository {top}"
    commit = _git(folder, "rev-parse", "--verify", "--quiet", "HEAD")
    if commit is None:
        return f"the repository {top} has no commit"
    clean = _git(folder, "status", "--porcelain", "--", config.name) == ""
    return Checkout(folder=folder, commit=commit, clean=clean)


def _git(folder: Path, *arguments: str) -> str | None:
    """What a git command prints; None when it fails."""
    answer = process.run(["git", "-C", str(folder), *arguments], check=False, separate_errors=True)
    return answer.output.strip() if answer.ok else None


def remote_head(clone_url: str, branch: str) -> str | None:
    """The newest commit of a branch of a repository anywhere, with the caller's access; None when it has none.

    Raises:
        ProcessError: the repository cannot be reached.
    """
    import os

    words = ["git", "ls-remote", "--exit-code", clone_url, f"refs/heads/{branch}"]
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    answer = process.run(words, env=environment, check=False, separate_errors=True, timeout=_REMOTE_SECONDS)
    if answer.exit_code == 2:  # by --exit-code: there is no such ref
        return None
    if not answer.ok:
        raise process.ProcessError(answer, label=f"git ls-remote {clone_url}")
    return answer.output.split()[0]


@dataclass(kw_only=True)
class FirstRunStep:
    """The run of the newest commit.

    Attributes:
        run: the one that was followed just now.
    """

    context: Context
    name: str = "run"
    title: str = "First run"
    run: RunView | None = field(default=None)

    @property
    def makes(self) -> str:
        """What is made."""
        branch = self.context.subject.branch
        if self.context.in_sandbox:
            return f"a push of the checked out commit to {branch} on the sandbox's git host, and its run"
        return f"a run of the newest commit of {branch}, which deploys to every environment"

    def check(self) -> Finding:
        """Whether the newest commit was delivered."""
        try:
            target = self.context.found()
        except AphexError as error:
            return to_do(error.message.rstrip("."))
        wanted = self._wanted(target)
        if isinstance(wanted, Finding):
            return wanted
        if self.run is not None and self.run.finished and not self.run.ok:
            raise RunFailed(
                f"The pipeline is there; its first run {self.run.name} for {self.run.commit[:10]} failed.",
                hint=f"Why: python -m automation logs {self.run.name} {target.options}",
            )
        delivered = [run for run in _runs(target, wanted) if run.ok and run.finished]
        if delivered:
            return done(f"{delivered[0].name} delivered {wanted[:10]}")
        return to_do(f"{wanted[:10]} was not delivered yet")

    def do(self) -> None:
        """Push or start it, and follow the run to its end."""
        from automation.argo import get_run
        from automation.run_commands import followed

        target = self.context.prepared()
        wanted = self._wanted(target)
        if isinstance(wanted, Finding):
            raise AphexError(wanted.why, hint=wanted.fix)
        going = [run for run in _runs(target, wanted) if not run.finished]
        name = going[0].name if going else self._begin(target, wanted)
        followed(target, name, _quiet(self.context))
        self.run = get_run(target, name)

    def _wanted(self, target: Target) -> str | Finding:
        """The commit to deliver, or why there is none."""
        branch = target.settings.branch
        if target.sandbox is None:
            head = remote_head(target.settings.repository, branch)
            return head or blocked(
                f"the repository {target.settings.repository_full_name} has no branch {branch}",
                f"Push one with {CONFIG_FILE} at its top; or set pipeline.branch.",
            )
        found = checkout_of(self.context.options.config)
        if isinstance(found, Checkout):
            if not found.clean:
                return blocked(
                    f"{self.context.options.config} has changes that are not committed",
                    "Commit them: a run takes the configuration from its commit.",
                )
            return found.commit
        head = _sandbox_head(target, branch)
        return head or blocked(found, f"Push a commit yourself: git push {_push_url(target)} HEAD:{branch}")

    def _begin(self, target: Target, commit: str) -> str:
        """The name of a new run for the commit."""
        from automation.argo import start_run

        if target.sandbox is not None and _sandbox_head(target, target.settings.branch) != commit:
            found = checkout_of(self.context.options.config)
            assert isinstance(found, Checkout)
            self.context.terminal.say(f"      Pushing {commit[:10]} to {_push_url(target)}")
            words = ["git", "-C", str(found.folder), "push", "--quiet"]
            refs = [_push_url(target), f"{commit}:refs/heads/{target.settings.branch}"]
            process.run([*words, *refs], label="git push")
            return _awaited(target, commit)
        return start_run(target, commit=commit, branch=target.settings.branch, message="The first run").name


def _awaited(target: Target, commit: str) -> str:
    """The run that a push has started; the webhook takes a moment.

    Raises:
        AphexError: there is none in time.
    """
    deadline = time.monotonic() + _RUN_SECONDS
    while time.monotonic() < deadline:
        if runs := _runs(target, commit):
            return runs[0].name
        time.sleep(_POLL_SECONDS)
    raise AphexError(
        f"The push of {commit[:10]} started no run within {_RUN_SECONDS:g} s.",
        hint="See whether the webhook was taken: python -m automation repository deliveries",
    )


def _runs(target: Target, commit: str) -> list[RunView]:
    from automation.argo import list_runs

    return list_runs(target, commit=commit)


def _sandbox_head(target: Target, branch: str) -> str | None:
    from sandbox import git_host
    from sandbox.git_host.repository import UnknownBranch, UnknownRepository

    assert target.sandbox is not None
    try:
        return git_host.find_repository(target.sandbox, target.settings.repository_full_name).tip(branch)
    except (UnknownBranch, UnknownRepository):
        return None


def _push_url(target: Target) -> str:
    assert target.sandbox is not None
    return str(target.sandbox.directory / "git" / f"{target.settings.repository_full_name}.git")


def _quiet(context: Context) -> Terminal:
    """The bootstrap prints the one result; a run that is followed is progress."""
    return Silent() if context.terminal.json_output else context.terminal
