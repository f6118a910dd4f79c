"""Clones from a real git server: credentials, faults, submodules and large files, each failure with its message."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from stages.git import CheckoutError, Retries
from stages.source import checkout
from tests.support.control_plane import tool
from tests.support.git_server import PASSWORD, USER, GitServer, git_server
from tests.support.repository import Repository

QUICK = Retries(attempts=3, first=0.01)
SECRET_HINT = (
    "Make the Secret aphex-git, with rights to read only:\nkubectl --namespace shop create secret generic aphex-git "
    "--from-literal=username=NAME --from-file=password=TOKEN_FILE"
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    with git_server(tmp_path / "served") as served:
        yield served


@pytest.fixture
def mounted(tmp_path: Path) -> Path:
    folder = tmp_path / "mounted"
    folder.mkdir()
    (folder / "username").write_text(f"{USER}\n")
    (folder / "password").write_text(f"{PASSWORD}\n")
    return folder


def clone(address: str, sha: str, folder: Path, credentials: Path | None = None) -> list[str]:
    told: list[str] = []
    checkout(address, sha, folder, told.append, credentials=credentials, namespace="shop", retries=QUICK)
    return told


def refusal(address: str, sha: str, folder: Path, credentials: Path | None = None) -> tuple[str, str, str]:
    with pytest.raises(CheckoutError) as caught:
        clone(address, sha, folder, credentials)
    return type(caught.value).__name__, caught.value.message, caught.value.hint


def test_a_fault_that_passes_is_tried_again_and_told(server: GitServer, tmp_path: Path) -> None:
    sha = server.repository().commit({"a": "1"})
    server.faults, server.broken = 1, 1
    failed = f"git fetch failed: unable to access '{server.address()}/': "
    assert clone(server.address(), sha, tmp_path / "clone") == [
        f"{failed}Empty reply from server; attempt 2 of 3 in 0.01 s",
        f"{failed}The requested URL returned error: 503; attempt 3 of 3 in 0.02 s",
    ]


def test_a_fault_that_stays_is_told(server: GitServer, tmp_path: Path) -> None:
    sha = server.repository().commit({"a": "1"})
    server.faults = 99
    assert refusal(server.address(), sha, tmp_path / "clone") == (
        "NetworkFault",
        f"git fetch failed 3 times in a row.\nfatal: unable to access '{server.address()}/': Empty reply from server",
        "The network or the server failed each time: start the run again when they work.",
    )


def test_a_repository_that_is_not_there(server: GitServer, tmp_path: Path) -> None:
    address = server.address("ann/none")
    assert refusal(address, "a" * 40, tmp_path / "clone") == (
        "RepositoryNotFound",
        f"{address} was not found.\ngit: repository '{address}/' not found",
        "Check its address. Some hosts say the same of a private repository; its credentials are missing.\n"
        + SECRET_HINT,
    )


def test_a_commit_that_is_gone(server: GitServer, tmp_path: Path) -> None:
    server.repository().commit({"a": "1"})
    sha = "0" * 39 + "1"
    assert refusal(server.address(), sha, tmp_path / "clone") == (
        "CommitMissing",
        f"{server.address()} has no commit {sha}.\ngit: remote error: upload-pack: not our ref {sha}",
        "It may have been removed by a forced push: push again to start a new run.",
    )


def test_a_private_repository_needs_credentials(server: GitServer, mounted: Path, tmp_path: Path) -> None:
    sha = server.repository().commit({"a": "1"})
    server.private = True
    assert refusal(server.address(), sha, tmp_path / "clone") == (
        "AuthenticationRefused",
        f"{server.address()} asks for credentials, and the pipeline has none.\n"
        f"git: could not read Username for '{server.url}': terminal prompts disabled",
        SECRET_HINT,
    )
    (mounted / "password").write_text("expired")
    assert refusal(server.address(), sha, tmp_path / "clone", mounted) == (
        "AuthenticationRefused",
        f"{server.address()} was refused with username and password of the Secret aphex-git.\n"
        f"git: Authentication failed for '{server.address()}/'",
        "Have they expired, and may they read this repository? They are used for the repository's own host alone. "
        "To replace them, delete the Secret first.\n" + SECRET_HINT,
    )


def test_credentials_reach_the_repository_and_its_submodules_and_stay_nowhere(
    server: GitServer, mounted: Path, tmp_path: Path
) -> None:
    library = server.repository("ann/lib")
    library.commit({"lib.txt": "recorded"})
    shop = server.repository()
    shop.git("submodule", "--quiet", "add", server.address("ann/lib"), "libs/lib")
    shop.git("config", "-f", ".gitmodules", "submodule.libs/lib.url", "../lib.git")
    sha = shop.commit({"a": "1"})
    library.commit({"lib.txt": "newer"})
    server.private = True
    clone(server.address(), sha, tmp_path / "clone", mounted)
    assert (tmp_path / "clone" / "libs" / "lib" / "lib.txt").read_text() == "recorded"
    kept = [path.read_bytes() for path in (tmp_path / "clone").rglob("*") if path.is_file()]
    assert not any(PASSWORD.encode() in content for content in kept)
    assert not any(key.startswith("GIT_CONFIG") or key == "GIT_SSH_COMMAND" for key in os.environ)


@pytest.mark.engine
def test_large_files_are_fetched_and_missing_ones_named(
    server: GitServer, mounted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = server.repository()
    files = {".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n", "x.bin": server.pointer(b"large")}
    sha = shop.commit(files)
    lost = shop.commit({"z.bin": server.pointer(b"never pushed", kept=False)})
    server.private = True
    monkeypatch.setenv("PATH", f"{tool('git-lfs').parent}:{os.environ['PATH']}")
    clone(server.address(), sha, tmp_path / "clone", mounted)
    assert (tmp_path / "clone" / "x.bin").read_bytes() == b"large"
    assert Repository(tmp_path / "clone").git("status", "--porcelain") == ""
    oid = hashlib.sha256(b"never pushed").hexdigest()
    assert refusal(server.address(), lost, tmp_path / "clone", mounted) == (
        "LargeFileError",
        f"{server.address()} lacks files in Git LFS that the commit has:\n  z.bin ({oid[:12]})",
        "Push them from a clone that has them: git lfs push --all origin",
    )
