"""A way to AWS that is down for a while when a test says so: nothing listens there, and connections are refused."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

_HOP = frozenset({"connection", "content-length", "transfer-encoding", "content-encoding", "host"})
_POLL = 0.02


@dataclass
class RefusingAws:
    """The proxy.

    Attributes:
        upstream: the AWS behind it.
        begins: whether a request is the one at which it goes down; called with each body.
        seconds: how long it is down.
        port: where it listens.
        downs: how often it may still go down.
        outages: from when to when it was down, on the monotonic clock.
    """

    upstream: str
    begins: Callable[[str], bool]
    seconds: float
    port: int = 0
    downs: int = 1
    outages: list[tuple[float, float]] = field(default_factory=list)
    _server: ThreadingHTTPServer | None = None
    _connections: set[socket.socket] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _again: list[threading.Thread] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://localhost:{self.port}"

    def listen(self) -> None:
        """Listen, on the same port as before."""
        server = ThreadingHTTPServer(("127.0.0.1", self.port), self._handler())
        server.daemon_threads = True
        self.port, self._server = server.server_port, server
        threading.Thread(target=server.serve_forever, args=(_POLL,), daemon=True).start()

    def close(self) -> None:
        """Listen no more, and end all connections."""
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()
        with self._lock:
            for connection in self._connections:
                connection.shutdown(socket.SHUT_RDWR)
            self._connections.clear()

    def end(self) -> None:
        """Be gone for good."""
        for thread in self._again:
            thread.join()
        self.close()

    def goes_down(self, body: str) -> bool:
        """Whether this request is the one that finds nobody any more."""
        with self._lock:
            if self.downs == 0 or not self.begins(body):
                return False
            self.downs -= 1
        thread = threading.Thread(target=self._down)
        self._again.append(thread)
        thread.start()
        return True

    def _down(self) -> None:
        self.close()
        began = time.monotonic()
        time.sleep(self.seconds)
        self.listen()
        self.outages.append((began, time.monotonic()))

    def _handler(proxy) -> type[BaseHTTPRequestHandler]:  # noqa: N805
        client = httpx.Client(base_url=proxy.upstream, timeout=60, trust_env=False)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                with proxy._lock:
                    proxy._connections.add(self.connection)

            def finish(self) -> None:
                with proxy._lock:
                    proxy._connections.discard(self.connection)
                super().finish()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if proxy.goes_down(body.decode(errors="replace")):
                    self.close_connection = True
                    return
                kept = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
                answer = client.request(self.command, self.path, content=body, headers=kept)
                self.send_response_only(answer.status_code)
                for name, value in answer.headers.items():
                    if name.lower() not in _HOP:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            do_GET = do_PUT = do_HEAD = do_DELETE = do_POST  # noqa: N815

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler


@contextmanager
def refusing_aws(upstream: str, begins: Callable[[str], bool], seconds: float, downs: int = 1) -> Iterator[RefusingAws]:
    """Run the proxy as long as the block."""
    proxy = RefusingAws(upstream, begins, seconds, downs=downs)
    proxy.listen()
    try:
        yield proxy
    finally:
        proxy.end()
