"""The images that run in the sandbox's pods: built when their inputs change, kept in the sandbox's registry."""

from sandbox.images.ensure import Images, ensure, missing

__all__ = ["Images", "ensure", "missing"]
