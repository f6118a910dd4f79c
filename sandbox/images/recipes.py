"""What each image is made of and the tag that follows from it: pure, so that nothing is built to learn whether to."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

# The root of the project's sources, which is the build context of its images.
SOURCES = Path(__file__).parents[2]
SUITE = "bookworm"
_RECIPE = "1"
_UNUSED = ("__pycache__", ".pyc")


@dataclass(frozen=True, kw_only=True)
class ScratchImage:
    """An image of one static binary and the few files it looks for.

    Attributes:
        name: the image's name in the registry.
        binary: the program on this machine.
        entrypoint: what the image runs.
        user: the user it runs as unless its pod says otherwise; empty is root.
        aliases: further tags, for what has to name it before its content is known.
    """

    name: str
    binary: Path
    entrypoint: tuple[str, ...]
    user: str = ""
    aliases: tuple[str, ...] = ()

    def tag(self) -> str:
        """The content tag."""
        return content_tag(_RECIPE, self.name, *self.entrypoint, self.user, binary_identity(self.binary))


@dataclass(frozen=True, kw_only=True)
class BuiltImage:
    """One stage of one of the project's Dockerfiles.

    Attributes:
        name: the image's name in the registry.
        dockerfile: relative to the sources.
        inputs: files and folders that go into it, relative to the sources.
        base: the image it is built on, or None for the first.
        stage: the Dockerfile's stage; empty is the last.
        arguments: build arguments that name the base.
        contexts: further folders that it copies from, by their names in the Dockerfile.
    """

    name: str
    dockerfile: str
    inputs: tuple[str, ...]
    base: BuiltImage | str
    stage: str = ""
    arguments: tuple[str, ...] = ()
    contexts: Mapping[str, Path] = field(default_factory=dict)

    def tag(self) -> str:
        """The content tag: changes with the base, the Dockerfile and every input, and with nothing else."""
        base = self.base if isinstance(self.base, str) else self.base.tag()
        contexts = (f"{name}={binary_identity(path / name)}" for name, path in sorted(self.contexts.items()))
        return content_tag(_RECIPE, self.instructions(), base, tree_digest(self.inputs), *contexts)

    def instructions(self) -> str:
        """The part of the Dockerfile that makes this image: the named stage comes first, the other one follows it."""
        text = (SOURCES / self.dockerfile).read_text()
        first, separator, last = text.rpartition("\nFROM ")
        return first if self.stage else separator + last


def base_tag(packages: Iterable[str]) -> str:
    """The content tag of the Debian base image."""
    return content_tag(_RECIPE, SUITE, *packages)


def base_packages() -> tuple[str, ...]:
    """The Debian packages of the base image."""
    return tuple((SOURCES / "docker/base/packages.txt").read_text().split())


def builder_dependencies() -> BuiltImage:
    """The builder image without this project's own packages."""
    return BuiltImage(
        name="aphex-builder-dependencies",
        dockerfile="docker/builder/Dockerfile",
        inputs=("docker/tools.lock", "docker/cdk.lock", "docker/builder.lock"),
        base=base_tag(base_packages()),
        stage="dependencies",
        arguments=("BASE_IMAGE",),
    )


def builder() -> BuiltImage:
    """The image of the stages that run the application's commands."""
    return BuiltImage(
        name="aphex-builder",
        dockerfile="docker/builder/Dockerfile",
        inputs=("aphex", "stages"),
        base=builder_dependencies(),
        arguments=("BASE_IMAGE", "DEPENDENCIES_IMAGE"),
    )


def deployer_dependencies(pulumi: Path) -> BuiltImage:
    """The deployer image without this project's own packages; `pulumi` is the Pulumi CLI."""
    return BuiltImage(
        name="aphex-deployer-dependencies",
        dockerfile="docker/deployer/Dockerfile",
        inputs=("docker/deployer.lock", "docker/deployer/package.json", "docker/deployer/package-lock.json"),
        base=builder_dependencies(),
        stage="dependencies",
        arguments=("BUILDER_IMAGE",),
        contexts={"pulumi": pulumi.parent},
    )


def deployer(pulumi: Path) -> BuiltImage:
    """The image of the stages that deploy."""
    return BuiltImage(
        name="aphex-deployer",
        dockerfile="docker/deployer/Dockerfile",
        inputs=("aphex", "stages", "platform/aphex_platform", "automation", "sandbox"),
        base=deployer_dependencies(pulumi),
        arguments=("BUILDER_IMAGE", "DEPENDENCIES_IMAGE"),
        contexts={"pulumi": pulumi.parent},
    )


def content_tag(*parts: str) -> str:
    """A tag that is the same for the same parts only."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]


def binary_identity(binary: Path) -> str:
    """What tells one build of a program from another, without reading its hundred megabytes."""
    status = binary.resolve().stat()
    return f"{binary.resolve()}:{status.st_size}:{status.st_mtime_ns}"


def tree_digest(inputs: Iterable[str], root: Path = SOURCES) -> str:
    """The digest of files and folders below `root`: names, contents and whether they can be executed."""
    whole = hashlib.sha256()
    for path in input_files(inputs, root):
        whole.update(f"{path.relative_to(root).as_posix()}\0{path.stat().st_mode & 0o111:o}\0".encode())
        whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()


def input_files(inputs: Iterable[str], root: Path = SOURCES) -> list[Path]:
    """The files that inputs stand for, in a fixed order, without what Python leaves beside its sources."""
    found: set[Path] = set()
    for name in inputs:
        path = root / name
        found.update(path.rglob("*") if path.is_dir() else [path])
    return sorted(path for path in found if path.is_file() and not str(path).endswith(_UNUSED) and not _cached(path))


def _cached(path: Path) -> bool:
    return any(part == "__pycache__" for part in path.parts)
