"""Images built by the real buildah, pushed into a real registry, and not built again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from automation.images.login import RegistryError, with_token
from automation.images.options import ImageOptions
from automation.images.pins import read_pins
from automation.images.plan import PlannedImage, planned
from automation.images.publish import MadeImage, make
from automation.images.tools import Buildah
from sandbox import toolchain
from sandbox.images.buildah import ImageBuildError
from sandbox.images.ensure import Pushes
from sandbox.images.platforms import host_platform
from sandbox.images.recipes import BuiltImage, PulledImage, ScratchImage
from tests.support.image_registry import TOKEN, image_registry

pytestmark = pytest.mark.integration
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
PLATFORMS = ("linux/amd64", "linux/arm64")


@dataclass(frozen=True)
class LocalRegistry:
    registry: str
    image_prefix: str = "registry.test"


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[LocalRegistry]:
    with image_registry(tmp_path) as address:
        yield LocalRegistry(address)


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
    pushed = list(said)
    assert Pushes(registry, said.append).scratch(image) == f"registry.test/small:{image.tag()}"
    assert said == pushed


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """The sources of an image that has a little of everything that a bill of materials tells of."""
    files = {
        "docker/small/Dockerfile": "ARG BASE\nFROM ${BASE}\nARG TARGETARCH\nCOPY root /\nCOPY root/etc /${TARGETARCH}",
        "root/etc/motd": "hello\n",
        "root/var/lib/dpkg/status": "Package: bash\nStatus: install ok installed\nVersion: 5.2\nArchitecture: amd64\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nVersion: 1\nArchitecture: amd64\n",
        "root/opt/lib/Boto3-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: boto3\nVersion: 1.0\n\ntext\n",
        "root/opt/cdk/node_modules/aws-cdk/package.json": '{"name": "aws-cdk", "version": "2.1"}',
        "root/opt/cdk/node_modules/@aws/x/package.json": '{"name": "@aws/x", "version": "3.0"}',
        "root/opt/cdk/node_modules/aws-cdk/test/package.json": '{"name": "not-a-package", "version": "1"}',
        "root/opt/programs/programs.json": '[{"name": "kubectl", "version": "1.34", "url": "https://x.test/k", '
        f'"sha256": "{"a" * 64}"}}]',
        "root/opt/programs/bin/kubectl": "k",
        "root/opt/programs/bin/pulumi": "p",
    }
    root = tmp_path / "sources"
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def small(sources: Path, registry: str | None) -> PlannedImage:
    image = BuiltImage(
        name="small",
        dockerfile="docker/small/Dockerfile",
        inputs=("root",),
        base=PulledImage("scratch"),
        arguments=("BASE",),
        sources=sources,
    )
    return planned(image, PLATFORMS, registry, "1.0.0")


def made(sources: Path, tmp_path: Path, registry: str | None, said: list[str]) -> MadeImage:
    options = ImageOptions(registry=registry, output=tmp_path / "out")
    tool = Buildah(tmp_path / "cache/images")
    (image,) = make([small(sources, registry)], options, read_pins(), said.append, tool)
    return image


def manifest(image: MadeImage, kind: str = INDEX) -> Any:
    host, _, rest = image.pinned.partition("/")
    name, _, digest = rest.partition("@")
    headers = {"Accept": kind, "Authorization": f"Basic {TOKEN}"}
    return httpx.get(f"http://{host}/v2/{name}/manifests/{digest}", headers=headers, trust_env=False).json()


def test_an_image_of_two_platforms_is_built_described_and_pushed_once(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toolchain.host_packages()
    with image_registry(tmp_path, login=True) as address:
        said: list[str] = []
        with pytest.raises(RegistryError, match="cannot be asked"):
            made(sources, tmp_path, f"{address}/team", said)
        login = tmp_path / "auth.json"
        login.write_text(json.dumps(with_token({}, address, TOKEN)))
        monkeypatch.setenv("REGISTRY_AUTH_FILE", str(login))
        first = made(sources, tmp_path, f"{address}/team", said)
        assert (first.unchanged, first.platforms) == (False, PLATFORMS)
        listed = manifest(first)
        assert sorted(each["platform"]["architecture"] for each in listed["manifests"]) == ["amd64", "arm64"]

        said.clear()
        assert made(sources, tmp_path, f"{address}/team", said) == MadeImage(**{**vars(first), "unchanged": True})
        assert said == [f"{first.tagged}: unchanged, it is there"]

        (sources / "root/etc/motd").write_text("another\n")
        assert made(sources, tmp_path, f"{address}/team", said).tagged != first.tagged
        assert TOKEN not in "".join(said)

        bill = next(path for path in first.files if path.name.endswith("arm64.cdx.json")).read_text()
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill) is None
        assert sorted(each.get("purl", each["name"]) for each in json.loads(bill)["components"]) == [
            "pkg:deb/debian/bash@5.2?arch=amd64",
            "pkg:generic/kubectl@1.34?download_url=https://x.test/k",
            "pkg:npm/%40aws/x@3.0",
            "pkg:npm/aws-cdk@2.1",
            "pkg:pypi/boto3@1.0",
            "pulumi",
        ]
        provenance = json.loads(next(path for path in first.files if path.name.endswith("provenance.json")).read_text())
        subjects = {each["name"]: f"sha256:{each['digest']['sha256']}" for each in provenance["subject"]}
        assert subjects.pop(first.tagged) == first.digest
        assert set(subjects.values()) == {each["digest"] for each in listed["manifests"]}
        assert provenance["predicate"]["buildDefinition"]["externalParameters"]["platforms"] == list(PLATFORMS)


def test_what_is_built_here_is_not_built_again(sources: Path, tmp_path: Path) -> None:
    toolchain.host_packages()
    said: list[str] = []
    first = made(sources, tmp_path, None, said)
    assert first.tagged == f"small:{small(sources, None).tag}"
    said.clear()
    again = made(sources, tmp_path, None, said)
    assert (again.unchanged, again.digest, again.files) == (True, first.digest, first.files)
    assert said == [f"{first.tagged}: unchanged, it is there"]


def test_a_step_that_this_machine_cannot_run_is_told_with_the_way_out(sources: Path, tmp_path: Path) -> None:
    toolchain.host_packages()
    foreign = next(platform for platform in PLATFORMS if platform != host_platform())
    with (sources / "docker/small/Dockerfile").open("a") as dockerfile:
        dockerfile.write('\nCOPY program /bin/sh\nRUN ["/bin/sh"]\n')
    # The smallest file that the kernel takes for a program, of a processor that nobody has.
    (sources / "program").write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xff\xee\x01" + bytes(43))
    (sources / "program").chmod(0o755)
    one = planned(small(sources, None).image, (foreign,), None, "1.0.0")
    options = ImageOptions(platforms=(foreign,), output=tmp_path / "out")
    with pytest.raises(ImageBuildError) as caught:
        make([one], options, read_pins(), print, Buildah(tmp_path / "cache/images"))
    assert "exec format error" in caught.value.message
    assert caught.value.hint.startswith(f"This machine cannot run programs of {foreign}.")
