"""The released programs of the deployer image: pinned to what the locks say, and checked byte by byte."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from aphex.errors import AphexError
from automation.images import pinning
from automation.images.pins import read_pins, write_pins
from sandbox import toolchain
from sandbox.images.recipes import PINS, SOURCES
from sandbox.toolchain.bundles import KUBERNETES, PULUMI

LOCK = (SOURCES / "requirements.lock").read_text()
SCRIPT = SOURCES / "docker/deployer/programs.py"
# Answers `plugin install` as Pulumi does, for archives that are text.
FAKE_PULUMI = """#!/bin/sh
mkdir -p "$PULUMI_HOME/plugins/resource-$4-v$5" && cp "$7" "$PULUMI_HOME/plugins/resource-$4-v$5/pulumi-resource-$4"
"""


def test_the_pinned_versions_are_those_of_the_locks_and_of_the_tests() -> None:
    pinned = {program.name: program.version for program in read_pins().programs}
    assert pinned == {
        "pulumi": PULUMI,
        "kubectl": KUBERNETES,
        "pulumi-resource-aws": pinning.locked_version("pulumi-aws", LOCK),
        "pulumi-resource-kubernetes": pinning.locked_version("pulumi-kubernetes", LOCK),
    }, "bring them up to date: python -m automation images pin (--no-base --no-checksums without a network)"


def test_the_images_have_the_sdks_that_the_plugins_belong_to() -> None:
    deployer = (SOURCES / "docker/deployer.lock").read_text()
    for provider in ("aws", "kubernetes"):
        package = f"pulumi-{provider}"
        assert pinning.locked_version(package, deployer) == pinning.locked_version(package, LOCK)


def test_every_program_is_pinned_for_both_architectures_at_the_address_of_its_release() -> None:
    pins = read_pins()
    for program, release in zip(pins.programs, pinning.releases(LOCK), strict=True):
        assert program.name == release.name
        assert {a: file.url for a, file in program.files.items()} == {
            a: release.url.format(arch=name) for a, name in release.names
        }
    assert set(program.files) == {"amd64", "arm64"}


def test_the_base_image_is_pinned_by_its_digest() -> None:
    assert read_pins().base.startswith("docker.io/library/debian:bookworm-")
    assert "DEBIAN_IMAGE}" in (SOURCES / "docker/base/Dockerfile").read_text()


def test_the_pins_are_checked_in_as_they_are_written(tmp_path: Path) -> None:
    write_pins(read_pins(), tmp_path / "pins.json")
    assert (tmp_path / "pins.json").read_text() == (SOURCES / PINS).read_text()


def test_new_versions_get_the_checksums_that_their_projects_released() -> None:
    lock = "pulumi-aws==9.9.9 \\\npulumi-kubernetes==8.8.8 \\\n"
    asked: list[str] = []

    def get(url: str) -> str:
        asked.append(url)
        names = [r.url.rpartition("/")[2].format(arch=n) for r in pinning.releases(lock) for _, n in r.names]
        return "".join(f"{hashlib.sha256((url + name).encode()).hexdigest()}  {name}\n" for name in names)

    made = pinning.renewed(read_pins(), lock, get, "docker.io/library/debian:x@sha256:" + "1" * 64)
    versions = {program.name: program.version for program in made.programs}
    assert versions["pulumi-resource-aws"] == "9.9.9"
    url = "https://github.com/pulumi/pulumi-aws/releases/download/v9.9.9/pulumi-aws_9.9.9_checksums.txt"
    assert url in asked
    file = made.programs[2].files["arm64"]
    name = "pulumi-resource-aws-v9.9.9-linux-arm64.tar.gz"
    assert file.sha256 == hashlib.sha256((url + name).encode()).hexdigest()
    # What is pinned already is not asked for again.
    assert not [each for each in asked if "kubectl" in each]
    assert pinning.renewed(made, lock, pytest.fail, made.base) == made


def test_without_a_network_new_versions_are_pinned_without_their_checksums() -> None:
    pins = read_pins()
    made = pinning.renewed(pins, "pulumi-aws==9.9.9\npulumi-kubernetes==8.8.8\n", None, pins.base)
    assert {file.sha256 for file in made.programs[2].files.values()} == {None}
    assert made.programs[1] == pins.programs[1]
    assert pinning.renewed(pins, LOCK, None, pins.base) == pins


def test_a_release_that_does_not_list_its_own_file_is_not_pinned() -> None:
    with pytest.raises(AphexError, match=r"does not list pulumi-resource-aws-v9\.9\.9-linux-amd64"):
        pinning.renewed(
            read_pins(),
            "pulumi-aws==9.9.9\npulumi-kubernetes==8.8.8\n",
            lambda url: (
                f"{'1' * 64}  other.tar.gz\n{'2' * 64}  pulumi-v{PULUMI}-linux-x64.tar.gz\n"
                f"{'3' * 64}  pulumi-v{PULUMI}-linux-arm64.tar.gz\n"
            ),
            "docker.io/library/debian:x@sha256:" + "1" * 64,
        )


def test_the_newest_dated_image_of_the_same_suite_is_taken() -> None:
    tags = [
        "bookworm-slim",
        "bookworm-20260101-slim",
        "bookworm-20260918-slim",
        "bookworm-20270101",
        "trixie-20270101-slim",
    ]
    assert pinning.newest_tag(tags) == "bookworm-20260918-slim"


@dataclass
class Mirror:
    """Released files as a mirror serves them, below the name of the host that released them."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    made = Mirror()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append((self.path, self.headers.get("Authorization", "")))
            body = made.files.get(self.path)
            self.send_response(404 if body is None else 200)
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        made.url = f"http://127.0.0.1:{server.server_port}"
        yield made
        server.shutdown()


