"""Brings a repository's webhook to what the pipeline needs, and sees that a ping arrives."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aphex.errors import AphexError
from automation.github.explain import explain

if TYPE_CHECKING:
    from automation.github.api import HooksOf

VERIFY_SECONDS = 60.0
_POLL_SECONDS = 1.0


class PingFailed(AphexError):
    """GitHub's ping did not arrive."""


class HookMissing(AphexError):
    """The repository has no webhook with the pipeline's address."""


@dataclass(frozen=True, kw_only=True)
class WantedHook:
    """The webhook that a pipeline needs.

    Attributes:
        url: where events go.
        secret: signs them.
        events: which events.
    """

    url: str
    secret: str = field(repr=False)
    events: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """As the API takes it."""
        config = {"url": self.url, "content_type": "json", "insecure_ssl": "0", "secret": self.secret}
        return {"name": "web", "active": True, "events": list(self.events), "config": config}


@dataclass(frozen=True, kw_only=True)
class EnsuredHook:
    """A webhook as it is now.

    Attributes:
        number: its id.
        created: whether it was made.
        differences: what of it was changed, apart from its secret, which nobody can read.
    """

    number: int
    created: bool
    differences: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"id": self.number, "created": self.created, "changed": list(self.differences)}


def find_hook(hooks: Sequence[Mapping[str, Any]], url: str) -> Mapping[str, Any] | None:
    """The webhook with an address; a closing slash makes no other."""
    wanted = url.rstrip("/")
    return next((each for each in hooks if str(each.get("config", {}).get("url", "")).rstrip("/") == wanted), None)


def differences(hook: Mapping[str, Any], wanted: WantedHook) -> tuple[str, ...]:
    """What of a webhook is not as wanted, each as `name: is -> wanted`. Events that it has besides do no harm."""
    config = hook.get("config", {})
    found = []
    if not hook.get("active"):
        found.append("active: false -> true")
    if missing := [event for event in wanted.events if event not in hook.get("events", []) and not _all(hook)]:
        found.append(f"events: + {', '.join(missing)}")
    if config.get("content_type") != "json":
        found.append(f"content type: {config.get('content_type', 'form')} -> json")
    if str(config.get("insecure_ssl", "0")) != "0":
        found.append("certificates: not checked -> checked")
    if not config.get("secret"):
        found.append("secret: none -> the pipeline's")
    return tuple(found)


def _all(hook: Mapping[str, Any]) -> bool:
    return "*" in hook.get("events", [])


def ensure_hook(hooks: HooksOf, wanted: WantedHook) -> EnsuredHook:
    """Make the webhook, or give the one with the same address what it lacks and the secret.

    Raises:
        GitHubError: GitHub refused.
    """
    found = find_hook(hooks.all(), wanted.url)
    if found is None:
        return EnsuredHook(number=int(hooks.create(wanted.document())["id"]), created=True)
    document = wanted.document()
    more = [event for event in found.get("events", []) if event not in wanted.events]
    document["events"] = ["*"] if _all(found) else [*wanted.events, *more]
    # The secret cannot be read, so it is always set.
    hooks.update(int(found["id"]), {key: value for key, value in document.items() if key != "name"})
    return EnsuredHook(number=int(found["id"]), created=False, differences=differences(found, wanted))


def last_ping_arrived(deliveries: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the newest ping of a webhook was taken; `deliveries` are newest first."""
    newest = next((each for each in deliveries if each["event"] == "ping"), None)
    return newest is not None and _arrived(newest)


def _arrived(delivery: Mapping[str, Any]) -> bool:
    return 200 <= int(delivery.get("status_code") or 0) < 300


@dataclass(frozen=True, kw_only=True)
class Pinged:
    """A ping that arrived: the delivery's id, and the seconds until the receiver answered."""

    delivery: int
    seconds: float


def verify_hook(
    hooks: HooksOf,
    number: int,
    url: str,
    namespace: str,
    *,
    patience: float = VERIFY_SECONDS,
    sleep: Callable[[float], None] = time.sleep,
) -> Pinged:
    """Have GitHub ping the webhook, and wait until it tells what became of that.

    Args:
        hooks: of the repository.
        number: the webhook's id.
        url: its address, for the explanation of a failure.
        namespace: of the EventSource, for the same.
        patience: seconds until GitHub has to have told.
        sleep: waits.

    Raises:
        PingFailed: the ping did not arrive, or GitHub tells of none; the hint says what is the matter.
        GitHubError: GitHub refused to send one.
    """
    known = {int(each["id"]) for each in hooks.deliveries(number)}
    hooks.ping(number)
    deadline = time.monotonic() + patience
    while True:
        fresh = [each for each in hooks.deliveries(number) if int(each["id"]) not in known and each["event"] == "ping"]
        if fresh:
            return _judged(hooks, number, fresh[0], url, namespace)
        if time.monotonic() >= deadline:
            raise PingFailed(
                f"GitHub was asked to ping {url}, and tells of no delivery after {patience:g} s.",
                hint="Deliveries can be late: githubstatus.com tells whether webhooks are. Then try again: "
                "python -m automation webhook verify",
            )
        sleep(_POLL_SECONDS)


def _judged(hooks: HooksOf, number: int, delivery: Mapping[str, Any], url: str, namespace: str) -> Pinged:
    if _arrived(delivery):
        return Pinged(delivery=int(delivery["id"]), seconds=float(delivery.get("duration") or 0.0))
    details = hooks.delivery(number, int(delivery["id"]))
    payload = (details.get("response") or {}).get("payload") or ""
    code = int(delivery.get("status_code") or 0)
    why = explain(str(delivery.get("status", "")), code, str(payload), url, namespace)
    raise PingFailed(why.message, hint=why.hint)
