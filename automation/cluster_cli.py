"""`python -m automation cluster COMMAND`: the shared cluster on AWS. Thin: each command parses, calls, and prints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aphex.cluster_config import CLUSTER_FILE
from automation import options
from automation.console import Terminal

app = typer.Typer(
    help="The shared cluster on AWS: network, EKS, Argo.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

DEFAULT_FILE = Path(CLUSTER_FILE)
File = Annotated[
    Path, typer.Option("--file", "-f", help="What the cluster is like.", show_default=True, dir_okay=False)
]
Name = Annotated[str | None, typer.Option("--name", help="Name of a cluster that is there, instead of --file.")]
Region = Annotated[str | None, typer.Option("--region", help="Its region, when it is not that of your profile.")]


@app.command()
def up(
    file: File = DEFAULT_FILE,
    yes: options.Yes = False,
    allow_data_loss: options.AllowDataLoss = False,
    json: options.Json = False,
) -> None:
    """Create the cluster, or bring it up to date; an upgrade is one version in the file."""
    from automation.cluster_commands import run_up

    run_up(file, Terminal(json_output=json), yes=yes, allow_data_loss=allow_data_loss)


@app.command()
def preview(
    file: File = DEFAULT_FILE,
    expect_no_changes: Annotated[
        bool, typer.Option("--expect-no-changes", help="End with status 3 when anything would change.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Show what `up` would change and what an upgrade does, and change nothing."""
    from automation.cluster_commands import run_preview

    raise typer.Exit(run_preview(file, Terminal(json_output=json), expect_none=expect_no_changes))


@app.command()
def destroy(
    file: File = DEFAULT_FILE,
    name: Name = None,
    region: Region = None,
    allow_data_loss: Annotated[
        bool, typer.Option("--allow-data-loss", help="Delete logs, images and keys, too, and lift every protection.")
    ] = False,
    yes: options.Yes = False,
    json: options.Json = False,
) -> None:
    """Remove the cluster, after saying what goes and what stays; refused while pipelines are on it."""
    from automation.cluster_commands import run_destroy

    terminal = Terminal(json_output=json)
    run_destroy(file, name, region, terminal, yes=yes, allow_data_loss=allow_data_loss)


@app.command()
def status(file: File = DEFAULT_FILE, name: Name = None, region: Region = None, json: options.Json = False) -> None:
    """Show the cluster: its state at EKS, versions, nodes, Argo, and the pipelines on it."""
    from automation.cluster_commands import run_status

    raise typer.Exit(run_status(file, name, region, Terminal(json_output=json)))


@app.command()
def kubeconfig(
    file: File = DEFAULT_FILE,
    name: Name = None,
    region: Region = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The kubeconfig to add to. [default: where kubectl looks]")
    ] = None,
    switch: Annotated[bool, typer.Option("--switch/--keep", help="Whether it becomes the current context.")] = True,
    json: options.Json = False,
) -> None:
    """Add the cluster to your kubeconfig; it holds no credential."""
    from automation.cluster_commands import run_kubeconfig

    run_kubeconfig(file, name, region, Terminal(json_output=json), output=output, switch=switch)


@app.command()
def unlock(file: File = DEFAULT_FILE, name: Name = None, region: Region = None, yes: options.Yes = False) -> None:
    """Remove the locks on a cluster whose holders you know to be gone; `up` finds most of them itself."""
    from automation.cluster_commands import run_unlock

    run_unlock(file, name, region, Terminal(), yes=yes)


@app.command(hidden=True)
def token(
    eks: Annotated[str, typer.Option("--eks", help="EKS's name of the cluster.")],
    region: Annotated[str, typer.Option("--region", help="Its region.")],
) -> None:
    """Print a token for a cluster, as a kubeconfig asks for it."""
    from automation.access import AwsAccess
    from automation.eks_access import exec_credential

    Terminal(json_output=True).result(exec_credential(AwsAccess(region=region), eks), one_line=True)
