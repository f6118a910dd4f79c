"""What an image build comes to: its tags, the options that go together, and the exact command of buildx."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path

import pytest
from aphex_platform.components.registry import IMAGES

from aphex.errors import UsageError
from aphex.names import ClusterNames
from automation.images import bake
from automation.images.options import ImageOptions, Network, build_settings
from automation.images.pins import PinnedFile, Pins, UnpinnedProgram, read_pins, require_checksums
from automation.images.plan import PlannedImage, planned_images, project_version
from automation.images.publish import make
from automation.images.tools import Docker
from sandbox.images.recipes import SOURCES

BASE = "registry.test/debian:12@sha256:" + "1" * 64
REGISTRY = "registry.test/team"


def images(options: ImageOptions) -> dict[str, PlannedImage]:
    return {each.name: each for each in planned_images(options, BASE, "1.2.3")}


def pinned(pins: Pins) -> Pins:
    """The pins with a checksum for every file."""
    programs = [
        program.model_copy(
            update={"files": {a: PinnedFile(url=f.url, sha256=f.sha256 or "2" * 64) for a, f in program.files.items()}}
        )
        for program in pins.programs
    ]
    return pins.model_copy(update={"programs": tuple(programs)})


def test_a_tag_is_the_version_and_the_content() -> None:
    tags = {name: each.tag for name, each in images(ImageOptions()).items()}
    assert tags == {name: each.tag for name, each in images(ImageOptions(registry=REGISTRY)).items()}
    assert all(tag.startswith("1.2.3-") and len(tag) == len("1.2.3-") + 12 for tag in tags.values())
    assert tags["aphex-builder"] != tags["aphex-deployer"]
    assert project_version() in (SOURCES / "pyproject.toml").read_text()


def test_a_repository_is_called_as_the_cluster_stack_calls_it() -> None:
    below = images(ImageOptions(registry="registry.test/aphex-main/"))
    assert [each.repository for each in below.values()] == [
        f"registry.test/{ClusterNames('main').repository(image)}" for image in IMAGES
    ]
    assert images(ImageOptions(registry="registry.test"))["aphex-builder"].repository == "registry.test/aphex-builder"


def test_every_choice_that_changes_the_content_changes_the_tag(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/pulumi").write_text("1")
    authorities = tmp_path / "own.crt"
    authorities.write_text("1")
    one = ("linux/amd64",)
    choices = [
        ImageOptions(),
        ImageOptions(platforms=one),
        ImageOptions(platforms=one, programs=tmp_path),
        ImageOptions(base_image="other.test/debian:12"),
        ImageOptions(debootstrap=True),
        ImageOptions(ca_bundle=authorities),
    ]
    assert len({images(each)["aphex-deployer"].tag for each in choices}) == len(choices)
    before = images(choices[2])["aphex-deployer"].tag
    (tmp_path / "bin/pulumi").write_text("2")
    assert images(choices[2])["aphex-deployer"].tag != before
    # How the parts are fetched does not change what they are.
    assert images(ImageOptions(network=Network(package_index="https://index.test")))["aphex-builder"].tag == (
        images(ImageOptions())["aphex-builder"].tag
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (ImageOptions(base_image="x", debootstrap=True), "--base-image and --debootstrap exclude each other."),
        (ImageOptions(debootstrap=True, tool="docker"), "--debootstrap works with buildah only."),
        (ImageOptions(debootstrap=True), "--debootstrap makes the base for this machine's kind alone."),
        (ImageOptions(platforms=("linux/s390x",)), "linux/s390x cannot be built."),
        (ImageOptions(platforms=()), "No platform was named."),
        (ImageOptions(programs=SOURCES), "A folder of programs is for one platform."),
        (ImageOptions(ca_bundle=Path("no.pem")), "no.pem is not there."),
    ],
)
def test_options_that_do_not_go_together_are_refused_before_anything_is_done(options: ImageOptions, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        options.check()
    assert caught.value.message == said


def test_an_address_with_a_password_is_refused_as_an_option_and_taken_from_the_environment() -> None:
    secret = "https://user:hunter2@index.test/simple"
    with pytest.raises(UsageError) as caught:
        build_settings(ImageOptions(network=Network(package_index=secret)), {})
    assert "hunter2" not in str(caught.value)
    assert "PIP_INDEX_URL" in caught.value.hint
    settings = build_settings(ImageOptions(), {"PIP_INDEX_URL": secret, "HOME": "/x"})
    assert settings.environment == {"PIP_INDEX_URL": secret}


def test_the_authorities_of_a_company_come_besides_those_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "machine.pem").write_text("machine's")
    (tmp_path / "own.pem").write_text("own")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "machine.pem"))
    settings = build_settings(ImageOptions(ca_bundle=tmp_path / "own.pem"), {})
    with settings.files() as files:
        assert files["certificates"].read_text() == "machine's\nown"
        assert "SSL_CERT_FILE=/run/secrets/certificates" in files["build-environment"].read_text()


def test_a_proxy_is_told_in_every_spelling_that_programs_read() -> None:
    options = ImageOptions(network=Network(proxy="http://proxy.test:3128", no_proxy="index.test"))
    settings = build_settings(options, {"https_proxy": "http://other.test", "NO_PROXY": "nothing"}).environment
    assert {settings[name] for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy")} == {
        "http://proxy.test:3128"
    }
    assert (settings["NO_PROXY"], settings["no_proxy"]) == ("index.test", "index.test")


def test_the_bake_definition_links_each_image_to_the_one_it_is_based_on() -> None:
    planned = list(images(ImageOptions(registry=REGISTRY)).values())
    secrets = {"build-environment": Path("/run/x/settings")}
    made = bake.definition(planned, secrets, {each.name: "type=registry" for each in planned})
    assert made["group"] == {"default": {"targets": ["aphex-builder", "aphex-deployer"]}}
    targets = made["target"]
    assert targets["aphex-base"]["args"] == {"DEBIAN_IMAGE": BASE}
    assert targets["aphex-builder-dependencies"] == {
        "context": str(SOURCES),
        "dockerfile": "docker/builder/Dockerfile",
        "args": {"BASE_IMAGE": "aphex-base"},
        "contexts": {"aphex-base": "target:aphex-base"},
        "platforms": ["linux/amd64", "linux/arm64"],
        "secret": ["id=build-environment,src=/run/x/settings"],
        "target": "dependencies",
    }
    assert targets["aphex-deployer-dependencies"]["contexts"] == {
        "aphex-builder-dependencies": "target:aphex-builder-dependencies"
    }
    deployer = targets["aphex-deployer"]
    assert deployer["args"] == dict.fromkeys(("BUILDER_IMAGE", "DEPENDENCIES_IMAGE"), "aphex-deployer-dependencies")
    assert deployer["tags"] == [next(each.reference for each in planned if each.name == "aphex-deployer")]
    assert deployer["output"] == ["type=registry"]
    assert [name for name, target in targets.items() if "output" in target] == ["aphex-builder", "aphex-deployer"]


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program in docker's place that writes down how it was called and answers as buildx does."""
    program = tmp_path / "docker"
    program.write_text(
        f"""#!/usr/bin/env python3
import json, os, pathlib, shutil, sys
words = sys.argv[1:]
folder = pathlib.Path({str(tmp_path)!r})
with (folder / "calls").open("a") as calls:
    calls.write(json.dumps({{"words": words, "fs": os.environ.get("BUILDX_BAKE_ENTITLEMENTS_FS")}}) + "\\n")
if words[1:3] == ["imagetools", "inspect"]:
    known = json.loads((folder / "registry.json").read_text()) if (folder / "registry.json").exists() else {{}}
    if words[-1] not in known:
        sys.exit("ERROR: " + words[-1] + ": not found")
    print(json.dumps({{"digest": known[words[-1]]}}))
else:
    file = pathlib.Path(words[words.index("--file") + 1])
    shutil.copy(file, folder / "definition.json")
    settings = json.loads(file.read_text())["target"]["aphex-builder"]["secret"][0].partition("src=")[2]
    shutil.copy2(settings, folder / "settings")
    metadata = {{n: {{"containerimage.digest": "sha256:" + n}} for n in ("aphex-builder", "aphex-deployer")}}
    pathlib.Path(words[words.index("--metadata-file") + 1]).write_text(json.dumps(metadata))
"""
    )
    program.chmod(0o755)
    return program


