"""For which kind of machine an image is."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from types import MappingProxyType

_ARCHITECTURES: Mapping[str, str] = MappingProxyType({"x86_64": "amd64", "aarch64": "arm64"})


def host_platform() -> str:
    """The platform of images that this machine runs without emulation, as `linux/amd64`."""
    name = platform.machine()
    return f"linux/{_ARCHITECTURES.get(name, name)}"
