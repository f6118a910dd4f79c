"""The stages' identity in a local run: the caller's own, handed out the way EKS Pod Identity does it.

SDKs ask an address on this machine for credentials, and again before they expire; so a login by SSO or an assumed role
works for as long as it is valid. The protocol is that of the container credential provider:
https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
"""

from __future__ import annotations

import hmac
import json
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from aphex.errors import AphexError

Credentials = Mapping[str, str]
_LIFETIME = timedelta(minutes=30)
_PATH = "/credentials"


def stand_in_credentials() -> Credentials:
    """Credentials that only a stand-in takes."""
    return _document("local", "local", "local")


def caller_credentials(region: str) -> Callable[[], Credentials]:
    """The credentials that this process finds as every AWS program does.

    Raises:
        AphexError: it finds none.
    """
    import boto3

    found = boto3.Session(region_name=region).get_credentials()
    if found is None:
        raise AphexError(
            "There are no AWS credentials on this machine.",
            hint="Log in first, for example with `aws sso login`, and choose a profile with AWS_PROFILE.",
        )

    def current() -> Credentials:
        frozen = found.get_frozen_credentials()
        return _document(frozen.access_key, frozen.secret_key, frozen.token)

    return current


def _document(key: str | None, secret: str | None, token: str | None) -> Credentials:
    # Asked again early: what is behind them may expire sooner, and is renewed here.
    expiration = (datetime.now(UTC) + _LIFETIME).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"AccessKeyId": key or "", "SecretAccessKey": secret or "", "Token": token or "", "Expiration": expiration}


@contextmanager
def identity(folder: Path, credentials: Callable[[], Credentials]) -> Iterator[dict[str, str]]:
    """Hand out credentials to the stages as long as the block lasts; yields the variables by which they find them.

    Args:
        folder: where the token goes that a caller has to show, readable by its owner alone.
        credentials: the credentials of the moment.
    """
    token = secrets.token_urlsafe(32)
    file = folder / "identity-token"
    file.touch(mode=0o600)
    file.write_text(token, encoding="utf-8")
    empty = folder / "no-profiles"
    empty.touch()
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(token, credentials)) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield {
                "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://127.0.0.1:{server.server_port}{_PATH}",
                "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(file),
                # Profiles of the caller's would be preferred to it.
                "AWS_CONFIG_FILE": str(empty),
                "AWS_SHARED_CREDENTIALS_FILE": str(empty),
                "AWS_EC2_METADATA_DISABLED": "true",
            }
        finally:
            server.shutdown()
            thread.join()


def _handler(token: str, credentials: Callable[[], Credentials]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            shown = self.headers.get("Authorization", "")
            if self.path != _PATH or not hmac.compare_digest(shown.encode(), token.encode()):
                self._answer(403, {"code": "AccessDenied", "message": "The token is missing or wrong."})
                return
            try:
                self._answer(200, credentials())
            except Exception as error:  # noqa: BLE001  # the program that asked shows it
                self._answer(500, {"code": type(error).__name__, "message": str(error)})

        def _answer(self, status: int, document: Mapping[str, str]) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Keep quiet: standard error is the stages'."""

    return Handler
