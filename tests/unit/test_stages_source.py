"""The clone is exactly the run's commit, whatever the server allows."""

from __future__ import annotations

import base64
import threading
import traceback
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from stages.git import CheckoutError
from stages.source import checkout
from tests.support.repository import Repository, new_repository


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return new_repository(tmp_path / "repository")


def quiet(_line: str) -> None:
    pass


def test_the_clone_is_shallow_and_at_the_commit(repository: Repository, tmp_path: Path) -> None:
    first = repository.commit({"a.txt": "one"})
    repository.commit({"a.txt": "two", "b.txt": "new"})
    clone = tmp_path / "clone"
    checkout(repository.url, first, clone, quiet)
    assert (clone / "a.txt").read_text() == "one"
    assert not (clone / "b.txt").exists()
    assert Repository(clone).git("rev-list", "--count", "HEAD") == "1"


def test_a_commit_that_is_on_no_branch_any_more_is_cloned(repository: Repository, tmp_path: Path) -> None:
    repository.commit({"a.txt": "one"})
    lost = repository.commit({"a.txt": "two"})
    repository.git("update-ref", "refs/pull/7/head", lost)
    repository.git("reset", "--hard", "--quiet", "HEAD~1")
    repository.git("config", "uploadpack.allowAnySHA1InWant", "false")
    checkout(repository.url, lost, tmp_path / "clone", quiet)
    assert (tmp_path / "clone" / "a.txt").read_text() == "two"


def test_a_server_that_refuses_commits_is_asked_for_its_branches(repository: Repository, tmp_path: Path) -> None:
    old = repository.commit({"a.txt": "one"})
    repository.commit({"a.txt": "two"})
    # The old protocol serves by SHA only what a branch points to.
    repository.git("config", "protocol.version", "0")
    told: list[str] = []
    clone = tmp_path / "clone"
    config = tmp_path / "gitconfig"
    config.write_text("[protocol]\n\tversion = 0\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_CONFIG_GLOBAL", str(config))
        checkout(repository.url, old, clone, told.append)
    assert (clone / "a.txt").read_text() == "one"
    assert any("fetching its branches" in line for line in told)


def test_a_commit_that_does_not_exist_is_said_to_be_missing(repository: Repository, tmp_path: Path) -> None:
    repository.commit({"a.txt": "one"})
    with pytest.raises(CheckoutError, match="has no commit") as caught:
        checkout(repository.url, "0" * 39 + "1", tmp_path / "clone", quiet)
    assert "forced push" in caught.value.hint


def test_an_exotic_transport_is_refused(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    with pytest.raises(CheckoutError):
        checkout(f"ext::touch {mark}", "a" * 40, tmp_path / "clone", quiet)
    assert not mark.exists()


def test_files_have_the_time_of_the_commit(repository: Repository, tmp_path: Path) -> None:
    sha = repository.commit({"a.txt": "one"})
    timestamp = checkout(repository.url, sha, tmp_path / "clone", quiet)
    assert (tmp_path / "clone" / "a.txt").stat().st_mtime == timestamp


def test_credentials_in_an_address_are_used_and_never_shown_or_kept(tmp_path: Path) -> None:
    asked: list[str | None] = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers.get("Authorization"))
            self.send_response(401 if len(asked) == 1 else 404)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://ann:s3cr3t-word@127.0.0.1:{server.server_port}/shop.git"
        with pytest.raises(CheckoutError) as caught:
            checkout(address, "a" * 40, tmp_path / "clone", quiet)
        server.shutdown()
    assert asked[-1] == "Basic " + base64.b64encode(b"ann:s3cr3t-word").decode()
    shown = "".join(traceback.format_exception(caught.value)) + str(caught.value.details)
    kept = "".join(path.read_text(errors="replace") for path in (tmp_path / "clone").rglob("*") if path.is_file())
    assert "s3cr3t-word" not in shown + kept
