"""The Kubernetes API as the provider uses it: any kind, found by discovery, over plain HTTP."""

from __future__ import annotations

import json
import threading
import time
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from aphex.errors import AphexError
from sandbox.providers.kubernetes.connection import Connection
from sandbox.providers.kubernetes.objects import (
    KubernetesObject,
    group_version_kind,
    name_of,
    namespace_of,
    split_api_version,
)

# A server that is starting, or has too much to do, says Retry-After; it does nothing of what was asked.
_BUSY_DELAYS = (0.5, 1.0, 2.0, 4.0)
_JSON_PATCH = "application/json-patch+json"
_APPLY_PATCH = "application/apply-patch+yaml"


class ApiError(AphexError):
    """The API server refused a request.

    Attributes:
        status: the HTTP status.
        reason: Kubernetes' word for it, such as NotFound, AlreadyExists, Conflict, Invalid, Forbidden.
        details: the `details` of the Status object.
    """

    def __init__(
        self, message: str, *, status: int, reason: str = "", details: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.details = details or {}

    @property
    def not_found(self) -> bool:
        """Whether the object, or the namespace it should be in, does not exist."""
        return self.status == httpx.codes.NOT_FOUND

    @property
    def no_namespace(self) -> bool:
        """Whether it is the object's namespace that does not exist."""
        return self.not_found and self.details.get("kind") == "namespaces"


class UnknownKind(AphexError):
    """The cluster serves no such kind; its CustomResourceDefinition is perhaps not installed."""

    def __init__(self, api_version: str, kind: str) -> None:
        super().__init__(
            f'no matches for kind "{kind}" in version "{api_version}"',
            hint="Verify that any required CRDs have been created.",
        )


class Unreachable(AphexError):
    """The API server does not answer."""


@dataclass(frozen=True, kw_only=True)
class ResourceType:
    """How the API server serves one kind: the `plural` of its path, and whether it lives in namespaces."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool

    def path(self, namespace: str, name: str = "") -> str:
        """The URL path of an object, or of the collection when no name is given."""
        group, version = split_api_version(self.api_version)
        root = f"/apis/{group}/{version}" if group else f"/api/{version}"
        scope = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return f"{root}{scope}/{self.plural}" + (f"/{name}" if name else "")


class KubernetesApi:
    """One API server. Safe to use from several threads."""

    def __init__(self, connection: Connection) -> None:
        self.default_namespace = connection.namespace
        self.server = connection.server
        self._client = connection.client()
        self._finalizer = weakref.finalize(self, self._client.close)
        self._types: dict[str, dict[str, ResourceType]] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the connections to the API server."""
        self._finalizer()

    def resource_type(self, api_version: str, kind: str) -> ResourceType:
        """Find how a kind is served. What was not found is asked for again, as a CRD may have come since.

        Raises:
            UnknownKind: the cluster serves no such kind.
        """
        with self._lock:
            known = self._types.get(api_version, {})
        if kind not in known:
            known = self._discover(api_version)
            with self._lock:
                self._types[api_version] = known
        if kind not in known:
            raise UnknownKind(api_version, kind)
        return known[kind]

    def type_of(self, obj: KubernetesObject) -> ResourceType:
        """Find how an object's kind is served.

        Raises:
            UnknownKind: the cluster serves no such kind.
        """
        group, version, kind = group_version_kind(obj)
        return self.resource_type(f"{group}/{version}" if group else version, kind)

    def forget(self) -> None:
        """Forget what discovery found, after a CustomResourceDefinition changed."""
        with self._lock:
            self._types.clear()

    def _discover(self, api_version: str) -> dict[str, ResourceType]:
        group, version = split_api_version(api_version)
        try:
            listed = self._send("GET", f"/apis/{group}/{version}" if group else f"/api/{version}")
        except ApiError as error:
            if error.not_found:
                return {}
            raise
        return {
            entry["kind"]: ResourceType(
                api_version=api_version, kind=entry["kind"], plural=entry["name"], namespaced=entry["namespaced"]
            )
            for entry in listed["resources"]
            if "/" not in entry["name"]
        }

    def get(self, obj: KubernetesObject) -> KubernetesObject:
        """Read the live version of an object, found by its kind, namespace and name.

        Raises:
            ApiError: it does not exist, or may not be read.
            UnknownKind: the cluster serves no such kind.
        """
        return self._send("GET", self._path(obj, name_of(obj)))

    def find_all(
        self, api_version: str, kind: str, namespace: str, labels: Mapping[str, str]
    ) -> list[KubernetesObject]:
        """Read the objects of a kind in a namespace that have all these labels."""
        selector = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
        path = self.resource_type(api_version, kind).path(namespace)
        found = self._send("GET", path, params={"labelSelector": selector} if selector else {})
        return [{"apiVersion": api_version, "kind": kind, **item} for item in found["items"]]

    def create(self, obj: KubernetesObject, *, manager: str, dry_run: bool = False) -> KubernetesObject:
        """Create an object.

        Raises:
            ApiError: it exists already, or is not valid.
        """
        return self._send("POST", self._path(obj), params=_params(manager, dry_run), body=obj)

    def apply(
        self, obj: KubernetesObject, *, manager: str, force: bool = False, dry_run: bool = False, lenient: bool = False
    ) -> KubernetesObject:
        """Apply an object on the server's side: its fields become `manager`'s, those it no longer has go.

        Args:
            obj: the fields to own, with their values.
            manager: the field manager.
            force: take over fields of other managers instead of failing with a conflict.
            dry_run: compute the result without keeping it.
            lenient: drop unknown fields with a warning, also where the server would refuse them.

        Raises:
            ApiError: a conflict with another field manager, or an object that is not valid.
        """
        params = {**_params(manager, dry_run), "force": "true" if force else "false"}
        if lenient:
            params["fieldValidation"] = "Warn"
        return self._send("PATCH", self._path(obj, name_of(obj)), params=params, body=obj, media=_APPLY_PATCH)

    def replace(self, obj: KubernetesObject, *, manager: str, dry_run: bool = False) -> KubernetesObject:
        """Replace an object as a whole; its resourceVersion has to be the live one."""
        return self._send("PUT", self._path(obj, name_of(obj)), params=_params(manager, dry_run), body=obj)

    def json_patch(self, obj: KubernetesObject, operations: list[dict[str, Any]]) -> KubernetesObject:
        """Change an object by a JSON patch (RFC 6902)."""
        return self._send("PATCH", self._path(obj, name_of(obj)), body=operations, media=_JSON_PATCH)

    def delete(self, obj: KubernetesObject, *, propagation: str) -> None:
        """Ask for an object's deletion; finalizers and dependents may keep it for a while.

        Args:
            obj: the object, found by its kind, namespace and name.
            propagation: Foreground, Background or Orphan.
        """
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        self._send("DELETE", self._path(obj, name_of(obj)), body=body)

    def _path(self, obj: KubernetesObject, name: str = "") -> str:
        return self.type_of(obj).path(namespace_of(obj) or self.default_namespace, name)

    def _send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        media: str = "application/json",
    ) -> dict[str, Any]:
        # JSON is YAML, so one encoder serves the apply patches too.
        content = None if body is None else json.dumps(body).encode()
        headers = {"Accept": "application/json", **({"Content-Type": media} if content else {})}
        for patience in (*_BUSY_DELAYS, None):
            try:
                response = self._client.request(method, path, params=params, content=content, headers=headers)
            except httpx.TransportError as error:
                raise self._unreachable(error) from error
            if patience is None or "Retry-After" not in response.headers:
                break
            time.sleep(patience)
        if response.is_error:
            raise _error(response)
        result: dict[str, Any] = response.json()
        return result

    def _unreachable(self, error: httpx.TransportError) -> Unreachable:
        return Unreachable(
            f"The Kubernetes API server at {self.server} does not answer: {error}.",
            hint="Is the cluster running, and is it the one that the kubeconfig names?",
        )


def _params(manager: str, dry_run: bool) -> dict[str, str]:
    return {"fieldManager": manager, **({"dryRun": "All"} if dry_run else {})}


def _error(response: httpx.Response) -> ApiError:
    try:
        status = response.json()
    except ValueError:
        status = {}
    if not isinstance(status, dict) or status.get("kind") != "Status":
        return ApiError(response.text.strip() or response.reason_phrase, status=response.status_code)
    return ApiError(
        status.get("message", response.reason_phrase),
        status=response.status_code,
        reason=status.get("reason", ""),
        details=status.get("details"),
    )
