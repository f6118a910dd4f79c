"""Brings docker/pins.json up to date: versions from this project's own locks, checksums from what projects released."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx

from aphex.errors import AphexError
from automation.images.pins import PinnedFile, PinnedProgram, Pins
from sandbox.images.recipes import SOURCES, SUITE
from sandbox.toolchain.bundles import KUBERNETES, PULUMI
from sandbox.toolchain.releases import expected_digest

_REGISTRY = "https://registry-1.docker.io"
_TOKENS = "https://auth.docker.io/token?service=registry.docker.io&scope=repository:library/debian:pull"
_INDEX = "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json"
_SECONDS = 30.0
_WHERE = "Run this where the network reaches it."
_RELEASES = "https://github.com/pulumi"

Get = Callable[[str], str]


@dataclass(frozen=True, kw_only=True)
class Release:
    """The files of a program's release.

    Attributes:
        name: the program.
        version: the release.
        url: of its file; `{arch}` stands for the architecture as the release names it.
        checksums: where their project lists the digests; `{arch}` likewise.
        names: how the release names the architectures.
    """

    name: str
    version: str
    url: str
    checksums: str
    names: tuple[tuple[str, str], ...] = (("amd64", "amd64"), ("arm64", "arm64"))


def locked_version(package: str, lock: str) -> str:
    """The version of a package in a lock file.

    Raises:
        AphexError: it has none.
    """
    found = re.search(rf"^{re.escape(package)}==(\S+)", lock, re.MULTILINE)
    if found is None:
        raise AphexError(f"requirements.lock has no {package}.", hint="Compile it anew: make lock")
    return found[1]


def releases(lock: str) -> Iterator[Release]:
    """The releases that belong to a lock file: the CLI that the tests run with, and the plugins of the SDKs."""
    yield Release(
        name="pulumi",
        version=PULUMI,
        url=f"{_RELEASES}/pulumi/releases/download/v{PULUMI}/pulumi-v{PULUMI}-linux-{{arch}}.tar.gz",
        checksums=f"{_RELEASES}/pulumi/releases/download/v{PULUMI}/pulumi-{PULUMI}-checksums.txt",
        names=(("amd64", "x64"), ("arm64", "arm64")),
    )
    kubectl = f"https://dl.k8s.io/release/v{KUBERNETES}/bin/linux/{{arch}}/kubectl"
    yield Release(name="kubectl", version=KUBERNETES, url=kubectl, checksums=f"{kubectl}.sha256")
    for provider in ("aws", "kubernetes"):
        version = locked_version(f"pulumi-{provider}", lock)
        folder = f"{_RELEASES}/pulumi-{provider}/releases/download/v{version}"
        yield Release(
            name=f"pulumi-resource-{provider}",
            version=version,
            url=f"{folder}/pulumi-resource-{provider}-v{version}-linux-{{arch}}.tar.gz",
            checksums=f"{folder}/pulumi-{provider}_{version}_checksums.txt",
        )


def renewed(pins: Pins, lock: str, get: Get | None, base: str) -> Pins:
    """The pins that belong to a lock file; checksums of files that are pinned already stay as they are.

    Args:
        pins: those that are checked in.
        lock: the text of requirements.lock.
        get: fetches a text; None leaves new checksums out.
        base: the base image by its digest.

    Raises:
        AphexError: a project does not list a file of its own release.
    """
    known = {file.url: file for program in pins.programs for file in program.files.values() if file.sha256}
    programs = []
    for release in releases(lock):
        files = {}
        for architecture, name in release.names:
            url = release.url.format(arch=name)
            files[architecture] = known.get(url) or _released(url, release.checksums.format(arch=name), get)
        programs.append(PinnedProgram(name=release.name, version=release.version, files=files))
    return Pins(base=base, programs=tuple(programs))


def _released(url: str, checksums: str, get: Get | None) -> PinnedFile:
    if get is None:
        return PinnedFile(url=url, sha256=None)
    digest = expected_digest(get(checksums), url.rpartition("/")[2])
    if digest is None:
        raise AphexError(f"{checksums} does not list {url.rpartition('/')[2]}.", hint="Look at the release's page.")
    return PinnedFile(url=url, sha256=digest)


def fetch(url: str) -> str:
    """A text from the network.

    Raises:
        AphexError: it cannot be had.
    """
    try:
        answer = httpx.get(url, timeout=_SECONDS, follow_redirects=True)
        answer.raise_for_status()
    except httpx.HTTPError as error:
        raise AphexError(f"{url} cannot be read: {error}", hint=_WHERE) from error
    return answer.text


def newest_base(reference: str) -> str:
    """The newest of Debian's slim images of the same suite, by its digest.

    Raises:
        AphexError: Docker Hub cannot be asked.
    """
    name = reference.partition("@")[0].rpartition(":")[0]
    try:
        with httpx.Client(timeout=_SECONDS) as client:
            token = client.get(_TOKENS).raise_for_status().json()["token"]
            headers = {"Authorization": f"Bearer {token}", "Accept": _INDEX}
            tags = client.get(f"{_REGISTRY}/v2/library/debian/tags/list", headers=headers).raise_for_status().json()
            tag = newest_tag(tags["tags"])
            manifest = f"{_REGISTRY}/v2/library/debian/manifests/{tag}"
            digest = client.head(manifest, headers=headers).raise_for_status().headers["docker-content-digest"]
    except httpx.HTTPError as error:
        raise AphexError(
            f"Docker Hub cannot be asked: {error}", hint="Run this where the network reaches it."
        ) from error
    return f"{name}:{tag}@{digest}"


def newest_tag(tags: list[str]) -> str:
    """The newest dated tag of the suite's slim image.

    Raises:
        AphexError: there is none.
    """
    dated = [tag for tag in tags if re.fullmatch(rf"{SUITE}-\d{{8}}-slim", tag)]
    if not dated:
        raise AphexError(f"Docker Hub has no dated image of {SUITE}.")
    return max(dated)


def lock_text() -> str:
    """This project's lock file."""
    return (SOURCES / "requirements.lock").read_text()
