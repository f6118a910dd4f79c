"""The git host: pushes become GitHub-shaped, signed webhooks, and any commit can be cloned over HTTP."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from aphex.errors import UsageError
from sandbox import git_host
from sandbox.git_host.server import make_server
from sandbox.state import SandboxSecrets, SandboxState

SECRETS = SandboxSecrets.generate()


class Receiver(HTTPServer):
    """Takes webhooks as an EventSource does; `refusals` are the statuses of the first answers."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.refusals: list[int] = []
        self.received: list[tuple[dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/push"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(self.server.refusals.pop(0) if self.server.refusals else 200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """The test's output is for its failures."""


def serve(server: Any) -> Iterator[Any]:
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    yield from serve(Receiver())


@pytest.fixture
def http(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "git").mkdir()
    for server in serve(make_server("127.0.0.1", 0, tmp_path / "git")):
        yield f"http://127.0.0.1:{server.server_port}"


@pytest.fixture
def state(tmp_path: Path, http: str) -> SandboxState:
    SECRETS.save(tmp_path / "secrets.json")
    address = "http://127.0.0.1"
    return SandboxState(
        name="test",
        directory=tmp_path,
        node_ip="127.0.0.1",
        host_ip="127.0.0.1",
        pod_cidr="10.1.0.0/16",
        service_cidr="10.2.0.0/16",
        kubeconfig=tmp_path / "kubeconfig",
        context="test",
        supervisor_pid=1,
        aws_endpoint=address,
        aws_endpoint_in_pods=address,
        aws_s3_endpoint_in_pods=address,
        registry="127.0.0.1:5001",
        nats_url="nats://127.0.0.1:4222",
        git_url=http,
        oidc_issuer=address,
        argo_server_url=address,
    )


@pytest.fixture
def repository(state: SandboxState, receiver: Receiver) -> git_host.Repository:
    created = git_host.create_repository(state, "acme/shop")
    created.set_webhook(receiver.url)
    return created


class Work:
    """A developer's clone."""

    def __init__(self, folder: Path, repository: git_host.Repository) -> None:
        self.folder = folder
        folder.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")
        self.git("remote", "add", "origin", str(repository.path))

    def git(self, *arguments: str) -> str:
        identity = {"NAME": "Ada", "EMAIL": "ada@example.org"}
        names = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in identity.items()}
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), **names}
        done = subprocess.run(
            ["git", *arguments], cwd=self.folder, env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout + done.stderr

    def commit(self, name: str) -> str:
        (self.folder / name).write_text(name)
        self.git("add", name)
        self.git("commit", "--quiet", "-m", f"Add {name}")
        return self.git("rev-parse", "HEAD").strip()


@pytest.fixture
def work(tmp_path: Path, repository: git_host.Repository) -> Work:
    return Work(tmp_path / "work", repository)


def bodies(receiver: Receiver) -> list[dict[str, Any]]:
    return [json.loads(body) for _, body in receiver.received]


def test_a_push_of_three_commits_is_one_event_at_the_newest(work: Work, receiver: Receiver) -> None:
    shas = [work.commit(name) for name in ("one", "two", "three")]
    printed = work.git("push", "origin", "main")
    (event,) = bodies(receiver)
    assert (event["ref"], event["before"], event["after"]) == ("refs/heads/main", "0" * 40, shas[-1])
    assert (event["created"], event["deleted"], event["forced"]) == (True, False, False)
    assert [each["id"] for each in event["commits"]] == shas
    assert event["head_commit"]["id"] == shas[-1]
    assert event["head_commit"]["author"] == {"name": "Ada", "email": "ada@example.org"}
    assert event["commits"][0]["added"] == ["one"]
    assert event["repository"]["full_name"] == "acme/shop"
    assert "remote: webhook: push 200 in" in printed


def test_three_pushes_are_three_events_in_order(work: Work, receiver: Receiver) -> None:
    shas = []
    for name in ("one", "two", "three"):
        shas.append(work.commit(name))
        work.git("push", "origin", "main")
    assert [event["after"] for event in bodies(receiver)] == shas
    assert [event["before"] for event in bodies(receiver)] == ["0" * 40, *shas[:-1]]


def test_a_webhook_is_signed_as_github_signs(work: Work, receiver: Receiver) -> None:
    work.commit("one")
    work.git("push", "origin", "main")
    ((headers, body),) = receiver.received
    expected = hmac.new(SECRETS.webhook_secret.encode(), body, hashlib.sha256).hexdigest()
    assert headers["x-hub-signature-256"] == f"sha256={expected}"
    assert headers["x-github-event"] == "push"
    assert headers["content-type"] == "application/json"


@pytest.fixture
def kubeconfig(tmp_path: Path, receiver: Receiver) -> Path:
    """Of a cluster whose API server the receiver plays, which hands a service what it is sent."""
    path = tmp_path / "users-kubeconfig"
    path.write_text(
        f"""
clusters: [{{name: far, cluster: {{server: "http://127.0.0.1:{receiver.server_port}"}}}}]
users: [{{name: me, user: {{token: allowed}}}}]
contexts: [{{name: far, context: {{cluster: far, user: me}}}}]
"""
    )
    return path


def test_a_webhook_goes_through_an_api_server_with_the_user_s_credentials(
    work: Work, receiver: Receiver, repository: git_host.Repository, kubeconfig: Path
) -> None:
    receiver.refusals = [503]
    repository.set_webhook(receiver.url, kubeconfig, "far")
    work.commit("one")
    assert "push 200 in" in work.git("push", "origin", "main")
    headers, body = receiver.received[-1]
    expected = hmac.new(SECRETS.webhook_secret.encode(), body, hashlib.sha256).hexdigest()
    assert (headers["authorization"], headers["x-hub-signature-256"]) == ("Bearer allowed", f"sha256={expected}")
    assert "allowed" not in (repository.path / "config").read_text()

    repository.set_webhook(receiver.url)
    work.commit("two")
    work.git("push", "origin", "main")
    assert "authorization" not in receiver.received[-1][0]


def test_a_webhook_that_the_api_server_forbids_is_not_sent_again(
    work: Work, receiver: Receiver, repository: git_host.Repository, kubeconfig: Path
) -> None:
    receiver.refusals = [403]
    repository.set_webhook(receiver.url, kubeconfig, "far")
    work.commit("one")
    assert "failed: 403 Forbidden" in work.git("push", "origin", "main")
    repository.set_webhook(receiver.url, kubeconfig, "gone")
    work.commit("two")
    assert "gone" in work.git("push", "origin", "main")
    refused, unsent = git_host.deliveries(repository)
    assert (refused.status, refused.attempts, unsent.status) == (403, 1, None)
    assert len(receiver.received) == 1


def test_a_forced_push_and_a_deletion_say_so(work: Work, receiver: Receiver) -> None:
    work.commit("one")
    work.commit("two")
    work.git("push", "origin", "main", "main:old")
    work.git("reset", "--quiet", "--hard", "HEAD~1")
    work.commit("three")
    work.git("push", "--force", "origin", "main")
    work.git("push", "origin", "--delete", "old")
    *_, forced, deleted = bodies(receiver)
    assert forced["forced"] is True
    assert [each["message"] for each in forced["commits"]] == ["Add three"]
    assert (deleted["ref"], deleted["deleted"], deleted["head_commit"]) == ("refs/heads/old", True, None)


def test_a_receiver_that_is_not_there_yet_is_asked_again(
    work: Work, receiver: Receiver, repository: git_host.Repository
) -> None:
    receiver.refusals = [503, 502]
    work.commit("one")
    printed = work.git("push", "origin", "main")
    (delivery,) = git_host.deliveries(repository)
    assert (delivery.status, delivery.attempts) == (200, 3)
    assert len({headers["x-github-delivery"] for headers, _ in receiver.received}) == 1
    assert "3 attempts" in printed


def test_a_refused_webhook_is_told_to_the_pusher_and_recorded(
    work: Work, receiver: Receiver, repository: git_host.Repository
) -> None:
    receiver.refusals = [400]
    work.commit("one")
    assert "remote: webhook: push failed: 400 Bad Request" in work.git("push", "origin", "main")
    (delivery,) = git_host.deliveries(repository)
    assert (delivery.ok, delivery.status, delivery.attempts) == (False, 400, 1)


def test_the_secret_is_the_owners_alone_and_in_no_record(work: Work, repository: git_host.Repository) -> None:
    work.commit("one")
    work.git("push", "origin", "main")
    secret_files = [path for path in repository.path.parent.parent.rglob("*") if path.is_file()]
    holding = [path for path in secret_files if SECRETS.webhook_secret in path.read_text(errors="replace")]
    assert [path.name for path in holding] == ["webhook-secret"]
    assert holding[0].stat().st_mode & 0o777 == 0o600


def test_any_commit_can_be_cloned_over_http_and_nothing_pushed(work: Work, tmp_path: Path, http: str) -> None:
    first = work.commit("one")
    work.git("push", "origin", "main")
    work.commit("two")
    work.git("commit", "--quiet", "--amend", "-m", "Other")
    work.git("push", "origin", "main")
    url = f"{http}/acme/shop.git"
    work.git("init", "--quiet", str(tmp_path / "clone"))
    work.git("-C", str(tmp_path / "clone"), "fetch", "--quiet", "--depth=1", url, first)
    work.git("-C", str(tmp_path / "clone"), "checkout", "--quiet", "FETCH_HEAD")
    assert sorted(path.name for path in (tmp_path / "clone").iterdir()) == [".git", "one"]
    with pytest.raises(subprocess.CalledProcessError, match="push"):
        work.git("push", url, "main:other")


@pytest.mark.parametrize("path", ["/acme/none.git/info/refs", "/webhook-secret", "/acme/shop.git/config", "/"])
def test_nothing_else_is_served(repository: git_host.Repository, http: str, path: str) -> None:
    import httpx

    assert repository.path.exists()
    assert httpx.get(f"{http}{path}", params={"service": "git-upload-pack"}).status_code == 404


def test_a_pull_request_is_opened_and_updated(work: Work, receiver: Receiver, repository: git_host.Repository) -> None:
    base = work.commit("one")
    work.git("push", "origin", "main")
    work.git("switch", "--quiet", "--create", "feature")
    first = work.commit("two")
    work.git("push", "origin", "feature")
    opened, delivery = git_host.open_pull_request(repository, "feature")
    assert delivery.ok
    second = work.commit("three")
    work.git("push", "origin", "feature")
    updated, _ = git_host.update_pull_request(repository, opened.number)
    events = [json.loads(b) for headers, b in receiver.received if headers["x-github-event"] == "pull_request"]
    assert [event["action"] for event in events] == ["opened", "synchronize"]
    assert [event["pull_request"]["head"]["sha"] for event in events] == [first, second]
    assert events[0]["pull_request"]["base"] == events[0]["pull_request"]["base"] | {"ref": "main", "sha": base}
    assert events[0]["number"] == 1
    assert events[0]["pull_request"]["title"] == "Add two"
    assert events[1]["before"] == first
    assert updated.sha == repository.git("rev-parse", "refs/pull/1/head").strip() == second


def test_creating_a_repository_again_changes_nothing(
    state: SandboxState, repository: git_host.Repository, work: Work
) -> None:
    work.commit("one")
    work.git("push", "origin", "main")
    before = {path: path.stat().st_mtime_ns for path in repository.path.rglob("*")}
    assert git_host.create_repository(state, "acme/shop") == repository
    assert {path: path.stat().st_mtime_ns for path in repository.path.rglob("*")} == before


@pytest.mark.parametrize("name", ["shop", "../shop", "a/b/c", "acme/..", ""])
def test_a_repository_needs_an_owner_and_a_name(state: SandboxState, name: str) -> None:
    with pytest.raises(UsageError):
        git_host.create_repository(state, name)


def test_a_repository_without_a_webhook_takes_pushes(state: SandboxState, tmp_path: Path) -> None:
    quiet = git_host.create_repository(state, "acme/quiet")
    work = Work(tmp_path / "other", quiet)
    work.commit("one")
    assert "not sent, because no pipeline listens yet" in work.git("push", "origin", "main")
