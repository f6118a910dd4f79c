"""An image built by the real buildah, pushed into a real registry, and not built again."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from sandbox import toolchain
from sandbox.images.ensure import Pushes
from sandbox.images.recipes import ScratchImage

pytestmark = pytest.mark.integration
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@dataclass(frozen=True)
class LocalRegistry:
    registry: str
    image_prefix: str = "registry.test"


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[LocalRegistry]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    settings = tmp_path / "registry.yml"
    storage = f"storage: {{filesystem: {{rootdirectory: {tmp_path / 'registry'}}}}}"
    settings.write_text(f"version: 0.1\nlog: {{level: error}}\n{storage}\nhttp: {{addr: '{address}'}}\n")
    program = toolchain.ensure("docker-registry").path("docker-registry")
    log = subprocess.DEVNULL
    with subprocess.Popen([program, "serve", settings], stdout=log, stderr=log) as process:
        for _ in range(100):
            if _answers(address):
                break
            time.sleep(0.05)
        yield LocalRegistry(address)
        process.terminate()


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"http://{address}/v2/", trust_env=False).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def test_an_image_is_pushed_once_with_every_tag(
    registry: LocalRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toolchain.host_packages()
    busybox = toolchain.ensure("busybox").path("busybox")
    monkeypatch.setenv("APHEX_CACHE", str(tmp_path / "cache"))
    image = ScratchImage(name="small", binary=busybox, entrypoint=("/bin/busybox",), user="8737:8737", aliases=("v1",))
    said: list[str] = []
    assert Pushes(registry, said.append).scratch(image) == f"registry.test/small:{image.tag()}"
    for tag in ("v1", image.tag()):
        url = f"http://{registry.registry}/v2/small/manifests/{tag}"
        manifest = httpx.get(url, headers={"Accept": MANIFEST}, trust_env=False).json()
        assert [layer["mediaType"] for layer in manifest["layers"]] == ["application/vnd.oci.image.layer.v1.tar"]
        blob = f"http://{registry.registry}/v2/small/blobs/{manifest['config']['digest']}"
        config = httpx.get(blob, trust_env=False).json()["config"]
        assert config["User"] == "8737:8737"
        assert config["Entrypoint"] == ["/bin/busybox"]
    monkeypatch.setenv("PATH", "/nonexistent")
    started = time.monotonic()
    Pushes(registry, said.append).scratch(image)
    assert time.monotonic() - started < 1
