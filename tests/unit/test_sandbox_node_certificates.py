"""The sandbox's certificates are ones that a TLS client and server accept, and nobody else can read their keys."""

from __future__ import annotations

import socket
import ssl
import stat
import threading
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from sandbox.node.certificates import Authority, Subject


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    authority = Authority(tmp_path / "pki")
    authority.ensure()
    authority.issue(Subject(file="server", common_name="server", addresses=(IPv4Address("127.0.0.1"),)))
    authority.issue(Subject(file="client", common_name="alice", groups=("admins", "people")))
    return authority


def handshake(authority: Authority, hostname: str) -> dict[str, object]:
    """Connect with mutual TLS; returns the client's certificate as the server sees it."""
    folder = authority.directory
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.certificate))
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_cert_chain(folder / "server.crt", folder / "server.key")
    client = ssl.create_default_context(cafile=str(authority.certificate))
    client.load_cert_chain(folder / "client.crt", folder / "client.key")
    seen: dict[str, object] = {}

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            try:
                with server.wrap_socket(connection, server_side=True) as secure:
                    seen.update(secure.getpeercert() or {})
                    secure.sendall(b"x")
            except (ssl.SSLError, ConnectionError) as error:
                seen["error"] = str(error)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            with (
                socket.create_connection(listener.getsockname()) as plain,
                client.wrap_socket(plain, server_hostname=hostname) as secure,
            ):
                assert secure.recv(1) == b"x"
        finally:
            thread.join()
    return seen


def test_client_and_server_accept_each_other(authority: Authority) -> None:
    subject = dict(pair for part in handshake(authority, "127.0.0.1")["subject"] for pair in part)  # type: ignore[attr-defined]
    assert subject["commonName"] == "alice"


def test_a_server_at_another_address_is_refused(authority: Authority) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(authority, "127.0.0.2")


def test_what_exists_is_kept(authority: Authority) -> None:
    before = {path.name: path.read_bytes() for path in authority.directory.iterdir()}
    authority.ensure()
    authority.issue(Subject(file="client", common_name="alice"))
    assert {path.name: path.read_bytes() for path in authority.directory.iterdir()} == before


def test_only_the_owner_reads_them(authority: Authority) -> None:
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in authority.directory.iterdir())
