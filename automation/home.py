"""Where a stack lives: its state, its secrets, and how its program reaches what it changes. Two kinds have one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from pydantic import SecretStr

from automation.access import AwsAccess, KubernetesAccess


@dataclass(frozen=True, kw_only=True)
class StackHome:
    """Everything that opening a stack takes, besides its program.

    Attributes:
        name: of the Pulumi stack.
        noun: what the stack is.
        owner: the pipeline's or the cluster's own name.
        options: what makes a command mean it.
        backend: Pulumi backend URL.
        aws: AWS, as this process reaches it.
        kubernetes: the cluster, for programs that take it from the environment.
        passphrase: encrypts the state's secrets; None where a key does.
        secrets_key: the key that encrypts the state's secrets, as `awskms://...`; None where a passphrase does.
        stand_ins: whether AWS is played, and the providers with it.
        namespace: where pods of its self-update run; None when nothing in a cluster updates it.
    """

    name: str
    noun: Literal["pipeline", "cluster"]
    owner: str
    options: str
    backend: str
    aws: AwsAccess
    kubernetes: KubernetesAccess | None = None
    passphrase: SecretStr | None = None
    secrets_key: str | None = None
    stand_ins: bool = False
    namespace: str | None = None

    @property
    def title(self) -> str:
        """What it is called in a sentence: `the pipeline shop`."""
        return f"the {self.noun} {self.owner}"

    @property
    def bucket(self) -> str | None:
        """The bucket that holds the state; None for a backend that is not S3."""
        parts = urlsplit(self.backend)
        return parts.netloc if parts.scheme == "s3" else None

    def command(self, verb: str, *more: str) -> str:
        """A command about it, as a person types it."""
        group = "cluster " if self.noun == "cluster" else ""
        # What a cluster becomes is in its file, which names it.
        options = "" if group and verb in ("up", "preview") else self.options
        return " ".join(word for word in ("python -m automation", f"{group}{verb}", *more, options) if word)
