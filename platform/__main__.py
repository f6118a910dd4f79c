# ruff: noqa: A005  (Pulumi runs this folder; it is no package, so it shadows nothing)
"""Runs a stack's program under an installed Pulumi: `pulumi up` instead of `python -m automation`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pulumi
from pulumi.runtime.config import is_config_secret

from aphex.errors import UsageError
from aphex.loader import load_cluster_config, load_config


def main() -> None:
    """Declare the resources of the stack that the stack's configuration describes.

    Raises:
        UsageError: the configuration lacks something.
        ConfigError: a file that it names cannot be used.
    """
    stack = pulumi.Config("aphex")
    cluster = stack.get("cluster")
    program = _cluster(Path(cluster)) if cluster else _pipeline(stack)
    program()


def _cluster(file: Path) -> Callable[[], None]:
    # Only who makes clusters needs what this imports.
    from aphex_platform.cluster_program import cluster_program

    return cluster_program(load_cluster_config(file))


def _pipeline(stack: pulumi.Config) -> Callable[[], None]:
    from aphex_platform.program import pipeline_program
    from aphex_platform.settings import PlatformSecrets, PlatformSettings

    settings = Path(_required(stack, "settings")).read_text(encoding="utf-8")
    if not is_config_secret("aphex:secrets"):
        raise UsageError(
            "The stack's configuration has no aphex:secrets, or has it in the clear.",
            hint="pulumi config set --secret aphex:secrets < FILE",
        )
    return pipeline_program(
        load_config(Path(_required(stack, "configuration"))),
        PlatformSettings.model_validate_json(settings),
        PlatformSecrets.model_validate_json(_required(stack, "secrets")),
    )


def _required(stack: pulumi.Config, key: str) -> str:
    value = stack.get(key)
    if not value:
        raise UsageError(
            f"The stack's configuration has no aphex:{key}.",
            hint=f"pulumi config set aphex:{key} FILE; or, for the stack of a cluster, aphex:cluster.",
        )
    return value


if __name__ == "__main__":
    main()
