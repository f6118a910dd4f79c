"""Where an image comes from, as an in-toto statement with SLSA provenance.

Formats: https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md and https://slsa.dev/spec/v1.0/provenance.
buildx attaches its own; this is for images that buildah built.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from aphex.process import run
from automation.images.pins import Pins
from automation.images.plan import PlannedImage
from sandbox.images.recipes import PINS, SUITE, DebianBase, PulledImage, tree_digest

_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE = "https://slsa.dev/provenance/v1"
_BUILD_TYPE = "https://github.com/containers/buildah/blob/main/docs/buildah-build.1.md"
_REPOSITORY = "pkg:generic/aphexpipeline"


@dataclass(frozen=True, kw_only=True)
class Revision:
    """The commit of the sources that were built; empty outside a git repository.

    Attributes:
        commit: its SHA.
        changed: whether files differ from it.
    """

    commit: str = ""
    changed: bool = False


@dataclass(frozen=True, kw_only=True)
class Build:
    """One build, as far as its provenance tells of it.

    Attributes:
        tool: name and version of what built.
        started: when.
        ended: when.
        revision: of the sources.
    """

    tool: str
    started: datetime
    ended: datetime
    revision: Revision


def statement(
    planned: PlannedImage, digests: Mapping[str, str], pins: Pins, build: Build, *, downloads: bool
) -> dict[str, Any]:
    """The provenance of an image.

    Args:
        planned: what was built.
        digests: by the reference or platform that each belongs to, as `sha256:...`.
        pins: what is public in it.
        build: how it came about.
        downloads: whether the released programs were downloaded as they are pinned.
    """
    return {
        "_type": _STATEMENT,
        "subject": [{"name": name, "digest": _digest(value)} for name, value in digests.items()],
        "predicateType": _PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": _BUILD_TYPE,
                "externalParameters": {
                    "dockerfile": planned.image.dockerfile,
                    "platforms": list(planned.platforms),
                    "tag": planned.tag,
                },
                "internalParameters": {"sourcesChanged": build.revision.changed},
                "resolvedDependencies": _dependencies(planned, pins, build.revision, downloads=downloads),
            },
            "runDetails": {
                "builder": {"id": _BUILD_TYPE, "version": {"buildah": build.tool}},
                "metadata": {
                    "invocationId": str(uuid.uuid4()),
                    "startedOn": build.started.isoformat(),
                    "finishedOn": build.ended.isoformat(),
                },
            },
        },
    }


def revision(sources: Path) -> Revision:
    """The commit of the sources, when they are in a git repository."""
    head = run(["git", "rev-parse", "HEAD"], cwd=sources, check=False)
    if not head.ok:
        return Revision()
    changed = run(["git", "status", "--porcelain"], cwd=sources, check=False).output.strip()
    return Revision(commit=head.output.strip(), changed=bool(changed))


def _dependencies(planned: PlannedImage, pins: Pins, source: Revision, *, downloads: bool) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if source.commit:
        found.append({"uri": _REPOSITORY, "digest": {"gitCommit": source.commit}})
    for image in planned.image.chain():
        if isinstance(image.base, PulledImage):
            name, _, digest = image.base.reference.partition("@")
            found.append({"uri": f"docker://{name}", **({"digest": _digest(digest)} if digest else {})})
        if isinstance(image.base, DebianBase):
            packages = {"packages": " ".join(image.base.packages)}
            found.append({"name": image.base.name, "uri": f"pkg:deb/debian?distro={SUITE}", "annotations": packages})
        inputs = tree_digest(image.inputs, image.sources)
        found.append({"name": image.name, "uri": f"file:{image.dockerfile}", "annotations": {"inputs": inputs}})
        for name, context in image.contexts.items():
            found.append({"name": name, "uri": f"file:{name}", "annotations": {"inputs": context.identity}})
        if PINS in image.inputs and downloads:
            found += _programs(pins, planned.platforms)
    return found


def _programs(pins: Pins, platforms: Sequence[str]) -> list[dict[str, Any]]:
    architectures = [platform.rpartition("/")[2] for platform in platforms]
    files = [program.files[each] for program in pins.programs for each in architectures]
    return [{"uri": file.url, "digest": {"sha256": file.sha256}} for file in files]


def _digest(text: str) -> dict[str, str]:
    algorithm, _, value = text.partition(":")
    return {algorithm: value}
