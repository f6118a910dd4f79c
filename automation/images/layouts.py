"""Built images as OCI layouts on disk: what a build leaves, what a push takes, and how both know what is there.

Format: https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from automation.images.plan import PlannedImage
from sandbox.toolchain.cache import remove

_KEPT = 2
_ATTESTATION = "vnd.docker.reference.type"


def layout(output: Path, planned: PlannedImage) -> Path:
    """The folder of an image's layout."""
    return output / f"{planned.name}-{planned.tag}"


def beside(output: Path, planned: PlannedImage, suffix: str) -> Path:
    """A file that tells of an image, beside its layout."""
    return output / f"{planned.name}-{planned.tag}.{suffix}"


def layout_digest(folder: Path) -> str | None:
    """The digest of the image in a layout; None when there is no whole one."""
    index = folder / "index.json"
    if not index.is_file():
        return None
    manifests = json.loads(index.read_text())["manifests"]
    return str(manifests[0]["digest"]) if manifests else None


def platform_digests(folder: Path) -> dict[str, str]:
    """The digests of the images in a layout by their platforms, without the attestations between them."""
    digest = layout_digest(folder)
    document = _blob(folder, digest) if digest else {}
    found = {}
    for each in document.get("manifests", []):
        if _ATTESTATION not in each.get("annotations", {}):
            platform = each["platform"]
            found[f"{platform['os']}/{platform['architecture']}"] = str(each["digest"])
    return found


def built(output: Path) -> list[dict[str, Any]]:
    """The images whose layouts are in a folder, the newest first."""
    folders = sorted(output.glob("*/index.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    return [
        {
            "name": index.parent.name,
            "digest": layout_digest(index.parent),
            "platforms": list(platform_digests(index.parent)),
        }
        for index in folders
    ]


def prune(output: Path, name: str) -> None:
    """Remove all but the newest layouts of an image, each with what tells of it."""
    folders = [path for path in output.glob(f"{name}-*") if path.is_dir()]
    for outdated in sorted(folders, key=lambda path: path.stat().st_mtime, reverse=True)[_KEPT:]:
        for each in output.glob(f"{outdated.name}*"):
            remove(each)


def _blob(folder: Path, digest: str) -> Any:
    return json.loads((folder / "blobs" / digest.replace(":", "/")).read_text())