@pytest.fixture
def pins(tmp_path: Path, mirror: Mirror) -> Path:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        member = tarfile.TarInfo("pulumi/pulumi")
        member.size = len(FAKE_PULUMI)
        tar.addfile(member, io.BytesIO(FAKE_PULUMI.encode()))
    content = {
        "pulumi": ("pulumi-v1-linux.tar.gz", archive.getvalue()),
        "kubectl": ("kubectl", b"#!/bin/sh\n"),
        "pulumi-resource-aws": ("pulumi-resource-aws-v2-linux.tar.gz", b"the plugin"),
    }
    programs = []
    for name, (file, body) in content.items():
        mirror.files[f"/generic/releases.test/{file}"] = body
        pin = {"url": f"https://releases.test/{file}", "sha256": hashlib.sha256(body).hexdigest()}
        programs.append({"name": name, "version": "2.0.0", "files": {"arm64": pin}})
    path = tmp_path / "pins.json"
    path.write_text(json.dumps({"base": "x", "programs": programs}))
    return path


def download(pins: Path, mirror: str, architecture: str = "arm64") -> subprocess.CompletedProcess[str]:
    folder, cache = pins.parent / "programs", pins.parent / "cache"
    return subprocess.run(
        [sys.executable, SCRIPT, pins, architecture, folder, cache],
        env={"PATH": "/usr/bin:/bin", "APHEX_PROGRAMS_URL": mirror},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_programs_are_laid_out_with_their_plugins_and_what_they_are(pins: Path, mirror: Mirror) -> None:
    address = mirror.url.replace("http://", "http://ci:p%40ss@") + "/generic/"
    done = download(pins, address)
    assert (done.returncode, done.stderr) == (0, "")
    folder = pins.parent / "programs"
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()) == [
        "bin/kubectl",
        "bin/pulumi",
        "plugins/resource-aws-v2.0.0/pulumi-resource-aws",
        "programs.json",
    ]
    assert (folder / "bin/pulumi").stat().st_mode & 0o111
    assert [each["name"] for each in json.loads((folder / "programs.json").read_text())] == [
        *("pulumi", "kubectl", "pulumi-resource-aws")
    ]
    # The mirror's password goes into a header, and is not printed.
    assert {said for _, said in mirror.asked} == {"Basic " + base64.b64encode(b"ci:p@ss").decode()}
    assert "p@ss" not in done.stdout
    assert "p%40ss" not in done.stdout


