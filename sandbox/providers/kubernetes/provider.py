"""The Kubernetes provider's answers to the engine: any kind of object, by discovery and server-side apply."""

from __future__ import annotations

import copy
import importlib.metadata
import threading
from typing import TYPE_CHECKING

from sandbox.providers.base import (
    Change,
    Checked,
    Created,
    Difference,
    InitializationFailed,
    Kind,
    Naming,
    Properties,
    PropertyChange,
    Provider,
    ProviderError,
    Resource,
    State,
    UnknownFunction,
    has_unknown,
)
from sandbox.providers.kubernetes import settings, state
from sandbox.providers.kubernetes.api import ApiError, KubernetesApi, Unreachable
from sandbox.providers.kubernetes.awaiting import NotReady
from sandbox.providers.kubernetes.charts import ChartTarget
from sandbox.providers.kubernetes.connection import connect
from sandbox.providers.kubernetes.diff import property_changes
from sandbox.providers.kubernetes.kinds import Scopes, api_version_and_kind, is_patch
from sandbox.providers.kubernetes.normalization import normalize
from sandbox.providers.kubernetes.objects import (
    AUTONAMED,
    REPLACE_UNREADY,
    KubernetesObject,
    identifier,
    is_annotated,
    metadata,
    name_of,
    namespace_of,
    prune,
    split_identifier,
    to_sdk_keys,
    to_server_keys,
)
from sandbox.providers.kubernetes.operations import Operations
from sandbox.providers.kubernetes.readiness import Readiness, Sight, readiness
from sandbox.providers.kubernetes.replacement import force_new_fields

if TYPE_CHECKING:
    from sandbox.providers.server import KubernetesTarget


