"""Programs that need not be built: installed already, or downloaded from the project's own releases and checked."""

from __future__ import annotations

import gzip
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import httpx

from aphex.errors import AphexError
from aphex.process import run
from sandbox.toolchain.bundles import ARGO_WORKFLOWS, COREDNS, ETCD, KUBERNETES, PULUMI
from sandbox.toolchain.cache import Report

# Long enough for a slow proxy to answer, short enough that nobody waits where there is no way out.
_CONNECT_SECONDS = 3.0
_READ_SECONDS = 60.0
_CHUNK = 1 << 20
_ARCHITECTURES: Mapping[str, str] = MappingProxyType({"x86_64": "amd64", "aarch64": "arm64"})
_VERSION_ARGUMENTS: Mapping[str, tuple[tuple[str, ...], str]] = MappingProxyType(
    {
        "pulumi": (("version",), PULUMI),
        "argo": (("version", "--short"), ARGO_WORKFLOWS),
        "argoexec": (("version", "--short"), ARGO_WORKFLOWS),
        "workflow-controller": (("version", "--short"), ARGO_WORKFLOWS),
    }
)
_KUBE = """#!/bin/sh
# The programs of the official releases behind the one command that a build makes of them.
component=$1
shift
case $component in
apiserver | controller-manager | proxy | scheduler) component=kube-$component ;;
esac
exec "$(dirname "$(readlink -f "$0")")/../parts/$component" "$@"
"""


class ChecksumMismatch(AphexError):
    """A download is not what its project released; it was thrown away."""


@dataclass(frozen=True, kw_only=True)
class Release:
    """One program in a project's release.

    Attributes:
        program: the program's name.
        url: the file that has it: a `.tar.gz` or `.tgz` archive, a `.gz` file, or the program itself.
        checksums: a list of SHA-256 digests and file names, or one digest alone.
    """

    program: str
    url: str
    checksums: str


def releases(system: str = sys.platform, machine: str = platform.machine()) -> dict[str, tuple[Release, ...]]:
    """The releases that make each tool on a machine; tools whose projects release no such program are not in it."""
    architecture = _ARCHITECTURES.get(machine)
    if system != "linux" or architecture is None:
        return {}
    etcd = f"https://github.com/etcd-io/etcd/releases/download/v{ETCD}"
    coredns = f"https://github.com/coredns/coredns/releases/download/v{COREDNS}"
    dns_archive = f"{coredns}/coredns_{COREDNS}_linux_{architecture}.tgz"
    argo = f"https://github.com/argoproj/argo-workflows/releases/download/v{ARGO_WORKFLOWS}"
    kubernetes = f"https://dl.k8s.io/release/v{KUBERNETES}/bin/linux/{architecture}"
    parts = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet", "kubectl")
    return {
        "kube": (
            *(Release(program=p, url=f"{kubernetes}/{p}", checksums=f"{kubernetes}/{p}.sha256") for p in parts),
            Release(
                program="etcd",
                url=f"{etcd}/etcd-v{ETCD}-linux-{architecture}.tar.gz",
                checksums=f"{etcd}/SHA256SUMS",
            ),
            Release(program="coredns", url=dns_archive, checksums=f"{dns_archive}.sha256"),
        ),
        "argo": (
            Release(
                program="argo",
                url=f"{argo}/argo-linux-{architecture}.gz",
                checksums=f"{argo}/argo-workflows-cli-checksums.txt",
            ),
        ),
    }


def obtain(tools: list[str], folder: Path, report: Report) -> list[str]:
    """Put into `folder/bin` the tools that are installed in the right version or can be downloaded.

    Returns:
        The tools that it has got; the others have to be built.
    """
    got = []
    for tool in tools:
        if (installed := find_installed(tool)) is not None:
            shutil.copy(installed, folder / "bin" / tool)
            report(f"{tool}: using {installed}")
            got.append(tool)
        elif download(tool, folder, report):
            got.append(tool)
    return got


