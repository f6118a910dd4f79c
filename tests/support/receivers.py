"""Where notifications arrive on this machine: web servers that answer as told, one that hangs, one that refuses."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class WebReceiver:
    """A web server.

    Attributes:
        port: where it listens, on 127.0.0.1.
        bodies: what came, by path.
        answers: statuses of the next answers, by path; 200 after them.
    """

    port: int = 0
    bodies: dict[str, list[Any]] = field(default_factory=dict)
    answers: dict[str, list[int]] = field(default_factory=dict)

    def url(self, path: str) -> str:
        """The Apprise URL of a path."""
        return f"json://127.0.0.1:{self.port}{path}"


@contextmanager
def web_receiver() -> Iterator[WebReceiver]:
    """Run it as long as the block."""
    receiver = WebReceiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.bodies.setdefault(self.path, []).append(json.loads(body))
            statuses = receiver.answers.get(self.path, [])
            self.send_response(statuses.pop(0) if statuses else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def hanging_port() -> Iterator[int]:
    """A port that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@contextmanager
def refusing_port() -> Iterator[int]:
    """A port that nobody listens on, and nobody else can get."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]
