"""Makes sure that the images of the stages are built, or are in a registry, and does nothing that was done before."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from automation.images.layouts import layout, layout_digest
from automation.images.login import logged_in, require_repositories
from automation.images.options import ImageOptions, build_settings
from automation.images.pins import Pins, read_pins, require_checksums
from automation.images.plan import PlannedImage, planned_images, project_version
from automation.images.tools import ImageTool, Report, Workshop, choose_tool
from sandbox.images.recipes import PINS

RESULT = "images.json"


@dataclass(frozen=True, kw_only=True)
class MadeImage:
    """An image that is there.

    Attributes:
        name: the image's name.
        tagged: its reference by its tag.
        digest: of the index of all its platforms, as `sha256:...`.
        platforms: for which machines.
        unchanged: whether it was there before, so that nothing was done.
        files: what was written about it: bill of materials and provenance. Empty when they are in the image's index.
    """

    name: str
    tagged: str
    digest: str
    platforms: tuple[str, ...]
    unchanged: bool
    files: tuple[Path, ...]

    @property
    def pinned(self) -> str:
        """Its reference by its digest: what a configuration names, so that nobody can change what it means."""
        return f"{self.tagged.rpartition(':')[0]}@{self.digest}"

    def document(self) -> dict[str, Any]:
        """The image as JSON."""
        return {
            "name": self.name,
            "tagged": self.tagged,
            "pinned": self.pinned,
            "digest": self.digest,
            "platforms": list(self.platforms),
            "unchanged": self.unchanged,
            "files": [str(path) for path in self.files],
        }


@dataclass(frozen=True, kw_only=True)
class MadeImages:
    """The images of the stages.

    Attributes:
        builder: of the stages that run the application's commands.
        deployer: of the stages that deploy.
        pushed: whether they are in a registry.
    """

    builder: MadeImage
    deployer: MadeImage
    pushed: bool

    def document(self) -> dict[str, Any]:
        """The images as JSON."""
        return {"pushed": self.pushed, "images": [self.builder.document(), self.deployer.document()]}


def publish(options: ImageOptions, report: Report, tool: ImageTool | None = None) -> MadeImages:
    """Build the images and, with a registry, push them; what is there is left as it is.

    Args:
        options: what was chosen.
        report: told each step.
        tool: what builds and pushes; by default what `options` and this machine have.

    Raises:
        UsageError: the options do not go together; nothing was done.
        AphexError: a checksum is not pinned, the registry refuses, or a build fails.
    """
    options.check()
    pins = read_pins()
    images = planned_images(options, pins.base, project_version())
    builder, deployer = make(images, options, pins, report, tool)
    made = MadeImages(builder=builder, deployer=deployer, pushed=options.registry is not None)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / RESULT).write_text(json.dumps(made.document(), indent=2) + "\n")
    return made


def make(
    images: Sequence[PlannedImage], options: ImageOptions, pins: Pins, report: Report, tool: ImageTool | None = None
) -> list[MadeImage]:
    """Build or push images as planned; those that are there are only told of."""
    tool = tool or choose_tool(options.tool, debootstrap=options.debootstrap)
    _warn(options, report)
    with ExitStack() as stack:
        environment = {}
        if options.registry is not None:
            environment = stack.enter_context(logged_in(options.registry, options.profile))
            wanted = [each.repository for each in images]
            for name in require_repositories(wanted, options.profile, create=options.create_repositories):
                report(f"made the repository {name}")
        workshop = Workshop(
            settings=build_settings(options, os.environ),
            pins=pins,
            output=options.output.absolute(),
            environment=environment,
            report=report,
        )
        there = _there(images, tool, workshop)
        missing = [each for each in images if each.name not in there]
        for each in images:
            if each not in missing:
                report(f"{each.reference}: unchanged, it is there")
        done = there | _made(missing, options, tool, workshop)
    return [_made_image(each, done[each.name], each not in missing, options.output) for each in images]


def _there(images: Sequence[PlannedImage], tool: ImageTool, workshop: Workshop) -> dict[str, str]:
    """The digests of those images that need no work: the tag follows from the content, so the same tag is the same."""
    found = {}
    for each in images:
        if each.registry is not None:
            digest = tool.in_registry(each.reference, workshop.environment)
        else:
            digest = layout_digest(layout(workshop.output, each))
        if digest is not None:
            found[each.name] = digest
    return found


def _made(
    missing: Sequence[PlannedImage], options: ImageOptions, tool: ImageTool, workshop: Workshop
) -> dict[str, str]:
    if not missing:
        return {}
    chains = [image for each in missing for image in each.image.chain()]
    if options.programs is None and any(PINS in image.inputs for image in chains):
        require_checksums(workshop.pins, options.platforms)
    workshop.report(f"building with {tool.name}: {', '.join(each.reference for each in missing)}")
    if options.registry is not None:
        return tool.push(missing, workshop)
    tool.build(missing, workshop)
    return {each.name: str(layout_digest(layout(workshop.output, each))) for each in missing}


def _made_image(planned: PlannedImage, digest: str, unchanged: bool, output: Path) -> MadeImage:
    stem = layout(output, planned).name
    return MadeImage(
        name=planned.name,
        tagged=planned.reference,
        digest=digest,
        platforms=planned.platforms,
        unchanged=unchanged,
        files=tuple(path for path in sorted(output.glob(f"{stem}.*")) if path.is_file()),
    )


def _warn(options: ImageOptions, report: Report) -> None:
    if options.base_image and "@sha256:" not in options.base_image:
        report(
            f"Warning: {options.base_image} has no digest. When it changes, the images' tags do not, "
            "and nothing is built anew: name it as IMAGE@sha256:..."
        )
