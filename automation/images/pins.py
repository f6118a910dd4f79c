"""docker/pins.json: the base image by its digest and the released programs by their checksums."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from aphex.errors import AphexError
from sandbox.images.recipes import PINS, SOURCES


class _Pinned(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PinnedFile(_Pinned):
    """One file of a release."""

    url: str
    sha256: str | None = Field(pattern=r"^[0-9a-f]{64}$", description="None until `images pin` has asked its project.")


class PinnedProgram(_Pinned):
    """A released program: its files by the architecture, as Docker names it."""

    name: str
    version: str
    files: dict[str, PinnedFile]


class Pins(_Pinned):
    """Everything public that the images are made from and that no lock file has."""

    base: str = Field(pattern=r"^[^@\s]+:[^@\s]+@sha256:[0-9a-f]{64}$")
    programs: tuple[PinnedProgram, ...]


class UnpinnedProgram(AphexError):
    """A program has no checksum to hold a download against."""


def read_pins(path: Path = SOURCES / PINS) -> Pins:
    """The pins that are checked in."""
    return Pins.model_validate_json(path.read_bytes())


def write_pins(pins: Pins, path: Path = SOURCES / PINS) -> None:
    """Write the pins in the form in which they are checked in."""
    path.write_text(pins.model_dump_json(indent=2) + "\n")


def require_checksums(pins: Pins, platforms: Iterable[str]) -> None:
    """See that every program can be checked, before anything is built.

    Raises:
        UnpinnedProgram: names those that cannot.
    """
    architectures = [platform.rpartition("/")[2] for platform in platforms]
    unknown = [
        f"{program.name} {program.version} for {architecture}"
        for program in pins.programs
        for architecture in architectures
        if architecture not in program.files or program.files[architecture].sha256 is None
    ]
    if unknown:
        raise UnpinnedProgram(
            f"{PINS} has no checksum of {', '.join(unknown)}.",
            hint="Write what their projects released into it, and commit it: python -m automation images pin",
        )
