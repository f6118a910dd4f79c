"""The environment of the user's commands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from stages.terminal import PLAIN_OUTPUT

Outputs = Mapping[str, Mapping[str, Mapping[str, str]]]

# Linux refuses a program of which one variable has more than 128 KiB, or all with the arguments more than some MiB.
MAX_VALUE = 100_000
MAX_TOTAL = 1_000_000

# The exit handler's own, and what is only for the stage itself.
_HIDDEN = frozenset(
    {
        "APHEX_ASSUMABLE",
        "APHEX_CHANNELS",
        "APHEX_OUTPUTS_PARAMETER",
        "APHEX_RESULT",
        "APHEX_WORKFLOW_DURATION",
        "APHEX_WORKFLOW_FAILURES",
        "APHEX_WORKFLOW_STATUS",
    }
)


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


@dataclass(frozen=True)
class OutputVariables:
    """Stack outputs as variables.

    Attributes:
        variables: their names and values.
        left_out: for each output that has no variable, why; they are in the JSON of `APHEX_OUTPUTS` all the same.
    """

    variables: dict[str, str]
    left_out: tuple[str, ...]


def output_variables(outputs: Outputs, current: str) -> OutputVariables:
    """Stack outputs as `APHEX_OUTPUT_ENVIRONMENT__STACK__KEY`; of the current environment also without its name.

    A part never has two underscores in a row, so that names of different parts never meet. Outputs whose parts differ
    only in what a variable's name cannot show (case, kinds of punctuation) would share one: none of them gets it.

    Args:
        outputs: by environment, stack and key.
        current: the environment that the stage is for.
    """
    named: dict[str, list[tuple[str, str]]] = {}
    for environment, stacks in sorted(outputs.items(), key=lambda each: (each[0] != current, each[0])):
        for stack, values in sorted(stacks.items()):
            for key, value in sorted(values.items()):
                output = f"{environment}: {stack}.{key}"
                if environment == current:
                    named.setdefault(variable(stack, key), []).append((output, value))
                named.setdefault(variable(environment, stack, key), []).append((output, value))
    variables: dict[str, str] = {}
    left_out: list[str] = []
    total = 0
    for name, candidates in named.items():
        output, value = candidates[0]
        size = len(name) + len(value.encode(errors="surrogatepass"))
        if len(candidates) > 1:
            left_out.append(f"{name} could be any of {', '.join(each for each, _ in candidates)}")
        elif "\0" in value:
            left_out.append(f"{name}: {output} contains a NUL character")
        elif size > MAX_VALUE:
            left_out.append(f"{name}: {output} is larger than {MAX_VALUE} bytes")
        elif total + size > MAX_TOTAL:
            left_out.append(f"{name}: the variables before it have {total} of {MAX_TOTAL} bytes already")
        else:
            variables[name] = value
            total += size
    return OutputVariables(variables, tuple(left_out))


def variable(*parts: str) -> str:
    """The variable of an output: upper case, with one underscore for what a name cannot have, two between parts."""
    return "APHEX_OUTPUT_" + "__".join(re.sub(r"[^A-Z0-9]+", "_", part.upper()).strip("_") for part in parts)
