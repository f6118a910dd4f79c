"""Everything a person types: `python -m automation COMMAND`. Thin: each command parses, calls, and prints."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from aphex.errors import AphexError, UsageError
from automation import options
from automation.cli_runs import add_run_commands
from automation.console import Terminal
from automation.notify import notify
from automation.options import CONTEXT_PREFIX, DEFAULT_CONFIG, DEFAULT_NAME, TargetOptions

DEBUG_VARIABLE = "APHEX_DEBUG"
_EPILOG = (
    "Exit status: 0 done; 1 failed; 2 wrong usage or configuration, nothing was done; "
    "3 changes are pending (preview --expect-no-changes); 130 interrupted. "
    "--debug, anywhere, shows where an error came from."
)

app = typer.Typer(
    name="automation",
    help="Deploys and operates AphexPipeline.",
    epilog=_EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
def up(
    config: options.Config = DEFAULT_CONFIG,
    target: options.TargetName = None,
    cluster: options.Cluster = None,
    aws: options.Aws = None,
    name: options.Name = DEFAULT_NAME,
    target_file: options.TargetFile = None,
    plan: Annotated[Path | None, typer.Option("--plan", help="Apply exactly what `preview --save` planned.")] = None,
    yes: options.Yes = False,
    allow_data_loss: options.AllowDataLoss = False,
    json: options.Json = False,
    settings: options.Settings = None,
    secrets: options.Secrets = None,
) -> None:
    """Deploy the pipeline, or bring it up to date."""
    from automation.commands import run_self_update, run_up

    where = TargetOptions(
        config=config,
        target=target,
        cluster=cluster,
        aws=aws,
        name=name,
        settings=settings,
        secrets=secrets,
        target_file=target_file,
    )
    if settings is not None and plan is None:
        run_self_update(where, Terminal(json_output=json))
    else:
        run_up(where, Terminal(json_output=json), plan=plan, yes=yes, allow_data_loss=allow_data_loss)


@app.command()
def preview(
    config: options.Config = DEFAULT_CONFIG,
    target: options.TargetName = None,
    cluster: options.Cluster = None,
    aws: options.Aws = None,
    name: options.Name = DEFAULT_NAME,
    target_file: options.TargetFile = None,
    save: Annotated[Path | None, typer.Option("--save", help="Save the plan for `up --plan`.")] = None,
    expect_no_changes: Annotated[
        bool, typer.Option("--expect-no-changes", help="End with status 3 when anything would change.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Show what `up` would change, and change nothing."""
    from automation.commands import run_preview

    where = TargetOptions(config=config, target=target, cluster=cluster, aws=aws, name=name, target_file=target_file)
    status = run_preview(where, Terminal(json_output=json), save=save, expect_none=expect_no_changes)
    raise typer.Exit(status)


@app.command()
def destroy(
    config: options.Config = DEFAULT_CONFIG,
    pipeline: options.Pipeline = None,
    target: options.TargetName = None,
    cluster: options.Cluster = None,
    aws: options.Aws = None,
    name: options.Name = DEFAULT_NAME,
    allow_data_loss: Annotated[
        bool | None,
        typer.Option(
            "--allow-data-loss/--keep-data",
            help="Whether artifacts, logs and records go too. [default: kept on AWS, deleted in the sandbox]",
            show_default=False,
        ),
    ] = None,
    yes: options.Yes = False,
    json: options.Json = False,
) -> None:
    """Remove the pipeline, after saying what goes and what stays."""
    from automation.commands import run_destroy

    where = TargetOptions(config=config, pipeline=pipeline, target=target, cluster=cluster, aws=aws, name=name)
    run_destroy(where, Terminal(json_output=json), yes=yes, delete_data=allow_data_loss)


@app.command()
def unlock(
    config: options.Config = DEFAULT_CONFIG,
    pipeline: options.Pipeline = None,
    target: options.TargetName = None,
    cluster: options.Cluster = None,
    aws: options.Aws = None,
    name: options.Name = DEFAULT_NAME,
    yes: options.Yes = False,
) -> None:
    """Remove the locks on a pipeline whose holders you know to be gone; `up` finds most of them itself."""
    from automation.commands import run_unlock

    where = TargetOptions(config=config, pipeline=pipeline, target=target, cluster=cluster, aws=aws, name=name)
    run_unlock(where, Terminal(), yes=yes)


