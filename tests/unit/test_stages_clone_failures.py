"""What a clone says when a server, a submodule, git-lfs or ssh does not do its part: whole messages."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from stages.git import CheckoutError, Retries
from stages.source import checkout
from tests.support.git_server import GitServer, git_server
from tests.support.repository import Repository, new_repository

QUICK = Retries(attempts=2, first=0.01)
ADDRESS = "git@git.example.com:ann/shop.git"
COMMIT = "a" * 40
HTTPS_HINT = (
    "Make the Secret aphex-git, with rights to read only:\nkubectl --namespace shop create secret generic aphex-git "
    "--from-literal=username=NAME --from-file=password=TOKEN_FILE"
)
SSH_HINT = (
    "Make the Secret aphex-git, with rights to read only:\nkubectl --namespace shop create secret generic aphex-git "
    "--from-file=ssh-privatekey=KEY_FILE --from-file=known_hosts=KNOWN_HOSTS_FILE"
)
HOST_KEY_HINT = (
    "Compare the server's keys with those that its operator publishes, and put them into the file known_hosts of the "
    "Secret aphex-git."
)
# The lines of OpenSSH 9.2 that matter; git's own last words come after them.
UNKNOWN_HOST = (
    "No ED25519 host key is known for git.example.com and you have requested strict checking.\r\n"
    "Host key verification failed.\r\n"
)
CHANGED_HOST = (
    "@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@\r\n"
    "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\r\n"
    "@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@\r\n"
    "IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!\r\n"
    "Host key for git.example.com has changed and you have requested strict checking.\r\n"
    "Host key verification failed.\r\n"
)
DENIED = (
    "Warning: Permanently added 'git.example.com' (ED25519) to the list of known hosts.\r\n"
    "git@git.example.com: Permission denied (publickey).\r\n"
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    with git_server(tmp_path / "served") as served:
        yield served


@pytest.fixture
def key(tmp_path: Path) -> Path:
    folder = tmp_path / "mounted"
    folder.mkdir()
    (folder / "ssh-privatekey").write_text("KEY", encoding="utf-8")
    return folder


def clone(address: str, sha: str, folder: Path, credentials: Path | None = None) -> list[str]:
    told: list[str] = []
    checkout(address, sha, folder, told.append, credentials=credentials, namespace="shop", retries=QUICK)
    return told


def refusal(address: str, sha: str, folder: Path, credentials: Path | None = None) -> tuple[str, str, str]:
    with pytest.raises(CheckoutError) as caught:
        clone(address, sha, folder, credentials)
    return type(caught.value).__name__, caught.value.message, caught.value.hint


def old_server(server: GitServer) -> Repository:
    """A repository on a server that serves by SHA only what a branch points to."""
    server.old = True
    repository = server.repository()
    repository.git("config", "uploadpack.allowAnySHA1InWant", "false")
    return repository


def with_submodule(server: GitServer, address: str) -> str:
    """Commit a submodule at a path, under an address that only `.gitmodules` has to have; returns the SHA."""
    shop = server.repository()
    shop.git("submodule", "--quiet", "add", server.address("ann/lib"), "libs/lib")
    shop.git("config", "-f", ".gitmodules", "submodule.libs/lib.url", address)
    return shop.commit({"a": "1"})


def fake_ssh(folder: Path, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a program `ssh` before the real one, which prints this and ends as OpenSSH does."""
    folder.mkdir()
    (folder / "words").write_text(says, encoding="utf-8", newline="")
    (folder / "ssh").write_text(f"#!/bin/sh\ncat {folder}/words >&2\nexit 255\n", encoding="utf-8")
    (folder / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


def test_a_server_that_serves_no_sha_is_asked_for_its_branches(server: GitServer, tmp_path: Path) -> None:
    shop = old_server(server)
    old = shop.commit({"a": "old"})
    shop.commit({"a": "new"})
    assert clone(server.address(), old, tmp_path / "clone") == [
        f"The server does not serve {old} by itself: fetching its branches and pull requests."
    ]
    assert (tmp_path / "clone" / "a").read_text(encoding="utf-8") == "old"
    assert Repository(tmp_path / "clone").git("rev-parse", "HEAD") == old


def test_a_server_that_serves_no_sha_and_has_the_commit_on_no_branch(server: GitServer, tmp_path: Path) -> None:
    shop = old_server(server)
    shop.commit({"a": "kept"})
    lost = shop.commit({"a": "lost"})
    shop.git("reset", "--quiet", "--hard", "HEAD~1")
    assert refusal(server.address(), lost, tmp_path / "clone") == (
        "CommitMissing",
        f"{server.address()} has no commit {lost}.\ngit: Server does not allow request for unadvertised object {lost}",
        "It may have been removed by a forced push: push again to start a new run.",
    )


def test_a_server_whose_own_copy_is_shallow(server: GitServer, tmp_path: Path) -> None:
    whole = new_repository(tmp_path / "whole")
    old = whole.commit({"a": "old"})
    whole.commit({"a": "new"})
    shop = server.repository()
    shop.git("fetch", "--quiet", "--depth=1", whole.url, "main")
    shop.git("reset", "--quiet", "--hard", "FETCH_HEAD")
    assert refusal(server.address(), old, tmp_path / "clone") == (
        "CommitMissing",
        f"{server.address()} has no commit {old} in the part of its history that the server has: its own copy is "
        "shallow.",
        "Make the server's copy whole (git fetch --unshallow there), or build a newer commit.",
    )


def test_a_submodule_that_is_not_there(server: GitServer, tmp_path: Path) -> None:
    server.repository("ann/lib").commit({"lib.txt": "1"})
    address = server.address("ann/none")
    sha = with_submodule(server, address)
    assert refusal(server.address(), sha, tmp_path / "clone") == (
        "RepositoryNotFound",
        f"The submodule libs/lib ({address}) was not found.\ngit: repository '{address}/' not found",
        "Check its address. Some hosts say the same of a private repository; its credentials are missing.\n"
        + HTTPS_HINT,
    )


def test_a_submodule_whose_server_cannot_be_reached(server: GitServer, tmp_path: Path) -> None:
    server.repository("ann/lib").commit({"lib.txt": "1"})
    with git_server(tmp_path / "gone") as gone:
        address = gone.address("ann/lib")
    sha = with_submodule(server, address)
    kind, message, hint = refusal(server.address(), sha, tmp_path / "clone")
    path = tmp_path / "clone" / "libs" / "lib"
    port = address.split(":")[2].split("/")[0]
    # What curl says between differs with its version.
    said = re.sub(r"(Failed to connect to 127\.0\.0\.1 port \d+)\b.*", r"\1", message)
    failed = (
        f"Cloning into '{path}'...\n"
        f"fatal: unable to access '{address}/': Failed to connect to 127.0.0.1 port {port}\n"
        f"fatal: clone of '{address}' into submodule path '{path}' failed\n"
    )
    assert (kind, said, hint) == (
        "NetworkFault",
        f"git submodule failed 2 times in a row.\n{failed}Failed to clone 'libs/lib'. Retry scheduled\n"
        f"{failed}Failed to clone 'libs/lib' a second time, aborting",
        "The network or the server failed each time: start the run again when they work.",
    )


def test_a_submodule_without_the_recorded_commit(server: GitServer, tmp_path: Path) -> None:
    library = server.repository("ann/lib")
    library.commit({"lib.txt": "kept"})
    lost = library.commit({"lib.txt": "lost"})
    sha = with_submodule(server, server.address("ann/lib"))
    library.git("reset", "--quiet", "--hard", "HEAD~1")
    library.git("reflog", "expire", "--expire=now", "--all")
    library.git("gc", "--quiet", "--prune=now")
    assert refusal(server.address(), sha, tmp_path / "clone") == (
        "SubmoduleError",
        f"The submodule libs/lib does not have the commit that is recorded.\n"
        f"fatal: Fetched in submodule path 'libs/lib', but it did not contain {lost}. "
        "Direct fetching of that commit failed.",
        "Push the submodule's commit to its own repository, then start the run again.",
    )


def test_a_submodule_without_an_address(server: GitServer, tmp_path: Path) -> None:
    server.repository("ann/lib").commit({"lib.txt": "1"})
    with_submodule(server, server.address("ann/lib"))
    shop = Repository(server.root / "ann/shop.git")
    sha = shop.commit({".gitmodules": '[submodule "other"]\n\tpath = other\n\turl = ../other.git\n'})
    assert refusal(server.address(), sha, tmp_path / "clone") == (
        "SubmoduleError",
        "The submodule libs/lib has no address in .gitmodules.",
        "Add it there, or remove the submodule.",
    )


def test_large_files_without_git_lfs(server: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n", "x.bin": server.pointer(b"large")}
    sha = server.repository().commit(files)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("git", "sh"):
        found = shutil.which(name)
        assert found is not None
        (programs / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(programs))
    assert refusal(server.address(), sha, tmp_path / "clone") == (
        "LargeFileError",
        f"{server.address()} has files in Git LFS, and the image has no git-lfs.",
        "Use the builder image of this version, or add git-lfs to your own.",
    )


@pytest.mark.parametrize(
    ("says", "line"),
    [
        (
            UNKNOWN_HOST,
            "No ED25519 host key is known for git.example.com and you have requested strict checking.",
        ),
        (CHANGED_HOST, "Host key for git.example.com has changed and you have requested strict checking."),
    ],
    ids=["unknown", "changed"],
)
def test_an_ssh_server_that_is_not_known(
    says: str, line: str, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_ssh(tmp_path / "bin", says, monkeypatch)
    (key / "known_hosts").write_text("", encoding="utf-8")
    assert refusal(ADDRESS, COMMIT, tmp_path / "clone", key) == (
        "HostKeyRefused",
        f"{ADDRESS}: the server's SSH key is not one of the known hosts.\ngit: {line}",
        HOST_KEY_HINT,
    )


def test_an_ssh_server_that_refuses_the_key(key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_ssh(tmp_path / "bin", DENIED, monkeypatch)
    assert refusal(ADDRESS, COMMIT, tmp_path / "clone", key) == (
        "AuthenticationRefused",
        f"{ADDRESS} was refused with the SSH key of the Secret aphex-git.\n"
        "git: git@git.example.com: Permission denied (publickey).",
        "Have they expired, and may they read this repository? They are used for the repository's own host alone. "
        "To replace them, delete the Secret first.\n" + SSH_HINT,
    )


def test_an_ssh_server_that_wants_a_key_and_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_ssh(tmp_path / "bin", DENIED, monkeypatch)
    assert refusal(ADDRESS, COMMIT, tmp_path / "clone") == (
        "AuthenticationRefused",
        f"{ADDRESS} asks for credentials, and the pipeline has none.\n"
        "git: git@git.example.com: Permission denied (publickey).",
        SSH_HINT,
    )


def test_a_submodule_whose_ssh_server_is_not_known(
    server: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.repository("ann/lib").commit({"lib.txt": "1"})
    address = "git@git.example.com:ann/lib.git"
    sha = with_submodule(server, address)
    fake_ssh(tmp_path / "bin", UNKNOWN_HOST, monkeypatch)
    assert refusal(server.address(), sha, tmp_path / "clone") == (
        "HostKeyRefused",
        f"The submodule libs/lib ({address}): the server's SSH key is not one of the known hosts.\n"
        "git: No ED25519 host key is known for git.example.com and you have requested strict checking.",
        HOST_KEY_HINT,
    )
