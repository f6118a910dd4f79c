"""The AWS stand-in as one process: `python -m sandbox.aws.server`, moto with the sandbox's patches."""

from __future__ import annotations

import argparse
import io
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandbox.aws import HEALTH_PATH

if TYPE_CHECKING:
    from werkzeug.serving import BaseWSGIServer

_OnRequest = Callable[[dict[str, Any], bytes], None]
_WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class OneAtATime:
    """Lets one request at a time into moto, whose backends are plain dictionaries without locks.

    A request's body is read before its turn, so that a slow client does not hold up the others.
    """

    def __init__(self, app: _WsgiApp, patches: list[str]) -> None:
        self._app = app
        self._health = ("ok " + " ".join(patches) + "\n").encode()
        self.on_request: _OnRequest = _nothing
        self.turn = threading.RLock()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        if environ.get("PATH_INFO") == HEALTH_PATH:
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [self._health]
        # Only a chunked body has an end of its own; the connection stays open after any other.
        length = -1 if environ.get("wsgi.input_terminated") else int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length)
        environ["wsgi.input"] = io.BytesIO(body)
        environ["CONTENT_LENGTH"] = str(len(body))
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        with self.turn:
            self.on_request(environ, body)
            response = self._app(environ, start_response)
            try:
                return list(response)
            finally:
                close = getattr(response, "close", None)
                if close is not None:
                    close()


def make_server(
    host: str, port: int, account: str, region: str, snapshot: Path | None = None
) -> tuple[BaseWSGIServer, Callable[[], None]]:
    """Build the server, bound and ready to serve, and what to call when it has ended.

    Args:
        host: the address to listen on.
        port: the port; 0 finds a free one.
        account: the account of callers whose credentials no role gave them.
        region: the region of requests that name none.
        snapshot: a file that keeps everything over a restart; nothing is kept when None.
    """
    os.environ["MOTO_PORT"] = str(port)
    os.environ.setdefault("AWS_DEFAULT_REGION", region)
    # moto reads its port when it is first imported. Its MOTO_ACCOUNT_ID is not for here: it would be the
    # account of every request, whatever role its credentials are of.
    import moto.iam.models
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server as make_wsgi_server

    from sandbox.aws.patches import apply_all

    setattr(moto.iam.models, "DEFAULT_ACCOUNT_ID", account)  # noqa: B010 - mypy refuses the plain form

    class QuietHandler(MotoRequestHandler):
        """Logs failures of the server alone, and keeps connections open between requests."""

        protocol_version = "HTTP/1.1"

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Log what the server itself failed at."""
            if str(code).startswith("5"):
                super().log_request(code, size)

    app = OneAtATime(DomainDispatcherApplication(create_backend_app), apply_all())
    end = _keep(app, snapshot) if snapshot else _nothing
    return make_wsgi_server(host, port, app, threaded=True, request_handler=QuietHandler), end


def _keep(app: OneAtATime, snapshot: Path) -> Callable[[], None]:
    """Keep what moto holds in a file, and put back what the file holds now."""
    from sandbox.aws.snapshot import Keeper, changes_something

    keeper = Keeper(snapshot, app.turn)
    keeper.start()

    def on_request(environ: dict[str, Any], body: bytes) -> None:
        if changes_something(environ, body):
            keeper.touch()

    app.on_request = on_request
    return keeper.end


def _nothing(*_: Any) -> None:
    """What is done about requests, and at the end, when nothing is kept."""


def main(arguments: list[str] | None = None) -> int:
    """Serve until the process is told to end."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.aws.server", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=5000)
    parser.add_argument("--account", default="123456789012")
    parser.add_argument("--region", default="us-east-1")
    parser.add_argument("--snapshot", type=Path, help="file that keeps everything over a restart")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    server, end = make_server(options.host, options.port, options.account, options.region, options.snapshot)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    signal.signal(signal.SIGINT, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"AWS stand-in on http://{options.host}:{server.server_port}", flush=True)
    server.serve_forever()
    server.server_close()
    end()
    return 0


if __name__ == "__main__":
    sys.exit(main())
