"""What a sandbox has put on the machine, found by looking at the machine and not at the sandbox's own records."""

from __future__ import annotations

import json
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

from aphex.process import run
from sandbox.node import cgroups
from sandbox.state import SandboxState


@dataclass(frozen=True)
class Traces:
    """Everything of a sandbox outside its state folder; empty when it left nothing."""

    processes: tuple[str, ...] = ()
    mounts: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    cgroups: tuple[str, ...] = ()

    @classmethod
    def of(cls, state: SandboxState) -> Traces:
        """Look for what belongs to a sandbox: by its folder's path and by its addresses."""
        block = IPv4Network(f"{state.node_ip}/16", strict=False)
        folder = str(state.directory)
        return cls(
            processes=tuple(line for line in command_lines() if folder in line),
            mounts=tuple(line for line in Path("/proc/self/mountinfo").read_text().splitlines() if folder in line),
            links=tuple(_links(block)),
            routes=tuple(_routes(block)),
            rules=tuple(line for line in run(["iptables-save"]).output.splitlines() if str(block) in line),
            namespaces=tuple(_namespaces(state)),
            cgroups=tuple(str(path) for path in Path("/sys/fs/cgroup").rglob(cgroups.root(state.directory))),
        )


def command_lines() -> list[str]:
    """The command lines of all processes."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return lines


def _links(block: IPv4Network) -> list[str]:
    listed = json.loads(run(["ip", "-j", "address"]).output)
    return [
        link["ifname"]
        for link in listed
        if any(IPv4Network(a["local"]).subnet_of(block) for a in link["addr_info"] if a["family"] == "inet")
    ]


def _routes(block: IPv4Network) -> list[str]:
    listed = json.loads(run(["ip", "-j", "-4", "route", "show", "table", "all"]).output)
    destinations = [route["dst"] for route in listed if route["dst"] != "default"]
    return [each for each in destinations if IPv4Network(each, strict=False).subnet_of(block)]


def _namespaces(state: SandboxState) -> list[str]:
    """Processes in a network namespace that holds the node's address."""
    own = Path("/proc/self/ns/net").readlink()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "ns" / "net").readlink() != own and state.node_ip in (folder / "net" / "fib_trie").read_text():
                found.append(f"{folder.name} {(folder / 'comm').read_text().strip()}")
        except (FileNotFoundError, ProcessLookupError, OSError):
            continue
    return found
