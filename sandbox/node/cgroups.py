"""The control groups of a sandbox: one subtree in each hierarchy, which the node sees as the whole of it."""

from __future__ import annotations

import ctypes
import hashlib
import os
import time
from pathlib import Path

from aphex.errors import AphexError
from sandbox.node.programs import system

MOUNT = Path("/sys/fs/cgroup")
_PARENT = "aphex"
_PODS = "k8s.io"
_WEIGHTS = {"cpu.shares": "8192", "cpu.weight": "800"}
_CLONE_NEWCGROUP = 0x02000000
_BUSY_SECONDS = 10.0
_CPUSET_FILES = ("cpuset.cpus", "cpuset.mems")


def root(directory: Path) -> str:
    """The control group of the sandbox with that state folder, below the root of each hierarchy."""
    return f"{_PARENT}/{hashlib.sha256(str(directory).encode()).hexdigest()[:8]}"


def hierarchies(mount: Path = MOUNT) -> list[Path]:
    """The mounted hierarchies: one with version 2, one a controller with version 1."""
    if unified(mount):
        return [mount]
    return sorted(path for path in mount.iterdir() if path.is_dir() and not path.is_symlink())


def unified(mount: Path = MOUNT) -> bool:
    """Whether the machine has version 2 alone."""
    return (mount / "cgroup.controllers").exists()


def prepare(group: str) -> None:
    """Make a control group in every hierarchy and hand it all that its parent has."""
    for hierarchy in hierarchies():
        folder = hierarchy
        for part in Path(group).parts:
            parent, folder = folder, folder / part
            folder.mkdir(exist_ok=True)
            if unified():
                _delegate(parent)
            else:
                _inherit_cpuset(parent, folder)
            _weigh(folder)


def join(group: str, pid: int) -> None:
    """Move a process into a control group of every hierarchy."""
    for hierarchy in hierarchies():
        (hierarchy / group / "cgroup.procs").write_text(str(pid))


def enclose(group: str) -> None:
    """Make the control group that this process is in the root of what it and its children see.

    The container runtime takes the paths in `/proc/self/cgroup` for those below its mounts, so it needs both: a
    namespace, and mounts that begin at the same place.

    Raises:
        AphexError: the kernel has no namespaces of control groups.
    """
    # The os module has no unshare before Python 3.12.
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWCGROUP) != 0:
        raise AphexError(f"There is no namespace of control groups: {os.strerror(ctypes.get_errno())}.")
    for hierarchy in hierarchies():
        system("mount", "--bind", hierarchy / group, hierarchy)
    if unified():
        # A group that hands its controllers on may hold no process itself.
        leaf = MOUNT / "node"
        leaf.mkdir(exist_ok=True)
        (leaf / "cgroup.procs").write_text("0")
        _delegate(MOUNT)
    for hierarchy in hierarchies():
        pods = hierarchy / _PODS
        pods.mkdir(exist_ok=True)
        _weigh(pods)
        if not unified():
            _inherit_cpuset(hierarchy, pods)


def _weigh(folder: Path) -> None:
    """Count a group, which holds dozens of processes, for more than the one that it is by default."""
    for name, weight in _WEIGHTS.items():
        if (folder / name).exists():
            (folder / name).write_text(weight)


def _delegate(folder: Path) -> None:
    for controller in (folder / "cgroup.controllers").read_text().split():
        (folder / "cgroup.subtree_control").write_text(f"+{controller}")


def _inherit_cpuset(parent: Path, folder: Path) -> None:
    for name in _CPUSET_FILES:
        if (folder / name).exists() and not (folder / name).read_text().strip():
            (folder / name).write_text((parent / name).read_text())


def remove(group: str) -> None:
    """Remove a control group and those below it; the processes in them have ended.

    Raises:
        AphexError: one of them is still in use.
    """
    for hierarchy in hierarchies():
        top = hierarchy / group
        if top.is_dir():
            inner = [path for path in top.rglob("*") if path.is_dir()]
            for folder in sorted(inner, key=lambda path: -len(path.parts)):
                _remove(folder)
            _remove(top)
        parent = hierarchy / _PARENT
        if parent.is_dir() and not any(path.is_dir() for path in parent.iterdir()):
            _remove(parent)


def _remove(folder: Path) -> None:
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            folder.rmdir()
            return
        except FileNotFoundError:
            return
        except OSError as error:
            # The kernel lets go of a control group a moment after its last process.
            if time.monotonic() > deadline:
                raise AphexError(f"The control group {folder} is still in use: {error.strerror}.") from error
            time.sleep(0.05)
