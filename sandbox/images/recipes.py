"""What each image is made of and the tag that follows from it: pure, so that nothing is built to learn whether to."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

# The root of the project's sources, which is the build context of its images.
SOURCES = Path(__file__).parents[2]
SUITE = "bookworm"
# The base image by its digest, and the released programs by their checksums.
PINS = "docker/pins.json"
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


@dataclass(frozen=True)
class DebianBase:
    """The base image that is made from Debian packages where no image can be pulled (`sandbox.images.base`)."""

    packages: tuple[str, ...]
    name: str = "aphex-base"

    def tag(self) -> str:
        """The content tag."""
        return content_tag(_RECIPE, SUITE, *self.packages)


@dataclass(frozen=True)
class PulledImage:
    """An image of some registry, by its full reference."""

    reference: str

    def tag(self) -> str:
        """The content tag: that of the reference, which names a digest when it is to be the same for ever."""
        return content_tag(_RECIPE, self.reference)


@dataclass(frozen=True, kw_only=True)
class Context:
    """A folder outside the sources that a Dockerfile copies from.

    Attributes:
        path: the folder.
        identity: what tells its content from another's.
    """

    path: Path
    identity: str


@dataclass(frozen=True, kw_only=True)
class BuiltImage:
    """One stage of one of the project's Dockerfiles.

    Attributes:
        name: the image's name in the registry.
        dockerfile: relative to the sources.
        inputs: files and folders that go into it, relative to the sources.
        base: the image it is built on.
        stage: the Dockerfile's stage; empty is the last.
        arguments: build arguments that name the base.
        contexts: further folders that it copies from, by their names in the Dockerfile.
        secrets: files whose content goes into it and that its Dockerfile mounts as secrets, by their ids.
        sources: the build context.
    """

    name: str
    dockerfile: str
    inputs: tuple[str, ...]
    base: BuiltImage | DebianBase | PulledImage
    stage: str = ""
    arguments: tuple[str, ...] = ()
    contexts: Mapping[str, Context] = field(default_factory=dict)
    secrets: Mapping[str, Path] = field(default_factory=dict)
    sources: Path = SOURCES

    def tag(self) -> str:
        """The content tag: changes with the base, the Dockerfile and every input, and with nothing else."""
        contexts = (f"{name}={context.identity}" for name, context in sorted(self.contexts.items()))
        secrets = (f"{name}={_file_digest(path)}" for name, path in sorted(self.secrets.items()))
        made_from = tree_digest(self.inputs, self.sources)
        return content_tag(_RECIPE, self.instructions(), self.base.tag(), made_from, *contexts, *secrets)

    def chain(self) -> list[BuiltImage]:
        """The image after those of ours that it is based on."""
        return [*(self.base.chain() if isinstance(self.base, BuiltImage) else []), self]

    def instructions(self) -> str:
        """The part of the Dockerfile that makes this image: the named stage comes first, the other one follows it."""
        text = (self.sources / self.dockerfile).read_text()
        first, separator, last = text.rpartition("\nFROM ")
        return first if self.stage else separator + last


def base_packages() -> tuple[str, ...]:
    """The Debian packages of the base image."""
    return tuple((SOURCES / "docker/base/packages.txt").read_text().split())


def debian_base() -> DebianBase:
    """The base image that needs no registry."""
    return DebianBase(base_packages())


def pulled_base(reference: str) -> BuiltImage:
    """The base image on Debian's own image, or on another one made from it."""
    return BuiltImage(
        name="aphex-base",
        dockerfile="docker/base/Dockerfile",
        inputs=("docker/base/packages.txt",),
        base=PulledImage(reference),
        arguments=("DEBIAN_IMAGE",),
    )


def builder_dependencies(base: BuiltImage | DebianBase | None = None, certificates: Path | None = None) -> BuiltImage:
    """The builder image without this project's own packages.

    Args:
        base: what it is built on; by default the base that needs no registry.
        certificates: authorities that programs in the image are to trust besides Debian's.
    """
    return BuiltImage(
        name="aphex-builder-dependencies",
        dockerfile="docker/builder/Dockerfile",
        inputs=("docker/tools.lock", "docker/cdk.lock", "docker/builder.lock"),
        base=base or debian_base(),
        stage="dependencies",
        arguments=("BASE_IMAGE",),
        secrets={"own-certificates": certificates} if certificates else {},
    )


def builder(base: BuiltImage | DebianBase | None = None, certificates: Path | None = None) -> BuiltImage:
    """The image of the stages that run the application's commands."""
    return BuiltImage(
        name="aphex-builder",
        dockerfile="docker/builder/Dockerfile",
        inputs=("aphex", "stages"),
        base=builder_dependencies(base, certificates),
        arguments=("BASE_IMAGE", "DEPENDENCIES_IMAGE"),
    )


def deployer_dependencies(
    programs: Context | None = None, base: BuiltImage | DebianBase | None = None, certificates: Path | None = None
) -> BuiltImage:
    """The deployer image without this project's own packages.

    Args:
        programs: a folder with the Pulumi CLI and the others, instead of downloading what `docker/pins.json` names.
        base: what the builder image is built on.
        certificates: as in the builder image.
    """
    return BuiltImage(
        name="aphex-deployer-dependencies",
        dockerfile="docker/deployer/Dockerfile",
        inputs=(
            "docker/deployer.lock",
            "docker/deployer/package.json",
            "docker/deployer/package-lock.json",
            PINS,
            "docker/deployer/programs.py",
        ),
        base=builder_dependencies(base, certificates),
        stage="dependencies",
        arguments=("BUILDER_IMAGE",),
        contexts={"programs": programs} if programs else {},
    )


def deployer(
    programs: Context | None = None, base: BuiltImage | DebianBase | None = None, certificates: Path | None = None
) -> BuiltImage:
    """The image of the stages that deploy."""
    return BuiltImage(
        name="aphex-deployer",
        dockerfile="docker/deployer/Dockerfile",
        inputs=("aphex", "stages", "platform/aphex_platform", "automation", "sandbox"),
        base=deployer_dependencies(programs, base, certificates),
        arguments=("BUILDER_IMAGE", "DEPENDENCIES_IMAGE"),
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


def _file_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
