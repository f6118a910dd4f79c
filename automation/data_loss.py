"""Changes by which data would be lost: found among the engine's plans, and made only with a person's consent.

What holds data is known by its type. A deletion loses it, and so does a replacement, which is a deletion after all. The
EventBus is changed in place and loses what it stores all the same, when its servers' disks are exchanged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from aphex.errors import AphexError, UsageError
from automation.changes import ResourceChange

if TYPE_CHECKING:
    from automation.console import Terminal
    from automation.home import StackHome

FLAG = "--allow-data-loss"

TABLE = "aws:dynamodb/table:Table"
BUCKET = "aws:s3/bucket:Bucket"
EVENT_BUS = "kubernetes:argoproj.io/v1alpha1:EventBus"
HOLDERS: Mapping[str, str] = {
    BUCKET: "every object in it, with all versions",
    TABLE: "every record in it",
    "aws:kms/key:Key": "the key, and with it all that it has encrypted",
    "aws:ecr/repository:Repository": "every image in it",
    "aws:cloudwatch/logGroup:LogGroup": "every log in it",
    "aws:secretsmanager/secret:Secret": "the secret",
    "aws:eks/cluster:Cluster": "the cluster, with everything that runs and is stored in it",
    "kubernetes:core/v1:Namespace": "everything in it, runs and Secrets among it",
    "kubernetes:core/v1:PersistentVolumeClaim": "the volume's contents",
    "kubernetes:core/v1:PersistentVolume": "the volume's contents",
    EVENT_BUS: "events that wait for their runs",
}
_LOSING = ("delete", "replace")
_OWN_PROTECTION = ("deletionProtectionEnabled", "deletionProtection")
# Of an EventBus: whose servers it has, and what they store on.
_BUS_STORAGE = ("spec.jetstream.persistence", "spec.jetstream.settings", "spec.native.persistence")
_BUS_KINDS = ("spec.jetstream", "spec.native", "spec.jetstreamExotic", "spec.kafka")


class Consent(Enum):
    """What may be done about data that a change would lose."""

    NEVER = "never"
    ASK = "ask"
    GIVEN = "given"


@dataclass(frozen=True, kw_only=True)
class Loss:
    """A change that loses data.

    Attributes:
        change: the change.
        data: what would be lost.
        protected: whether the resource is protected, so that no answer to a question suffices.
    """

    change: ResourceChange
    data: str
    protected: bool = False

    def __str__(self) -> str:
        causes = sorted({each.path for each in self.change.properties if each.replaces})
        because = f", because {', '.join(causes)} cannot be changed in place" if causes else ""
        guard = " It is protected." * self.protected
        return f"{self.change.operation} {self.change.kind} {self.change.name}: loses {self.data}{because}.{guard}"


class DataLossRefused(AphexError):
    """A change would have lost data that nobody allowed to be lost; nothing was changed."""


def losses(changes: Iterable[ResourceChange], protected: Iterable[str] = ()) -> list[Loss]:
    """Those of the changes by which data would be lost.

    Args:
        changes: what the engine would do.
        protected: the URNs of resources that are protected.
    """
    guarded = frozenset(protected)
    return [
        Loss(change=change, data=HOLDERS[change.type], protected=change.urn in guarded)
        for change in changes
        if change.type in HOLDERS and (change.operation in _LOSING or _exchanges_storage(change))
    ]


def _exchanges_storage(change: ResourceChange) -> bool:
    """Whether an EventBus gets other disks, or none, though it stays."""
    if change.type != EVENT_BUS or change.operation != "update":
        return False
    return any(
        each.path.startswith(_BUS_STORAGE) or (each.path in _BUS_KINDS and each.kind in ("add", "delete"))
        for each in change.properties
    )


def holders(deployment: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The resources of a state that hold data. The format is that of `pulumi stack export`."""
    return [each for each in deployment.get("resources") or [] if each.get("type") in HOLDERS and each.get("custom")]


def protected_urns(deployment: Mapping[str, Any]) -> list[str]:
    """The resources of a state that nothing may delete: the engine's own protection, and DynamoDB's and EKS's."""
    return [
        str(each["urn"])
        for each in holders(deployment)
        if each.get("protect") or any((each.get("inputs") or {}).get(name) is True for name in _OWN_PROTECTION)
    ]


def agree_to_losses(found: Sequence[Loss], home: StackHome, consent: Consent, terminal: Terminal) -> None:
    """Make sure that data may be lost, by what was said beforehand or by a person's answer.

    Raises:
        DataLossRefused: it may not.
    """
    if not found:
        return
    for loss in found:
        terminal.say(f" ! {loss}", style="bold red")
    if consent is Consent.GIVEN:
        terminal.warn(f"this is done because of {FLAG}.")
        return
    if consent is Consent.ASK and not any(loss.protected for loss in found) and _agreed(home, terminal):
        return
    raise refusal(found, home, consent)


def refusal(found: Sequence[Loss], home: StackHome, consent: Consent) -> DataLossRefused:
    """The error of a change that may not lose what it would."""
    lines = [f"{home.title[0].upper()}{home.title[1:]} would lose data; nothing was changed:"]
    lines += [f"  {loss}" for loss in found]
    if consent is Consent.NEVER:
        hint = (
            "A self-update never does that: take the change back, or, when the data may go, deploy it by hand from a "
            f"checkout of this commit: {home.command('up', FLAG)}"
        )
    else:
        hint = f"Take the change back. When the data may go: {home.command('up', FLAG)}"
    return DataLossRefused("\n".join(lines), hint=hint)


def _agreed(home: StackHome, terminal: Terminal) -> bool:
    """Ask for the name, which nobody types by habit; not when nobody is there to answer."""
    import sys

    if not sys.stdin.isatty():
        return False
    answer = terminal.err.input(f"Type {home.owner} to lose this data for good: ").strip()
    if answer != home.owner:
        raise UsageError("Nothing was done.")
    return True
