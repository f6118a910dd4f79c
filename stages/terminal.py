"""Turns what programs print for a terminal into plain lines: the last state of a progress bar, without colours.

Control sequences: ECMA-48, and XTerm's operating system commands.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

# What asks programs for plain output. A variable that the pod has wins.
PLAIN_OUTPUT: Mapping[str, str] = MappingProxyType(
    {
        "CI": "true",
        "NO_COLOR": "1",
        "TERM": "dumb",
        "PYTHONUNBUFFERED": "1",
        "PIP_PROGRESS_BAR": "off",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "npm_config_progress": "false",
        "npm_config_fund": "false",
        "npm_config_update_notifier": "false",
        "MAVEN_ARGS": "--no-transfer-progress",
        "DOTNET_NOLOGO": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "DEBIAN_FRONTEND": "noninteractive",
    }
)

# Moves the cursor to the line's begin, as a carriage return does.
_TO_BEGIN = re.compile(r"\x1b\[[01]?G|\x1b\[2K")
_SEQUENCE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # control sequences: colours, cursor
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # operating system commands: titles, links
    r"|\x1b[PX^_][^\x1b]*(?:\x1b\\)?"  # strings for the device
    r"|\x1b[ -/]*[0-~]?"  # all other escapes
    r"|\x9b[0-?]*[ -/]*[@-~]"
)
_BACKSPACES = re.compile(r"[^\x08]\x08")
_MOST_BACKSPACES = 1000
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def plain(line: str) -> str:
    """A line as a terminal would show it in the end, without anything that only a terminal understands."""
    if line.isprintable():
        return line
    if "\x1b" in line or "\x9b" in line:
        line = _SEQUENCE.sub("", _TO_BEGIN.sub("\r", line))
    if "\r" in line:
        # What was overwritten last is what counts; a carriage return at the end is a line end of Windows.
        line = next((state for state in reversed(line.split("\r")) if state.strip()), "")
    for _ in range(_MOST_BACKSPACES):
        if "\x08" not in line:
            break
        line, count = _BACKSPACES.subn("", line)
        if not count:
            break
    return _CONTROL.sub("", line)
