"""Commands about the git host's repositories and pull requests, to mount into `python -m automation`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from sandbox import git_host, lifecycle
from sandbox.state import DEFAULT_NAME

pull_request = typer.Typer(no_args_is_help=True, help="Pull requests on the sandbox's git host.")
repository = typer.Typer(no_args_is_help=True, help="Repositories of the sandbox's git host.")
app = typer.Typer(no_args_is_help=True, help="The sandbox's git host.")
app.add_typer(pull_request, name="pull-request")
app.add_typer(repository, name="repository")

_Sandbox = Annotated[str, typer.Option("--name", help="Which sandbox.")]
_Name = Annotated[str | None, typer.Option("--repository", help="owner/name; not needed when there is one.")]


@pull_request.command("open")
def open_pull_request(
    branch: Annotated[str, typer.Argument(help="The branch to merge; it has to be pushed.")],
    title: Annotated[str, typer.Option(help="Title; else the newest commit's first line.")] = "",
    base: Annotated[str, typer.Option(help="The branch to merge into.")] = "main",
    repository_name: _Name = None,
    sandbox: _Sandbox = DEFAULT_NAME,
) -> None:
    """Open a pull request and send its event."""
    found = git_host.find_repository(lifecycle.stand_ins(sandbox), repository_name)
    _tell(*git_host.open_pull_request(found, branch, title, base))


@pull_request.command("update")
def update_pull_request(
    number: Annotated[int, typer.Argument(help="Which pull request.")],
    title: Annotated[str, typer.Option(help="A new title.")] = "",
    repository_name: _Name = None,
    sandbox: _Sandbox = DEFAULT_NAME,
) -> None:
    """Bring a pull request to its branch's newest commit and send its event."""
    found = git_host.find_repository(lifecycle.stand_ins(sandbox), repository_name)
    _tell(*git_host.update_pull_request(found, number, title))


@pull_request.command("list")
def list_pull_requests(repository_name: _Name = None, sandbox: _Sandbox = DEFAULT_NAME) -> None:
    """List the pull requests of a repository."""
    found = git_host.find_repository(lifecycle.stand_ins(sandbox), repository_name)
    table = Table("Number", "Title", "Branch", "Commit")
    for each in git_host.list_pull_requests(found):
        table.add_row(f"#{each.number}", each.title, f"{each.head} → {each.base}", each.sha[:12])
    Console().print(table)


@repository.command("list")
def list_repositories(sandbox: _Sandbox = DEFAULT_NAME) -> None:
    """List the repositories, where to push to and where to clone from."""
    table = Table("Repository", "Push to", "Clone from")
    for each in git_host.list_repositories(lifecycle.stand_ins(sandbox)):
        table.add_row(each.full_name, str(each.path), each.clone_url)
    Console().print(table)


@repository.command("deliveries")
def list_deliveries(repository_name: _Name = None, sandbox: _Sandbox = DEFAULT_NAME) -> None:
    """List the webhooks that were sent, newest last."""
    found = git_host.find_repository(lifecycle.stand_ins(sandbox), repository_name)
    table = Table("At", "Event", "Ref", "Commit", "Result")
    for each in git_host.deliveries(found):
        request = each.payload.get("pull_request")
        ref = request["head"]["ref"] if request else each.payload.get("ref", "")
        sha = request["head"]["sha"] if request else each.payload.get("after", "")
        table.add_row(each.at, each.event, ref, sha[:12], str(each.status or each.error or "not sent"))
    Console().print(table)


def _tell(opened: git_host.PullRequest, delivery: git_host.Delivery) -> None:
    typer.echo(f"#{opened.number} {opened.title} ({opened.head} at {opened.sha[:12]})")
    typer.echo(delivery.summary())
    if delivery.url and not delivery.ok:
        raise typer.Exit(1)
