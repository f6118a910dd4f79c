"""The stand-in Kubernetes provider against a real API server, called as the engine calls it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from aphex.errors import AphexError
from sandbox.providers.base import UNKNOWN, Change, InitializationFailed, Naming, Resource
from sandbox.providers.kubernetes import operations
from sandbox.providers.kubernetes.api import ApiError, KubernetesApi, UnknownKind
from sandbox.providers.kubernetes.awaiting import NotReady
from sandbox.providers.kubernetes.connection import connect
from sandbox.providers.kubernetes.provider import KubernetesProvider
from sandbox.providers.marshal import decode, encode, plain
from sandbox.providers.server import KubernetesTarget
from tests.support.control_plane import ControlPlane, control_plane

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

CONFIG_MAP = "kubernetes:core/v1:ConfigMap"
DEPLOYMENT = "kubernetes:apps/v1:Deployment"
DEFINITION = "kubernetes:apiextensions.k8s.io/v1:CustomResourceDefinition"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with control_plane(tmp_path_factory.mktemp("control-plane")) as running:
        yield running


@pytest.fixture(scope="module")
def api(cluster: ControlPlane) -> Iterator[KubernetesApi]:
    client = KubernetesApi(connect(str(cluster.kubeconfig)))
    yield client
    client.close()


class Deployer:
    """Calls a provider in the engine's order, and gives it only what the engine would have kept."""

    def __init__(self, provider: KubernetesProvider) -> None:
        self.provider = provider
        self.made: dict[str, tuple[Resource, str, dict[str, Any], dict[str, Any]]] = {}

    def check(self, token: str, name: str, old: dict[str, Any] | None = None, **inputs: Any) -> dict[str, Any]:
        resource = Resource(urn=f"urn:pulumi:test::test::{token}::{name}", type=token, name=name)
        checked = self.provider.check(resource, old, inputs, Naming())
        assert not checked.problems
        return _kept(checked.inputs)

    def create(self, token: str, name: str, *, timeout: float = 20.0, **inputs: Any) -> dict[str, Any]:
        resource = Resource(urn=f"urn:pulumi:test::test::{token}::{name}", type=token, name=name)
        checked = self.check(token, name, **inputs)
        try:
            created = self.provider.create(resource, checked, preview=False, timeout=timeout)
        except InitializationFailed as failure:
            self.made[name] = resource, failure.id, checked, _kept(failure.outputs)
            raise
        self.made[name] = resource, created.id, checked, _kept(created.outputs)
        return self.made[name][3]

    def preview(self, token: str, name: str, **inputs: Any) -> dict[str, Any]:
        resource = Resource(urn=f"urn:pulumi:test::test::{token}::{name}", type=token, name=name)
        checked = self.check(token, name, **inputs)
        created = self.provider.create(resource, checked, preview=True, timeout=0)
        assert created.id == ""
        return _kept(created.outputs)

    def changed(self, name: str, **inputs: Any) -> list[str]:
        resource, own_id, old, outputs = self.made[name]
        checked = self.check(resource.type, name, old, **inputs)
        return [change.path for change in self.provider.diff(resource, own_id, old, outputs, checked).changes]

    def update(self, name: str, *, preview: bool = False, timeout: float = 20.0, **inputs: Any) -> dict[str, Any]:
        resource, own_id, old, outputs = self.made[name]
        checked = self.check(resource.type, name, old, **inputs)
        change = Change(checked, old, outputs, preview=preview, timeout=timeout)
        updated = _kept(self.provider.update(resource, own_id, change))
        if not preview:
            self.made[name] = resource, own_id, checked, updated
        return updated

    def delete(self, name: str, timeout: float = 20.0) -> None:
        resource, own_id, inputs, outputs = self.made[name]
        self.provider.delete(resource, own_id, inputs, outputs, timeout)
        del self.made[name]


def _kept(properties: dict[str, Any]) -> dict[str, Any]:
    """Properties as they come back from the engine's state."""
    return dict(plain(decode(encode(properties))))


def connected(cluster: ControlPlane) -> KubernetesProvider:
    provider = KubernetesProvider(KubernetesTarget(kubeconfig=cluster.kubeconfig))
    provider.configure({})
    return provider


@pytest.fixture
def deployer(cluster: ControlPlane) -> Iterator[Deployer]:
    deploying = Deployer(connected(cluster))
    yield deploying
    for name in reversed(list(deploying.made)):
        deploying.delete(name)


def settings(name: str = "settings", **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": data}


def stored(api: KubernetesApi, kind: str, name: str, api_version: str = "v1") -> dict[str, Any]:
    return api.get({"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": "default"}})


def test_kind_namespace_and_name_are_filled_in(deployer: Deployer) -> None:
    outputs = deployer.create(CONFIG_MAP, "settings", data={"a": "1"})
    assert (outputs["apiVersion"], outputs["kind"]) == ("v1", "ConfigMap")
    assert outputs["metadata"]["namespace"] == "default"
    assert outputs["metadata"]["name"].startswith("settings-")
    assert deployer.made["settings"][1] == f"default/{outputs['metadata']['name']}"


