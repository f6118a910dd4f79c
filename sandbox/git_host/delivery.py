"""Sends webhooks, signed as GitHub signs them, and keeps a record of each delivery."""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_delay, wait_exponential

from sandbox.git_host.hooks import Hook
from sandbox.git_host.payloads import Payload
from sandbox.git_host.repository import Repository

DELIVERIES = "deliveries.jsonl"
PATIENCE_SECONDS = 60.0
_REQUEST_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """What became of one webhook.

    Attributes:
        id: sent as X-GitHub-Delivery, the same in every attempt.
        event: `push`, `pull_request` or `ping`.
        at: when it was first sent, RFC 3339 in UTC.
        url: where to; empty when the repository has no webhook yet.
        status: the answer's HTTP status; None when there was no answer.
        attempts: how often it was sent.
        seconds: from the first attempt to the answer.
        error: why it failed; empty when it did not.
        payload: its body.
        hook: id of the webhook; 0 when there was none.
        number: counts the repository's deliveries, from 1.
    """

    id: str
    event: str
    at: str
    url: str
    status: int | None
    attempts: int
    seconds: float
    error: str
    payload: Payload
    hook: int = 0
    number: int = 0

    @property
    def ok(self) -> bool:
        """Whether the receiver took it."""
        return self.status is not None and 200 <= self.status < 300

    def summary(self) -> str:
        """One line for the person who pushed."""
        if not self.url:
            return f"webhook: {self.event} not sent, because no pipeline listens yet"
        result = str(self.status) if self.ok else f"failed: {self.error}"
        tries = f", {self.attempts} attempts" if self.attempts > 1 else ""
        return f"webhook: {self.event} {result} in {self.seconds:.1f} s{tries}"