def calls(docker: Path) -> list[Mapping[str, object]]:
    return [json.loads(line) for line in (docker.parent / "calls").read_text().splitlines()]


def test_buildx_builds_all_platforms_with_a_bill_of_materials_and_provenance(
    docker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://user:hunter2@index.test/simple")
    options = ImageOptions(registry=REGISTRY, output=tmp_path / "out")
    said: list[str] = []
    planned = planned_images(options, BASE, "1.2.3")
    made = make(planned, options, pinned(read_pins()), said.append, Docker(str(docker)))
    *asked, built = calls(docker)
    assert [each["words"] for each in asked] == [
        ["buildx", "imagetools", "inspect", "--format", "{{json .Manifest}}", each.reference] for each in planned
    ]
    words = built["words"]
    assert isinstance(words, list)
    file, metadata = words[3], words[5]
    assert words == [
        *("buildx", "bake", "--file", file, "--metadata-file", metadata),
        *("--sbom=true", "--provenance=mode=max", "--progress=plain"),
    ]
    assert built["fs"] == "0"
    assert [each.pinned for each in made] == [
        f"{REGISTRY}/aphex-builder@sha256:aphex-builder",
        f"{REGISTRY}/aphex-deployer@sha256:aphex-deployer",
    ]
    definition = json.loads((tmp_path / "definition.json").read_text())
    assert definition["target"]["aphex-deployer"]["platforms"] == ["linux/amd64", "linux/arm64"]
    assert stat.S_IMODE((tmp_path / "settings").stat().st_mode) == 0o600
    assert "hunter2" in (tmp_path / "settings").read_text()
    assert "hunter2" not in (tmp_path / "calls").read_text() + json.dumps(definition) + "".join(said)
    assert not Path(str(file)).exists()


def test_what_the_registry_has_is_neither_built_nor_pushed(docker: Path, tmp_path: Path) -> None:
    options = ImageOptions(registry=REGISTRY, output=tmp_path / "out")
    planned = planned_images(options, BASE, "1.2.3")
    (tmp_path / "registry.json").write_text(json.dumps({each.reference: "sha256:there" for each in planned}))
    said: list[str] = []
    made = make(planned, options, read_pins(), said.append, Docker(str(docker)))
    assert all(each.unchanged and each.digest == "sha256:there" for each in made)
    assert said == [f"{each.reference}: unchanged, it is there" for each in planned]
    assert all("bake" not in str(each["words"]) for each in calls(docker))


def test_a_program_without_a_checksum_is_refused_before_anything_is_built(docker: Path, tmp_path: Path) -> None:
    pins = pinned(read_pins())
    unknown = pins.programs[0].model_copy(update={"files": {"amd64": PinnedFile(url="https://x.test/p", sha256=None)}})
    pins = pins.model_copy(update={"programs": (unknown,)})
    options = ImageOptions(registry=REGISTRY, output=tmp_path / "out")
    with pytest.raises(UnpinnedProgram) as caught:
        make(planned_images(options, BASE, "1.2.3"), options, pins, print, Docker(str(docker)))
    version = unknown.version
    assert caught.value.message == (
        f"docker/pins.json has no checksum of pulumi {version} for amd64, pulumi {version} for arm64."
    )
    assert "images pin" in caught.value.hint
    assert all("bake" not in str(each["words"]) for each in calls(docker))
    require_checksums(pinned(read_pins()), options.platforms)


def test_a_base_without_a_digest_is_warned_of(docker: Path, tmp_path: Path) -> None:
    options = ImageOptions(registry=REGISTRY, output=tmp_path / "out", base_image="company.test/debian:12")
    said: list[str] = []
    make(planned_images(options, BASE, "1"), options, pinned(read_pins()), said.append, Docker(str(docker)))
    assert said[0].startswith("Warning: company.test/debian:12 has no digest.")


def test_the_settings_of_a_build_leave_nothing_on_disk(tmp_path: Path) -> None:
    with build_settings(ImageOptions(), os.environ).files(tmp_path) as files:
        assert files["build-environment"].exists()
    assert list(tmp_path.iterdir()) == []
