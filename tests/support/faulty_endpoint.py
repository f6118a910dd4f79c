"""A network between the code and its AWS that fails where a test says so."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import urlsplit

# What happens to a request: an answer that says 503, no answer at all, an answer that breaks off in the middle, or S3's
# to who has no right to it: always, or of an object that is not there, to who may not list the bucket.
Fault = Literal["unavailable", "drop", "cut", "denied", "hidden"] | None
_DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
Faults = Callable[[str, str], Fault]


@contextmanager
def faulty_endpoint(behind: str, faults: Faults) -> Iterator[str]:
    """Stand between until the block ends; `faults` is asked with the method and the path of each request."""
    address = urlsplit(behind)
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *arguments: object) -> None:
            """Tests say what they saw."""

        def forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with lock:
                fault = faults(self.command, self.path)
            if fault == "drop":
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            if fault == "unavailable":
                self.answer(503, [], b"")
                return
            connection = http.client.HTTPConnection(address.hostname or "", address.port or 80)
            connection.request(self.command, self.path, body, dict(self.headers.items()))
            response = connection.getresponse()
            content = response.read()
            connection.close()
            if fault == "denied" or (fault == "hidden" and response.status == 404):
                self.answer(403, [], b"" if self.command == "HEAD" else _DENIED)
                return
            self.answer(response.status, response.getheaders(), content, cut=fault == "cut")

        def answer(self, status: int, headers: list[tuple[str, str]], content: bytes, *, cut: bool = False) -> None:
            self.send_response_only(status)
            length = next((value for name, value in headers if name.lower() == "content-length"), str(len(content)))
            for name, value in headers:
                if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                    self.send_header(name, value)
            self.send_header("Content-Length", length)
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if cut else content)
            if cut:
                self.wfile.flush()
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True

    for method in ("GET", "PUT", "POST", "DELETE", "HEAD"):
        setattr(Handler, f"do_{method}", Handler.forward)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
