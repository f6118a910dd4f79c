"""The programs the sandbox is made of: got or built once, cached outside the repository."""

from sandbox.toolchain.cache import cache_root
from sandbox.toolchain.debian import host_packages, missing_packages, program
from sandbox.toolchain.ensure import TOOLS, Toolchain, ensure

__all__ = ["TOOLS", "Toolchain", "cache_root", "ensure", "host_packages", "missing_packages", "program"]
