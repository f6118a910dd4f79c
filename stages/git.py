"""git as a stage uses it: without questions, with its secrets out of sight, tried again when the network fails."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from aphex.process import Completed, ProcessError, ProcessTimeout, run
from stages.errors import StageError

TIMEOUT = 900.0

# What git, curl, ssh and git-lfs print when another attempt may succeed.
_TRANSIENT = (
    "could not resolve host",
    "temporary failure in name resolution",
    "connection refused",
    "connection reset",
    "connection closed by",
    "connection timed out",
    "operation timed out",
    "failed to connect",
    "couldn't connect",
    "early eof",
    "empty reply from server",
    "the remote end hung up unexpectedly",
    "unexpected disconnect",
    "rpc failed",
    "gnutls_handshake",
    "requested url returned error: 429",
    "requested url returned error: 5",
    "fatal error: server error",
    "i/o timeout",
)
# And what they print when none will, whatever else they say.
_PERMANENT = ("permission denied", "host key verification failed", "authentication failed", "not found", "not our ref")


class CheckoutError(StageError):
    """The commit cannot be had."""


class NetworkFault(CheckoutError):
    """The server could not be reached, or failed, also after several attempts."""


@dataclass(frozen=True)
class Retries:
    """How often and how soon something is tried again: each wait is twice the one before.

    Attributes:
        attempts: how many in all.
        first: seconds before the second attempt.
        longest: seconds that are waited at most.
    """

    attempts: int = 5
    first: float = 1.0
    longest: float = 15.0

    def wait(self, failed: int) -> float:
        """Seconds to wait after so many failed attempts."""
        return min(self.first * float(2 ** (failed - 1)), self.longest)


@dataclass(frozen=True)
class Git:
    """git in one folder.

    Attributes:
        folder: where it runs.
        settings: configuration, handed on as variables, where neither a list of processes nor the clone shows it.
        variables: further variables.
        report: told what is tried again.
        retries: how often.
    """

    folder: Path
    settings: Sequence[tuple[str, str]] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    report: Callable[[str], None] = lambda _line: None
    retries: Retries = Retries()

    def within(self, folder: Path) -> Git:
        """The same in another folder."""
        return replace(self, folder=folder)

    def setting(self, *settings: tuple[str, str]) -> Git:
        """The same with further settings."""
        return replace(self, settings=(*self.settings, *settings))

    def run(self, *arguments: str, check: bool = True, **variables: str) -> Completed:
        """Run a command of git; file names in its output are as they are on disk, whatever their encoding.

        Raises:
            CheckoutError: it failed, or did not end in time.
        """
        label = f"git {arguments[0]}"
        try:
            return run(
                ["git", *arguments],
                cwd=self.folder,
                env=git_environment({**os.environ, **self.variables, **variables}, self.settings),
                timeout=TIMEOUT,
                check=check,
                label=label,
                errors="surrogateescape",
            )
        except ProcessTimeout as error:
            raise NetworkFault(error.message, hint="The server sends too slowly, or not at all.") from error
        except ProcessError as error:
            raise CheckoutError(error.message, details={"command": error.completed.argv}) from error

    def retried(self, *arguments: str, **variables: str) -> Completed:
        """Run a command that uses the network, again after each failure that may pass.

        Raises:
            NetworkFault: the last attempt failed like those before.
        """
        for attempt in range(1, self.retries.attempts + 1):
            completed = self.run(*arguments, check=False, **variables)
            if completed.ok or says(completed, _PERMANENT) or not says(completed, _TRANSIENT):
                return completed
            if attempt < self.retries.attempts:
                wait = self.retries.wait(attempt)
                self.report(
                    f"git {arguments[0]} failed: {reason(completed)}; "
                    f"attempt {attempt + 1} of {self.retries.attempts} in {wait:g} s"
                )
                time.sleep(wait)
        raise NetworkFault(
            f"git {arguments[0]} failed {self.retries.attempts} times in a row.\n{readable(completed)}",
            hint="The network or the server failed each time: start the run again when they work.",
        )


def git_environment(base: Mapping[str, str], settings: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The environment in which git never waits for a person, speaks English, and has these settings."""
    numbered = {
        name: text
        for number, (key, value) in enumerate(settings)
        for name, text in ((f"GIT_CONFIG_KEY_{number}", key), (f"GIT_CONFIG_VALUE_{number}", value))
    }
    return {
        "GIT_ALLOW_PROTOCOL": "https:http:ssh:git:file",
        **base,
        **({"GIT_CONFIG_COUNT": str(len(settings)), **numbered} if settings else {}),
        "GIT_TERMINAL_PROMPT": "0",
        "GCM_INTERACTIVE": "never",
        "LC_ALL": "C.UTF-8",
    }


def says(completed: Completed, phrases: tuple[str, ...]) -> bool:
    """Whether a program printed one of some phrases, in any case."""
    text = completed.output.lower()
    return any(phrase in text for phrase in phrases)


def readable(completed: Completed) -> str:
    """What git printed, as it may be shown: without its advice for people at a terminal."""
    lines = completed.output.encode(errors="replace").decode().splitlines()
    advice = ("hint:", "please make sure", "and the repository exists")
    return "\n".join(line.rstrip() for line in lines if line.strip() and not line.lower().startswith(advice))


# What ssh says of a refusal; of these git itself knows only that it "could not read from remote repository".
_SSH_SAYS = ("permission denied (", "requested strict checking", "host key verification failed")


def reason(completed: Completed) -> str:
    """The line in which git, or ssh for it, says why it failed."""
    lines = readable(completed).splitlines()
    by_ssh = [line for line in lines if any(words in line.lower() for words in _SSH_SAYS)]
    said = by_ssh or [line for line in lines if line.startswith(("fatal:", "error:", "ssh:", "batch response:"))]
    return (said or lines or ["no reason given"])[0].removeprefix("fatal: ").removeprefix("error: ")
