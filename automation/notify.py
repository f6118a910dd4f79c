"""Sends a test message to a configuration's channels, by the code that tells them of runs, in a process of its own."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from aphex.errors import UsageError
from aphex.process import run
from automation import options
from automation.console import Terminal
from automation.options import DEFAULT_CONFIG

_MOST_SECONDS = 120.0  # all channels together take at most 45 s


def notify(
    test: Annotated[bool, typer.Option("--test", help="Send a test message, which says that it is one.")] = False,
    channel: Annotated[
        str | None, typer.Option("--channel", help="Only this one. [default: all]", show_default=False)
    ] = None,
    secrets: Annotated[
        Path | None,
        typer.Option(
            "--secrets",
            help="Folder with a file for each key of the Secret aphex-notifications; a key may also be in a variable "
            "APHEX_NOTIFICATION_KEY.",
            file_okay=False,
            exists=True,
        ),
    ] = None,
    config: options.Config = DEFAULT_CONFIG,
    json: options.Json = False,
) -> None:
    """Tell the configured channels something, to see whether it arrives: how each took it."""
    raise typer.Exit(run_notify(config, Terminal(json_output=json), test=test, channel=channel, secrets=secrets))


def run_notify(config: Path, terminal: Terminal, *, test: bool, channel: str | None, secrets: Path | None) -> int:
    """Send the test message; returns the status: 0 when all took it, 1 when one did not, 2 when nothing was sent.

    Raises:
        UsageError: `test` is not set: there is nothing else that a person would send.
    """
    if not test:
        raise UsageError("There is nothing to send.", hint="To send a test message: python -m automation notify --test")
    # Safe paths (-P), so that a folder of the application called "stages" is not imported in the package's place.
    words: list[str | Path] = [sys.executable, "-P", "-m", "stages", "notify-test"]
    words += [f"--channel={channel}"] if channel is not None else []
    words += [f"--secrets={secrets}"] if secrets is not None else []
    words += ["--json"] if terminal.json_output else []
    with terminal.patience("Sending"):
        done = run([*words, "--", config], check=False, separate_errors=True, timeout=_MOST_SECONDS, label="sending")
    if done.error_output:
        terminal.say(done.error_output.rstrip("\n"))
    if done.output and terminal.json_output:
        terminal.result(json.loads(done.output))
    elif done.output:
        terminal.show(done.output.rstrip("\n"))
    return done.exit_code
