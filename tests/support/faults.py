"""Faults of a running sandbox: pods deleted, processes killed, AWS silent. Each touches only what is the sandbox's."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from automation.argo import get_run
from automation.runs import StageView
from tests.support.delivery import Team

T = TypeVar("T")

_SECONDS = 240.0
_POLL = 0.15


def awaited(what: str, look: Callable[[], T | None]) -> T:
    """What `look` finds, as soon as it finds something."""
    deadline = time.monotonic() + _SECONDS
    while (found := look()) is None:
        assert time.monotonic() < deadline, f"waited {_SECONDS:g} s for {what}"
        time.sleep(_POLL)
    return found


def running(team: Team, run: str, stage: str) -> StageView:
    """A stage, as soon as its pod is at work."""

    def look() -> StageView | None:
        view = get_run(team.target, run)
        found = view.stage(stage)
        if found is not None and found.status == "running" and found.pod and process_of(run, stage) is not None:
            return found
        assert not view.finished, f"{run} ended before its {stage} was at work:\n{team.told(view)}"
        return None

    return awaited(f"{stage} of {run}", look)


def process_of(run: str, stage: str) -> int | None:
    """The process of a stage on this machine: each pod's processes are in its namespaces and here."""
    wanted = {f"APHEX_RUN={run}".encode(), f"APHEX_STAGE={stage}".encode()}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if b"stages" in words and wanted <= set((folder / "environ").read_bytes().split(b"\0")):
                return int(folder.name)
        except OSError:
            continue  # it has just ended
    return None


def delete_pod(team: Team, name: str, namespace: str | None = None) -> None:
    """Delete a pod without a grace period, as a node that dies takes its pods with it."""
    from lightkube.resources.core_v1 import Pod

    with team.target.kubernetes.client() as client:
        client.delete(Pod, name, namespace=namespace or team.target.settings.namespace, grace_period=0)


def restart_controller(team: Team) -> None:
    """Kill Argo's workflow controller; its Deployment starts another one."""
    from lightkube.resources.core_v1 import Pod

    with team.target.kubernetes.client() as client:
        labels: dict[str, Any] = {"app": "workflow-controller"}
        names = [str(each.metadata.name) for each in client.list(Pod, namespace="argo", labels=labels) if each.metadata]
    assert names
    for name in names:
        delete_pod(team, name, "argo")


@contextmanager
def silent_aws(team: Team) -> Iterator[None]:
    """Stop the sandbox's AWS as long as the block: nothing is refused, and nothing is answered."""
    process = aws_process(team)
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


def aws_process(team: Team) -> int:
    """The process of the sandbox's own AWS stand-in."""
    directory = str(team.sandbox.directory)
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode().split("\0")
        except OSError:
            continue
        if "sandbox.aws.server" in words and any(word.startswith(directory) for word in words):
            return int(folder.name)
    raise AssertionError(f"no AWS stand-in runs for {directory}")
