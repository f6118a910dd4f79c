"""How much CPU a command takes before it does its work: a stage against its limit, and both against eager imports."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import ROOT, Ratio, cpu_of_python, side_by_side

_ROUNDS = 5
_STAGE_LIMIT = 0.5  # seconds of CPU
_STAGE = {
    "APHEX_PIPELINE": "bench",
    "APHEX_RUN": "bench-1",
    "APHEX_STAGE": "build",
    "APHEX_COMMIT": "a" * 40,
    "APHEX_BRANCH": "main",
    "APHEX_REPOSITORY": "file:///nowhere",
    "APHEX_BUCKET": "bench",
    "APHEX_TABLE": "bench",
    "APHEX_ACCOUNT": "123456789012",
    "AWS_REGION": "us-east-1",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
}


def run() -> list[Ratio]:
    """Measure the start of a stage and of the command line against eager imports of what they may need."""
    stage, eager_stage = side_by_side(
        stage_start,
        lambda: cpu_of_python("-c", "import stages.build, stages.environment, stages.exit, boto3, rich.table"),
        _ROUNDS,
    )
    command, eager_command = side_by_side(
        lambda: cpu_of_python("-m", "automation", "--help"),
        lambda: cpu_of_python("-c", "import typer, rich.table, boto3, lightkube, pulumi.automation, hera.workflows"),
        _ROUNDS,
    )
    return [
        Ratio(
            name=f"CPU of a stage until its first own line, against {_STAGE_LIMIT:g} s",
            value=stage / _STAGE_LIMIT,
            target=1.0,
            better="lower",
            detail=f"{stage:.2f} s",
        ),
        Ratio(
            name="CPU of a stage until its first own line, against importing all that stages need",
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


def stage_start() -> float:
    """Seconds of CPU that a stage's process has taken when its first line is there."""
    with tempfile.TemporaryDirectory() as folder:
        env = {
            **os.environ,
            **_STAGE,
            "APHEX_WORKSPACE": f"{folder}/workspace",
            "APHEX_RESULT": f"{folder}/result.json",
            "PYTHONPATH": str(ROOT),
        }
        command = [sys.executable, "-m", "stages", "build"]
        with subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                first = process.stdout.readline()
                # The name of the program, in brackets, is the only field that may have a space in it.
                fields = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            finally:
                process.kill()
    assert first.startswith("Stage build of run bench-1"), first
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