class _NotTaken(Exception):
    """The receiver could not be reached or could not serve; it may be able to later."""

    def __init__(self, status: int | None, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class _Refused(Exception):
    """The receiver does not want it, nor will it later."""

    def __init__(self, status: int | None, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def signature(secret: str, body: bytes) -> str:
    """The value of X-Hub-Signature-256: an HMAC with SHA-256 of the whole body."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def deliver(repository: Repository, event: str, payload: Payload, patience: float = PATIENCE_SECONDS) -> Delivery:
    """Send an event to each webhook of a repository that takes it, again and again while the receiver is not there.

    Args:
        repository: has the webhooks.
        event: `push` or `pull_request`.
        payload: its body.
        patience: seconds after which to give up.

    Returns:
        What became of it, or of the first that failed where there are several webhooks. All are recorded in the
        repository's `deliveries.jsonl`.
    """
    identifier = str(uuid.uuid4())
    hooks = [hook for hook in repository.hooks.all() if hook.takes(event)]
    sent = [deliver_to(repository, hook, event, payload, patience, identifier) for hook in hooks]
    if not sent:
        unsent = Delivery(
            id=identifier,
            event=event,
            at=_now(),
            url="",
            status=None,
            attempts=0,
            seconds=0.0,
            error="",
            payload=payload,
        )
        return _record(repository, unsent)
    return next((each for each in sent if not each.ok), sent[0])


def deliver_to(
    repository: Repository,
    hook: Hook,
    event: str,
    payload: Payload,
    patience: float = PATIENCE_SECONDS,
    identifier: str | None = None,
) -> Delivery:
    """Send an event to one webhook, and record what became of it.

    Args:
        repository: whose webhook it is.
        hook: has the address and the secret.
        event: `push`, `pull_request` or `ping`.
        payload: its body.
        patience: seconds after which to give up; 0 tries once, as GitHub does.
        identifier: of the event; a new one when None.
    """
    started, at, identifier = time.monotonic(), _now(), identifier or str(uuid.uuid4())
    body = json.dumps(payload, separators=(",", ":")).encode()
    if hook.content_type == "form":
        body = urllib.parse.urlencode({"payload": body}).encode()
    secret = repository.webhook_secret() if hook.secret is None else hook.secret
    headers = _headers(event, identifier, body, secret, hook)
    status, attempts, error = _send(_poster(hook, headers, body), patience)
    delivery = Delivery(
        id=identifier,
        event=event,
        at=at,
        url=hook.url,
        status=status,
        attempts=attempts,
        seconds=round(time.monotonic() - started, 3),
        error=error,
        payload=payload,
        hook=hook.id,
    )
    return _record(repository, delivery)


def deliveries(repository: Repository) -> list[Delivery]:
    """All deliveries of a repository, oldest first."""
    path = repository.path / DELIVERIES
    return _read(path.read_text()) if path.exists() else []


def _read(log: str) -> list[Delivery]:
    lines = (json.loads(line) for line in log.splitlines())
    return [Delivery(**{**line, "number": number}) for number, line in enumerate(lines, start=1)]


def _record(repository: Repository, delivery: Delivery) -> Delivery:
    with (repository.path / DELIVERIES).open("a+") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        log.seek(0)
        number = sum(1 for _ in log) + 1
        log.write(json.dumps(asdict(delivery)) + "\n")
    return replace(delivery, number=number)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _headers(event: str, identifier: str, body: bytes, secret: str, hook: Hook) -> dict[str, str]:
    form = hook.content_type == "form"
    headers = {
        "Content-Type": "application/x-www-form-urlencoded" if form else "application/json",
        "User-Agent": "GitHub-Hookshot/aphex",
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": identifier,
        "X-GitHub-Hook-ID": str(hook.id),
    }
    return headers | ({"X-Hub-Signature-256": signature(secret, body)} if secret else {})


def _poster(hook: Hook, headers: dict[str, str], body: bytes) -> Callable[[], int]:
    """What sends the request once: straight, or through an API server with the kubeconfig's credentials."""
    kubeconfig, url = hook.kubeconfig, hook.url
    if kubeconfig is not None:
        return lambda: _post_through_api(kubeconfig, hook.context, url, headers, body)
    request = urllib.request.Request(url, data=body, headers=headers, method="POST")  # noqa: S310 - the pipeline's own
    return lambda: _post(request)


def _send(post: Callable[[], int], patience: float) -> tuple[int | None, int, str]:
    attempts = 0

    def count(_: RetryCallState) -> None:
        nonlocal attempts
        attempts += 1

    retrying = Retrying(
        retry=retry_if_exception_type(_NotTaken),
        stop=stop_after_delay(patience),
        wait=wait_exponential(multiplier=0.25, max=5),
        before=count,
        reraise=True,
    )
    try:
        return retrying(post), attempts, ""
    except _NotTaken as error:
        return error.status, attempts, str(error)
    except _Refused as error:
        return error.status, attempts, str(error)


def _post(request: urllib.request.Request) -> int:
    # Without the proxies of the environment: the receiver is on this machine or in its cluster.
    opener: Any = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_REQUEST_SECONDS) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        raise _failure(error.code, str(error.reason)) from error
    except OSError as error:
        raise _NotTaken(None, str(getattr(error, "reason", error))) from error


def _post_through_api(kubeconfig: str, context: str | None, url: str, headers: dict[str, str], body: bytes) -> int:
    import httpx

    from sandbox.providers.kubernetes.connection import KubeconfigError, connect

    try:
        with connect(kubeconfig, context=context).client(_REQUEST_SECONDS) as client:
            answer = client.post(url, content=body, headers=headers)
    except KubeconfigError as error:
        raise _Refused(None, error.message) from error
    except httpx.TransportError as error:
        raise _NotTaken(None, str(error)) from error
    if not answer.is_success:
        raise _failure(answer.status_code, answer.reason_phrase)
    return answer.status_code


def _failure(status: int, reason: str) -> _NotTaken | _Refused:
    return (_NotTaken if status >= 500 else _Refused)(status, f"{status} {reason}")
