"""Why git could not fetch something, told from what it printed, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

from aphex.process import Completed
from stages.git import CheckoutError, readable, reason, says
from stages.git_credentials import SECRET, GitAccess

_HOST_KEY = ("host key verification failed", "remote host identification has changed")
_REFUSED = (
    "authentication failed",
    "could not read username",
    "could not read password",
    "terminal prompts disabled",
    "permission denied",
    "access denied",
    "authentication required",
    "authorization error",
    "requested url returned error: 401",
    "requested url returned error: 403",
)
_NOT_FOUND = (
    "not found",
    "does not exist",
    "does not appear to be a git repository",
    "requested url returned error: 404",
)


class RepositoryNotFound(CheckoutError):
    """The server knows no such repository."""


class AuthenticationRefused(CheckoutError):
    """The server does not let the pipeline read the repository."""


class HostKeyRefused(CheckoutError):
    """The SSH server is not the one that is known."""


@dataclass(frozen=True)
class Origin:
    """Where something is fetched from, for the errors.

    Attributes:
        what: the repository's address, or the submodule with its address.
        access: what git was given.
        namespace: of the pipeline, for the commands in hints.
        ssh: whether it is reached by SSH.
    """

    what: str
    access: GitAccess
    namespace: str
    ssh: bool

    def error(self, completed: Completed) -> CheckoutError:
        """The error for a failed git command."""
        said = f"\ngit: {reason(completed)}"
        if says(completed, _HOST_KEY):
            return HostKeyRefused(
                f"{self.what}: the server's SSH key is not one of the known hosts.{said}",
                hint="Compare the server's keys with those that its operator publishes, and put them into the file "
                f"known_hosts of the Secret {SECRET}.",
            )
        if says(completed, _REFUSED):
            return self._refused(said)
        if says(completed, _NOT_FOUND):
            hint = "Check its address."
            if not self.access.kinds and not self.what.startswith(("file://", "/")):
                hint += f" Some hosts say the same of a private repository; its credentials are missing.\n{self.hint()}"
            return RepositoryNotFound(f"{self.what} was not found.{said}", hint=hint)
        return CheckoutError(
            f"{self.what} cannot be fetched.\n{readable(completed)}",
            hint="Check the repository's address and that the pipeline may read it.",
        )

    def _refused(self, said: str) -> AuthenticationRefused:
        if not self.access.kinds:
            return AuthenticationRefused(
                f"{self.what} asks for credentials, and the pipeline has none.{said}", hint=self.hint()
            )
        kinds = " and ".join(self.access.kinds)
        return AuthenticationRefused(
            f"{self.what} was refused with {kinds}.{said}",
            hint="Have they expired, and may they read this repository? They are used for the repository's own host "
            f"alone. To replace them, delete the Secret first.\n{self.hint()}",
        )

    def hint(self) -> str:
        """How to make the Secret."""
        files = (
            "--from-file=ssh-privatekey=KEY_FILE --from-file=known_hosts=KNOWN_HOSTS_FILE"
            if self.ssh
            else "--from-literal=username=NAME --from-file=password=TOKEN_FILE"
        )
        return (
            f"Make the Secret {SECRET}, with rights to read only:\n"
            f"kubectl --namespace {self.namespace or 'NAMESPACE'} create secret generic {SECRET} {files}"
        )
