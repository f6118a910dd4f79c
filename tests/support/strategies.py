"""Hypothesis strategies for configurations, as the plain data that YAML gives."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from aphex.regions import REGIONS

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
