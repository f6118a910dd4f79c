"""The whole system with its example: deployed, fed with a push, and followed until the example is delivered."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from aphex.config import CONFIG_FILE
from aphex.errors import AphexError
from aphex.process import run as run_program
from automation.argo import list_runs, start_run
from automation.commands import run_up
from automation.console import Silent, Terminal, duration
from automation.options import TargetOptions
from automation.run_commands import followed, summarize

if TYPE_CHECKING:
    from automation.runs import RunView
    from automation.target import Target
    from sandbox.git_host import Repository

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "shop"
_RUN_SECONDS = 90.0
_IGNORED = shutil.ignore_patterns(".git", "__pycache__", "*.pyc", ".venv", "node_modules", "cdk.out", "dist")
_AUTHOR = ("-c", "user.name=Aphex Example", "-c", "user.email=example@aphex.invalid", "-c", "commit.gpgsign=false")


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """The example on the git host.

    Attributes:
        commit: the newest commit of its branch.
        changed: whether it was pushed just now.
    """

    commit: str
    changed: bool


def run_demo(name: str, terminal: Terminal, example: Path = EXAMPLE) -> int:
    """Deploy the example's pipeline, push the example, and follow the run; the exit status is the run's.

    Raises:
        AphexError: something could not be made, or the push started no run.
    """
    from sandbox import git_host

    started = time.monotonic()
    # The one result of a demo is its run.
    progress = Silent() if terminal.json_output else terminal
    target, result = run_up(TargetOptions(config=example / CONFIG_FILE, name=name), progress, plan=None, yes=True)
    if target.sandbox is None:
        raise AphexError("The demo needs the sandbox.")
    repository = git_host.find_repository(target.sandbox, target.settings.repository_full_name)
    pushed = push_example(example, repository, target.settings.branch, terminal)
    run = _run_of(target, pushed, terminal)
    if run is not None and run.finished and run.ok:
        changed = "" if result.changes else " Nothing changed."
        terminal.say(f"The example was delivered already, by {run.name} for {pushed.commit[:10]}.{changed}")
        summarize(target, run, terminal)
        return 0
    status = followed(target, (run or _start(target, pushed)).name, terminal)
    terminal.say(f"The whole took {duration(time.monotonic() - started)}.")
    return status


def push_example(example: Path, repository: Repository, branch: str, terminal: Terminal) -> Pushed:
    """Make the git host's branch hold exactly the example's files; one commit when anything differs.

    Raises:
        ProcessError: git refused.
    """
    with TemporaryDirectory(prefix="aphex-example-") as folder:
        clone = Path(folder) / "example"
        _git(Path(folder), "clone", "--quiet", str(repository.path), str(clone))
        empty = not run_program(["git", "rev-parse", "--verify", "--quiet", "HEAD"], cwd=clone, check=False).ok
        if empty:
            _git(clone, "checkout", "--quiet", "-B", branch)
        for entry in clone.iterdir():
            if entry.name != ".git":
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        shutil.copytree(example, clone, ignore=_IGNORED, dirs_exist_ok=True)
        _git(clone, "add", "--all")
        if not _git(clone, "status", "--porcelain"):
            return Pushed(commit=_git(clone, "rev-parse", "HEAD"), changed=False)
        message = "Add the example" if empty else "Update the example"
        _git(clone, *_AUTHOR, "commit", "--quiet", "--message", message)
        commit = _git(clone, "rev-parse", "HEAD")
        terminal.say(f"Pushing {commit[:10]} ({message}) to {repository.full_name}.")
        for line in _git(clone, "push", "--quiet", "origin", f"HEAD:{branch}").splitlines():
            terminal.say(f"  {line}", style="dim")
        return Pushed(commit=commit, changed=True)


def _git(folder: Path, *arguments: str) -> str:
    return run_program(["git", *arguments], cwd=folder, label=f"git {arguments[0]}").output.strip()


def _run_of(target: Target, pushed: Pushed, terminal: Terminal) -> RunView | None:
    """The latest run for the pushed commit; after a push it is waited for, for the webhook takes a moment.

    Raises:
        AphexError: the push started no run in time.
    """
    if not pushed.changed:
        runs = list_runs(target, commit=pushed.commit)
        usable = [run for run in runs if run.ok or not run.finished]
        return usable[0] if usable else None
    deadline = time.monotonic() + _RUN_SECONDS
    with terminal.step("Waiting for the run that the push starts"):
        while time.monotonic() < deadline:
            if runs := list_runs(target, commit=pushed.commit):
                return runs[0]
            time.sleep(0.3)
    raise AphexError(
        f"The push of {pushed.commit[:10]} started no run within {_RUN_SECONDS:g} s.",
        hint="See whether the webhook was taken: python -m automation repository deliveries",
    )


def _start(target: Target, pushed: Pushed) -> RunView:
    """A run for a commit that was pushed before and has not been delivered."""
    return start_run(target, commit=pushed.commit, branch=target.settings.branch, message="Once more, by hand")
