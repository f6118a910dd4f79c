"""A small S3 for benchmarks, in memory: `python -m benchmarks.s3_server`, so that a server's own time hides nothing.

It knows what is needed to put, get and list objects, whole or in parts, and checks nothing.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

_PAGE = 1000
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_ids = itertools.count(1)


class S3(BaseHTTPRequestHandler):
    """One connection. Objects are under their path, with the headers that their writer gave."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16  # headers and body at once
    objects: dict[str, tuple[bytes, str, dict[str, str]]] = {}  # noqa: RUF012  # of all connections
    uploads: dict[str, tuple[dict[int, bytes], dict[str, str]]] = {}  # noqa: RUF012

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing: it would cost what is measured."""

    def handle_expect_100(self) -> bool:
        """Ask for the body at once: a client that gets no answer waits a second before it sends it."""
        asked = super().handle_expect_100()
        self.wfile.flush()
        return asked

    def _request(self) -> tuple[str, dict[str, str], bytes]:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if "x-amz-decoded-content-length" in self.headers:
            body = _unchunked(body)
        return unquote(parts.path), query, body

    def _answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response_only(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _metadata(self) -> dict[str, str]:
        return {name: value for name, value in self.headers.items() if name.lower().startswith("x-amz-meta-")}

    def _put(self, path: str, body: bytes, metadata: dict[str, str]) -> str:
        etag = f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
        self.objects[path] = body, etag, metadata
        return etag

    def do_PUT(self) -> None:
        """Make a bucket, an object, or a part of one."""
        path, query, body = self._request()
        if "partNumber" in query:
            self.uploads[query["uploadId"]][0][int(query["partNumber"])] = body
            self._answer(200, headers={"ETag": f'"{query["partNumber"]}"'})
        elif path.count("/") < 2:
            self._answer(200)
        else:
            self._answer(200, headers={"ETag": self._put(path, body, self._metadata())})

    def do_POST(self) -> None:
        """Begin or complete an upload in parts."""
        path, query, _ = self._request()
        if "uploads" in query:
            upload = str(next(_ids))
            self.uploads[upload] = {}, self._metadata()
            tag, text = "InitiateMultipartUploadResult", f"<UploadId>{upload}</UploadId>"
        else:
            parts, metadata = self.uploads.pop(query["uploadId"])
            etag = self._put(path, b"".join(parts[number] for number in sorted(parts)), metadata)
            tag, text = "CompleteMultipartUploadResult", f"<ETag>{etag}</ETag>"
        self._answer(200, f"<{tag}>{text}</{tag}>".encode())

    def do_HEAD(self) -> None:
        """Describe an object."""
        self._send_object(self._request()[0])

    def do_GET(self) -> None:
        """Give an object or a part of it, or list a bucket."""
        path, query, _ = self._request()
        if "list-type" in query:
            self._list(path.rstrip("/"), query)
        else:
            self._send_object(path)

    def _send_object(self, path: str) -> None:
        if path not in self.objects:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
            return
        body, etag, metadata = self.objects[path]
        headers = {"ETag": etag, "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT", **metadata}
        if self.command == "HEAD":
            self._answer(200, headers={**headers, "Content-Length": str(len(body))})
        elif found := _RANGE.fullmatch(self.headers.get("Range", "")):
            first, last = int(found[1]), min(int(found[2] or len(body)), len(body) - 1)
            self._answer(206, body[first : last + 1], {**headers, "Content-Range": f"bytes {first}-{last}/{len(body)}"})
        else:
            self._answer(200, body, headers)

    def _list(self, bucket: str, query: dict[str, str]) -> None:
        start, prefix = query.get("continuation-token", ""), f"{bucket}/{query.get('prefix', '')}"
        found = sorted(path for path in list(self.objects) if path.startswith(prefix) and path > f"{bucket}/{start}")
        page = "".join(
            f"<Contents><Key>{escape(path[len(bucket) + 1 :])}</Key><Size>{len(self.objects[path][0])}</Size>"
            f"<LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>{self.objects[path][1]}</ETag></Contents>"
            for path in found[:_PAGE]
        )
        more = len(found) > _PAGE
        last = escape(found[_PAGE - 1][len(bucket) + 1 :]) if more else ""
        token = f"<NextContinuationToken>{last}</NextContinuationToken>" if more else ""
        answer = f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{page}"
        self._answer(200, f"<ListBucketResult>{answer}</ListBucketResult>".encode())


def _unchunked(body: bytes) -> bytes:
    """The content of a body in the encoding `aws-chunked`."""
    found: list[bytes] = []
    position = 0
    while True:
        end = body.index(b"\r\n", position)
        size = int(body[position:end].partition(b";")[0], 16)
        if not size:
            return b"".join(found)
        found.append(body[end + 2 : end + 2 + size])
        position = end + 2 + size + 2


if __name__ == "__main__":
    with ThreadingHTTPServer(("127.0.0.1", 0), S3) as server:
        server.daemon_threads = True
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()