def test_a_preview_has_no_effect(deployer: Deployer, api: KubernetesApi) -> None:
    outputs = deployer.preview(CONFIG_MAP, "settings", **settings(a="1"))
    assert outputs["data"] == {"a": "1"}
    with pytest.raises(ApiError) as failure:
        stored(api, "ConfigMap", "settings")
    assert failure.value.not_found


@pytest.mark.parametrize("namespace", ["not-made-yet", UNKNOWN])
def test_a_preview_in_a_namespace_that_is_not_made_yet_tells_what_is_asked_for(
    deployer: Deployer, namespace: Any
) -> None:
    meta = {"name": "settings", "namespace": namespace}
    outputs = deployer.preview(CONFIG_MAP, "settings", metadata=meta, data={"a": "1"})
    assert outputs["metadata"] == meta
    assert "__inputs" not in outputs


def test_an_update_removes_what_is_no_longer_asked_for_and_nothing_else(deployer: Deployer, api: KubernetesApi) -> None:
    labels = {"team": "blue", "tier": "web"}
    deployer.create(CONFIG_MAP, "settings", metadata={"name": "settings", "labels": labels}, data={"a": "1"})
    theirs = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "labels": {"their": "own"}}}
    api.apply(theirs, manager="somebody")
    wanted: dict[str, Any] = {"metadata": {"name": "settings", "labels": {"team": "red"}}, "data": {"a": "1"}}
    assert deployer.changed("settings", **wanted) == ["metadata.labels.team", "metadata.labels.tier"]
    previewed = deployer.update("settings", preview=True, **wanted)
    assert stored(api, "ConfigMap", "settings")["metadata"]["labels"] == {**labels, "their": "own"}
    updated = deployer.update("settings", **wanted)
    assert updated["metadata"]["labels"] == {"team": "red", "their": "own"}
    assert previewed["metadata"]["labels"]["team"] == "red"
    assert deployer.changed("settings", **wanted) == []


def test_a_field_that_another_manager_took_is_a_conflict_until_it_is_forced(
    deployer: Deployer, api: KubernetesApi
) -> None:
    meta = {"name": "settings", "labels": {"team": "blue"}}
    deployer.create(CONFIG_MAP, "settings", metadata=meta, data={"a": "1"})
    theirs = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "labels": {"team": "theirs"}}}
    api.apply(theirs, manager="somebody", force=True)
    wanted: dict[str, Any] = {"metadata": {**meta, "labels": {"team": "red"}}, "data": {"a": "1"}}
    with pytest.raises(InitializationFailed, match='conflict with "somebody"'):
        deployer.update("settings", **wanted)
    wanted["metadata"]["annotations"] = {"pulumi.com/patchForce": "true"}
    assert deployer.update("settings", **wanted)["metadata"]["labels"] == {"team": "red"}


def test_a_deployment_that_cannot_run_is_kept_with_its_reasons(deployer: Deployer, api: KubernetesApi) -> None:
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": "web:1"}]}}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    with pytest.raises(InitializationFailed, match="'web' timed out waiting to be Ready") as failure:
        deployer.create(DEPLOYMENT, "web", timeout=2, metadata={"name": "web"}, spec=spec)
    assert failure.value.id == "default/web"
    assert failure.value.outputs["spec"]["replicas"] == 1
    assert stored(api, "Deployment", "web", "apps/v1")
    scaled = deployer.update("web", metadata={"name": "web"}, spec={**spec, "replicas": 0})
    assert scaled["spec"]["replicas"] == 0


def test_waiting_ends_when_the_user_interrupts(cluster: ControlPlane, deployer: Deployer) -> None:
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": "web:1"}]}}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    started = time.monotonic()
    interrupt = threading.Timer(1.0, deployer.provider.cancel)
    interrupt.start()
    with pytest.raises(InitializationFailed, match="was cancelled"):
        deployer.create(DEPLOYMENT, "web", timeout=60, metadata={"name": "web"}, spec=spec)
    interrupt.join()
    assert time.monotonic() - started < 30
    # An interrupted provider waits for nothing, also not for what the test removes.
    deployer.provider = connected(cluster)


def test_a_namespace_goes_with_all_that_is_in_it(deployer: Deployer, api: KubernetesApi) -> None:
    deployer.create("kubernetes:core/v1:Namespace", "team", metadata={"name": "team"})
    inside = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "inside", "namespace": "team"}}
    api.create(inside, manager="somebody")
    deployer.delete("team", timeout=60)
    with pytest.raises(ApiError) as failure:
        api.get({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}})
    assert failure.value.not_found


def test_a_finalizer_that_keeps_an_object_is_named(deployer: Deployer, api: KubernetesApi) -> None:
    meta = {"name": "kept", "finalizers": ["example.com/keep"]}
    deployer.create(CONFIG_MAP, "kept", metadata=meta)
    with pytest.raises(NotReady) as failure:
        deployer.delete("kept", timeout=1)
    assert failure.value.reasons == ("finalizers might be preventing deletion (example.com/keep)",)
    live = stored(api, "ConfigMap", "kept")
    api.json_patch(live, [{"op": "remove", "path": "/metadata/finalizers"}])


