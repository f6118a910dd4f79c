"""Waits for an object to become ready, or to go away."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping

from aphex.errors import AphexError
from sandbox.providers.kubernetes.api import ApiError, KubernetesApi, UnknownKind
from sandbox.providers.kubernetes.objects import (
    SKIP_AWAIT,
    TIMEOUT_SECONDS,
    KubernetesObject,
    annotation,
    group_version_kind,
    is_annotated,
    metadata,
    name_of,
    namespace_of,
)
from sandbox.providers.kubernetes.readiness import Sight, readiness

DEFAULT_TIMEOUT = 600.0
_POLL_SECONDS = 0.25

# These kinds alone honour skipAwait when they are deleted (pulumi-kubernetes#1232).
_SKIPPED_ON_DELETE = frozenset(
    {
        ("", "Namespace"),
        ("", "Pod"),
        ("", "ReplicationController"),
        ("apps", "DaemonSet"),
        ("apps", "Deployment"),
        ("apps", "StatefulSet"),
        ("batch", "Job"),
    }
)


class NotReady(AphexError):
    """An object exists but did not become ready, or did not go away, in time.

    Attributes:
        live: the object as it was last seen.
        reasons: what is wrong with it, one line each.
    """

    def __init__(self, message: str, live: KubernetesObject, reasons: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.live = live
        self.reasons = tuple(reasons)


def timeout_of(inputs: KubernetesObject, asked: float) -> float:
    """Seconds to wait: those of the resource's options, of its annotation, or ten minutes."""
    text = annotation(inputs, TIMEOUT_SECONDS)
    return asked or (float(text) if text.isdecimal() else 0.0) or DEFAULT_TIMEOUT


def wait_until_ready(
    api: KubernetesApi,
    inputs: KubernetesObject,
    live: KubernetesObject,
    *,
    before: KubernetesObject | None = None,
    timeout: float = 0.0,
    cancelled: threading.Event,
) -> KubernetesObject:
    """Wait until an object is ready and return it as it then is.

    Raises:
        NotReady: it failed, was deleted, or is not ready after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout_of(inputs, timeout)

    def related(api_version: str, kind: str, labels: Mapping[str, str]) -> list[KubernetesObject]:
        return api.find_all(api_version, kind, namespace_of(live) or api.default_namespace, labels)

    while True:
        seen = readiness(inputs, Sight(live=live, before=before, related=related))
        if seen.ready:
            return live
        if seen.failed:
            raise NotReady(f"Resource '{name_of(live)}' was created but failed to initialize", live, seen.reasons)
        if time.monotonic() >= deadline:
            raise NotReady(f"'{name_of(live)}' timed out waiting to be Ready", live, seen.reasons)
        if cancelled.wait(_POLL_SECONDS):
            raise NotReady(f'Resource operation was cancelled for "{name_of(live)}"', live, seen.reasons)
        try:
            live = api.get(live)
        except ApiError as error:
            if error.not_found:
                raise NotReady(f"'{name_of(live)}' was deleted while it was waited for", live) from error
            raise


def wait_until_gone(
    api: KubernetesApi, inputs: KubernetesObject, live: KubernetesObject, *, timeout: float, cancelled: threading.Event
) -> None:
    """Wait until an object whose deletion was asked for does not exist any more.

    Raises:
        NotReady: it is still there after `timeout` seconds, with the finalizers that may keep it.
    """
    group, _, kind = group_version_kind(inputs)
    if is_annotated(inputs, SKIP_AWAIT) and (group, kind) in _SKIPPED_ON_DELETE:
        return
    uid = metadata(live).get("uid")
    deadline = time.monotonic() + timeout_of(inputs, timeout)
    while True:
        try:
            live = api.get(live)
        except UnknownKind:
            return
        except ApiError as error:
            if error.not_found:
                return
            raise
        if uid and metadata(live).get("uid") != uid:
            return
        stopped = cancelled.wait(_POLL_SECONDS)
        if stopped or time.monotonic() >= deadline:
            kept = ", ".join([*metadata(live).get("finalizers", []), *(live.get("spec") or {}).get("finalizers", [])])
            reasons = [f"finalizers might be preventing deletion ({kept})"] if kept else []
            what = "was cancelled" if stopped else "timed out"
            raise NotReady(f"Waiting for the deletion of '{name_of(live)}' {what}", live, reasons)