def find_installed(tool: str) -> Path | None:
    """A program on the PATH in exactly the pinned version, that also runs in an image of nothing else."""
    found = shutil.which(tool)
    if found is None or tool not in _VERSION_ARGUMENTS:
        return None
    arguments, version = _VERSION_ARGUMENTS[tool]
    answer = run([found, *arguments], check=False, timeout=30, env={**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"})
    if not answer.ok or version not in answer.output.replace("v", " ").split():
        return None
    return Path(found) if is_static(Path(found)) else None


def is_static(binary: Path) -> bool:
    """Whether a program is an ELF file that names no dynamic loader, which an empty image would lack."""
    with binary.open("rb") as file:
        head = file.read(4096)
    return head.startswith(b"\x7fELF") and b"/ld-linux" not in head and b"/ld-musl" not in head


def download(tool: str, folder: Path, report: Report, known: Mapping[str, tuple[Release, ...]] | None = None) -> bool:
    """Download a tool's releases; False, after a few seconds at most, when they are out of reach.

    Raises:
        ChecksumMismatch: a file is not what was released.
    """
    if tool == "pulumi":
        return _install_pulumi(folder, report)
    wanted = (releases() if known is None else known).get(tool, ())
    if not wanted:
        return False
    target = folder / ("parts" if len(wanted) > 1 else "bin")
    target.mkdir(exist_ok=True)
    timeout = httpx.Timeout(_READ_SECONDS, connect=_CONNECT_SECONDS)
    try:
        with httpx.Client(timeout=timeout, follow_redirects=True) as client:
            for release in wanted:
                _download(client, release, target, report)
    except httpx.HTTPError as error:
        report(f"{tool}: its release cannot be downloaded ({error}); building it instead")
        if len(wanted) > 1:
            shutil.rmtree(target)
        return False
    if len(wanted) > 1:
        (folder / "bin" / tool).write_text(_KUBE)
        (folder / "bin" / tool).chmod(0o755)
    return True


def _download(client: httpx.Client, release: Release, target: Path, report: Report) -> None:
    name = release.url.rsplit("/", 1)[-1]
    listed = client.get(release.checksums)
    listed.raise_for_status()
    expected = expected_digest(listed.text, name)
    file = target / f".{name}"
    digest, received = hashlib.sha256(), 0
    with client.stream("GET", release.url) as answer, file.open("wb") as out:
        answer.raise_for_status()
        total = int(answer.headers.get("content-length", 0))
        for chunk in answer.iter_bytes(_CHUNK):
            out.write(chunk)
            digest.update(chunk)
            received += len(chunk)
            report(f"{release.program}: downloading, {received // _CHUNK} of {total // _CHUNK} MiB")
    if expected is None or digest.hexdigest() != expected:
        file.unlink()
        raise ChecksumMismatch(
            f"{release.url} has the SHA-256 digest {digest.hexdigest()}, its project says {expected or 'nothing'}.",
            hint="Try again; if it stays, something between this machine and the release changes downloads.",
        )
    _unpack(file, release.program, target / release.program)
    file.unlink()
    (target / release.program).chmod(0o755)


def expected_digest(listed: str, name: str) -> str | None:
    """The SHA-256 digest of a file in a list of digests, or the only one when no file is named."""
    for line in listed.splitlines():
        words = line.split()
        if len(words) == 1 or (len(words) == 2 and words[1].lstrip("*").rsplit("/", 1)[-1] == name):
            return words[0].lower()
    return None


def _unpack(file: Path, program: str, target: Path) -> None:
    if file.name.endswith((".tar.gz", ".tgz")):
        with tarfile.open(file) as archive:
            member = next(each for each in archive.getmembers() if Path(each.name).name == program and each.isfile())
            content = archive.extractfile(member)
            assert content is not None
            with target.open("wb") as out:
                shutil.copyfileobj(content, out)
    elif file.name.endswith(".gz"):
        with gzip.open(file) as compressed, target.open("wb") as out:
            shutil.copyfileobj(compressed, out)
    else:
        shutil.copy(file, target)


def _install_pulumi(folder: Path, report: Report) -> bool:
    """Run Pulumi's own installer where its address can be reached."""
    try:
        httpx.head("https://get.pulumi.com/install.sh", timeout=_CONNECT_SECONDS).raise_for_status()
    except httpx.HTTPError as error:
        report(f"pulumi: its installer cannot be reached ({error}); building it instead")
        return False
    # The SDK takes a while to import and is needed here alone.
    import semver
    from pulumi.automation import PulumiCommand

    report(f"pulumi: installing {PULUMI}")
    try:
        PulumiCommand.install(root=str(folder), version=semver.VersionInfo.parse(PULUMI))
    except (OSError, subprocess.CalledProcessError) as error:
        report(f"pulumi: its installer failed ({error}); building it instead")
        return False
    return (folder / "bin" / "pulumi").exists()
