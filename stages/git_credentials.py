"""The right to read a private repository: from a mounted Kubernetes Secret to git, and to nothing else.

git gets no secret itself but a credential helper, a shell function that prints the mounted files; it applies to the
repository's own host alone. Of an SSH key there is a private copy as long as the clone takes. Both are handed on as
variables of the git processes of the stage: neither a command of the user's, nor an address, nor `.git/config`, nor
a list of processes has them.
"""

from __future__ import annotations

import re
import shlex
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from stages.context import without_credentials

SECRET = "aphex-git"
# The hosts that take tokens look at the password alone, but ask for some name.
_USER_OF_TOKENS = "x-access-token"
_SCP = re.compile(r"^(?:[^@/:]+@)?(?P<host>[^/:]+):(?!//)")


@dataclass(frozen=True)
class GitAccess:
    """What git is given.

    Attributes:
        settings: configuration of git.
        variables: variables of its processes.
        kinds: which credentials there are, in words.
    """

    settings: tuple[tuple[str, str], ...] = ()
    variables: dict[str, str] = field(default_factory=dict)
    kinds: tuple[str, ...] = ()


@contextmanager
def git_access(repository: str, mounted: Path | None) -> Iterator[GitAccess]:
    """Give git access to a repository and what else is on its host, as long as the block lasts.

    Args:
        repository: its address; a user and password in it are used too.
        mounted: the folder of the Secret: `username` and `password`, `ssh-privatekey` and `known_hosts`, or some of
            them; None or an absent folder when there is none.
    """
    files = {path.name: path for path in mounted.iterdir() if path.is_file()} if mounted and mounted.is_dir() else {}
    settings: list[tuple[str, str]] = []
    kinds: list[str] = []
    shown = without_credentials(repository)
    if shown != repository:
        # For all of the host: submodules and large files are there too.
        settings.append((f"url.{_root(repository)}.insteadOf", _root(shown)))
        kinds.append("the address")
    with tempfile.TemporaryDirectory(prefix="aphex-git-") as private:
        variables = {"GIT_SSH_COMMAND": _ssh(files, Path(private))}
        if "password" in files and shown.startswith(("https://", "http://")):
            settings += _helper(_root(shown), files)
            kinds.append(f"username and password of the Secret {SECRET}")
            if "ssh-privatekey" not in files and (host := urlsplit(shown).hostname):
                # Submodules that are named by their SSH addresses can be had with the password too.
                settings += [(f"url.{_root(shown)}.insteadOf", f"git@{host}:")]
                settings += [(f"url.{_root(shown)}.insteadOf", f"ssh://git@{host}/")]
        if "ssh-privatekey" in files:
            kinds.append(f"the SSH key of the Secret {SECRET}")
        if not shown.startswith(("file://", "/")):
            # What is cloned from elsewhere has no business with the pod's own files.
            variables["GIT_ALLOW_PROTOCOL"] = "https:http:ssh:git"
        yield GitAccess(tuple(settings), variables, tuple(kinds))


def host_of(repository: str) -> str:
    """The host of a repository's address; empty when it is a folder."""
    if found := _SCP.match(repository):
        return found["host"]
    return urlsplit(repository).hostname or ""


def _root(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}/"


def _helper(root: str, files: dict[str, Path]) -> list[tuple[str, str]]:
    """Settings of a credential helper for one host, which comes in the place of all others."""
    name = f"$(cat {shlex.quote(str(files['username']))})" if "username" in files else _USER_OF_TOKENS
    password = f"$(cat {shlex.quote(str(files['password']))})"
    function = f"""!f() {{ test "$1" != get || printf 'username=%s\\npassword=%s\\n' "{name}" "{password}"; }}; f"""
    key = f"credential.{root.rstrip('/')}.helper"
    return [(key, ""), (key, function)]


def _ssh(files: dict[str, Path], private: Path) -> str:
    words = ["ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=30"]
    if "ssh-privatekey" in files:
        key = private / "key"
        key.touch(mode=0o600)
        # ssh refuses a key that others may read, as mounted files are, and one whose last line has no end.
        key.write_bytes(files["ssh-privatekey"].read_bytes().rstrip() + b"\n")
        words += ["-i", str(key), "-o", "IdentitiesOnly=yes"]
    if "known_hosts" in files:
        known = ["UserKnownHostsFile=" + str(files["known_hosts"]), "GlobalKnownHostsFile=/dev/null"]
        words += ["-o", "StrictHostKeyChecking=yes", *(word for each in known for word in ("-o", each))]
    else:
        accepted = f"UserKnownHostsFile={private / 'known_hosts'}"
        words += ["-o", "StrictHostKeyChecking=accept-new", "-o", accepted]
    return shlex.join(words)
