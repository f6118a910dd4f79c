"""Hypothesis strategies for configurations, as the plain data that YAML gives."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from hypothesis import strategies as st

from aphex.regions import REGIONS, partition_of

names = st.from_regex(r"[a-z]([a-z0-9-]{0,18}[a-z0-9])?", fullmatch=True)
stack_names = st.from_regex(r"[A-Z][A-Za-z0-9]{0,20}", fullmatch=True)
accounts = st.from_regex(r"[0-9]{12}", fullmatch=True)
commands = st.sampled_from(["true", "npm ci", "pytest -q", "echo 'a b' | tr a b", "cd app && make"])


def stacks() -> st.SearchStrategy[list[dict[str, Any]]]:
    """One to five stacks with names of their own."""
    return st.lists(stack_names, min_size=1, max_size=5, unique=True).map(
        lambda chosen: [{"name": name, "path": f"lib/{name}.py"} for name in chosen]
    )


def environments(name: str) -> st.SearchStrategy[dict[str, Any]]:
    """An environment of that name, with or without tests."""
    required = {
        "name": st.just(name),
        "region": st.sampled_from(REGIONS),
        "account": accounts,
        "stacks": stacks(),
    }
    tests = st.fixed_dictionaries({"commands": st.lists(commands, min_size=1, max_size=3)})
    hooks = st.fixed_dictionaries({}, optional={"pre": st.lists(commands), "post": st.lists(commands)})
    return st.fixed_dictionaries(required, optional={"tests": tests, "hooks": hooks})


@st.composite
def documents(draw: st.DrawFn, max_environments: int = 6) -> dict[str, Any]:
    """A valid configuration as plain data."""
    chosen = draw(st.lists(names, min_size=1, max_size=max_environments, unique=True))
    return {
        "version": "1.0",
        "build": {"commands": draw(st.lists(commands, min_size=1, max_size=4))},
        "environments": [draw(environments(name)) for name in chosen],
    }


def cidrs(shortest: int, longest: int) -> st.SearchStrategy[str]:
    """Public networks whose prefixes are so long."""
    return st.tuples(st.integers(11, 99), st.integers(0, 255), st.integers(shortest, longest)).map(
        lambda parts: str(ip_network(f"{parts[0]}.{parts[1]}.0.0/{parts[2]}", strict=False))
    )


@st.composite
def clusters(draw: st.DrawFn) -> dict[str, Any]:
    """A valid file of a cluster as plain data."""
    region, account = draw(st.sampled_from(REGIONS)), draw(accounts)
    certificate = f"arn:{partition_of(region)}:acm:{region}:{account}:certificate/0f2c9a55"
    secret = f"arn:{partition_of(region)}:secretsmanager:{region}:{account}:secret:login"
    sources = st.lists(cidrs(8, 32), min_size=1, max_size=3, unique=True)
    balanced = {"host": st.just("argo.example.com"), "certificate": st.just(certificate)}
    sso = {"mode": "sso", "issuer": "https://login.example.com", "client_id": "argo", "client_secret": secret}
    login = st.sampled_from([{}, sso, {**sso, "operator_groups": ["ops"], "session": "1h"}])
    group = st.fixed_dictionaries(
        {"name": names, "instance_types": st.sampled_from([["m7i.large"], ["m7g.large", "c7gn.large"]])},
        optional={"capacity": st.sampled_from(["on-demand", "spot"]), "max": st.integers(1, 20)},
    )
    groups = st.lists(group, min_size=1, max_size=3, unique_by=lambda each: each["name"])
    optional: dict[str, st.SearchStrategy[Any]] = {
        "kubernetes": st.fixed_dictionaries({}, optional={"version": st.sampled_from(["1.34", "1.35", "1.36"])}),
        "network": st.fixed_dictionaries(
            {},
            optional={
                "cidr": st.integers(16, 22).map(lambda prefix: f"10.8.0.0/{prefix}"),
                "nat": st.sampled_from(["single", "per-zone"]),
                "flow_logs": st.sampled_from(["rejected", "all", "none"]),
            },
        ),
        "autoscaling": st.one_of(
            st.fixed_dictionaries({"auto": st.fixed_dictionaries({}, optional={"max_cpus": st.integers(4, 999)})}),
            st.fixed_dictionaries({"mode": st.just("node-groups"), "node_groups": groups}),
        ),
        "argo": st.fixed_dictionaries(
            {},
            optional={
                "workflows": st.sampled_from([{"version": "3.7.18"}, {"version": "4.0.6"}]),
                "parallelism": st.integers(10, 500),
                "requeue": st.sampled_from(["50ms", "1s"]),
                "artifact_repository": st.just({"bucket": "company-artifacts"}),
            },
        ),
        "webhooks": st.fixed_dictionaries(
            {"host": st.just("hooks.example.com"), "certificate": st.just(certificate)}, optional={"cidrs": sources}
        ),
        "identity": st.sampled_from(["pod-identity", "irsa"]),
        "deletion_protection": st.booleans(),
        "tags": st.dictionaries(names, names, max_size=2),
    }
    required = {
        "version": st.just("1.0"),
        "name": names,
        "region": st.just(region),
        "account": st.just(account),
        "api": st.one_of(st.just({"access": "private"}), st.fixed_dictionaries({"cidrs": sources})),
        "ui": st.one_of(
            st.just({"reach": "port-forward"}),
            st.fixed_dictionaries({"reach": st.just("internal"), **balanced, "login": login}),
            st.fixed_dictionaries({"reach": st.just("internet"), **balanced, "cidrs": sources, "login": login}),
        ),
    }
    return draw(st.fixed_dictionaries(required, optional=optional))
