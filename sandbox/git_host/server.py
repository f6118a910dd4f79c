"""Serves the git host's repositories for cloning: `python -m sandbox.git_host.server`, git's own HTTP backend.

Reading only; pushes go to the repositories' folders, which only their owner can write. The API for webhooks
(`sandbox.git_host.api`) wants a token.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import IO, Any

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler
from werkzeug.serving import make_server as make_wsgi_server

from sandbox.git_host.api import API_PATH, HooksApi

HEALTH_PATH = "/_aphex/health"
_ROUTE = re.compile(r"/(?P<repository>[\w.-]+/[\w.-]+\.git)/(?P<what>info/refs|git-upload-pack)")
_CHUNK = 64 * 1024
_PASSED = {
    "CONTENT_TYPE",
    "CONTENT_LENGTH",
    "HTTP_CONTENT_ENCODING",
    "PATH_INFO",
    "QUERY_STRING",
    "REMOTE_ADDR",
    "REQUEST_METHOD",
    "SERVER_PROTOCOL",
}
_StartResponse = Callable[..., Any]


class GitHost:
    """A WSGI application around `git http-backend`, which speaks CGI."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._api = HooksApi(self._root)

    def __call__(self, environ: dict[str, Any], start_response: _StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        path = environ.get("PATH_INFO", "")
        if path == HEALTH_PATH:
            return _plain(start_response, "200 OK", "ok")
        if path.startswith(f"{API_PATH}/"):
            return self._answer(environ, start_response)
        route = _ROUTE.fullmatch(path)
        if route is None or ".." in path or not (self._root / route["repository"] / "HEAD").exists():
            return _plain(start_response, "404 Not Found", "There is no such repository.")
        if "git-receive-pack" in environ.get("QUERY_STRING", ""):
            return _plain(start_response, "403 Forbidden", "This address is for reading. Push to the folder.")
        return self._backend(environ, start_response)

    def _answer(self, environ: dict[str, Any], start_response: _StartResponse) -> Iterable[bytes]:
        answer = self._api.answer(
            environ["REQUEST_METHOD"],
            environ.get("PATH_INFO", ""),
            environ.get("QUERY_STRING", ""),
            {"authorization": environ.get("HTTP_AUTHORIZATION", "")},
            _body(environ),
        )
        body = b"" if answer.document is None else json.dumps(answer.document).encode()
        headers = {"Content-Type": "application/json; charset=utf-8", "Content-Length": str(len(body))}
        status = f"{answer.status} {HTTPStatus(answer.status).phrase}"
        start_response(status, list((headers | answer.headers).items()))
        return [body]

    def _backend(self, environ: dict[str, Any], start_response: _StartResponse) -> Iterable[bytes]:
        body = _body(environ)
        # Not through aphex.process: a pack is binary, and is handed on while git still writes it.
        process = subprocess.Popen(
            ["git", "http-backend"],
            env=self._environment(environ, len(body)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        threading.Thread(target=_feed, args=(process.stdin, body), daemon=True).start()
        status, headers = _cgi_headers(process.stdout)
        start_response(status, headers)
        return _Stream(process)

    def _environment(self, environ: dict[str, Any], length: int) -> dict[str, str]:
        passed = {name: str(environ[name]) for name in _PASSED if environ.get(name)}
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            **passed,
            "CONTENT_LENGTH": str(length),
            "GIT_PROTOCOL": environ.get("HTTP_GIT_PROTOCOL", ""),
            "GIT_PROJECT_ROOT": str(self._root),
            "GIT_HTTP_EXPORT_ALL": "1",
            # The node may see the folder's owner as another user than the one it runs as.
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
        }


class _Stream:
    """The rest of the backend's output; ends the backend when the client goes away."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def __iter__(self) -> Iterator[bytes]:
        assert self._process.stdout is not None
        while chunk := self._process.stdout.read(_CHUNK):
            yield chunk

    def close(self) -> None:
        """Called by the server at the end of every response."""
        assert self._process.stdout is not None
        self._process.stdout.close()
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait()


def _body(environ: dict[str, Any]) -> bytes:
    # Only a chunked body has an end of its own; the connection stays open after any other.
    length = -1 if environ.get("wsgi.input_terminated") else int(environ.get("CONTENT_LENGTH") or 0)
    body: bytes = environ["wsgi.input"].read(length)
    return body


def _feed(pipe: IO[bytes], body: bytes) -> None:
    try:
        with pipe:
            pipe.write(body)
    except BrokenPipeError:
        # The backend refused the request before it read all of it, and its answer says so.
        return


def _cgi_headers(output: IO[bytes]) -> tuple[str, list[tuple[str, str]]]:
    """The status and headers before the first empty line of a CGI program's output."""
    status, headers = "200 OK", []
    while line := output.readline().decode("latin-1").rstrip("\r\n"):
        name, _, value = line.partition(":")
        if name.lower() == "status":
            status = value.strip()
        else:
            headers.append((name, value.strip()))
    return (status, headers) if headers or status != "200 OK" else ("500 Internal Server Error", [])


def _plain(start_response: _StartResponse, status: str, text: str) -> list[bytes]:
    body = (text + "\n").encode()
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


class _QuietHandler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log what the server itself failed at."""
        if str(code).startswith("5"):
            super().log_request(code, size)


def make_server(host: str, port: int, root: Path) -> BaseWSGIServer:
    """Build the server, bound and ready to serve the repositories below `root`; port 0 finds a free one."""
    return make_wsgi_server(host, port, GitHost(root), threaded=True, request_handler=_QuietHandler)


def main(arguments: list[str] | None = None) -> int:
    """Serve until the process is told to end."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.git_host.server", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--root", type=Path, required=True, help="folder of the bare repositories, OWNER/NAME.git")
    options = parser.parse_args(arguments)
    options.root.mkdir(parents=True, exist_ok=True)
    server = make_server(options.host, options.port, options.root)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"git host on http://{options.host}:{server.server_port}", flush=True)
    server.serve_forever()
    server.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
