"""A git server of the test's own: git's HTTP backend, with passwords, faults and large files on demand."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from werkzeug.serving import WSGIRequestHandler, make_server

from sandbox.git_host.server import GitHost
from tests.support.repository import Repository, new_repository

USER, PASSWORD = "ann", "pass word'4711$"


class _Quiet(WSGIRequestHandler):
    def log(self, *_: Any) -> None:
        """The test's output is for its failures."""


@dataclass
class GitServer:
    """Serves the repositories below a folder.

    Attributes:
        root: the folder, with `OWNER/NAME.git`.
        url: its address.
        private: whether it asks for the password.
        old: whether it knows only the first protocol, whose servers may refuse to serve a commit by its SHA.
        faults: how many of the next requests are answered by a closed connection.
        broken: how many of the next are answered with status 503.
        objects: the large files, by their OIDs.
        authorized: the headers that came with the requests.
    """

    root: Path
    url: str = ""
    private: bool = False
    old: bool = False
    faults: int = 0
    broken: int = 0
    objects: dict[str, bytes] = field(default_factory=dict)
    authorized: list[str] = field(default_factory=list)

    def repository(self, name: str = "ann/shop") -> Repository:
        """Make a repository on it; its commits are served at once."""
        repository = new_repository(self.root / f"{name}.git")
        repository.git("config", "uploadpack.allowAnySHA1InWant", "true")
        # The host serves what has a HEAD, as bare repositories do.
        (repository.path / "HEAD").symlink_to(".git/HEAD")
        (repository.path / ".git" / "info" / "exclude").write_text("/HEAD\n")
        return repository

    def address(self, name: str = "ann/shop") -> str:
        """Where to clone it from."""
        return f"{self.url}/{name}.git"

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        given = environ.get("HTTP_AUTHORIZATION", "")
        self.authorized.append(given)
        if self.faults > 0:
            self.faults -= 1
            environ["werkzeug.socket"].shutdown(2)
            raise ConnectionResetError
        if self.broken > 0:
            self.broken -= 1
            return _answer(start, "503 Service Unavailable", b"busy")
        expected = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.private and given != expected and not environ["PATH_INFO"].startswith("/objects/"):
            start("401 Unauthorized", [("WWW-Authenticate", 'Basic realm="git"'), ("Content-Length", "0")])
            return [b""]
        path = environ["PATH_INFO"]
        if path.endswith("/info/lfs/objects/batch"):
            return self._batch(environ, start)
        if path.startswith("/objects/"):
            return _answer(start, "200 OK", self.objects[path.removeprefix("/objects/")])
        if self.old:
            environ.pop("HTTP_GIT_PROTOCOL", None)
        return GitHost(self.root)(environ, start)

    def _batch(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        """What is to be downloaded, as Git LFS's batch API says it."""
        asked = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        answers = []
        for each in asked["objects"]:
            if each["oid"] in self.objects:
                actions = {"download": {"href": f"{self.url}/objects/{each['oid']}"}}
                answers.append({**each, "authenticated": True, "actions": actions})
            else:
                answers.append({**each, "error": {"code": 404, "message": "Object does not exist on the server"}})
        body = json.dumps({"transfer": "basic", "objects": answers}).encode()
        return _answer(start, "200 OK", body, "application/vnd.git-lfs+json")

    def pointer(self, content: bytes, *, kept: bool = True) -> str:
        """Keep a large file, or only promise it; returns what git has in its place."""
        oid = hashlib.sha256(content).hexdigest()
        if kept:
            self.objects[oid] = content
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(content)}\n"


def _answer(start: Callable[..., Any], status: str, body: bytes, kind: str = "text/plain") -> list[bytes]:
    start(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]


@contextmanager
def git_server(root: Path) -> Iterator[GitServer]:
    """Serve a folder as long as the block."""
    told = GitServer(root)
    server = make_server("127.0.0.1", 0, told, threaded=True, request_handler=_Quiet)
    told.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
