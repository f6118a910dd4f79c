"""Checks a configuration and the working tree around it with the stages' own checks, in a process of their own."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from aphex.process import run
from automation.console import Terminal

_MOST_SECONDS = 600.0  # accounts are asked several at a time, and each answers or fails within a minute


def run_validate(file: Path, terminal: Terminal, *, accounts: bool) -> int:
    """Show every finding; returns the status of the process: 0, 1 with findings, 2 for a file that cannot be used."""
    # Safe paths (-P), so that a folder of the application called "stages" is not imported in the package's place.
    words = [sys.executable, "-P", "-m", "stages", "check", *(["--accounts"] if accounts else [])]
    if terminal.json_output:
        words.append("--json")
    with terminal.patience(f"Checking {file}{' and its accounts' if accounts else ''}"):
        done = run([*words, "--", file], check=False, separate_errors=True, timeout=_MOST_SECONDS, label="the check")
    if done.error_output:
        terminal.say(done.error_output.rstrip("\n"))
    if done.output and terminal.json_output:
        terminal.result(json.loads(done.output))
    elif done.output:
        terminal.show(done.output.rstrip("\n"))
    return done.exit_code