def test_an_object_that_is_already_gone_is_no_error(deployer: Deployer, api: KubernetesApi) -> None:
    deployer.create(CONFIG_MAP, "settings", **settings(a="1"))
    api.delete(stored(api, "ConfigMap", "settings"), propagation="Background")
    resource, own_id, inputs, outputs = deployer.made["settings"]
    assert deployer.provider.read(resource, own_id, inputs, outputs) is None
    deployer.delete("settings")


def test_an_imported_object_has_the_inputs_that_would_make_it(deployer: Deployer, api: KubernetesApi) -> None:
    existing = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "found"}, "data": {"a": "1"}}
    live = api.create(existing, manager="somebody")
    resource = Resource(urn="urn:pulumi:test::test::x::found", type=CONFIG_MAP, name="found")
    found = deployer.provider.read(resource, "default/found", {}, {})
    assert found is not None
    assert found.inputs == {**existing, "metadata": {"name": "found", "namespace": "default"}}
    deployer.made["found"] = resource, found.id, _kept(found.inputs), _kept(found.outputs)
    assert deployer.changed("found", metadata={"name": "found"}, data={"a": "1"}) == []
    assert deployer.update("found", metadata={"name": "found"}, data={})["metadata"]["uid"] == live["metadata"]["uid"]


def test_importing_what_is_not_there_finds_nothing(deployer: Deployer) -> None:
    resource = Resource(urn="urn:pulumi:test::test::x::found", type=CONFIG_MAP, name="found")
    assert deployer.provider.read(resource, "default/not-there", {}, {}) is None


def test_a_kind_that_the_cluster_does_not_serve_is_named(deployer: Deployer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "_RETRY_DELAYS", (0.01,))
    with pytest.raises(AphexError, match=r'no matches for kind "Gadget" in version "example\.com/v1"'):
        deployer.create("kubernetes:example.com/v1:Gadget", "gadget", metadata={"name": "gadget"})


def widgets(*properties: str) -> dict[str, Any]:
    spec = {"type": "object", "properties": {name: {"type": "integer"} for name in properties}}
    schema = {"type": "object", "properties": {"spec": spec}, "x_kubernetes_preserve_unknown_fields": True}
    return {
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "names": {"kind": "Widget", "plural": "widgets"},
            "scope": "Namespaced",
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }


def test_a_custom_resource_can_follow_its_definition_at_once(deployer: Deployer, api: KubernetesApi) -> None:
    token = "kubernetes:example.com/v1:Widget"
    assert deployer.preview(token, "widget", metadata={"name": "widget"})["metadata"]["namespace"] == "default"
    deployer.create(DEFINITION, "widgets", **widgets("size"))
    deployer.create(token, "widget", metadata={"name": "widget"}, spec={"size": 1})
    assert deployer.changed("widgets", **widgets("size")) == []
    deployer.update("widgets", **widgets("size", "weight"))
    assert deployer.update("widget", metadata={"name": "widget"}, spec={"size": 1, "weight": 2})["spec"]["weight"] == 2
    deployer.delete("widget")
    deployer.delete("widgets")
    with pytest.raises(UnknownKind):
        api.resource_type("example.com/v1", "Widget")


def test_a_patch_changes_an_object_and_leaves_it_as_it_was(deployer: Deployer, api: KubernetesApi) -> None:
    existing = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "shared"}, "data": {"a": "1"}}
    api.create(existing, manager="somebody")
    meta = {"name": "shared", "labels": {"patched": "yes"}}
    deployer.create("kubernetes:core/v1:ConfigMapPatch", "patch", kind="ConfigMap", metadata=meta)
    assert stored(api, "ConfigMap", "shared")["metadata"]["labels"] == {"patched": "yes"}
    deployer.delete("patch")
    left = stored(api, "ConfigMap", "shared")
    assert left["data"] == {"a": "1"}
    assert "labels" not in left["metadata"]
    api.delete(left, propagation="Background")


def test_an_existing_object_is_taken_over_only_when_that_was_asked_for(
    cluster: ControlPlane, deployer: Deployer, api: KubernetesApi
) -> None:
    existing = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "taken"}, "data": {"b": "2"}}
    api.create(existing, manager="somebody")
    with pytest.raises(AphexError, match="already exists"):
        deployer.create(CONFIG_MAP, "taken", **settings("taken", a="1"))
    deployer.provider.configure({"upsertExistingObjects": "true"})
    assert deployer.create(CONFIG_MAP, "taken", **settings("taken", a="1"))["data"] == {"a": "1", "b": "2"}


def test_an_error_names_the_resource_and_what_is_wrong(deployer: Deployer) -> None:
    with pytest.raises(AphexError, match=r'::broken" was not successfully created .* "Not Valid" is invalid'):
        deployer.create(CONFIG_MAP, "broken", **settings("Not Valid", a="1"))
