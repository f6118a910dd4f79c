"""What is in an image, as a CycloneDX bill of materials: Debian, Python and npm packages and the released programs.

buildx attaches one of its own; this is for images that buildah built. It reads what the package managers left in the
image's file system, so that it tells what is there and not what should be.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from email.parser import HeaderParser
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

_DPKG = "var/lib/dpkg/status"
_PROGRAMS = "opt/programs"
_NOT_WALKED = {"proc", "sys", "dev"}


def bill_of_materials(root: Path, name: str, version: str, architecture: str) -> str:
    """The bill of materials of an image, as JSON.

    Args:
        root: the image's file system.
        name: of the image.
        version: its tag.
        architecture: as Docker names it.
    """
    bom = Bom(components=components(root))
    purl = PackageURL("oci", None, name, version, {"arch": architecture})
    image = Component(type=ComponentType.CONTAINER, name=name, version=version, purl=purl, bom_ref=str(purl))
    bom.metadata.component = image
    bom.register_dependency(image, bom.components)
    return make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=2)


def components(root: Path) -> Iterator[Component]:
    """Everything in an image that a package manager or a release brought there; each once for each place."""
    yield from _debian(root / _DPKG)
    yield from _programs(root / _PROGRAMS)
    for folder, folders, files in os.walk(root):
        here = Path(folder)
        if here == root:
            folders[:] = [each for each in folders if each not in _NOT_WALKED]
        if here.name.endswith(".dist-info") and "METADATA" in files:
            yield from _python(here / "METADATA")
        elif "package.json" in files and _is_npm_package(here):
            yield from _npm(here / "package.json")


def _debian(status: Path) -> Iterator[Component]:
    if not status.is_file():
        return
    for paragraph in status.read_text(encoding="utf-8", errors="replace").split("\n\n"):
        fields = HeaderParser().parsestr(paragraph)
        if fields["Package"] and str(fields["Status"]).endswith(" installed"):
            name, version = str(fields["Package"]), str(fields["Version"])
            purl = PackageURL("deb", "debian", name, version, {"arch": str(fields["Architecture"])})
            yield _component(name, version, purl)


def _python(metadata: Path) -> Iterator[Component]:
    fields = HeaderParser().parsestr(metadata.read_text(encoding="utf-8", errors="replace"))
    if fields["Name"]:
        name, version = str(fields["Name"]), str(fields["Version"])
        yield _component(name, version, PackageURL("pypi", None, name, version))


def _is_npm_package(folder: Path) -> bool:
    """Whether a folder is directly in `node_modules`, or below a scope there: others only look like packages."""
    parent = folder.parent
    return parent.name == "node_modules" or (parent.name.startswith("@") and parent.parent.name == "node_modules")


def _npm(description: Path) -> Iterator[Component]:
    try:
        fields = json.loads(description.read_text(encoding="utf-8"))
    except ValueError:
        # Packages ship broken ones as material for their own tests.
        return
    if isinstance(fields, dict) and fields.get("name") and fields.get("version"):
        scope, _, name = str(fields["name"]).rpartition("/")
        purl = PackageURL("npm", scope or None, name, str(fields["version"]))
        yield _component(str(fields["name"]), str(fields["version"]), purl)


def _programs(folder: Path) -> Iterator[Component]:
    """The released programs: those that say what they are by their pin, any other by its digest."""
    said = folder / "programs.json"
    listed = json.loads(said.read_text(encoding="utf-8")) if said.is_file() else []
    for each in listed:
        purl = PackageURL("generic", None, each["name"], each["version"], {"download_url": each["url"]})
        yield _component(each["name"], each["version"], purl, (each["sha256"],))
    named = {each["name"] for each in listed}
    for path in sorted((folder / "bin").glob("*")):
        if path.is_file() and path.name not in named:
            with path.open("rb") as file:
                yield _component(path.name, None, None, (hashlib.file_digest(file, "sha256").hexdigest(),))


def _component(name: str, version: str | None, purl: PackageURL | None, digests: Iterable[str] = ()) -> Component:
    kind = ComponentType.LIBRARY if purl is not None and purl.type != "generic" else ComponentType.APPLICATION
    hashes = [HashType(alg=HashAlgorithm.SHA_256, content=each) for each in digests]
    reference = str(purl) if purl is not None else f"program:{name}"
    return Component(type=kind, name=name, version=version, purl=purl, hashes=hashes, bom_ref=reference)
