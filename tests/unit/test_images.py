"""What the images are made of: tags that follow content alone, locks that agree, nothing of the building machine."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from aphex.errors import AphexError
from sandbox import images
from sandbox.certificates import host_ca_bundle
from sandbox.images.ensure import programs
from sandbox.images.recipes import (
    SOURCES,
    Context,
    ScratchImage,
    builder,
    builder_dependencies,
    debian_base,
    deployer,
    deployer_dependencies,
    pulled_base,
    tree_digest,
)
from sandbox.images.settings import BuildSettings, host_settings
from sandbox.toolchain import Toolchain

DOCKERFILES = sorted((SOURCES / "docker").glob("*/Dockerfile"))
LOCKS = sorted((SOURCES / "docker").rglob("*lock*"))


@pytest.fixture
def pulumi(tmp_path: Path) -> Context:
    return Context(path=tmp_path, identity="one")


def test_a_tree_is_known_by_names_contents_and_executability(tmp_path: Path) -> None:
    (tmp_path / "a/deep").mkdir(parents=True)
    file = tmp_path / "a/deep/x.py"
    file.write_text("1")
    seen = [tree_digest(["a"], tmp_path)]
    file.write_text("2")
    seen.append(tree_digest(["a"], tmp_path))
    file.chmod(0o755)
    seen.append(tree_digest(["a"], tmp_path))
    file.rename(file.with_name("y.py"))
    seen.append(tree_digest(["a"], tmp_path))
    assert len(set(seen)) == 4
    assert tree_digest(["a"], tmp_path) == seen[-1]


def test_what_python_leaves_beside_its_sources_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "a/__pycache__").mkdir(parents=True)
    (tmp_path / "a/x.py").write_text("1")
    before = tree_digest(["a"], tmp_path)
    (tmp_path / "a/__pycache__/x.cpython-311.pyc").write_bytes(b"1")
    os.utime(tmp_path / "a/x.py", (1, 1))
    assert tree_digest(["a"], tmp_path) == before


def test_each_image_is_built_on_the_one_that_it_names(pulumi: Context) -> None:
    tags = [
        debian_base().tag(),
        builder_dependencies().tag(),
        builder().tag(),
        deployer_dependencies(pulumi).tag(),
        deployer(pulumi).tag(),
    ]
    assert len(set(tags)) == 5
    assert all(re.fullmatch(r"[0-9a-f]{20}", tag) for tag in tags)
    assert builder().base == builder_dependencies()
    assert deployer_dependencies(pulumi).base == builder_dependencies()


def test_other_programs_make_another_deployer(pulumi: Context) -> None:
    other = Context(path=pulumi.path, identity="another")
    assert len({deployer(each).tag() for each in (pulumi, other, None)}) == 3


def test_the_sandboxs_programs_are_its_pulumi_and_nothing_beside_it(tmp_path: Path) -> None:
    toolchain = tmp_path / "pulumi-1/bin"
    toolchain.mkdir(parents=True)
    (toolchain / "pulumi").write_text("#!/bin/sh\n")
    (toolchain / "pulumi-language-go").write_text("#!/bin/sh\n")
    made = programs(toolchain / "pulumi", tmp_path / "cache")
    assert [path.relative_to(made.path).as_posix() for path in made.path.rglob("*")] == ["bin", "bin/pulumi"]
    assert programs(toolchain / "pulumi", tmp_path / "cache") == made
    (toolchain / "pulumi").write_text("#!/bin/sh\n# another one\n")
    assert programs(toolchain / "pulumi", tmp_path / "cache").identity != made.identity


def test_another_base_and_other_authorities_make_other_images(tmp_path: Path) -> None:
    authorities = tmp_path / "own.crt"
    authorities.write_text("one")
    tags = [
        builder().tag(),
        builder(pulled_base("debian@sha256:1")).tag(),
        builder(pulled_base("debian@sha256:2")).tag(),
    ]
    tags += [builder(certificates=authorities).tag()]
    authorities.write_text("another")
    tags += [builder(certificates=authorities).tag()]
    assert len(set(tags)) == len(tags)


def test_the_projects_own_code_is_in_no_image_of_dependencies(pulumi: Context) -> None:
    for image in (builder_dependencies(), deployer_dependencies(pulumi)):
        assert {path.parts[0] for name in image.inputs for path in [Path(name)]} == {"docker"}


@pytest.mark.parametrize("dockerfile", DOCKERFILES[1:], ids=lambda path: path.parent.name)
def test_what_a_dockerfile_copies_is_what_its_tag_is_made_from(dockerfile: Path, pulumi: Context) -> None:
    made = {
        "builder": (builder_dependencies(), builder()),
        "deployer": (deployer_dependencies(pulumi), deployer(pulumi)),
    }
    for image in made[dockerfile.parent.name]:
        copied: set[str] = set()
        for line in image.instructions().splitlines():
            if line.startswith("COPY ") and "--from" not in line:
                copied.update(line.split()[1:-1])
        assert copied == set(image.inputs)


@pytest.mark.parametrize("dockerfile", DOCKERFILES[1:], ids=lambda path: path.parent.name)
def test_images_do_not_run_as_root(dockerfile: Path) -> None:
    users = re.findall(r"^USER (\S+)$", dockerfile.read_text(), re.MULTILINE)
    assert users[-1] == "10001"


def test_every_file_that_a_build_needs_passes_the_ignore_file(pulumi: Context) -> None:
    kept = {line[1:] for line in (SOURCES / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    inputs = {name for image in (builder_dependencies(), builder(), deployer(pulumi)) for name in image.inputs}
    assert {name.split("/")[0] for name in inputs} <= kept


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_no_lock_names_the_host_it_came_from(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)
    assert "resolved" not in text


@pytest.mark.parametrize("name", ["builder", "deployer"])
def test_images_have_the_versions_that_the_tests_run_with(name: str) -> None:
    def pins(path: Path) -> set[str]:
        return set(re.findall(r"^([a-z0-9][a-z0-9._-]*==\S+)", path.read_text(), re.MULTILINE))

    locked = pins(SOURCES / f"docker/{name}.lock")
    assert len(locked) > 10
    assert locked - pins(SOURCES / "requirements.lock") == set()


def test_the_cdk_cli_is_pinned_by_its_checksum() -> None:
    lock = json.loads((SOURCES / "docker/deployer/package-lock.json").read_text())
    cdk = lock["packages"]["node_modules/aws-cdk"]
    assert cdk["version"] == lock["packages"][""]["dependencies"]["aws-cdk"]
    assert cdk["integrity"].startswith("sha512-")


def test_build_settings_reach_the_package_managers_whatever_is_in_them(tmp_path: Path) -> None:
    environment = {"PIP_INDEX_URL": "https://user:it's$HOME@mirror.test/simple"}
    settings = tmp_path / "settings"
    settings.write_text(BuildSettings(environment=environment, certificates=(tmp_path,)).script())
    shown = subprocess.run(
        ["sh", "-c", f'. {settings}; printf \'%s\n\' "$PIP_INDEX_URL" "$UV_DEFAULT_INDEX" "$SSL_CERT_FILE"'],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.splitlines() == [*[environment["PIP_INDEX_URL"]] * 2, "/run/secrets/certificates"]
    assert BuildSettings().script() == ""
    assert "UNRELATED_SECRET" not in host_settings({**environment, "UNRELATED_SECRET": "x"}).environment


def test_the_hosts_certificates_are_those_that_it_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own.crt").touch()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "own.crt"))
    assert host_ca_bundle() == tmp_path / "own.crt"


def test_an_image_of_one_program_changes_with_the_program_and_how_it_is_run(tmp_path: Path) -> None:
    binary = tmp_path / "program"
    binary.write_text("1")
    first = ScratchImage(name="x", binary=binary, entrypoint=("/bin/x",)).tag()
    assert ScratchImage(name="x", binary=binary, entrypoint=("/bin/x",), aliases=("node",)).tag() == first
    assert ScratchImage(name="x", binary=binary, entrypoint=("/bin/y",)).tag() != first
    binary.write_text("22")
    assert ScratchImage(name="x", binary=binary, entrypoint=("/bin/x",)).tag() != first


def test_a_registry_that_is_away_is_said_with_what_to_look_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APHEX_CACHE", str(tmp_path))
    names = ("workflow-controller", "argoexec", "argo", "argo-events", "pulumi")
    for name in names:
        (tmp_path / name).touch()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    tools = Toolchain(paths={name: tmp_path / name for name in names}, manifests=tmp_path)
    with pytest.raises(AphexError, match=re.escape(address)) as caught:
        images.ensure(SimpleNamespace(registry=address, image_prefix="registry.test"), tools)
    assert caught.value.hint == "See whether it runs: python -m automation sandbox status"
