"""What an image build comes to: which images, under which tags. Nothing is built to learn whether it is needed."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from automation.images.options import ImageOptions
from sandbox.images.recipes import (
    SOURCES,
    BuiltImage,
    Context,
    builder,
    content_tag,
    debian_base,
    deployer,
    pulled_base,
    tree_digest,
)

# Changes when what is published changes while the inputs do not.
_RECIPE = "1"
_DIGITS = 12


@dataclass(frozen=True, kw_only=True)
class PlannedImage:
    """An image that is to be there.

    Attributes:
        image: how it is made.
        tag: its version, and a hash of everything that it is made from.
        platforms: for which machines.
        registry: `HOST` or `HOST/PREFIX` that it goes to; None stays on this machine.
    """

    image: BuiltImage
    tag: str
    platforms: tuple[str, ...]
    registry: str | None

    @property
    def name(self) -> str:
        """The image's name."""
        return self.image.name

    @property
    def repository(self) -> str:
        """Where it goes, such as `HOST/PREFIX/aphex-builder`; without a registry its name."""
        return "/".join(filter(None, (self.registry, self.name)))

    @property
    def reference(self) -> str:
        """The full reference, or without a registry name and tag."""
        return f"{self.repository}:{self.tag}"


def planned_images(options: ImageOptions, base_image: str, version: str) -> tuple[PlannedImage, ...]:
    """The builder and the deployer image of these options.

    Args:
        options: what was chosen.
        base_image: the pinned base image, for when no other one was chosen.
        version: of this project.
    """
    base = debian_base() if options.debootstrap else pulled_base(options.base_image or base_image)
    programs = None
    if options.programs is not None:
        programs = Context(path=options.programs, identity=tree_digest(["."], options.programs))
    images = (
        builder(base, options.ca_bundle),
        deployer(programs, base, options.ca_bundle),
    )
    return tuple(planned(image, options.platforms, options.registry, version) for image in images)


def planned(image: BuiltImage, platforms: Iterable[str], registry: str | None, version: str) -> PlannedImage:
    """An image with the tag that follows from its content."""
    ordered = tuple(sorted(platforms))
    tag = f"{version}-{content_tag(_RECIPE, image.tag(), *ordered)[:_DIGITS]}"
    return PlannedImage(image=image, tag=tag, platforms=ordered, registry=registry.rstrip("/") if registry else None)


def project_version(sources: Path = SOURCES) -> str:
    """This project's version."""
    with (sources / "pyproject.toml").open("rb") as file:
        return str(tomllib.load(file)["project"]["version"])
