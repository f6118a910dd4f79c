"""A way to AWS on which credentials expire when a test says so: a proxy that refuses a key from then on."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

_KEY = re.compile(r"Credential=(\w+)/\d{8}/[\w-]+/(\w+)/")
_REFUSAL = (
    "<ErrorResponse><Error><Type>Sender</Type><Code>ExpiredToken</Code><Message>The security token included in the "
    "request is expired</Message></Error><RequestId>1</RequestId></ErrorResponse>"
)
_HOP = frozenset({"connection", "content-length", "transfer-encoding", "content-encoding", "host"})


@dataclass
class ExpiringAws:
    """The proxy.

    Attributes:
        url: its address.
        expires: whether a request is the one at which its key expires; called with each body of CloudFormation.
        refused: how many requests were refused.
    """

    url: str
    expires: Callable[[str], bool]
    refused: int = 0
    expired: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def refuses(self, authorization: str, body: str) -> bool:
        """Take note of a request's key; whether it has expired."""
        found = _KEY.search(authorization)
        if found is None or found[2] != "cloudformation":
            return False
        with self.lock:
            if not self.expired and self.expires(body):
                self.expired.add(found[1])
            refused = found[1] in self.expired
            self.refused += refused
            return refused


@contextmanager
def expiring_aws(upstream: str, expires: Callable[[str], bool]) -> Iterator[ExpiringAws]:
    """Run the proxy as long as the block."""
    with httpx.Client(base_url=upstream, timeout=60, trust_env=False) as client:

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if proxy.refuses(self.headers.get("Authorization", ""), body.decode(errors="replace")):
                    self._answer(403, {"Content-Type": "text/xml"}, _REFUSAL.encode())
                    return
                kept = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
                answer = client.request(self.command, self.path, content=body, headers=kept)
                headers = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP}
                self._answer(answer.status_code, headers, answer.content)

            do_GET = do_PUT = do_HEAD = do_DELETE = do_POST  # noqa: N815

            def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
                self.send_response_only(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        proxy = ExpiringAws(f"http://localhost:{server.server_port}", expires)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield proxy
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
