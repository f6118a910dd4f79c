"""A bucket whose versioning is suspended can be emptied of delete markers.

moto then removes a key with all its versions at once and asks each to free its content, but a delete marker has none
and does not know the question.
"""

from __future__ import annotations

from moto.s3.models import FakeDeleteMarker


def _dispose(self: FakeDeleteMarker, garbage: bool = False) -> None:  # noqa: ARG001 - as of the other versions
    return None


def apply() -> None:
    """Let delete markers be disposed of like every version."""
    setattr(FakeDeleteMarker, "dispose", _dispose)  # noqa: B010 - mypy refuses the plain form
