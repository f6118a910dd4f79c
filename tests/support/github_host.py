"""A GitHub of the test's own: the sandbox's git host with its API, and an EventSource that checks signatures."""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from sandbox import git_host
from sandbox.git_host.api import API_PATH, api_token
from sandbox.git_host.server import make_server
from sandbox.state import SandboxSecrets, StandIns

PATH = "/push"


class EventSource(ThreadingHTTPServer):
    """Answers as Argo Events' GitHub EventSource: 200 for what is signed with its secret, else 400; 404 elsewhere."""

    daemon_threads = True

    def __init__(self, secret: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.secret = secret
        self.status: int | None = None
        self.received: list[tuple[str, bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}{PATH}"


class _Handler(BaseHTTPRequestHandler):
    server: EventSource

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        expected = "sha256=" + hmac.new(self.server.secret.encode(), body, hashlib.sha256).hexdigest()
        signed = hmac.compare_digest(self.headers.get("X-Hub-Signature-256", ""), expected)
        status = self.server.status or (404 if self.path != PATH else 200 if signed else 400)
        if status == 200:
            self.server.received.append((self.headers["X-GitHub-Event"], body))
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """The test's output is for its failures."""


@dataclass(frozen=True)
class GitHubHost:
    """Where it is, and what it has."""

    url: str
    stand_ins: StandIns

    @property
    def base(self) -> str:
        """Of the API."""
        return f"{self.url}{API_PATH}"

    @property
    def token(self) -> str:
        return api_token(self.stand_ins.secrets().webhook_secret)

    def repository(self, full_name: str) -> git_host.Repository:
        """A repository of that name, made when it is not there."""
        return git_host.create_repository(self.stand_ins, full_name)


@contextmanager
def github_host(folder: Path) -> Iterator[GitHubHost]:
    """Serve it as long as the block."""
    (folder / "git").mkdir(parents=True)
    SandboxSecrets.generate().save(folder / "secrets.json")
    with serving(make_server("127.0.0.1", 0, folder / "git")) as server:
        url = f"http://127.0.0.1:{server.server_port}"
        aws = "http://127.0.0.1:1"
        places = {"aws_endpoint": aws, "aws_endpoint_in_pods": aws, "aws_s3_endpoint_in_pods": aws, "git_url": url}
        yield GitHubHost(url, StandIns(name="test", directory=folder, **places))


@contextmanager
def event_source(secret: str) -> Iterator[EventSource]:
    """Serve one as long as the block."""
    with serving(EventSource(secret)) as server:
        yield server


@contextmanager
def serving(server: Any) -> Iterator[Any]:
    """Serve requests in a thread of its own."""
    with ExitStack() as stack:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        for end in (server.server_close, thread.join, server.shutdown):
            stack.callback(end)
        yield server
