"""Finds the real Kubernetes plugin, to hold the stand-in against; it is on few machines."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
import zstandard

PLUGIN_VARIABLE = "APHEX_KUBERNETES_PLUGIN"
_BESIDE = Path(__file__).resolve().parents[3] / "shared" / "plugins"


def find() -> Path:
    """Find the packed plugin and check it against the sums beside it, or skip."""
    named = os.environ.get(PLUGIN_VARIABLE)
    found = [Path(named)] if named else sorted(_BESIDE.glob("pulumi-resource-kubernetes-*.zst"))
    if not found or not found[-1].is_file():
        pytest.skip(f"the real Kubernetes plugin is neither at {PLUGIN_VARIABLE} nor in {_BESIDE}")
    packed = found[-1]
    with packed.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    lines = (packed.parent / "SHA256SUMS").read_text().splitlines()
    assert [digest, packed.name] in [line.split() for line in lines], "the plugin is damaged"
    return packed


def unpack(directory: Path) -> Path:
    """Unpack the plugin into a folder and return it, ready to run."""
    target = directory / "pulumi-resource-kubernetes"
    with find().open("rb") as source, target.open("wb") as file:
        zstandard.ZstdDecompressor().copy_stream(source, file)
    target.chmod(0o755)
    return target
