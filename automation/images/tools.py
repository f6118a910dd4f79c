"""The programs that build and push: docker with buildx, or buildah with skopeo. Either gives the same kind of image."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from aphex.errors import AphexError, UsageError
from aphex.process import ProcessError, run
from automation.images import bake
from automation.images.layouts import beside, layout, layout_digest, platform_digests, prune
from automation.images.login import is_loopback
from automation.images.options import Tool
from automation.images.pins import Pins
from automation.images.plan import PlannedImage
from automation.images.provenance import Build, revision, statement
from automation.images.registry import digest_in_registry
from sandbox.images.buildah import ImageBuildError, skopeo
from sandbox.images.builds import Builds, builds
from sandbox.images.settings import BuildSettings
from sandbox.toolchain import cache_root
from sandbox.toolchain.cache import placed

Report = Callable[[str], None]
_LAST_LINES = 200


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """What every build needs.

    Attributes:
        settings: of the build's package managers.
        pins: what is public in the images.
        output: the folder of what is built.
        environment: variables of the tools, such as where the registry's login is.
        report: told each step.
    """

    settings: BuildSettings
    pins: Pins
    output: Path
    environment: Mapping[str, str]
    report: Report


class ImageTool(Protocol):
    """Something that builds and pushes images."""

    name: Tool

    def in_registry(self, reference: str, environment: Mapping[str, str]) -> str | None:
        """The digest of an image in its registry; None when it is not there."""

    def build(self, images: Sequence[PlannedImage], workshop: Workshop) -> None:
        """Build images into their layouts, each with what tells of it beside it."""

    def push(self, images: Sequence[PlannedImage], workshop: Workshop) -> dict[str, str]:
        """Push images, built when they are not; their digests by their names."""


class Docker:
    """docker with buildx: all platforms at once, bill of materials and provenance inside the image's index."""

    name: Tool = "docker"

    def __init__(self, executable: str = "docker") -> None:
        self._docker = executable

    def in_registry(self, reference: str, environment: Mapping[str, str]) -> str | None:
        """The digest of an image in its registry; None when it is not there."""
        words = [self._docker, "buildx", "imagetools", "inspect", "--format", "{{json .Manifest}}", reference]
        return digest_in_registry(words, reference, environment, lambda text: str(json.loads(text)["digest"]))

    def build(self, images: Sequence[PlannedImage], workshop: Workshop) -> None:
        """Build images into their layouts."""
        for each in images:
            with placed(layout(workshop.output, each)) as folder:
                self._bake([each], {each.name: f"type=oci,tar=false,dest={folder}"}, workshop)
            prune(workshop.output, each.name)

    def push(self, images: Sequence[PlannedImage], workshop: Workshop) -> dict[str, str]:
        """Build and push in one step; what the builder has in its cache is not built again."""
        return self._bake(images, {each.name: "type=registry" for each in images}, workshop)

    def _bake(self, images: Sequence[PlannedImage], outputs: Mapping[str, str], workshop: Workshop) -> dict[str, str]:
        with tempfile.TemporaryDirectory(prefix="aphex-images-") as name, workshop.settings.files(Path(name)) as files:
            definition, metadata = Path(name) / "bake.json", Path(name) / "metadata.json"
            definition.write_text(json.dumps(bake.definition(images, files, outputs)))
            # The definition is ours: bake need not ask for leave to read outside of the working folder.
            environment = {**os.environ, **workshop.environment, "BUILDX_BAKE_ENTITLEMENTS_FS": "0", "NO_COLOR": "1"}
            try:
                run(
                    bake.command(self._docker, definition, metadata),
                    env=environment,
                    on_line=workshop.report,
                    keep_lines=_LAST_LINES,
                    label="docker buildx bake",
                )
            except ProcessError as error:
                raise ImageBuildError(
                    str(error),
                    hint="Several platforms want a builder of their own: docker buildx create --use --bootstrap",
                ) from error
            return bake.digests(json.loads(metadata.read_text()), [each.name for each in images])


