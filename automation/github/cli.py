"""`python -m automation webhook`: the webhook shown, made and verified."""

from __future__ import annotations

from typing import Annotated

import typer

from automation import options
from automation.console import Terminal
from automation.options import DEFAULT_CONFIG, DEFAULT_NAME, TargetOptions

app = typer.Typer(invoke_without_command=True, help="The webhook by which GitHub tells the pipeline of pushes.")

Url = Annotated[
    str | None, typer.Option("--url", help="The webhook's address from outside. [default: the pipeline's ingress]")
]
_Reveal = Annotated[bool, typer.Option("--reveal", help="Print the secret.")]


@app.callback()
def default(
    context: typer.Context,
    config: options.Config = DEFAULT_CONFIG,
    pipeline: options.Pipeline = None,
    target: options.TargetName = None,
    cluster: options.Cluster = None,
    aws: options.Aws = None,
    name: options.Name = DEFAULT_NAME,
    url: Url = None,
    reveal: _Reveal = False,
    json: options.Json = False,
) -> None:
    """Show the webhook: where GitHub has to send what, and where its secret is kept."""
    if context.invoked_subcommand is None:
        show(config, pipeline, target, cluster, aws, name, url, reveal, json)


@app.command()
def show(
    config: options.Config = DEFAULT_CONFIG,
    pipeline: options.Pipeline = None,
    target: options.TargetName = None,
    cluster: options.Cluster = None,
    aws: options.Aws = None,
    name: options.Name = DEFAULT_NAME,
    url: Url = None,
    reveal: _Reveal = False,
    json: options.Json = False,
) -> None:
    """Show the webhook, and whether GitHub has it."""
    from automation.github import commands

    where = TargetOptions(config=config, pipeline=pipeline, target=target, cluster=cluster, aws=aws, name=name)
    commands.show(where, Terminal(json_output=json), url=url, reveal=reveal)


@app.command()
def create(
    config: options.Config = DEFAULT_CONFIG,
    pipeline: options.Pipeline = None,
    target: options.TargetName = None,
    cluster: options.Cluster = None,
    aws: options.Aws = None,
    name: options.Name = DEFAULT_NAME,
    url: Url = None,
    ping: Annotated[bool, typer.Option("--ping/--no-ping", help="See that a ping arrives.")] = True,
    json: options.Json = False,
) -> None:
    """Make the webhook on GitHub or bring it up to date, with the token in GITHUB_TOKEN or GH_TOKEN."""
    from automation.github import commands

    where = TargetOptions(config=config, pipeline=pipeline, target=target, cluster=cluster, aws=aws, name=name)
    commands.create(where, Terminal(json_output=json), url=url, ping=ping)


@app.command()
def verify(
    config: options.Config = DEFAULT_CONFIG,
    pipeline: options.Pipeline = None,
    target: options.TargetName = None,
    cluster: options.Cluster = None,
    aws: options.Aws = None,
    name: options.Name = DEFAULT_NAME,
    url: Url = None,
    json: options.Json = False,
) -> None:
    """Have GitHub send a ping, and say why it did not arrive when it did not."""
    from automation.github import commands

    where = TargetOptions(config=config, pipeline=pipeline, target=target, cluster=cluster, aws=aws, name=name)
    commands.verify(where, Terminal(json_output=json), url=url)
