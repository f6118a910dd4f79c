"""Clones by the real ssh from a real SSH server, with the key and the known hosts of the mounted Secret."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import asyncssh
import pytest

from stages.context import without_credentials
from stages.git import CheckoutError, Retries
from stages.source import checkout
from tests.support.ssh_server import HOST, SshServer, ssh_server

QUICK = Retries(attempts=2, first=0.01)
SECRET_HINT = (
    "Make the Secret aphex-git, with rights to read only:\nkubectl --namespace shop create secret generic aphex-git "
    "--from-file=ssh-privatekey=KEY_FILE --from-file=known_hosts=KNOWN_HOSTS_FILE"
)
HOST_KEY_HINT = (
    "Compare the server's keys with those that its operator publishes, and put them into the file known_hosts of the "
    "Secret aphex-git."
)


@pytest.fixture(scope="module")
def key() -> asyncssh.SSHKey:
    return asyncssh.generate_private_key("ssh-ed25519")


@pytest.fixture
def server(key: asyncssh.SSHKey, tmp_path: Path) -> Iterator[SshServer]:
    with ssh_server(tmp_path / "served") as served:
        served.allowed = [key.convert_to_public()]
        yield served


@pytest.fixture
def mounted(server: SshServer, key: asyncssh.SSHKey, tmp_path: Path) -> Path:
    """The files of the Secret aphex-git, as Kubernetes mounts them: readable by all."""
    folder = tmp_path / "mounted"
    folder.mkdir()
    (folder / "ssh-privatekey").write_bytes(key.export_private_key().rstrip())
    (folder / "known_hosts").write_text(server.known_hosts())
    return folder


def clone(server: SshServer, sha: str, folder: Path, credentials: Path | None, name: str = "ann/shop") -> None:
    address = server.address(name)
    checkout(address, sha, folder, print, credentials=credentials, namespace="shop", retries=QUICK)


def refusal(
    server: SshServer, sha: str, folder: Path, credentials: Path | None, name: str = "ann/shop"
) -> tuple[str, str, str]:
    with pytest.raises(CheckoutError) as caught:
        clone(server, sha, folder, credentials, name)
    return type(caught.value).__name__, caught.value.message, caught.value.hint


def test_the_key_reads_the_commit_and_its_submodules_and_stays_nowhere(
    server: SshServer, key: asyncssh.SSHKey, mounted: Path, tmp_path: Path
) -> None:
    library = server.repository("ann/lib")
    library.commit({"lib.txt": "recorded"})
    shop = server.repository()
    shop.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", library.url, "libs/lib")
    shop.git("config", "-f", ".gitmodules", "submodule.libs/lib.url", "../lib.git")
    sha = shop.commit({"a": "1"})
    shop.commit({"a": "2"})
    clone(server, sha, tmp_path / "clone", mounted)
    assert (tmp_path / "clone" / "a").read_text() == "1"
    assert (tmp_path / "clone" / "libs" / "lib" / "lib.txt").read_text() == "recorded"
    assert set(server.asked) == {"git-upload-pack '/ann/shop.git'", "git-upload-pack '/ann/lib.git'"}
    secret = key.export_private_key().splitlines()[1]
    kept = [path.read_bytes() for path in (tmp_path / "clone").rglob("*") if path.is_file()]
    assert not any(secret in content for content in kept)
    assert "GIT_SSH_COMMAND" not in os.environ


def test_a_server_with_another_key_than_the_known_one_gets_nothing(
    server: SshServer, mounted: Path, tmp_path: Path
) -> None:
    sha = server.repository().commit({"a": "1"})
    (mounted / "known_hosts").write_text(server.known_hosts(asyncssh.generate_private_key("ssh-ed25519")))
    assert refusal(server, sha, tmp_path / "clone", mounted) == (
        "HostKeyRefused",
        f"{server.address()}: the server's SSH key is not one of the known hosts.\n"
        f"git: Host key for [{HOST}]:{server.port} has changed and you have requested strict checking.",
        HOST_KEY_HINT,
    )
    assert server.asked == []


def test_a_server_that_is_not_among_the_known_hosts_gets_nothing(
    server: SshServer, mounted: Path, tmp_path: Path
) -> None:
    sha = server.repository().commit({"a": "1"})
    (mounted / "known_hosts").write_text(server.known_hosts().replace(HOST, "git.example.com"))
    assert refusal(server, sha, tmp_path / "clone", mounted) == (
        "HostKeyRefused",
        f"{server.address()}: the server's SSH key is not one of the known hosts.\n"
        f"git: No ED25519 host key is known for [{HOST}]:{server.port} and you have requested strict checking.",
        HOST_KEY_HINT,
    )
    assert server.asked == []


def test_a_key_that_the_server_does_not_take(server: SshServer, mounted: Path, tmp_path: Path) -> None:
    sha = server.repository().commit({"a": "1"})
    server.allowed = []
    assert refusal(server, sha, tmp_path / "clone", mounted) == (
        "AuthenticationRefused",
        f"{server.address()} was refused with the SSH key of the Secret aphex-git.\n"
        f"git: git@{HOST}: Permission denied (publickey).",
        "Have they expired, and may they read this repository? They are used for the repository's own host alone. "
        "To replace them, delete the Secret first.\n" + SECRET_HINT,
    )


def test_a_server_that_wants_a_key_and_there_is_none(
    server: SshServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha = server.repository().commit({"a": "1"})
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    assert refusal(server, sha, tmp_path / "clone", None) == (
        "AuthenticationRefused",
        f"{server.address()} asks for credentials, and the pipeline has none.\n"
        f"git: git@{HOST}: Permission denied (publickey).",
        SECRET_HINT,
    )


def test_a_password_in_the_address_is_not_shown_and_the_user_is() -> None:
    assert without_credentials("ssh://git:pass%20word@host:22/a/b.git") == "ssh://git@host:22/a/b.git"
    assert without_credentials("ssh://git@host/a/b.git") == "ssh://git@host/a/b.git"
    assert without_credentials("https://ann:word@host/a/b.git") == "https://host/a/b.git"


def test_a_commit_and_a_repository_that_are_not_there(server: SshServer, mounted: Path, tmp_path: Path) -> None:
    server.repository().commit({"a": "1"})
    sha = "0" * 39 + "1"
    kind, message, hint = refusal(server, sha, tmp_path / "clone", mounted)
    # Of two lines that say the same, one by the server itself and one by the protocol, either may be the first.
    assert (kind, message.replace("git: git upload-pack", "git: remote error: upload-pack"), hint) == (
        "CommitMissing",
        f"{server.address()} has no commit {sha}.\ngit: remote error: upload-pack: not our ref {sha}",
        "It may have been removed by a forced push: push again to start a new run.",
    )
    kind, message, hint = refusal(server, sha, tmp_path / "clone", mounted, "ann/none")
    assert (kind, message, hint) == (
        "RepositoryNotFound",
        f"{server.address('ann/none')} was not found.\n"
        f"git: '{server.root}/ann/none.git' does not appear to be a git repository",
        "Check its address.",
    )
