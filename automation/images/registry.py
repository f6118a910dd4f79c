"""What a registry has, asked through the tool that is going to push to it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from aphex.process import run
from automation.images.login import RegistryError

# What registries and tools say of a tag or a repository that is not there.
_ABSENT = re.compile(r"manifest unknown|name unknown|not found|manifest_unknown|name_unknown|\b404\b", re.IGNORECASE)


def digest_in_registry(
    command: Sequence[str | Path], reference: str, environment: Mapping[str, str], read: Callable[[str], str]
) -> str | None:
    """The digest that a command prints of an image in its registry; None when the registry has no such image.

    Args:
        command: what asks the registry.
        reference: the image.
        environment: variables besides this process's.
        read: takes the digest out of what the command prints.

    Raises:
        RegistryError: the registry cannot be asked.
    """
    answer = run(command, env={**os.environ, **environment}, check=False, separate_errors=True)
    if answer.ok:
        return read(answer.output)
    if _ABSENT.search(answer.error_output):
        return None
    raise RegistryError(
        f"The registry of {reference} cannot be asked for it:\n{answer.error_output.strip()}",
        hint="See whether it can be reached, and whether you are logged in to it: docker login, or buildah login.",
    )
