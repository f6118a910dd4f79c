"""Builds the project's images in buildah's storage: each after what it is based on, and only what is not there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sandbox.images.base import build_base
from sandbox.images.buildah import Buildah
from sandbox.images.platforms import host_platform
from sandbox.images.recipes import BuiltImage, DebianBase, PulledImage
from sandbox.images.settings import BuildSettings, host_settings
from sandbox.toolchain.cache import Report, locked
from sandbox.toolchain.progress import duration


@dataclass(frozen=True, kw_only=True)
class Builds:
    """Image builds in one storage, which is locked as long as this is in use.

    Attributes:
        buildah: the storage.
        settings: what the builds' package managers use.
        archives: a folder that keeps downloaded Debian packages.
        report: told each step.
    """

    buildah: Buildah
    settings: BuildSettings
    archives: Path
    report: Report

    def image(self, image: BuiltImage, platform: str = "") -> str:
        """The local name of an image, built when the storage lacks it.

        Args:
            image: which one.
            platform: such as `linux/arm64`; empty is this machine's.

        Raises:
            ImageBuildError: a build failed.
        """
        foreign = "" if platform in ("", host_platform()) else platform
        local = local_name(image.name, image.tag(), foreign)
        if self.buildah.has(local):
            return local
        base = self._base(image.base, foreign)
        started = time.monotonic()
        self.buildah.build(image, local, base, self.settings, foreign)
        self.report(f"built {image.name} in {duration(time.monotonic() - started)}")
        self.buildah.prune(repository(image.name))
        return local

    def _base(self, base: BuiltImage | DebianBase | PulledImage, platform: str) -> str:
        if isinstance(base, BuiltImage):
            return self.image(base, platform)
        if isinstance(base, PulledImage):
            return base.reference
        assert not platform, "debootstrap makes this machine's kind"
        local = local_name(base.name, base.tag())
        if not self.buildah.has(local):
            build_base(self.buildah, local, base.packages, self.archives, self.report)
        return local


@contextmanager
def builds(cache: Path, report: Report, doing: str, settings: BuildSettings | None = None) -> Iterator[Builds]:
    """Builds in the storage below `cache`, by one process at a time.

    Args:
        cache: the folder of the storage and of what is downloaded.
        report: told each step.
        doing: what is being built, for the process that has to wait.
        settings: what the builds' package managers use; by default this machine's.
    """
    with locked(cache / "lock", report, f"image {doing}"):
        buildah = Buildah(cache, report)
        buildah.recover()
        yield Builds(buildah=buildah, settings=settings or host_settings(), archives=cache / "archives", report=report)


def repository(name: str) -> str:
    """The name of an image in the local storage, without its tag."""
    return f"localhost/{name}"


def local_name(name: str, tag: str, platform: str = "") -> str:
    """The name of an image in the local storage; that of another platform than the machine's says so."""
    suffix = f"-{platform.rpartition('/')[2]}" if platform else ""
    return f"{repository(name)}:{tag}{suffix}"
