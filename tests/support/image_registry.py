"""A registry of images on this machine: Debian's docker-registry on a free port, with a login when asked for."""

from __future__ import annotations

import base64
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from sandbox import toolchain

# What ECR would give as a token, and the bcrypt hash of its password, as `htpasswd -nbB` makes it.
TOKEN = base64.b64encode(b"AWS:registry-password").decode()
_HASH = "AWS:$2b$05$mVNANKyJDG4/ZbbL2Op0X.Mk9/w245yZzA02MMnMIdsEvQ/fEsUyy\n"


@contextmanager
def image_registry(folder: Path, *, login: bool = False) -> Iterator[str]:
    """The registry's `host:port` as long as it runs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    settings = folder / "registry.yml"
    storage = f"storage: {{filesystem: {{rootdirectory: {folder / 'registry'}}}}}"
    text = f"version: 0.1\nlog: {{level: error}}\n{storage}\nhttp: {{addr: '{address}'}}\n"
    if login:
        (folder / "htpasswd").write_text(_HASH)
        text += f"auth: {{htpasswd: {{realm: test, path: {folder / 'htpasswd'}}}}}\n"
    settings.write_text(text)
    program = toolchain.ensure("docker-registry").path("docker-registry")
    quiet = subprocess.DEVNULL
    with subprocess.Popen([program, "serve", settings], stdout=quiet, stderr=quiet) as process:
        try:
            _wait(address)
            yield address
        finally:
            process.terminate()


def _wait(address: str) -> None:
    for _ in range(200):
        try:
            httpx.get(f"http://{address}/v2/", trust_env=False)
        except httpx.HTTPError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"no registry answers at {address}")
