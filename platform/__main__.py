# ruff: noqa: A005  (Pulumi runs this folder; it is no package, so it shadows nothing)
"""Runs the pipeline stack's program under an installed Pulumi: `pulumi up` instead of `python -m automation up`."""

from __future__ import annotations

from pathlib import Path

import pulumi
from aphex_platform.program import pipeline_program
from aphex_platform.settings import PlatformSecrets, PlatformSettings

from aphex.loader import load_config


def main() -> None:
    """Load settings, secrets and configuration from the stack's configuration, and declare the resources."""
    stack = pulumi.Config("aphex")
    settings = PlatformSettings.model_validate_json(Path(stack.require("settings")).read_text(encoding="utf-8"))
    secrets = PlatformSecrets.model_validate_json(stack.require("secrets"))
    config = load_config(Path(stack.require("configuration")))
    pipeline_program(config, settings, secrets)()


if __name__ == "__main__":
    main()