class KubernetesProvider(Provider):
    """Stands in for pulumi-kubernetes.

    Args:
        target: the cluster of programs that do not name one; None for the usual kubeconfig.
    """

    package = "kubernetes"
    version = importlib.metadata.version("pulumi-kubernetes")

    def __init__(self, target: KubernetesTarget | None = None) -> None:
        self._target = target
        self._settings = settings.Settings()
        self._cancelled = threading.Event()
        self._connecting = threading.Lock()
        self._connected: tuple[KubernetesApi, Operations, Scopes] | None = None

    def configure(self, config: Properties) -> None:
        """Take the configuration; the cluster is looked for when a resource first needs it."""
        self._settings = settings.Settings.read(config)

    def chart_target(self) -> ChartTarget:
        """The cluster, for what installs charts in it by itself."""
        chosen, target = self._settings, self._target
        if chosen.kubeconfig is not None or target is None:
            return ChartTarget(kubeconfig=chosen.kubeconfig, context=chosen.context)
        path = str(target.kubeconfig) if target.kubeconfig else None
        return ChartTarget(kubeconfig=path, context=chosen.context or target.context)

    def diff_config(self, old: Properties, new: Properties) -> Difference:
        """Compare two configurations; only another active cluster replaces resources."""
        return settings.difference(old, new)

    def _cluster(self) -> tuple[KubernetesApi, Operations, Scopes]:
        with self._connecting:
            if self._connected is None:
                chosen, target = self._settings, self._target
                given = chosen.kubeconfig
                if given is None and target and target.kubeconfig:
                    given = str(target.kubeconfig)
                context = chosen.context or (target.context if target and not chosen.kubeconfig else None)
                connection = connect(given, context=context, cluster=chosen.cluster, namespace=chosen.namespace)
                api = KubernetesApi(connection)
                self._connected = api, Operations(api, self._cancelled, force=chosen.force), Scopes(api)
            return self._connected

    def check(self, resource: Resource, old: Properties | None, new: Properties, naming: Naming) -> Checked:
        """Bring inputs to the API server's form, and fill in kind, name and namespace."""
        api, _, scopes = self._cluster()
        api_version, kind = api_version_and_kind(resource.type)
        inputs = to_server_keys(new)
        inputs = {**inputs, "apiVersion": inputs.get("apiVersion", api_version), "kind": inputs.get("kind", kind)}
        inputs = normalize(inputs)
        if is_patch(resource.type, inputs["kind"]) and not state.is_named(inputs):
            raise ProviderError("patch resources require the `.metadata.name` field to be set")
        state.give_name(inputs, to_server_keys(old) if old is not None else None, resource.name, naming)
        if state.wants_generated_name(inputs):
            raise ProviderError("the `.metadata.generateName` field is not supported in Server-Side Apply mode")
        scopes.learn(inputs)
        meta = inputs.setdefault("metadata", {})
        if isinstance(meta, dict) and not meta.get("namespace") and scopes.namespaced(inputs):
            meta["namespace"] = api.default_namespace
        return Checked(state.with_secret_data(to_sdk_keys(inputs)))

    def diff(
        self, resource: Resource, id: str, old_inputs: Properties, old_outputs: Properties, new: Properties
    ) -> Difference:
        """Compare the live object, as it was last seen, with what is asked for now."""
        del id  # the state says it all
        _, operations, scopes = self._cluster()
        live = state.live_object(old_outputs)
        wanted = normalize(to_server_keys(new))
        asked = normalize(to_server_keys(old_outputs.get(state.INPUTS) or old_inputs))
        before = _comparable(prune(live, asked), namespaced=scopes.namespaced(wanted))
        wanted = _comparable(wanted, namespaced=scopes.namespaced(wanted))
        before.setdefault("apiVersion", wanted["apiVersion"])
        before.setdefault("kind", wanted["kind"])
        if name_of(wanted):
            before.setdefault("metadata", {})["name"] = name_of(live)
        fields = force_new_fields(
            wanted,
            mutable_config_maps=self._settings.mutable_config_maps,
            mutable_secrets=self._settings.mutable_secrets,
        )
        if is_patch(resource.type, wanted["kind"]):
            fields = fields[:2]
        changes = property_changes(before, wanted, fields)
        if is_annotated(wanted, REPLACE_UNREADY) and self._unready_job(operations, live):
            changes.append(PropertyChange('metadata.annotations["pulumi.com/replaceUnready"]', Kind.UPDATE, True))
        return Difference(changes, _must_delete_first(changes, wanted, live))

    def _unready_job(self, operations: Operations, live: KubernetesObject) -> bool:
        found = operations.find(live) if live.get("kind") == "Job" else None
        return found is not None and not _judged({}, found, operations).ready

    def create(self, resource: Resource, inputs: Properties, *, preview: bool, timeout: float) -> Created:
        """Create the object and wait until it is ready; a preview asks the API server for a dry run.

        Raises:
            InitializationFailed: it exists but did not become ready.
            ProviderError: the API server refused it.
        """
        _, operations, _ = self._cluster()
        wanted = to_server_keys(inputs)
        patch = is_patch(resource.type, wanted["kind"])
        manager = state.field_manager({}, wanted)
        if preview:
            unsaid = has_unknown(inputs) or patch or not operations.serves(wanted)
            upsert = self._settings.upsert
            found = None if unsaid else operations.preview_create(wanted, manager=manager, upsert=upsert)
            if found is None:
                return Created("", inputs)
            found.pop("status", None)
            return Created("", self._kept(wanted, found, manager, wanted["apiVersion"]))
        try:
            live = operations.create(wanted, manager=manager, upsert=patch or self._settings.upsert)
        except Unreachable:
            raise
        except (ApiError, ProviderError) as error:
            raise ProviderError(
                f'resource "{resource.urn}" was not successfully created by the Kubernetes API server: {error.message}',
                hint=error.hint,
            ) from error
        try:
            live = operations.settle(wanted, live, None, timeout)
        except NotReady as problem:
            kept = self._kept(wanted, problem.live, manager, wanted["apiVersion"])
            told = (
                f'resource "{resource.urn}" was successfully created, but the Kubernetes API server '
                f"reported that it failed to fully initialize or become live: {problem.message}"
            )
            raise InitializationFailed(identifier(problem.live), kept, [told, *problem.reasons]) from problem
        return Created(identifier(live), self._kept(wanted, live, manager, wanted["apiVersion"]))

    def _kept(self, inputs: KubernetesObject, live: KubernetesObject, manager: str, first: str) -> Properties:
        return state.checkpoint(inputs, live, manager=manager, initial_api_version=first)

    def read(self, resource: Resource, id: str, inputs: Properties, outputs: Properties) -> State | None:
        """Read the live object; an import takes its inputs from what is live.

        Raises:
            InitializationFailed: it is there but not ready.
        """
        try:
            _, operations, _ = self._cluster()
            live = operations.find(self._identity(resource, id, inputs, outputs))
        except Unreachable:
            if self._settings.delete_unreachable:
                return None
            raise
        if live is None:
            return None
        asked = normalize(to_server_keys(inputs)) if inputs.get("kind") else _as_inputs(live)
        manager, first = state.field_manager(outputs, asked), state.initial_api_version(outputs, asked)
        found = prune(live, asked)
        kept = self._kept(found, live, manager, first)
        given = state.with_secret_data(to_sdk_keys(found))
        if inputs.get("kind") and not is_patch(resource.type, live["kind"]):
            seen = _judged(asked, live, operations)
            if not seen.ready:
                told = f"Resource '{name_of(live)}' was created but failed to initialize"
                raise InitializationFailed(id, kept, [told, *seen.reasons], given)
        return State(id or identifier(live), kept, given)

    def _identity(self, resource: Resource, id: str, inputs: Properties, outputs: Properties) -> KubernetesObject:
        namespace, name = split_identifier(id)
        api_version, kind = api_version_and_kind(resource.type)
        known = outputs if outputs.get("kind") else inputs
        place = {"namespace": namespace} if namespace else {}
        return {
            "apiVersion": known.get("apiVersion", api_version),
            "kind": known.get("kind", kind),
            "metadata": {"name": name, **place},
        }

    def update(self, resource: Resource, id: str, change: Change) -> Properties:
        """Apply the new inputs and wait until the object is ready; a preview asks for a dry run.

        Raises:
            InitializationFailed: the API server refused the change, or the object did not become ready.
            ProviderError: there is no object to change.
        """
        _, operations, _ = self._cluster()
        wanted = normalize(to_server_keys(change.new))
        if change.preview and (has_unknown(change.new) or not operations.serves(wanted)):
            return change.new
        first = state.initial_api_version(change.old_outputs, to_server_keys(change.old_inputs))
        manager = state.field_manager(change.old_outputs, wanted)
        before = operations.find(self._identity(resource, id, change.new, {}))
        if before is None:
            raise ProviderError(
                f'update of resource "{resource.urn}" failed: {wanted["kind"]} {id} does not exist any more',
                hint="Run a refresh, so that it is created again.",
            )
        live, patch = before, is_patch(resource.type, wanted["kind"])
        try:
            live = operations.update(wanted, before, manager=manager, patch=patch, preview=change.preview)
            if not change.preview:
                live = operations.settle(wanted, live, before, change.timeout)
        except Unreachable:
            raise
        except (ApiError, ProviderError, NotReady) as error:
            if isinstance(error, ApiError) and error.reason == "Forbidden" and change.preview:
                return change.new
            reasons = error.reasons if isinstance(error, NotReady) else ()
            found = operations.find(live) or live
            told = (
                f'the Kubernetes API server reported that "{id}" failed to fully initialize '
                f"or become live: {error.message}"
            )
            kept = self._kept(wanted, found, manager, first)
            raise InitializationFailed(id, kept, [told, *reasons]) from error
        former = state.field_manager(change.old_outputs, to_server_keys(change.old_inputs))
        if not change.preview and former != manager:
            operations.relinquish(live, former)
        return self._kept(wanted, live, manager, first)

    def delete(self, resource: Resource, id: str, inputs: Properties, outputs: Properties, timeout: float) -> None:
        """Delete the object and wait until it is gone; a patch only gives up the fields that it owns.

        Raises:
            NotReady: it is still there after the timeout.
        """
        try:
            _, operations, _ = self._cluster()
            asked = to_server_keys(outputs.get(state.INPUTS) or inputs)
            live = self._identity(resource, id, inputs, outputs)
            uid = metadata(outputs).get("uid")
            live["metadata"] |= {"uid": uid} if uid else {}
            if is_patch(resource.type, live["kind"]):
                operations.relinquish(live, state.field_manager(outputs, asked))
            else:
                operations.delete(asked, live, timeout)
        except Unreachable:
            if not self._settings.delete_unreachable:
                raise

    def invoke(self, token: str, args: Properties) -> Properties:
        """There are no functions: rendering charts, kustomizations and YAML needs the real provider."""
        del args
        raise UnknownFunction(self.package, token, [])

    def cancel(self) -> None:
        """Stop all waiting; what was being created stays as it is."""
        self._cancelled.set()


