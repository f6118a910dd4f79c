"""`sandbox install|start|stop|status|logs`: the sandbox, for people."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from aphex.errors import UsageError
from sandbox import lifecycle, services, toolchain
from sandbox.state import DEFAULT_NAME, Phase, SandboxState, ServicesState, StandIns

app = typer.Typer(no_args_is_help=True, help="A Kubernetes cluster with Argo and an AWS stand-in, on this machine.")
_CONTEXT = "context:"
Name = Annotated[str, typer.Option("--name", help="Which sandbox; several can run side by side.")]


class ConsoleReport:
    """Says what is waited for in one line that changes, and what took its time in lines that stay."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status = console.status("")
        self._shown = ""

    def __call__(self, what: str, phase: Phase, seconds: float) -> None:
        """Report one step; `seconds` since its wait began."""
        if phase is Phase.waiting:
            self._shown = what
            if self._console.is_terminal:
                self._status.update(f"waiting for {what}")
                self._status.start()
            else:
                self._console.print(f"waiting for {what}", highlight=False, markup=False)
        elif what == self._shown:
            self._status.stop()
            self._console.print(f"[green]✓[/green] {what} [dim]{seconds:.1f} s[/dim]", highlight=False)

    def close(self) -> None:
        """Take the changing line away."""
        self._status.stop()


@app.command()
def start(
    name: Name = DEFAULT_NAME,
    beside: Annotated[
        str | None,
        typer.Option(
            "--beside",
            metavar="context:NAME",
            help="Start only what stands in for AWS and the git host, for a cluster of your kubeconfig: without root.",
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(help="With --beside: this machine's address that the cluster's pods reach. [default route's]"),
    ] = None,
    nats: Annotated[
        str | None,
        typer.Option(
            help="With --beside: an existing NATS for events, with its user and password in "
            f"{services.NATS_USERNAME} and {services.NATS_PASSWORD}. [Argo Events makes one]"
        ),
    ] = None,
) -> None:
    """Start the sandbox; safe to repeat."""
    if beside is None and (address or nats):
        raise UsageError("--address and --nats belong to --beside.", hint="Add --beside context:NAME.")
    if beside is not None and not beside.startswith(_CONTEXT):
        raise UsageError(f'"{beside}" is not a context.', hint="Write it as --beside context:NAME.")
    console = Console()
    report = ConsoleReport(console)
    started = time.monotonic()
    state: StandIns
    try:
        if beside is None:
            state = lifecycle.start(name, report)
        else:
            context = beside.removeprefix(_CONTEXT)
            state = services.start(name, context, report, address=address, nats_url=nats)
    finally:
        report.close()
    console.print(f'The sandbox "{name}" is up ({time.monotonic() - started:.1f} s).', highlight=False)
    console.print(_addresses(state))
    if isinstance(state, ServicesState):
        option = "" if name == DEFAULT_NAME else f" --name {name}"
        for line in (
            f"Pods of {beside} have to reach this machine at {state.address}; so can others on that network.",
            f"Next: python -m automation up --cluster {beside} --aws sandbox{option}",
        ):
            console.print(line, highlight=False, soft_wrap=True)


@app.command()
def install() -> None:
    """Get or build the programs that the sandbox is made of, without starting it."""
    console = Console()
    toolchain.host_packages(lambda text: console.print(text, highlight=False, markup=False))
    toolchain.ensure(progress=lambda text: console.print(text, highlight=False, markup=False))


@app.command()
def stop(
    name: Name = DEFAULT_NAME,
    remove: Annotated[bool, typer.Option("--remove", help="Remove what it has stored, too.")] = False,
) -> None:
    """Stop the sandbox; nothing of it stays but its state folder."""
    console = Console()
    report = ConsoleReport(console)
    try:
        lifecycle.stop(name, report, remove=remove)
    finally:
        report.close()
    console.print(f'The sandbox "{name}" is stopped.', highlight=False)


@app.command()
def status(name: Name = DEFAULT_NAME) -> None:
    """Show whether the sandbox runs and how its components are; exit status 3 when it is not wholly ready."""
    console = Console()
    found = lifecycle.status(name)
    if not found.running:
        console.print(f'The sandbox "{name}" is not running.', highlight=False)
        raise typer.Exit(3)
    table = Table("component", "state", "for", "restarts", box=None)
    for component in found.components:
        age = f"{time.time() - component.since:.0f} s"
        table.add_row(component.name, component.state.value, age, str(component.restarts))
    console.print(table)
    if not found.ready:
        raise typer.Exit(3)
    console.print(_addresses(lifecycle.stand_ins(name)))


@app.command()
def logs(
    component: Annotated[str, typer.Argument(help='A component, or "events" for what was started and ended.')],
    name: Name = DEFAULT_NAME,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as lines are written.")] = False,
) -> None:
    """Print the log of one of the sandbox's components."""
    for line in lifecycle.logs(name, component, follow):
        typer.echo(line)


def _addresses(state: StandIns) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_row("AWS endpoint", state.aws_endpoint)
    table.add_row("git host", state.git_url)
    if isinstance(state, SandboxState):
        table.add_row("kubeconfig", str(state.kubeconfig))
        table.add_row("registry", state.registry)
        table.add_row("Argo", state.argo_server_url)
    return table