@pytest.mark.engine
def test_pulumi_finds_the_plugins_where_the_image_has_them(tmp_path: Path, mirror: Mirror) -> None:
    pulumi = toolchain.ensure("pulumi").path("pulumi").read_bytes()
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        member = tarfile.TarInfo("pulumi-resource-aws")
        member.mode = 0o755
        member.size = len(b"the plugin")
        tar.addfile(member, io.BytesIO(b"the plugin"))
    programs = []
    for name, version, file, body in (
        ("pulumi", PULUMI, "pulumi", pulumi),
        ("pulumi-resource-aws", "7.0.0", "pulumi-resource-aws.tar.gz", archive.getvalue()),
    ):
        mirror.files[f"/releases.test/{file}"] = body
        pin = {"url": f"https://releases.test/{file}", "sha256": hashlib.sha256(body).hexdigest()}
        programs.append({"name": name, "version": version, "files": {"arm64": pin}})
    (tmp_path / "pins.json").write_text(json.dumps({"base": "x", "programs": programs}))
    done = download(tmp_path / "pins.json", mirror.url)
    assert (done.returncode, done.stderr) == (0, "")
    # As the image's Dockerfile does it.
    (tmp_path / "home/.pulumi").mkdir(parents=True)
    (tmp_path / "home/.pulumi/plugins").symlink_to(tmp_path / "programs/plugins")
    listed = subprocess.run(
        [tmp_path / "programs/bin/pulumi", "plugin", "ls", "--json"],
        env={"PULUMI_HOME": str(tmp_path / "home/.pulumi"), "PATH": "/usr/bin:/bin", "PULUMI_SKIP_UPDATE_CHECK": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found = [(each["name"], each["version"]) for each in json.loads(listed.stdout)]
    assert found == [("aws", "7.0.0")]


def test_a_second_build_downloads_nothing(pins: Path, mirror: Mirror) -> None:
    assert download(pins, f"{mirror.url}/generic").returncode == 0
    (pins.parent / "programs").rename(pins.parent / "first")
    asked = len(mirror.asked)
    assert download(pins, f"{mirror.url}/generic").returncode == 0
    assert len(mirror.asked) == asked


def test_a_file_that_is_not_as_pinned_is_not_used(pins: Path, mirror: Mirror) -> None:
    mirror.files["/generic/releases.test/kubectl"] = b"#!/bin/sh\nevil\n"
    done = download(pins, f"{mirror.url}/generic")
    found, pinned = (hashlib.sha256(body).hexdigest() for body in (b"#!/bin/sh\nevil\n", b"#!/bin/sh\n"))
    assert done.stderr == (
        f"https://releases.test/kubectl has the SHA-256 digest {found}, but {pinned} is pinned. "
        "Nothing of it was used.\n"
    )
    assert done.returncode == 1
    assert not (pins.parent / "programs/bin/kubectl").exists()
    assert not list((pins.parent / "cache").glob("*kubectl*"))


def test_a_program_that_cannot_be_had_is_named_with_its_address(pins: Path, mirror: Mirror) -> None:
    del mirror.files["/generic/releases.test/kubectl"]
    done = download(pins, mirror.url.replace("http://", "http://ci:secret@") + "/generic")
    assert done.stderr.startswith(f"{mirror.url}/generic/releases.test/kubectl cannot be downloaded: ")
    assert "secret" not in done.stderr
    assert download(pins, mirror.url, "riscv64").stderr == "pins.json has no pulumi for riscv64.\n"
