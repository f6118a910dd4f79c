"""The node's addresses are free ones, and what is put on the machine can be found again and taken away."""

from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aphex.errors import AphexError
from sandbox.node.network import Network, choose_block, deletions, device_names, resolvers_in, rules, used_networks

NETWORKS = st.builds(
    lambda address, prefix: IPv4Network((address, prefix), strict=False),
    st.integers(0x0A000000, 0x0AFFFFFF),
    st.integers(12, 32),
)


def network(block: str = "10.90.0.0/16") -> Network:
    host, node = device_names(Path("/state/one"))
    return Network(block=IPv4Network(block), host_device=host, node_device=node)


@given(used=st.lists(NETWORKS, max_size=10))
def test_the_block_overlaps_with_nothing_in_use(used: list[IPv4Network]) -> None:
    block = choose_block(used)
    assert block.is_private
    assert not any(block.overlaps(other) for other in used)


def test_a_machine_without_a_free_block_is_told_so() -> None:
    with pytest.raises(AphexError, match="overlaps"):
        choose_block([IPv4Network("10.0.0.0/8")])


def test_link_pods_and_services_share_no_address_and_stay_in_the_block() -> None:
    parts = [network().link, network().pods, network().services]
    assert all(part.subnet_of(network().block) for part in parts)
    assert not any(a.overlaps(b) for a in parts for b in parts if a is not b)
    assert network().argo_ip in network().services
    assert {network().host_ip, network().node_ip} == set(network().link.hosts())


def test_this_machines_own_addresses_count_as_used() -> None:
    assert any(other.overlaps(IPv4Network("127.0.0.1/32")) for other in used_networks())


def test_device_names_fit_and_differ_between_folders() -> None:
    names = {name for folder in ("a", "b") for name in device_names(Path("/state", folder))}
    assert len(names) == 4
    assert all(len(name) <= 15 for name in names)


def test_resolvers_on_a_loopback_address_cannot_be_reached_from_the_node() -> None:
    text = "# by hand\nsearch example.org\nnameserver 127.0.0.53\nnameserver ::1\nnameserver 192.0.2.1\noptions edns0\n"
    assert resolvers_in(text) == ["192.0.2.1"]


def test_own_rules_are_told_from_those_of_others() -> None:
    mine, other = network().comment(), network().comment() + "0"
    listing = (
        "-P FORWARD ACCEPT\n"
        f"-A FORWARD -o aph1h -m comment --comment {other} -j DROP\n"
        f'-A FORWARD -o aph2h -m comment --comment "{mine}" -j DROP\n'
        "-A FORWARD -j ACCEPT\n"
    )
    found = deletions(listing, mine)
    assert found == [["-D", "FORWARD", "-o", "aph2h", "-m", "comment", "--comment", mine, "-j", "DROP"]]


def test_every_rule_carries_the_mark_by_which_it_is_removed() -> None:
    assert all(network().comment() in rule for rule in rules(network()))
