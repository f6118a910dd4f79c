"""Which of this machine's addresses and ports the services take."""

from __future__ import annotations

import socket
from ipaddress import AddressValueError, IPv4Address

from aphex.errors import AphexError, UsageError

# Of a network for documentation (RFC 5737): looked up in the routes, never sent to.
_ELSEWHERE = ("192.0.2.1", 9)


def default_address() -> str:
    """The address by which this machine reaches other networks; containers on it usually reach that one too.

    Raises:
        AphexError: there is no default route.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_ELSEWHERE)
        except OSError as error:
            raise AphexError(
                "This machine has no default route, so no address of it is the one for the cluster's pods.",
                hint="Say which address of this machine pods can reach: --address ADDRESS",
            ) from error
        return str(probe.getsockname()[0])


def check_address(address: str) -> None:
    """Refuse what pods could not use.

    Raises:
        UsageError: it is no IPv4 address, is this machine's loopback, or is not this machine's at all.
    """
    try:
        parsed = IPv4Address(address)
    except AddressValueError as error:
        # S3 is addressed by path only at an address; with a name each bucket would become a host of its own.
        raise UsageError(f'"{address}" is not an IPv4 address.', hint="A host name does not do.") from error
    if parsed.is_loopback or parsed.is_unspecified:
        raise UsageError(
            f"Pods cannot reach this machine at {address}.", hint="Give an address of one of its networks."
        )
    if not is_free(address, 0):
        raise UsageError(
            f"{address} is not an address of this machine.", hint="`ip address` or `ifconfig` lists those that it has."
        )


def is_free(address: str, port: int) -> bool:
    """Whether a server could listen there."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def free_ports(address: str, count: int) -> list[int]:
    """Ports on which nothing listens now, all different."""
    probes = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(count)]
    try:
        for probe in probes:
            probe.bind((address, 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()
