"""The resources that the programs declare, as the diagrams of docs/architecture.md show them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from pulumi.runtime.settings import get_monitor

_OWN = "aphex:"
_STACK = "pulumi:pulumi:Stack"


def declared_chains() -> set[tuple[str, ...]]:
    """What the last program under Pulumi's mocks declared: each kind of resource after those that it is a child of."""
    monitor: Any = get_monitor()
    chains = {tuple(urn.split("::")[2].split("$")) for urn in monitor.resources}
    return {tuple(kind for kind in chain if kind != _STACK) for chain in chains} - {()}


def shown(kind: str) -> str:
    """A kind as people write it: `aws.s3.Bucket`, `v1 Secret`, `argoproj.io/v1alpha1 Sensor`."""
    package, module, name = kind.split(":")
    if kind.startswith(_OWN):
        return name
    if package == "kubernetes":
        return f"{module.removeprefix('core/')} {name}"
    if package == "pulumi":
        return f"provider {name}"
    return ".".join(filter(None, (package, module.split("/")[0].replace("index", ""), name)))


def diagram(chains: Iterable[tuple[str, ...]]) -> str:
    """A flow chart: each component with its children, and in its box the kinds of what it declares itself."""
    kinds: dict[str, set[str]] = defaultdict(set)
    children: dict[str, set[str]] = defaultdict(set)
    for chain in chains:
        owners = [kind for kind in chain if kind.startswith(_OWN)]
        for parent, child in pairwise(owners):
            children[shown(parent)].add(shown(child))
        owner = shown(owners[-1]) if owners else "program"
        kinds[owner].update({shown(chain[-1])} - {owner})
    lines = ["```mermaid", "flowchart LR"]
    for owner in sorted(kinds):
        text = "<br/>".join([f"<b>{owner}</b>", *sorted(kinds[owner])])
        lines.append(f'  {owner}["{text}"]')
    lines += [f"  {parent} --> {child}" for parent in sorted(children) for child in sorted(children[parent])]
    return "\n".join([*lines, "```"])


def with_diagram(document: str, heading: str, made: str) -> str:
    """The document with a diagram in place of the one below a heading.

    Raises:
        AssertionError: there is no such heading with a diagram below it.
    """
    pattern = re.compile(rf"(^#+ {re.escape(heading)}\n.*?)^```mermaid\n.*?^```$", re.MULTILINE | re.DOTALL)
    assert pattern.search(document), f"docs/architecture.md has no diagram below {heading}"
    return pattern.sub(lambda match: match[1] + made, document, count=1)
