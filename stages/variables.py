"""The environment of the user's commands."""

from __future__ import annotations

import re
from collections.abc import Mapping

from stages.terminal import PLAIN_OUTPUT

Outputs = Mapping[str, Mapping[str, Mapping[str, str]]]

# The exit handler's own, and what is only for the stage itself.
_HIDDEN = frozenset({"APHEX_WORKFLOW_STATUS", "APHEX_WORKFLOW_FAILURES", "APHEX_WORKFLOW_DURATION", "APHEX_RESULT"})


def command_environment(base: Mapping[str, str], timestamp: int) -> dict[str, str]:
    """What every command sees: the pod's variables, and those that make builds unattended and repeatable.

    Args:
        base: the pod's variables.
        timestamp: the commit's time; `SOURCE_DATE_EPOCH` for tools that write times into what they build
            (https://reproducible-builds.org/specs/source-date-epoch/).
    """
    given = {key: value for key, value in base.items() if key not in _HIDDEN}
    defaults = {**PLAIN_OUTPUT, "SOURCE_DATE_EPOCH": str(timestamp)}
    return {**defaults, **given}


def output_variables(outputs: Outputs, current: str) -> dict[str, str]:
    """Stack outputs as variables `APHEX_OUTPUT_ENVIRONMENT_STACK_KEY`; `APHEX_OUTPUT_STACK_KEY` of the current one.

    Args:
        outputs: by environment, stack and key.
        current: the environment that the stage is for.
    """
    variables: dict[str, str] = {}
    for name, stacks in sorted(outputs.items()):
        for stack, values in sorted(stacks.items()):
            for key, value in sorted(values.items()):
                if name == current:
                    variables.setdefault(variable("APHEX_OUTPUT", stack, key), value)
                variables[variable("APHEX_OUTPUT", name, stack, key)] = value
    return variables


def variable(*parts: str) -> str:
    """A variable's name from parts: upper case, with underscores for what a name cannot have."""
    return "_".join(re.sub(r"[^A-Z0-9]+", "_", part.upper()).strip("_") for part in parts)
