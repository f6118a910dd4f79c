"""Creates, updates, reads and deletes objects through the API server, with the real provider's rules for each."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from aphex.errors import AphexError
from sandbox.providers.base import ProviderError
from sandbox.providers.kubernetes.api import ApiError, KubernetesApi, UnknownKind
from sandbox.providers.kubernetes.awaiting import wait_until_gone, wait_until_ready
from sandbox.providers.kubernetes.objects import (
    DELETION_PROPAGATION,
    KubernetesObject,
    annotation,
    group_version_kind,
    metadata,
    name_of,
    namespace_of,
)
from sandbox.providers.kubernetes.ownership import CREATOR, must_force, takeover

_T = TypeVar("_T")

# A namespace or a CRD of the same program may come a moment later; the real provider waits as long.
_RETRY_DELAYS = (1.0, 2.0, 4.0, 8.0, 16.0)

_TAKEOVER_ATTEMPTS = 5

_EXISTS = """

The resource already exists in the cluster. This can happen when:

  - Renaming a Pulumi resource: use an alias to preserve the identity,
    or use deleteBeforeReplace if the resource needs replacement.
  - Managing an existing resource: use a Patch resource (e.g. NamespacePatch)
    to manage specific fields without owning the resource lifecycle.
  - Adopting a resource into Pulumi: use `pulumi import`. Note that
    protected resources (e.g. kube-system) cannot be deleted on destroy.
  - Intentional upsert: set upsertExistingObjects on the provider to allow
    server-side apply to update existing objects on create."""


class Operations:
    """What can be done to objects of one cluster, until `cancelled` is set."""

    def __init__(self, api: KubernetesApi, cancelled: threading.Event, *, force: bool = False) -> None:
        self._api = api
        self._cancelled = cancelled
        self._force = force

    def serves(self, obj: KubernetesObject) -> bool:
        """Whether the cluster knows the object's kind."""
        try:
            self._api.type_of(obj)
        except UnknownKind:
            return False
        return True

    def preview_create(self, inputs: KubernetesObject, *, manager: str, upsert: bool) -> KubernetesObject | None:
        """What creating an object would give, or None when the API server cannot say that yet.

        Raises:
            ApiError: it would be refused.
        """
        try:
            return self._submit(inputs, manager=manager, upsert=upsert, dry_run=True)
        except ApiError as error:
            unsaid = error.no_namespace or error.reason in ("AlreadyExists", "Forbidden")
            if unsaid or "does not support dry run" in error.message:
                return None
            raise

    def create(self, inputs: KubernetesObject, *, manager: str, upsert: bool) -> KubernetesObject:
        """Create an object, or take over an existing one when `upsert` is set. It may not be ready yet.

        Raises:
            ApiError: the API server refused it.
            UnknownKind: the cluster serves no such kind, also not after half a minute.
        """
        try:
            live = self._retried(lambda: self._submit(inputs, manager=manager, upsert=upsert, dry_run=False))
        except ApiError as error:
            if error.reason == "AlreadyExists":
                raise ProviderError(error.message + _EXISTS) from error
            raise
        self._forget_definitions(inputs)
        return live

    def _submit(self, inputs: KubernetesObject, *, manager: str, upsert: bool, dry_run: bool) -> KubernetesObject:
        if not upsert:
            return self._api.create(inputs, manager=CREATOR, dry_run=dry_run)
        force = must_force(inputs, None, always=self._force, preview=dry_run)
        return self._apply(inputs, manager=manager, force=force, dry_run=dry_run, lenient=True)

    def _apply(
        self, inputs: KubernetesObject, *, manager: str, force: bool, dry_run: bool, lenient: bool = False
    ) -> KubernetesObject:
        try:
            return self._api.apply(inputs, manager=manager, force=force, dry_run=dry_run, lenient=lenient)
        except ApiError as error:
            if error.reason != "Conflict":
                raise
            raise ProviderError(
                "server-side apply field conflict detected\n"
                f'The resource managed by field manager "{manager}" had an apply conflict: {error.message}',
                hint="Remove the fields from the program, or take them over by the annotation pulumi.com/patchForce.",
            ) from error

    def update(
        self, inputs: KubernetesObject, before: KubernetesObject, *, manager: str, patch: bool, preview: bool
    ) -> KubernetesObject:
        """Change a live object, `before`, to what is asked for. It may not be ready yet.

        Args:
            inputs: what is asked for.
            before: the live object.
            manager: the field manager of the resource.
            patch: the resource manages only some fields of an object that is not its own.
            preview: compute the result without keeping it.

        Raises:
            ApiError: the API server refused it.
            ProviderError: another field manager owns a field.
        """
        if group_version_kind(inputs)[::2] == ("apiextensions.k8s.io", "CustomResourceDefinition"):
            # Apply cannot drop a version or a schema that another manager shares; the real provider replaces too.
            version = metadata(before)["resourceVersion"]
            whole = {**inputs, "metadata": {**metadata(inputs), "resourceVersion": version}}
            live = self._api.replace(whole, manager=manager, dry_run=preview)
            self._forget_definitions(inputs)
            return live
        if not patch and not preview:
            before = self._take_over(before, manager)
        force = must_force(inputs, before, always=self._force, preview=preview)
        return self._apply(inputs, manager=manager, force=force, dry_run=preview)

    def _take_over(self, live: KubernetesObject, manager: str) -> KubernetesObject:
        for _ in range(_TAKEOVER_ATTEMPTS):
            operations = takeover(live, manager)
            if not operations:
                return live
            try:
                return self._api.json_patch(live, operations)
            except ApiError as error:
                # A controller changed the object meanwhile, so the test for its version failed.
                if error.reason not in ("Conflict", "Invalid"):
                    raise
                now = self._api.get(live)
                if metadata(now)["resourceVersion"] == metadata(live)["resourceVersion"]:
                    raise  # it did not change: something else, such as an admission policy, refuses the patch
                live = now
        raise ProviderError(f"{live['kind']} {name_of(live)} changes too often to take over its fields")

    def settle(
        self, inputs: KubernetesObject, live: KubernetesObject, before: KubernetesObject | None, timeout: float
    ) -> KubernetesObject:
        """Wait until an object is ready; `before` is what it was before an update.

        Raises:
            NotReady: it did not become ready.
        """
        return wait_until_ready(self._api, inputs, live, before=before, timeout=timeout, cancelled=self._cancelled)

    def find(self, obj: KubernetesObject) -> KubernetesObject | None:
        """Read the live version of an object; None when it, or its kind, is gone."""
        try:
            return self._api.get(obj)
        except UnknownKind:
            return None
        except ApiError as error:
            if error.not_found:
                return None
            raise

    def related(self, live: KubernetesObject) -> Callable[..., list[KubernetesObject]]:
        """How to find the objects that a live one stands for."""
        namespace = namespace_of(live) or self._api.default_namespace
        return lambda api_version, kind, labels: self._api.find_all(api_version, kind, namespace, labels)

    def delete(self, inputs: KubernetesObject, live: KubernetesObject, timeout: float) -> None:
        """Delete an object with all that depends on it, and wait until it is gone.

        Raises:
            NotReady: it is still there after the timeout.
        """
        chosen = annotation(inputs, DELETION_PROPAGATION).capitalize()
        try:
            self._api.delete(live, propagation=chosen if chosen in ("Orphan", "Background") else "Foreground")
        except UnknownKind:
            return
        except ApiError as error:
            if error.not_found:
                return
            raise
        wait_until_gone(self._api, inputs, live, timeout=timeout, cancelled=self._cancelled)
        self._forget_definitions(live)

    def relinquish(self, live: KubernetesObject, manager: str) -> None:
        """Give up the fields that a patch owns, which leaves the object itself in place.

        Raises:
            ApiError: the object needs a field that nobody else owns.
        """
        identity = {"name": name_of(live), **({"namespace": namespace_of(live)} if namespace_of(live) else {})}
        bare = {"apiVersion": live["apiVersion"], "kind": live["kind"], "metadata": identity}
        if self.find(bare) is not None:
            self._api.apply(bare, manager=manager)

    def _forget_definitions(self, obj: KubernetesObject) -> None:
        if group_version_kind(obj)[::2] == ("apiextensions.k8s.io", "CustomResourceDefinition"):
            self._api.forget()

    def _retried(self, attempt: Callable[[], _T]) -> _T:
        for delay in _RETRY_DELAYS:
            try:
                return attempt()
            except (ApiError, UnknownKind) as error:
                if isinstance(error, ApiError) and not error.not_found:
                    raise
                if self._cancelled.wait(delay):
                    raise AphexError("the operation was cancelled") from error
        return attempt()
