"""A real API server for tests: etcd, kube-apiserver and kube-controller-manager on free ports, without a node.

It needs neither root nor namespaces, starts in a few seconds, and ends with the test process whatever happens to it.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import httpx
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

TOOLS_VARIABLE = "APHEX_TEST_TOOLS"
_START_SECONDS = 90.0
_CONTROLLERS = ",".join(
    (
        "clusterrole-aggregation-controller",
        "deployment-controller",
        "endpointslice-controller",
        "endpoints-controller",
        "garbage-collector-controller",
        "job-controller",
        "namespace-controller",
        "replicaset-controller",
        "resourcequota-controller",
        "serviceaccount-controller",
        "serviceaccount-token-controller",
    )
)


@dataclass(frozen=True, kw_only=True)
class ControlPlane:
    """A running API server.

    Attributes:
        server: its URL.
        kubeconfig: a kubeconfig with an administrator's token.
        token: that token.
        certificate: the certificate to trust.
        logs: the folder of its daemons' logs.
    """

    server: str
    kubeconfig: Path
    token: str
    certificate: Path
    logs: Path


def tool(name: str) -> Path:
    """Find a built binary: in the folder that APHEX_TEST_TOOLS names, or by the toolchain, which builds it."""
    if folder := os.environ.get(TOOLS_VARIABLE):
        return Path(folder) / name
    from sandbox import toolchain

    return toolchain.ensure(name, progress=None).path(name)


@contextmanager
def control_plane(directory: Path) -> Iterator[ControlPlane]:
    """Run a control plane whose data and logs are in `directory`, and end it with the block.

    Raises:
        RuntimeError: a daemon ended, or the API server was not ready in time; with the end of its log.
    """
    kube = tool("kube")
    client_port, peer_port, secure_port = _free_ports(3)
    token = secrets.token_urlsafe(24)
    files = _write_files(directory, token, secure_port)
    etcd = f"http://127.0.0.1:{client_port}"
    server = f"https://127.0.0.1:{secure_port}"
    certificate = directory / "pki" / "apiserver.crt"
    with ExitStack() as stack:
        peer = f"http://127.0.0.1:{peer_port}"
        daemons = [
            stack.enter_context(_daemon(directory, "etcd", [str(kube), "etcd", *_etcd_flags(directory, etcd, peer)]))
        ]
        flags = [*_apiserver_flags(directory, etcd, secure_port), f"--token-auth-file={files.tokens}"]
        daemons.append(stack.enter_context(_daemon(directory, "apiserver", [str(kube), "apiserver", *flags])))
        _wait_until_ready(server, token, directory, daemons)
        flags = [f"--kubeconfig={files.kubeconfig}", f"--service-account-private-key-file={files.key}"]
        flags += [f"--controllers={_CONTROLLERS}", "--leader-elect=false", "--secure-port=0"]
        flags += [f"--root-ca-file={certificate}", "--concurrent-gc-syncs=2", "--min-resync-period=10m"]
        stack.enter_context(_daemon(directory, "controller-manager", [str(kube), "controller-manager", *flags]))
        yield ControlPlane(
            server=server,
            kubeconfig=files.kubeconfig,
            token=token,
            certificate=certificate,
            logs=directory / "logs",
        )


@dataclass(frozen=True)
class _Files:
    tokens: Path
    kubeconfig: Path
    key: Path


def _write_files(directory: Path, token: str, port: int) -> _Files:
    (directory / "logs").mkdir(parents=True, exist_ok=True)
    files = _Files(directory / "tokens.csv", directory / "kubeconfig", directory / "service-account.key")
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL
    _write(files.key, key.private_bytes(encoding, form, serialization.NoEncryption()).decode())
    _write(files.tokens, f"{token},admin,admin,system:masters\n")
    cluster = {
        "server": f"https://127.0.0.1:{port}",
        # The server signs its own certificate, so that certificate is what to trust.
        "certificate-authority": str(directory / "pki" / "apiserver.crt"),
    }
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "admin", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
        "current-context": "test",
    }
    _write(files.kubeconfig, yaml.safe_dump(kubeconfig))
    return files


def _write(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


def _etcd_flags(directory: Path, client: str, peer: str) -> list[str]:
    return [
        f"--data-dir={directory / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
    ]


def _apiserver_flags(directory: Path, etcd: str, port: int) -> list[str]:
    key = directory / "service-account.key"
    return [
        f"--etcd-servers={etcd}",
        f"--secure-port={port}",
        "--bind-address=127.0.0.1",
        # Endpoints refuse a loopback address, and nobody dials this one.
        "--advertise-address=192.0.2.1",
        "--endpoint-reconciler-type=none",
        f"--cert-dir={directory / 'pki'}",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--authorization-mode=RBAC",
        "--disable-admission-plugins=ServiceAccount",
    ]


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@contextmanager
def _daemon(directory: Path, name: str, argv: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    log: IO[bytes]
    with (directory / "logs" / name).open("wb") as log:
        # The kernel ends it when the test process dies without ending it.
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *argv],
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(server: str, token: str, directory: Path, daemons: list[subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    headers = {"Authorization": f"Bearer {token}"}
    # Whether it is ready is no secret, and its certificate is only being written.
    with httpx.Client(base_url=server, headers=headers, verify=False, trust_env=False) as client:
        while time.monotonic() < deadline and all(daemon.poll() is None for daemon in daemons):
            try:
                if client.get("/readyz", timeout=2.0).is_success:
                    return
            except httpx.TransportError:
                time.sleep(0.1)
            time.sleep(0.1)
    tails = [f"{log.name}: {log.read_text()[-2000:]}" for log in sorted((directory / "logs").iterdir())]
    raise RuntimeError("the control plane did not become ready\n" + "\n".join(tails))
