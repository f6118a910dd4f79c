"""What a pipeline has deployed and does not care for any more: told by name, and never deleted.

An environment that leaves the configuration, or changes its account or region, leaves its CloudFormation stacks behind.
What the pipeline cares for is kept as an output of its stack, so that the next change can be compared with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from automation.stack import stack_outputs

if TYPE_CHECKING:
    from automation.console import Terminal

OUTPUT = "environments"


@dataclass(frozen=True, kw_only=True, order=True)
class LeftBehind:
    """Stacks of one environment that the pipeline no longer deploys.

    Attributes:
        environment: its name.
        account: where the stacks are.
        region: likewise.
        stacks: their names, in the order in which they were deployed.
        gone: whether the environment itself has left the configuration.
    """

    environment: str
    account: str
    region: str
    stacks: tuple[str, ...]
    gone: bool

    @property
    def place(self) -> str:
        """Where the stacks are."""
        return f"account {self.account}, {self.region}"

    def lines(self) -> list[str]:
        """What a person is told: what stays, where, and how to remove it by hand."""
        names = ", ".join(self.stacks)
        if self.gone:
            first = f"The environment {self.environment} is not in the configuration any more. What it deployed stays"
        else:
            first = f"The environment {self.environment} does not deploy {names} there any more. What it deployed stays"
        return [
            f"{first} in {self.place}: {names}.",
            f"To remove it, with credentials of account {self.account}:",
            *(
                f"  aws cloudformation delete-stack --region {self.region} --stack-name {name.replace('/', '-')}"
                for name in reversed(self.stacks)
            ),
        ]

    def document(self) -> dict[str, Any]:
        """The same as JSON has it."""
        return {
            "environment": self.environment,
            "account": self.account,
            "region": self.region,
            "stacks": list(self.stacks),
        }


def left_behind(before: Iterable[Mapping[str, Any]], after: Iterable[Mapping[str, Any]]) -> list[LeftBehind]:
    """What was deployed and is not any more: compared by place and stack, for a name alone deploys nothing.

    A stack that another environment has taken over, at the same place, is not left behind.
    """
    wanted = list(after)
    names = {each["name"] for each in wanted}
    kept = {(each["account"], each["region"], stack) for each in wanted for stack in each["stacks"]}
    found = []
    for each in before:
        account, region = each["account"], each["region"]
        stacks = tuple(stack for stack in each["stacks"] if (account, region, stack) not in kept)
        if stacks:
            found.append(
                LeftBehind(
                    environment=each["name"],
                    account=account,
                    region=region,
                    stacks=stacks,
                    gone=each["name"] not in names,
                )
            )
    return found


def deployed_before(deployment: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the pipeline deployed as of its last update. The format is that of `pulumi stack export`."""
    return list(stack_outputs(deployment).get(OUTPUT) or [])


def tell(found: Iterable[LeftBehind], terminal: Terminal) -> None:
    """Say what is left behind."""
    for each in found:
        first, *more = each.lines()
        terminal.warn(first)
        for line in more:
            terminal.say(line)
