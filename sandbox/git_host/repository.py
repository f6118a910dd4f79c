"""The bare repositories of the git host: where they are, how they are set up, and what their branches hold."""

from __future__ import annotations

import os
import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aphex import process
from aphex.errors import AphexError, UsageError
from sandbox.git_host.hooks import HookStore

if TYPE_CHECKING:
    from sandbox.state import StandIns

NO_COMMIT = "0" * 40
MAIN_BRANCH = "main"
_FULL_NAME = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+")
WEBHOOK_SECRET_FILE = "webhook-secret"
_SETTINGS = {
    # A run clones at its commit, which a later push may have left behind.
    "uploadpack.allowReachableSHA1InWant": "true",
    "uploadpack.allowAnySHA1InWant": "true",
    "uploadpack.allowFilter": "true",
    "http.receivepack": "false",
    "http.getanyfile": "false",
    "core.logAllRefUpdates": "true",
}


class UnknownRepository(UsageError):
    """The git host has no such repository."""


class UnknownBranch(UsageError):
    """The repository has no such branch."""


@dataclass(frozen=True, kw_only=True)
class Repository:
    """A bare repository of the git host.

    Attributes:
        path: its folder, to push to.
        full_name: `owner/name`, as webhooks say it.
        clone_url: where it can be cloned from, in pods too.
    """

    path: Path
    full_name: str
    clone_url: str

    @property
    def name(self) -> str:
        """The name without its owner."""
        return self.full_name.split("/", 1)[1]

    @property
    def hooks(self) -> HookStore:
        """Its webhooks."""
        return HookStore(self.path)

    def git(self, *arguments: str) -> str:
        """What a git command on this repository prints.

        Raises:
            ProcessError: the command failed.
        """
        argv = ["git", f"--git-dir={self.path}", *arguments]
        return process.run(argv, separate_errors=True, env=_environment(), label=f"git {arguments[0]}").output

    def setting(self, name: str) -> str | None:
        """A setting of this repository alone; None when it is not set."""
        argv = ["git", f"--git-dir={self.path}", "config", "--local", "--get", name]
        completed = process.run(argv, env=_environment(), check=False)
        return completed.output.rstrip("\n") if completed.ok else None

    def set_webhook(self, url: str, kubeconfig: Path | None = None, context: str | None = None) -> None:
        """Send the events of this repository to the URL of its pipeline from now on.

        Args:
            url: where to.
            kubeconfig: has the credentials, when the URL is the API server's proxy of a service in its cluster.
            context: of the kubeconfig; None is its current one.
        """
        self.hooks.set_own(url, kubeconfig, context)

    def webhook_secret(self) -> str:
        """The secret that signs this repository's webhooks.

        Raises:
            AphexError: the file that it is kept in is missing.
        """
        path = Path(self.setting("aphex.webhook-secret-file") or self.path / WEBHOOK_SECRET_FILE)
        try:
            return path.read_text().strip()
        except FileNotFoundError as error:
            hint = "Start the sandbox again, or run: python -m automation up"
            raise AphexError(f"{path}, the secret that signs webhooks, is missing.", hint=hint) from error

    def tip(self, branch: str) -> str:
        """The newest commit of a branch.

        Raises:
            UnknownBranch: there is no such branch.
        """
        try:
            return self.git("rev-parse", "--verify", "--quiet", f"refs/heads/{branch}^{{commit}}").strip()
        except process.ProcessError as error:
            hint = f"Push it first: git push {self.path} {branch}"
            raise UnknownBranch(f'{self.full_name} has no branch "{branch}".', hint=hint) from error


def repositories_folder(state: StandIns) -> Path:
    """The folder that the git host serves."""
    return state.directory / "git"


def create_repository(state: StandIns, full_name: str) -> Repository:
    """Make a bare repository whose pushes send webhooks, or bring the one that is there up to date.

    Args:
        state: the sandbox whose git host it belongs to.
        full_name: `owner/name`.

    Raises:
        UsageError: `full_name` is not of that form.
    """
    if not _FULL_NAME.fullmatch(full_name) or ".." in full_name:
        raise UsageError(f'"{full_name}" is not a repository.', hint="Write it as owner/name.")
    root = repositories_folder(state)
    clone_url = f"{state.git_url}/{full_name}.git"
    repository = Repository(path=root / f"{full_name}.git", full_name=full_name, clone_url=clone_url)
    secret_file = root / WEBHOOK_SECRET_FILE
    root.mkdir(parents=True, exist_ok=True)
    _write(secret_file, state.secrets().webhook_secret, 0o600)
    if not (repository.path / "HEAD").exists():
        options = ["--quiet", "--bare", "--template=", f"--initial-branch={MAIN_BRANCH}"]
        process.run(["git", "init", *options, str(repository.path)], env=_environment(), label="git init")
    own = {
        "aphex.full-name": full_name,
        "aphex.clone-url": clone_url,
        "aphex.webhook-secret-file": str(secret_file),
        # Said here, so that a global core.hooksPath of the user does not hide the hook.
        "core.hooksPath": str(repository.path / "hooks"),
    }
    for name, value in {**_SETTINGS, **own}.items():
        if repository.setting(name) != value:
            repository.git("config", "--local", name, value)
    (repository.path / "hooks").mkdir(exist_ok=True)
    _write(repository.path / "hooks" / "post-receive", _hook_script(), 0o755)
    return repository


def open_repository(path: Path) -> Repository:
    """The repository at a path, as `create_repository` left it.

    Raises:
        UnknownRepository: there is none.
    """
    bare = Repository(path=path.resolve(), full_name="", clone_url="")
    full_name, clone_url = bare.setting("aphex.full-name"), bare.setting("aphex.clone-url")
    if full_name is None or clone_url is None:
        raise UnknownRepository(f"{path} is not a repository of the git host.")
    return Repository(path=bare.path, full_name=full_name, clone_url=clone_url)


def list_repositories(state: StandIns) -> list[Repository]:
    """The repositories of a sandbox's git host, sorted by name."""
    return [open_repository(path) for path in sorted(repositories_folder(state).glob("*/*.git"))]


def find_repository(state: StandIns, full_name: str | None = None) -> Repository:
    """A repository by its name, by its name without the owner, or the only one there is.

    Raises:
        UnknownRepository: there is none of that name, or several without a name.
    """
    present = list_repositories(state)
    matching = [r for r in present if full_name in (None, r.full_name, r.name)]
    if len(matching) == 1:
        return matching[0]
    names = ", ".join(r.full_name for r in present) or "none"
    wanted = f'no repository "{full_name}"' if full_name else "more than one repository" if present else "no repository"
    raise UnknownRepository(f"The git host has {wanted}.", hint=f"There are: {names}. Say which with --repository.")


def _hook_script() -> str:
    """Sends the webhooks with the Python and the source that made the repository."""
    source = Path(__file__).parent.parent.parent
    words = ["env", f"PYTHONPATH={source}", sys.executable, "-P", "-m", "sandbox.git_host.hook"]
    return f"#!/bin/sh\nexec {shlex.join(words)}\n"


def _environment() -> dict[str, str]:
    """This process' environment without git's own variables, which a hook has and which name another repository."""
    return {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}


def _write(path: Path, text: str, mode: int) -> None:
    if path.exists() and path.read_text() == text and path.stat().st_mode & 0o777 == mode:
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    temporary.chmod(mode)
    temporary.replace(path)