def _judged(asked: KubernetesObject, live: KubernetesObject, operations: Operations) -> Readiness:
    return readiness(asked, Sight(live=live, before=live, related=operations.related(live)))


def _comparable(obj: KubernetesObject, *, namespaced: bool) -> KubernetesObject:
    """A copy whose namespace is spelled out, or left out where there can be none."""
    result = copy.deepcopy(obj)
    meta = result.get("metadata")
    if isinstance(meta, dict):
        meta.pop("resourceVersion", None)
        if namespaced:
            meta["namespace"] = meta.get("namespace") or "default"
        else:
            meta.pop("namespace", None)
    return result


def _as_inputs(live: KubernetesObject) -> KubernetesObject:
    """The inputs that would give an imported object: all but what only the server sets."""
    result = normalize({key: value for key, value in live.items() if key != "status"})
    annotations = metadata(result).get("annotations")
    if annotations:
        for key in ("deployment.kubernetes.io/revision", "kubectl.kubernetes.io/last-applied-configuration"):
            annotations.pop(key, None)
    return result


def _must_delete_first(changes: list[PropertyChange], wanted: KubernetesObject, live: KubernetesObject) -> bool:
    """Whether a replacement has the old object's very name, so that both cannot exist at once."""
    return (
        any(change.replaces for change in changes)
        and state.is_named(wanted)
        and not is_annotated(wanted, AUTONAMED)
        and name_of(wanted) == name_of(live)
        and namespace_of(wanted) == namespace_of(live)
    )
