"""Sends webhooks, signed as GitHub signs them, and keeps a record of each delivery."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_delay, wait_exponential

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
        event: `push` or `pull_request`.
        at: when it was first sent, RFC 3339 in UTC.
        url: where to; empty when the repository has no webhook yet.
        status: the answer's HTTP status; None when there was no answer.
        attempts: how often it was sent.
        seconds: from the first attempt to the answer.
        error: why it failed; empty when it did not.
        payload: its body.
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
    """Send a webhook to where the repository's go, again and again while the receiver is not there.

    Args:
        repository: has the address and the secret.
        event: `push` or `pull_request`.
        payload: its body.
        patience: seconds after which to give up.

    Returns:
        What became of it, which is recorded in the repository's `deliveries.jsonl` as well.
    """
    started, at = time.monotonic(), datetime.now(UTC).isoformat(timespec="milliseconds")
    identifier, url = str(uuid.uuid4()), repository.setting("aphex.webhook-url") or ""
    status, attempts, error = None, 0, ""
    if url:
        body = json.dumps(payload, separators=(",", ":")).encode()
        headers = _headers(event, identifier, body, repository.webhook_secret())
        status, attempts, error = _send(_poster(repository, url, headers, body), patience)
    delivery = Delivery(
        id=identifier,
        event=event,
        at=at,
        url=url,
        status=status,
        attempts=attempts,
        seconds=round(time.monotonic() - started, 3),
        error=error,
        payload=payload,
    )
    with (repository.path / DELIVERIES).open("a") as log:
        log.write(json.dumps(asdict(delivery)) + "\n")
    return delivery


def deliveries(repository: Repository) -> list[Delivery]:
    """All deliveries of a repository, oldest first."""
    path = repository.path / DELIVERIES
    if not path.exists():
        return []
    return [Delivery(**json.loads(line)) for line in path.read_text().splitlines()]


def _headers(event: str, identifier: str, body: bytes, secret: str) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "User-Agent": "GitHub-Hookshot/aphex",
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": identifier,
        "X-Hub-Signature-256": signature(secret, body),
    }


def _poster(repository: Repository, url: str, headers: dict[str, str], body: bytes) -> Callable[[], int]:
    """What sends the request once: straight, or through an API server with the kubeconfig's credentials."""
    kubeconfig = repository.setting("aphex.webhook-kubeconfig")
    if kubeconfig is not None:
        context = repository.setting("aphex.webhook-context")
        return lambda: _post_through_api(kubeconfig, context, url, headers, body)
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
