"""An STS of the test's own over HTTP: it records what it is asked, and answers as it is told.

It has the SSM parameters of a bootstrap too, for which an AWS with accounts would take longer to start than a test.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

Request = dict[str, str]
_XMLNS = "https://sts.amazonaws.com/doc/2011-06-15/"
_KEY = re.compile(r"Credential=(\w+)/")


@dataclass(frozen=True)
class Refusal:
    """An error of AWS."""

    code: str
    message: str
    status: int = 403


@dataclass
class Sts:
    """Where it is, what it was asked, and how it answers.

    Attributes:
        url: its address.
        requests: what it was asked, in order.
        lifetime: seconds after which what it hands out expires.
        refuse: gives the error for a request; None to grant it.
        parameters: values of SSM parameters.
        expired: access keys that are refused.
    """

    url: str = ""
    requests: list[Request] = field(default_factory=list)
    lifetime: float = 3600
    refuse: Callable[[Request], Refusal | None] = lambda _request: None
    parameters: dict[str, str] = field(default_factory=dict)
    expired: set[str] = field(default_factory=set)
    _keys: set[str] = field(default_factory=set)

    def expire(self) -> None:
        """Refuse everything that was handed out so far, as when its time is over."""
        self.expired = set(self._keys)

    def assumed(self) -> list[str]:
        """The roles that were asked for, without the pod's own."""
        return [each["RoleArn"] for each in self.requests if each["Action"] == "AssumeRole"]

    def answer(self, request: Request) -> tuple[int, str]:
        """Answer one request."""
        self.requests.append(request)
        refusal = self._refusal(request)
        if refusal is not None:
            error = f"<Error><Type>Sender</Type><Code>{refusal.code}</Code><Message>{refusal.message}</Message></Error>"
            return refusal.status, f'<ErrorResponse xmlns="{_XMLNS}">{error}</ErrorResponse>'
        action = request["Action"]
        result = f"<{action}Result>{self._result(request)}</{action}Result>"
        return 200, f'<{action}Response xmlns="{_XMLNS}">{result}</{action}Response>'

    def parameter(self, request: Request) -> tuple[int, str]:
        """Answer a request for an SSM parameter."""
        refusal, value = self._refusal(request), self.parameters.get(request["Name"])
        if refusal is None and value is None:
            refusal = Refusal("ParameterNotFound", "", 400)
        if refusal is not None:
            return refusal.status, json.dumps({"__type": refusal.code, "message": refusal.message})
        return 200, json.dumps({"Parameter": {"Name": request["Name"], "Value": value}})

    def _refusal(self, request: Request) -> Refusal | None:
        if request["key"] in self.expired:
            return Refusal("ExpiredToken", "The security token included in the request is expired")
        return self.refuse(request)

    def _result(self, request: Request) -> str:
        account = request["role"].split(":")[4] if request["role"] else "123456789012"
        if request["Action"] == "GetCallerIdentity":
            name = request["role"].partition("role/")[2] or "nobody"
            arn = f"arn:aws:sts::{account}:assumed-role/{name}/session"
            return f"<Arn>{arn}</Arn><UserId>x</UserId><Account>{account}</Account>"
        until = (datetime.now(UTC) + timedelta(seconds=self.lifetime)).strftime("%Y-%m-%dT%H:%M:%SZ")
        key = f"KEY{len(self.requests)}".ljust(20, "0")
        self._keys.add(key)
        token = request["RoleArn"]
        return (
            f"<Credentials><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>"
            f"<SessionToken>{token}</SessionToken><Expiration>{until}</Expiration></Credentials>"
            f"<AssumedRoleUser><Arn>{token}</Arn><AssumedRoleId>x:y</AssumedRoleId></AssumedRoleUser>"
        )


@contextmanager
def sts_server() -> Iterator[Sts]:
    """Run it as long as the block."""
    sts = Sts()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            target = self.headers.get("X-Amz-Target") or ""
            request = {key: values[0] for key, values in parse_qs(body).items()} if not target else json.loads(body)
            # Who asks is in the token that it was given: the role's ARN.
            request["role"] = self.headers.get("X-Amz-Security-Token") or ""
            found = _KEY.search(self.headers.get("Authorization") or "")
            request["key"] = found[1] if found else ""
            request.setdefault("Action", target.rpartition(".")[2])
            status, text = sts.parameter(request) if target else sts.answer(request)
            self.send_response(status)
            self.send_header("Content-Type", "text/xml")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Be quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        sts.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield sts
        finally:
            server.shutdown()
            thread.join()
