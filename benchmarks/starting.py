"""How much CPU a command takes before it does its work, against what it would take if it imported everything first."""

from __future__ import annotations

from benchmarks.measure import Ratio, cpu_of_python, side_by_side

_ROUNDS = 5


def run() -> list[Ratio]:
    """Measure the start of a stage and of the command line against eager imports of what they may need."""
    stage, eager_stage = side_by_side(
        lambda: cpu_of_python("-c", "import stages.runner, stages.context"),
        lambda: cpu_of_python("-c", "import stages.runner, stages.context, boto3, zstandard, rich.table"),
        _ROUNDS,
    )
    command, eager_command = side_by_side(
        lambda: cpu_of_python("-m", "automation", "--help"),
        lambda: cpu_of_python("-c", "import typer, rich.table, boto3, lightkube, pulumi.automation, hera.workflows"),
        _ROUNDS,
    )
    return [
        Ratio(
            name="CPU of a stage's start, against importing its SDKs first",
            value=stage / eager_stage,
            target=0.8,
            better="lower",
            detail=f"{stage:.2f} s against {eager_stage:.2f} s",
        ),
        Ratio(
            name="CPU of `python -m automation --help`, against importing its SDKs first",
            value=command / eager_command,
            target=0.4,
            better="lower",
            detail=f"{command:.2f} s against {eager_command:.2f} s",
        ),
    ]
