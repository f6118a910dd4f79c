"""The images as one definition for `docker buildx bake`, which builds all platforms and links the images to each other.

Format: https://docs.docker.com/build/bake/reference/ (as JSON).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from automation.images.plan import PlannedImage
from sandbox.images.recipes import BuiltImage, PulledImage


def definition(
    images: Sequence[PlannedImage], secrets: Mapping[str, Path], outputs: Mapping[str, str]
) -> dict[str, Any]:
    """The bake file.

    Args:
        images: what is wanted; what they are based on is built on the way.
        secrets: files that every build step may mount, by their ids.
        outputs: where each wanted image goes, by its name, in buildx' words.
    """
    targets: dict[str, Any] = {}
    for each in images:
        for image in each.image.chain():
            targets[image.name] = _target(image, each.platforms, secrets)
        targets[each.name] |= {"tags": [each.reference], "output": [outputs[each.name]]}
    return {"group": {"default": {"targets": [each.name for each in images]}}, "target": targets}


def command(docker: str | Path, file: Path, metadata: Path) -> list[str | Path]:
    """The command line that builds a bake file, with a bill of materials and the whole provenance attached."""
    attested = ["--sbom=true", "--provenance=mode=max"]
    return [docker, "buildx", "bake", "--file", file, "--metadata-file", metadata, *attested, "--progress=plain"]


def digests(metadata: Mapping[str, Any], names: Iterable[str]) -> dict[str, str]:
    """The digest of each image, from what buildx wrote into its metadata file."""
    return {name: str(metadata[name]["containerimage.digest"]) for name in names}


def _target(image: BuiltImage, platforms: Sequence[str], secrets: Mapping[str, Path]) -> dict[str, Any]:
    contexts = {name: str(each.path) for name, each in image.contexts.items()}
    if isinstance(image.base, PulledImage):
        base = image.base.reference
    else:
        # A context of the base's name takes the place of an image that would be pulled.
        base = image.base.name
        contexts[base] = f"target:{base}"
    mounted = {**secrets, **image.secrets}
    target: dict[str, Any] = {
        "context": str(image.sources),
        "dockerfile": image.dockerfile,
        "args": dict.fromkeys(image.arguments, base),
        "contexts": contexts,
        "platforms": list(platforms),
        "secret": [f"id={name},src={path}" for name, path in mounted.items()],
    }
    return target | ({"target": image.stage} if image.stage else {})