class Buildah:
    """buildah and skopeo: without a daemon, as root; what buildx would attach lies beside the image's layout."""

    name: Tool = "buildah"

    def __init__(self, cache: Path | None = None) -> None:
        self._cache = cache or cache_root() / "images"

    def in_registry(self, reference: str, environment: Mapping[str, str]) -> str | None:
        """The digest of an image in its registry; None when it is not there."""
        options = ["--tls-verify=false"] if is_loopback(reference) else []
        words = [_skopeo(), "inspect", "--raw", *options, f"docker://{reference}"]
        return digest_in_registry(words, reference, environment, _digest_of)

    def build(self, images: Sequence[PlannedImage], workshop: Workshop) -> None:
        """Build images into their layouts."""
        for each in images:
            with builds(self._cache, workshop.report, each.name, workshop.settings) as building:
                self._build(each, building, workshop)
            prune(workshop.output, each.name)

    def push(self, images: Sequence[PlannedImage], workshop: Workshop) -> dict[str, str]:
        """Push images from their layouts."""
        missing = [each for each in images if layout_digest(layout(workshop.output, each)) is None]
        self.build(missing, workshop)
        for each in images:
            workshop.report(f"pushing {each.reference}")
            options = ["--dest-tls-verify=false"] if is_loopback(each.reference) else []
            source = f"oci:{layout(workshop.output, each)}"
            skopeo(
                *("copy", "--quiet", "--all", "--preserve-digests", *options, source, f"docker://{each.reference}"),
                label=f"pushing {each.reference}",
                env={**os.environ, **workshop.environment},
            )
        return {each.name: str(layout_digest(layout(workshop.output, each))) for each in images}

    def _build(self, planned: PlannedImage, building: Builds, workshop: Workshop) -> None:
        from automation.images.sbom import bill_of_materials

        started = datetime.now(UTC)
        locals_ = {platform: building.image(planned.image, platform) for platform in planned.platforms}
        folder = layout(workshop.output, planned)
        for platform, local in locals_.items():
            architecture = platform.rpartition("/")[2]
            with building.buildah.container(local) as container, building.buildah.mounted(container) as root:
                bill = bill_of_materials(root, planned.name, planned.tag, architecture)
            file = beside(workshop.output, planned, f"{architecture}.cdx.json")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(bill + "\n")
        with placed(folder) as partial:
            building.buildah.export(locals_.values(), partial)
        digests = {planned.reference: str(layout_digest(folder)), **platform_digests(folder)}
        build = Build(
            tool=building.buildah.version(),
            started=started,
            ended=datetime.now(UTC),
            revision=revision(planned.image.sources),
        )
        downloads = not any(image.contexts for image in planned.image.chain())
        document = statement(planned, digests, workshop.pins, build, downloads=downloads)
        beside(workshop.output, planned, "provenance.json").write_text(json.dumps(document, indent=2) + "\n")


def choose_tool(wanted: Tool | None, *, debootstrap: bool) -> ImageTool:
    """The tool that builds: the one asked for, else docker with buildx, else buildah.

    Raises:
        UsageError: the one asked for is not there.
        AphexError: neither is.
    """
    docker = not debootstrap and wanted != "buildah" and _has_buildx()
    if docker:
        return Docker()
    if wanted == "docker":
        raise UsageError(
            "docker with buildx is not on this machine.", hint="See whether it works: docker buildx version"
        )
    if shutil.which("buildah") and shutil.which("skopeo"):
        return Buildah()
    raise AphexError(
        "Neither docker with buildx nor buildah with skopeo is on this machine.",
        hint="Install one of them; the sandbox's are installed by: python -m automation sandbox install",
    )


def _has_buildx() -> bool:
    docker = shutil.which("docker")
    return docker is not None and run([docker, "buildx", "version"], check=False).ok


def _digest_of(manifest: str) -> str:
    return f"sha256:{hashlib.sha256(manifest.encode()).hexdigest()}"


def _skopeo() -> str:
    return shutil.which("skopeo") or "skopeo"