@app.command()
def validate(
    file: Annotated[Path, typer.Argument(help="The configuration.", dir_okay=False)] = DEFAULT_CONFIG,
    accounts: Annotated[
        bool,
        typer.Option("--accounts", help="Assume the roles too, with your credentials, and look for the bootstrap."),
    ] = False,
    json: options.Json = False,
) -> None:
    """Check a configuration and the files it names: every finding with its line, field and a way to fix it."""
    from automation.validate import run_validate

    raise typer.Exit(run_validate(file, Terminal(json_output=json), accounts=accounts))


@app.command()
def render(
    config: options.Config = DEFAULT_CONFIG,
    target: options.TargetName = None,
    cluster: options.Cluster = None,
    aws: options.Aws = None,
    name: options.Name = DEFAULT_NAME,
    target_file: options.TargetFile = None,
    json: options.Json = False,
) -> None:
    """Print the pipeline's Argo objects as YAML."""
    from automation.commands import run_render

    where = TargetOptions(config=config, target=target, cluster=cluster, aws=aws, name=name, target_file=target_file)
    run_render(where, Terminal(json_output=json))


@app.command("install-argo")
def install_argo(
    cluster: Annotated[
        str,
        typer.Option(
            "--cluster", help="context:NAME of your kubeconfig. [default: its current context]", show_default=False
        ),
    ] = CONTEXT_PREFIX,
    manifests: Annotated[
        Path | None,
        typer.Option(
            "--manifests",
            help="Folder with argo-workflows.yaml and argo-events.yaml. [default: their projects' releases]",
            file_okay=False,
            exists=True,
        ),
    ] = None,
    yes: options.Yes = False,
    json: options.Json = False,
) -> None:
    """Install Argo Workflows and Argo Events in a cluster of yours that lacks them."""
    from automation.argo_installation import install_argo as install

    if not cluster.startswith(CONTEXT_PREFIX):
        raise UsageError(
            f'"{cluster}" is no cluster of your kubeconfig.',
            hint="Name it as context:NAME. The sandbox and clusters on EKS that this program makes have Argo.",
        )
    install(cluster.removeprefix(CONTEXT_PREFIX), manifests, Terminal(json_output=json), yes=yes)


@app.command()
def demo(name: options.Name = DEFAULT_NAME, json: options.Json = False) -> None:
    """Start the sandbox, deploy a pipeline, push the example application and follow its run to the end."""
    from automation.demo import run_demo

    raise typer.Exit(run_demo(name, Terminal(json_output=json)))


add_run_commands(app)
app.command()(notify)


def main() -> None:
    """Run the command line; errors that a person can act on are shown without a traceback."""
    arguments = sys.argv[1:]
    debug = "--debug" in arguments or bool(os.environ.get(DEBUG_VARIABLE))
    signal.signal(signal.SIGTERM, _interrupted)
    words = [word for word in arguments if word != "--debug"]
    _mount(words)
    try:
        app(words, prog_name="python -m automation")
    except AphexError as error:
        if debug:
            raise
        terminal = Terminal()
        terminal.say(f"Error: {error.message}", style="bold red")
        if error.hint:
            terminal.say(error.hint)
        sys.exit(error.exit_code)


def _mount(words: list[str]) -> None:
    """Add the command groups that live beside what they command; each is imported only when it is used."""
    groups: dict[str, tuple[str, str, str]] = {
        "cluster": ("automation.cluster_cli", "app", "The shared cluster on AWS: up, preview, destroy, status."),
        "sandbox": ("sandbox.cli", "app", "The sandbox: start, stop, status, logs."),
        "images": ("automation.images.cli", "app", "The images of the stages: build, push, list, pin."),
        "pull-request": ("sandbox.git_host.cli", "pull_request", "Pull requests on the sandbox's git host."),
        "repository": ("sandbox.git_host.cli", "repository", "Repositories of the sandbox's git host."),
        "bootstrap": ("automation.bootstrap.cli", "app", "From nothing to a first run; `account` for target accounts."),
        "webhook": ("automation.github.cli", "app", "GitHub's webhook: shown, made, verified."),
    }
    for name, (module, attribute, text) in groups.items():
        if words[:1] == [name]:
            app.add_typer(getattr(importlib.import_module(module), attribute), name=name)
        else:
            app.command(name, help=text)(_elsewhere)


def _elsewhere() -> None:
    """Stand for a group in the list of commands."""


def _interrupted(_number: int, _frame: object) -> None:
    """End as if interrupted at a terminal, so that the engine can finish what it began."""
    raise KeyboardInterrupt
