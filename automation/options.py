"""The options that many commands share, so that each means the same everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from aphex.config import CONFIG_FILE

Config = Annotated[
    Path, typer.Option("--config", help="The pipeline's configuration.", show_default=True, dir_okay=False)
]
TargetName = Annotated[
    str | None, typer.Option("--target", help="sandbox, existing or eks: the usual cluster and AWS.")
]
Cluster = Annotated[
    str | None, typer.Option("--cluster", help="sandbox, eks[:NAME], or context:NAME of your kubeconfig.")
]
Aws = Annotated[str | None, typer.Option("--aws", help="sandbox (a stand-in on this machine) or account (yours).")]
Name = Annotated[str, typer.Option("--name", help="Name of the sandbox.")]
TargetFile = Annotated[
    Path | None,
    typer.Option(
        "--target-file", help="What is special about the target. [default: aphex-target.yaml, if there is one]"
    ),
]
Pipeline = Annotated[
    str | None, typer.Option("--pipeline", help="Name of a pipeline that is deployed, instead of --config.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask, except before data would be lost.")]
AllowDataLoss = Annotated[
    bool, typer.Option("--allow-data-loss", help="Delete or replace what holds data, too, without asking.")
]
Settings = Annotated[
    Path | None, typer.Option("--settings", help="Settings of a deployed pipeline; used inside its self-update.")
]
Secrets = Annotated[Path | None, typer.Option("--secrets", help="Its secrets; used inside its self-update.")]

DEFAULT_CONFIG = Path(CONFIG_FILE)
DEFAULT_NAME = "default"
CONTEXT_PREFIX = "context:"


@dataclass(frozen=True, kw_only=True)
class TargetOptions:
    """What the caller said about where the pipeline is."""

    config: Path = DEFAULT_CONFIG
    pipeline: str | None = None
    target: str | None = None
    cluster: str | None = None
    aws: str | None = None
    name: str = DEFAULT_NAME
    settings: Path | None = None
    secrets: Path | None = None
    target_file: Path | None = None
