"""The link between the host and the node: addresses that are free, a veth pair, routes and a masquerade rule."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, ip_network
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from aphex.errors import AphexError
from sandbox.node.programs import system

_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
_FORWARDING_NOTE = Path("/run/aphex-forwarding")
_DEVICE_PREFIX = "aph"
_FIRST = 87
_RESOLV_CONFS = (
    Path("/etc/resolv.conf"),
    Path("/run/systemd/resolve/resolv.conf"),
    Path("/run/NetworkManager/no-stub-resolv.conf"),
)


class Network(BaseModel):
    """The addresses of one sandbox: all of them inside one /16 that nothing else on the machine uses."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    block: IPv4Network = Field(description="Everything below is inside it")
    host_device: str = Field(description="The host's end of the veth pair")
    node_device: str = Field(description="The node's end of the veth pair")

    @property
    def link(self) -> IPv4Network:
        """The addresses of the veth pair."""
        return next(self.block.subnets(new_prefix=30))

    @property
    def host_ip(self) -> IPv4Address:
        """The host's address on the link."""
        return self.link[1]

    @property
    def node_ip(self) -> IPv4Address:
        """The node's address on the link, on which all of its services listen."""
        return self.link[2]

    @property
    def pods(self) -> IPv4Network:
        """The addresses of pods."""
        return list(self.block.subnets(new_prefix=18))[1]

    @property
    def services(self) -> IPv4Network:
        """The addresses of services."""
        return list(self.block.subnets(new_prefix=18))[2]

    @property
    def argo_ip(self) -> IPv4Address:
        """The address of Argo's server, fixed so that it is known before the server is installed."""
        return self.services[2746]

    def comment(self) -> str:
        """What marks this sandbox's iptables rules."""
        return f"aphex-sandbox-{self.host_device}"


def device_names(directory: Path) -> tuple[str, str]:
    """Names for a sandbox's veth pair, from its state folder: at most 15 characters, as Linux demands."""
    digest = hashlib.sha256(str(directory).encode()).hexdigest()[:8]
    return f"{_DEVICE_PREFIX}{digest}h", f"{_DEVICE_PREFIX}{digest}n"


def choose_block(used: Iterable[IPv4Network]) -> IPv4Network:
    """Pick the first private /16 that overlaps with nothing in use.

    Raises:
        AphexError: none is left.
    """
    taken = list(used)
    seconds = [*range(_FIRST, 256), *range(_FIRST)]
    for candidate in (IPv4Network(f"10.{second}.0.0/16") for second in seconds):
        if not any(candidate.overlaps(other) for other in taken):
            return candidate
    raise AphexError(
        "Every 10.x.0.0/16 network overlaps with an address or a route of this machine.",
        hint="Look at `ip route` and `ip address`; another sandbox or a VPN may hold them.",
    )


def used_networks(own_device: str = "") -> list[IPv4Network]:
    """Every IPv4 network that this machine has an address in, a route to, or a resolver at.

    Args:
        own_device: a device whose addresses and routes do not count.
    """
    found: list[IPv4Network] = []
    for route in json.loads(system("ip", "-j", "-4", "route", "show", "table", "all").output or "[]"):
        destination = route.get("dst", "default")
        if destination != "default" and route.get("dev") != own_device:
            found.append(IPv4Network(destination, strict=False))
    for link in json.loads(system("ip", "-j", "-4", "address").output or "[]"):
        if link.get("ifname") != own_device:
            found += [IPv4Network(f"{a['local']}/{a['prefixlen']}", strict=False) for a in link.get("addr_info", [])]
    found += [IPv4Network(resolver) for resolver in host_resolvers() if ip_network(resolver).version == 4]
    return found


def host_resolvers() -> list[str]:
    """Addresses of the host's name servers that can be reached from another network namespace."""
    for path in _RESOLV_CONFS:
        if path.is_file() and (servers := resolvers_in(path.read_text())):
            return servers
    return []


def resolvers_in(text: str) -> list[str]:
    """The IPv4 name servers of a resolv.conf, without those on a loopback address."""
    words = [line.split() for line in text.splitlines()]
    servers = [word[1] for word in words if len(word) > 1 and word[0] == "nameserver"]
    return [s for s in servers if ":" not in s and not IPv4Address(s).is_loopback]


def attach(network: Network, pid: int) -> None:
    """Join the host and the network namespace of `pid`, and let pods reach outside.

    Raises:
        ProcessError: the kernel refused a device, a route or a rule.
    """
    detach(network)
    _enable_forwarding()
    host, node = network.host_device, network.node_device
    system("ip", "link", "add", host, "type", "veth", "peer", "name", node)
    system("ip", "address", "add", f"{network.host_ip}/{network.link.prefixlen}", "dev", host)
    system("ip", "link", "set", host, "up")
    system("ip", "link", "set", node, "netns", str(pid))
    for destination in (network.pods, network.services):
        system("ip", "route", "add", str(destination), "via", str(network.node_ip), "dev", host)
    for rule in rules(network):
        system("iptables", "-w", *rule)


def rules(network: Network) -> list[list[str]]:
    """The iptables rules of a sandbox, each as the arguments that add it.

    Pods and the node reach outside under the host's address; from outside only answers come back, so that
    a neighbour of the host cannot reach the sandbox through it.
    """
    mark = ["-m", "comment", "--comment", network.comment()]
    block, device = str(network.block), network.host_device
    answers = ["-m", "conntrack", "--ctstate", "ESTABLISHED,RELATED"]
    return [
        ["-t", "nat", "-A", "POSTROUTING", "-s", block, "!", "-d", block, *mark, "-j", "MASQUERADE"],
        ["-t", "filter", "-I", "FORWARD", "1", "-o", device, *mark, "-j", "DROP"],
        ["-t", "filter", "-I", "FORWARD", "1", "-o", device, *answers, *mark, "-j", "ACCEPT"],
        ["-t", "filter", "-I", "FORWARD", "1", "-i", device, *mark, "-j", "ACCEPT"],
    ]


def detach(network: Network) -> None:
    """Remove the link, its routes and its rules; what is not there is left alone."""
    for table in ("nat", "filter"):
        listed = system("iptables", "-w", "-t", table, "-S", check=False)
        for deletion in deletions(listed.output, network.comment()):
            system("iptables", "-w", "-t", table, *deletion)
    if Path("/sys/class/net", network.host_device).exists():
        system("ip", "link", "delete", network.host_device)
    _restore_forwarding()


def deletions(listing: str, comment: str) -> list[list[str]]:
    """From `iptables -S`, the arguments that delete every rule marked with `comment`."""
    found = []
    for line in listing.splitlines():
        words = shlex.split(line)
        if words[:1] == ["-A"] and comment in words:
            found.append(["-D", *words[1:]])
    return found


def _enable_forwarding() -> None:
    if _FORWARDING.read_text().strip() == "0":
        _FORWARDING_NOTE.touch()
        _FORWARDING.write_text("1")


def _restore_forwarding() -> None:
    others = [d for d in Path("/sys/class/net").iterdir() if d.name.startswith(_DEVICE_PREFIX)]
    if _FORWARDING_NOTE.exists() and not others:
        _FORWARDING.write_text("0")
        _FORWARDING_NOTE.unlink()
