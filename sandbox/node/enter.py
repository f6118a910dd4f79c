"""What the node's first process does inside its new namespaces before it starts anything."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path

from aphex.errors import AphexError
from sandbox.node.cgroups import enclose
from sandbox.node.plan import Bind, NodePlan
from sandbox.node.programs import system

_LINK_SECONDS = 30.0


def enter(plan: NodePlan) -> None:
    """Give the node its own name, mounts and network.

    Raises:
        AphexError: the host did not hand over the node's end of the link in time.
    """
    socket.sethostname(plan.hostname)
    _wait_for_link(plan.device)
    _mount(plan)
    _network(plan)


def _mount(plan: NodePlan) -> None:
    system("mount", "--make-rprivate", "/")
    resolv_conf = next((bind for bind in plan.binds if bind.target == Path("/etc/resolv.conf")), None)
    enclose(plan.cgroup)
    real = Path(os.path.realpath("/etc/resolv.conf"))
    system("mount", "-t", "tmpfs", "-o", "mode=755", "aphex", "/run")
    Path("/run/lock").mkdir()
    for folder in plan.scratch:
        system("mount", "-t", "tmpfs", "-o", "mode=755", "aphex", folder)
    for bind in plan.binds:
        if bind is not resolv_conf:
            system("mount", "--bind", bind.source, bind.target)
    if resolv_conf is not None:
        _bind_file(Bind(source=resolv_conf.source, target=real))


def _bind_file(bind: Bind) -> None:
    if not bind.target.exists():
        # A link into /run, which is empty here.
        bind.target.parent.mkdir(parents=True, exist_ok=True)
        bind.target.touch()
    system("mount", "--bind", bind.source, bind.target)


def _wait_for_link(device: str) -> None:
    """The host hands the link over when all else that it does for the node is done."""
    deadline = time.monotonic() + _LINK_SECONDS
    while device not in _devices():
        if time.monotonic() > deadline:
            raise AphexError(f"The link {device} did not appear in {_LINK_SECONDS:g} s.")
        time.sleep(0.02)


def _network(plan: NodePlan) -> None:
    system("ip", "link", "set", "lo", "up")
    system("ip", "address", "add", plan.address, "dev", plan.device)
    system("ip", "link", "set", plan.device, "up")
    system("ip", "route", "add", "default", "via", plan.gateway)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")


def _devices() -> set[str]:
    return {link["ifname"] for link in json.loads(system("ip", "-j", "link").output)}
