"""What the platform costs a month, roughly: list prices of us-east-1 in US dollars, without taxes and discounts.

docs/costs.md has it in detail, with its sources. A month has 730 hours.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aphex.cluster_config import ClusterConfig

_HOURS = 730
_CONTROL_PLANE, _EXTENDED_SUPPORT = 0.10, 0.60
_NAT = 0.05  # with its public address
_INSIDE, _OUTSIDE = 17.0, 28.0  # load balancers; one that the internet reaches has a public address in each zone
_NODE = 0.10  # a general machine with 2 processors and 8 GiB
_AUTO_MODE_FEE = 1.12
_SPOT = 0.35
_GP3_GIB = 0.08
_BUS_GIB = 30
_KEY = 1.0
_ZONES = 3


@dataclass(frozen=True, kw_only=True)
class Cost:
    """One part of it.

    Attributes:
        what: is paid for.
        dollars: a month, when nothing runs.
        more: what comes with use.
    """

    what: str
    dollars: float
    more: str = ""

    def line(self) -> str:
        """For a person."""
        return f"{self.what}: about ${self.dollars:.0f}" + (f", {self.more}" if self.more else "")

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"what": self.what, "dollars_a_month": round(self.dollars), "more": self.more}


def cluster_costs(config: ClusterConfig) -> list[Cost]:
    """What a cluster stack costs."""
    control = _EXTENDED_SUPPORT if config.kubernetes.extended_support else _CONTROL_PLANE
    gateways = _ZONES if config.network.nat == "per-zone" else 1
    balancers = [_OUTSIDE] if config.webhooks is not None else []
    if config.ui.reach != "port-forward":
        balancers.append(_OUTSIDE if config.ui.reach == "internet" else _INSIDE)
    costs = [
        Cost(what="EKS control plane", dollars=control * _HOURS),
        Cost(what=_counted(gateways, "NAT gateway"), dollars=gateways * _NAT * _HOURS, more="$0.045 a GB"),
        _nodes(config),
        Cost(what="KMS keys of cluster and state", dollars=2 * _KEY),
        Cost(what="log groups", dollars=5, more="$0.50 a GB that is written"),
    ]
    if balancers:
        what = _counted(len(balancers), "load balancer")
        costs.append(Cost(what=what, dollars=sum(balancers), more="a little by use"))
    return costs


def _nodes(config: ClusterConfig) -> Cost:
    """The nodes that Argo's own pods need; runs start more, and are what one pays for by use."""
    scaling = config.autoscaling
    if scaling.mode == "auto":
        price = _NODE * _AUTO_MODE_FEE * (_SPOT if scaling.auto.capacity == "spot" else 1.0)
        return Cost(what="2 nodes for Argo", dollars=2 * price * _HOURS, more="and each run its node-minutes")
    count = sum(group.min for group in scaling.node_groups)
    price = sum(group.min * _NODE * (_SPOT if group.capacity == "spot" else 1.0) for group in scaling.node_groups)
    what = f"{_counted(count, 'node')} at least"
    return Cost(what=what, dollars=price * _HOURS, more="by their instance types, and more in runs")


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def pipeline_costs(*, state_key: bool) -> list[Cost]:
    """What one pipeline costs; with `state_key` the key of the state as well, where no cluster brings it."""
    keys = 2 if state_key else 1
    return [
        Cost(what="KMS key of the pipeline" + " and of the state" * state_key, dollars=keys * _KEY),
        Cost(what="event bus, three volumes", dollars=_BUS_GIB * _GP3_GIB),
        Cost(what="bucket, run table, dashboard, alarms", dollars=5, more="$0.023 a GB of artifacts and logs"),
    ]


def total(costs: Iterable[Cost]) -> float:
    """The sum, in dollars a month."""
    return sum(each.dollars for each in costs)
