"""The host's side of a node: whether one can run here, starting its first process, and ending it without a trace."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from aphex.errors import AphexError
from sandbox.node.layout import CNI_CACHE, KUBELET_ROOT, Layout
from sandbox.node.programs import SYSTEM_PATH
from sandbox.state import read_model, write_private

_CGROUPS = Path("/sys/fs/cgroup")
_STOP_SECONDS = 25.0
_KILL_SECONDS = 10.0
_START_SECONDS = 10.0
_SOURCES = Path(__file__).resolve().parents[2]


class CannotRunHere(AphexError):
    """This machine cannot hold a sandbox's node."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The sandbox cannot run here: {reason}.",
            hint="Use a cluster that you have (kind, k3d, minikube or any other context of your kubeconfig), "
            "with AWS still standing in:\n"
            "  python -m automation sandbox start --beside context:NAME\n"
            "  python -m automation up --cluster context:NAME --aws sandbox",
        )


class NodeProcess(BaseModel):
    """The node's first process, told apart from a later one with the same id."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pid: int
    started: int
    boot: str


def check_platform(platform: str = sys.platform, user: int | None = None, cgroups: Path = _CGROUPS) -> None:
    """Refuse a machine without what a node needs.

    Raises:
        CannotRunHere: says which is missing.
    """
    if platform != "linux":
        raise CannotRunHere(f"it needs Linux, and this is {platform}")
    if (os.geteuid() if user is None else user) != 0:
        raise CannotRunHere("it needs root for namespaces, mounts and network devices")
    if not ((cgroups / "cgroup.controllers").exists() or (cgroups / "memory").is_dir()):
        raise CannotRunHere(f"there are no control groups at {cgroups}")
    if not os.access(cgroups, os.W_OK):
        raise CannotRunHere(f"the control groups at {cgroups} are read-only")


def identify(pid: int) -> NodeProcess | None:
    """What makes a process that one and no other; None when there is none, or only a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    if fields[0] in ("Z", "X"):
        return None
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return NodeProcess(pid=pid, started=int(fields[19]), boot=boot)


def running(layout: Layout) -> NodeProcess | None:
    """The node's first process if it is alive."""
    if not layout.process.exists():
        return None
    saved = read_model(layout.process, NodeProcess)
    return saved if identify(saved.pid) == saved else None


def launch(layout: Layout) -> NodeProcess:
    """Start the node's first process in new namespaces; it waits there for its end of the link.

    Raises:
        AphexError: it ended at once.
    """
    for folder in (KUBELET_ROOT, CNI_CACHE):
        folder.mkdir(parents=True, exist_ok=True)
    log = layout.logs / "supervisor.log"
    namespaces = ["--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "--mount-proc"]
    python = [sys.executable, "-m", "sandbox.node.supervisor", str(layout.plan)]
    command = ["unshare", "--wd=/", *namespaces, *python]
    environment = {"PATH": SYSTEM_PATH, "HOME": str(Path.home()), "PYTHONPATH": str(_SOURCES)}
    parent = os.posix_spawnp(
        command[0],
        command,
        environment,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    first = _first_process(parent, log)
    write_private(layout.process, first.model_dump_json() + "\n")
    return first


def _first_process(parent: int, log: Path) -> NodeProcess:
    deadline = time.monotonic() + _START_SECONDS
    children = Path(f"/proc/{parent}/task/{parent}/children")
    while time.monotonic() < deadline and identify(parent):
        for child in children.read_text().split():
            if first := identify(int(child)):
                return first
        time.sleep(0.02)
    _reap(parent)
    raise AphexError("The node's first process did not start.", hint=f"Read {log}.")


def end(layout: Layout) -> None:
    """End the node's first process, and with it everything in its namespaces.

    Raises:
        AphexError: it is still there after it was killed.
    """
    process = running(layout)
    if process is not None:
        parent = _parent(process.pid)
        for number, seconds in ((signal.SIGTERM, _STOP_SECONDS), (signal.SIGKILL, _KILL_SECONDS)):
            _signal(process, number)
            if _gone(process, seconds):
                break
        else:
            raise AphexError(f"Process {process.pid}, the node's first, does not end.", hint=f"See {layout.logs}.")
        _reap(parent)
    layout.process.unlink(missing_ok=True)
    for folder in (KUBELET_ROOT, CNI_CACHE):
        _remove_if_empty(folder)


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _reap(pid: int) -> None:
    """Collect `unshare` when it is a child of this very process; otherwise the system does."""
    deadline = time.monotonic() + _KILL_SECONDS
    while time.monotonic() < deadline:
        try:
            if os.waitpid(pid, os.WNOHANG)[0]:
                return
        except ChildProcessError:
            return
        time.sleep(0.02)


def _signal(process: NodeProcess, number: signal.Signals) -> None:
    if identify(process.pid) == process:
        os.kill(process.pid, number)


def _gone(process: NodeProcess, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if identify(process.pid) != process:
            return True
        time.sleep(0.05)
    return False


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
