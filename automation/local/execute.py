"""Runs one stage as its pod does: `python -m stages KIND` with the variables of a pod, and a workspace of its own."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aphex.errors import AphexError
from aphex.process import run as run_program
from aphex.run import StageSpec
from automation.local.snapshot import REPOSITORY_VARIABLES
from automation.runs import StageView

# A stage that is interrupted ends its command first, and then stores its log and its record.
_GRACE_SECONDS = 30.0
_RESULT = "result.json"
_PYTHON_VARIABLES = frozenset({"PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "PYTHONEXECUTABLE", "__PYVENV_LAUNCHER__"})


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A stage that ended.

    Attributes:
        view: how, for people.
        result: what it told Argo.
        exit_code: of its process.
    """

    view: StageView
    result: Mapping[str, Any]
    exit_code: int


@dataclass(frozen=True, kw_only=True)
class Stages:
    """What the stages of one run have in common.

    Attributes:
        folder: the run's own; the workspace is in it, at the same path for every stage, since what a build made may
            name its own path.
        logs: gets what each stage prints.
        variables: of every stage.
        on_line: called with each line that a stage prints.
    """

    folder: Path
    logs: Path
    variables: Mapping[str, str]
    on_line: Callable[[str], None]

    @property
    def workspace(self) -> Path:
        """The volume of a stage's pod, emptied between stages."""
        return self.folder / "workspace"

    def run(self, spec: StageSpec, more: Mapping[str, str] | None = None) -> Ended:
        """Run a stage to its end.

        Raises:
            KeyboardInterrupt: it was interrupted; its process group has ended.
        """
        from sandbox.toolchain.cache import remove

        remove(self.workspace)
        told = self.folder / "told"
        remove(told)
        told.mkdir()
        view = StageView(name=spec.name, status="running", started=datetime.now(UTC))
        with (self.logs / f"{spec.name}.log").open("w", encoding="utf-8") as log:

            def on_line(line: str) -> None:
                log.write(line + "\n")
                self.on_line(line)

            done = run_program(
                # The stages are this project's; the clone's folders must not be taken for them.
                [sys.executable, "-m", "stages", spec.kind.value],
                cwd=told,
                env={**self.variables, **self._of_stage(spec, told), **(more or {})},
                on_line=on_line,
                check=False,
                keep_lines=1,
                grace=_GRACE_SECONDS,
            )
        result = _read(told / _RESULT)
        status = _status(done.exit_code, result)
        ended = replace(view, status=status, ended=datetime.now(UTC), message=_message(done.exit_code, result))
        return Ended(view=ended, result=result, exit_code=done.exit_code)

    def _of_stage(self, spec: StageSpec, told: Path) -> dict[str, str]:
        return {
            "APHEX_STAGE": spec.name,
            "APHEX_ENVIRONMENT": spec.environment or "",
            "APHEX_WORKSPACE": str(self.workspace),
            "APHEX_RESULT": str(told / _RESULT),
            "APHEX_OUTPUTS_PARAMETER": str(told / "outputs.json"),
        }


def stage_variables(machine: Mapping[str, str], path: str) -> dict[str, str]:
    """This machine's variables as far as stages get them: nothing of another AWS, pipeline, repository or Python."""
    kept = {
        name: value
        for name, value in machine.items()
        if not name.startswith(("APHEX_", "AWS_", "CDK_"))
        and name not in REPOSITORY_VARIABLES
        and name not in _PYTHON_VARIABLES
    }
    return {**kept, "PATH": path}


def _status(exit_code: int, result: Mapping[str, Any]) -> str:
    if exit_code != 0:
        return "failed"
    return "skipped" if result.get("status") == "skipped" else "succeeded"


def _message(exit_code: int, result: Mapping[str, Any]) -> str:
    if exit_code == 0:
        return str(result.get("note", ""))
    error = result.get("error") or {}
    message = str(error.get("message", "")).strip() if isinstance(error, Mapping) else ""
    return message.splitlines()[0] if message else f"It ended with exit status {exit_code}."


def _read(file: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise AphexError(f"The result of a stage cannot be read: {error}") from error
    return found if isinstance(found, dict) else {}


def end_leftovers(run: str) -> list[int]:
    """End what commands of the run left in the background, as the end of a pod does; the processes that were ended.

    They are known by the variable APHEX_RUN, wherever /proc shows it.
    """
    ended: list[int] = []
    for number in (signal.SIGTERM, signal.SIGKILL):
        left = _processes_of(run)
        for process in left:
            try:
                os.kill(process, number)
            except ProcessLookupError:
                continue
            ended.append(process)
        deadline = time.monotonic() + 3.0
        while left and _processes_of(run) and time.monotonic() < deadline:
            time.sleep(0.05)
    return sorted(set(ended))


def end_children() -> None:
    """Ask the process groups that this process has started to end: installations that nobody waits for any more."""
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = entry.read_text().rpartition(")")[2].split()
            if int(words[1]) == os.getpid() and words[2] == entry.parent.name:
                os.killpg(int(words[2]), signal.SIGTERM)
        except OSError:
            continue  # it has just ended


def _processes_of(run: str) -> list[int]:
    mark = f"\0APHEX_RUN={run}\0".encode()
    found = []
    for file in Path("/proc").glob("[0-9]*/environ"):
        try:
            variables = file.read_bytes()
        except OSError:
            continue  # it has just ended, or is another user's
        if mark in b"\0" + variables and int(file.parent.name) != os.getpid():
            found.append(int(file.parent.name))
    return found
