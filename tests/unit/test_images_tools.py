"""Which programs build the images, and what a build leaves on disk."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from aphex.errors import AphexError, UsageError
from automation.images.layouts import built, layout, layout_digest, platform_digests, prune
from automation.images.options import ImageOptions
from automation.images.pins import read_pins
from automation.images.plan import PlannedImage, planned
from automation.images.publish import make
from automation.images.tools import Docker, choose_tool
from sandbox.images.recipes import BuiltImage, PulledImage

BUILDX = '#!/bin/sh\n[ "$1 $2" = "buildx version" ]\n'
# Writes the layout that a bake definition asks for, with an attestation in its index as buildx has it.
BAKE = """#!/usr/bin/env python3
import hashlib, json, pathlib, sys
definition = json.loads(pathlib.Path(sys.argv[4]).read_text())
(name,) = definition["group"]["default"]["targets"]
folder = pathlib.Path(definition["target"][name]["output"][0].partition("dest=")[2])
def blob(document):
    text = json.dumps(document).encode()
    digest = hashlib.sha256(text).hexdigest()
    (folder / "blobs/sha256").mkdir(parents=True, exist_ok=True)
    (folder / "blobs/sha256" / digest).write_bytes(text)
    return "sha256:" + digest
entries = [
    {"digest": "sha256:" + arch, "platform": {"os": "linux", "architecture": arch}} for arch in ("amd64", "arm64")
]
attestation = {"vnd.docker.reference.type": "attestation-manifest"}
unknown = {"os": "unknown", "architecture": "unknown"}
entries.append({"digest": "sha256:x", "platform": unknown, "annotations": attestation})
digest = blob({"manifests": entries})
(folder / "index.json").write_text(json.dumps({"manifests": [{"digest": digest}]}))
pathlib.Path(sys.argv[6]).write_text(json.dumps({name: {"containerimage.digest": digest}}))
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only programs of this machine besides the system's shell."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def put(folder: Path, name: str, text: str = "#!/bin/sh\n") -> None:
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


def small(folder: Path) -> PlannedImage:
    (folder / "Dockerfile").write_text("FROM scratch\n")
    image = BuiltImage(name="small", dockerfile="Dockerfile", inputs=(), base=PulledImage("scratch"), sources=folder)
    return planned(image, ("linux/arm64", "linux/amd64"), None, "1.0.0")


def test_docker_builds_when_it_has_buildx(programs: Path) -> None:
    put(programs, "docker", BUILDX)
    put(programs, "buildah")
    put(programs, "skopeo")
    assert choose_tool(None, debootstrap=False).name == "docker"
    assert choose_tool("docker", debootstrap=False).name == "docker"
    assert choose_tool("buildah", debootstrap=False).name == "buildah"
    assert choose_tool(None, debootstrap=True).name == "buildah"


def test_without_buildx_buildah_builds(programs: Path) -> None:
    put(programs, "docker", "#!/bin/sh\nexit 1\n")
    put(programs, "buildah")
    put(programs, "skopeo")
    assert choose_tool(None, debootstrap=False).name == "buildah"
    with pytest.raises(UsageError, match="docker with buildx is not on this machine"):
        choose_tool("docker", debootstrap=False)


def test_without_either_it_is_said_what_to_install(programs: Path) -> None:
    put(programs, "buildah")
    with pytest.raises(AphexError) as caught:
        choose_tool(None, debootstrap=False)
    assert caught.value.message == "Neither docker with buildx nor buildah with skopeo is on this machine."
    assert "sandbox install" in caught.value.hint


def test_buildx_leaves_a_layout_that_is_not_built_again(tmp_path: Path) -> None:
    put(tmp_path, "docker", BAKE)
    options = ImageOptions(output=tmp_path / "out")
    said: list[str] = []
    image = small(tmp_path)
    (first,) = make([image], options, read_pins(), said.append, Docker(str(tmp_path / "docker")))
    folder = layout(options.output, image)
    assert (first.unchanged, first.digest) == (False, layout_digest(folder))
    assert list(platform_digests(folder)) == ["linux/amd64", "linux/arm64"]
    put(tmp_path, "docker", "#!/bin/sh\nexit 1\n")
    (second,) = make([image], options, read_pins(), said.append, Docker(str(tmp_path / "docker")))
    assert (second.unchanged, second.digest) == (True, first.digest)
    assert built(options.output) == [
        {"name": folder.name, "digest": first.digest, "platforms": ["linux/amd64", "linux/arm64"]}
    ]


def test_a_build_that_fails_leaves_nothing_and_tells_its_last_lines(tmp_path: Path) -> None:
    put(tmp_path, "docker", "#!/bin/sh\necho 'ERROR: multiple platforms feature is not supported'\nexit 1\n")
    with pytest.raises(AphexError) as caught:
        make([small(tmp_path)], ImageOptions(output=tmp_path / "out"), read_pins(), print, Docker(f"{tmp_path}/docker"))
    assert caught.value.message == (
        "docker buildx bake ended with exit status 1.\nERROR: multiple platforms feature is not supported"
    )
    assert "docker buildx create" in caught.value.hint
    assert list((tmp_path / "out").iterdir()) == []


def test_only_the_newest_layouts_are_kept_each_with_what_tells_of_it(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / f"small-1-{number}").mkdir()
        (tmp_path / f"small-1-{number}.provenance.json").touch()
        os.utime(tmp_path / f"small-1-{number}", (number, number))
    (tmp_path / "other-1").mkdir()
    prune(tmp_path, "small")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("other-1", "small-1-2", "small-1-2.provenance.json", "small-1-3", "small-1-3.provenance.json")
    ]
    assert json.dumps(built(tmp_path)) == "[]"
