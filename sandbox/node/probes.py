"""Whether a component answers, asked from where it listens."""

from __future__ import annotations

import http.client
import socket
import ssl
from urllib.parse import urlsplit

from sandbox.node.plan import Probe, ProbeKind

_TIMEOUT = 1.0


def answers(probe: Probe) -> bool:
    """Ask once; no answer, and any status but one of the 200s, is no."""
    try:
        if probe.kind is ProbeKind.http:
            return _http(probe.target)
        return _connects(probe)
    except (OSError, http.client.HTTPException):
        return False


def _connects(probe: Probe) -> bool:
    if probe.kind is ProbeKind.unix:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_TIMEOUT)
            connection.connect(probe.target)
        return True
    host, _, port = probe.target.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=_TIMEOUT):
        return True


def _http(url: str) -> bool:
    parts = urlsplit(url)
    address = parts.netloc
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        # Readiness of a neighbour in the same network namespace; nothing secret is sent or believed.
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection(address, timeout=_TIMEOUT, context=context)
    else:
        connection = http.client.HTTPConnection(address, timeout=_TIMEOUT)
    try:
        connection.request("GET", parts.path or "/")
        return 200 <= connection.getresponse().status < 300
    finally:
        connection.close()
