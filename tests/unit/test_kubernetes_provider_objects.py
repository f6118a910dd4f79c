"""What the Kubernetes provider makes of an object before it asks the API server."""

from __future__ import annotations

import re
from typing import Any

import pytest

from aphex.errors import AphexError
from sandbox.providers.base import UNKNOWN, Naming, NamingMode, Secret
from sandbox.providers.kubernetes import settings, state
from sandbox.providers.kubernetes.kinds import api_version_and_kind, is_patch
from sandbox.providers.kubernetes.normalization import canonical_quantity, normalize
from sandbox.providers.kubernetes.objects import identifier, split_identifier, to_sdk_keys, to_server_keys
from sandbox.providers.kubernetes.ownership import must_force, takeover
from sandbox.providers.marshal import keep_secrets


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("kubernetes:core/v1:ConfigMap", ("v1", "ConfigMap")),
        ("kubernetes:apps/v1:Deployment", ("apps/v1", "Deployment")),
        ("kubernetes:rbac.authorization.k8s.io/v1:Role", ("rbac.authorization.k8s.io/v1", "Role")),
        ("kubernetes:argoproj.io/v1alpha1:WorkflowTemplate", ("argoproj.io/v1alpha1", "WorkflowTemplate")),
    ],
)
def test_a_type_token_names_api_version_and_kind(token: str, expected: tuple[str, str]) -> None:
    assert api_version_and_kind(token) == expected


@pytest.mark.parametrize("token", ["kubernetes:helm.sh/v3:Release", "kubernetes:yaml/v2:ConfigFile"])
def test_what_is_no_object_of_the_api_server_is_named_in_the_error(token: str) -> None:
    with pytest.raises(AphexError, match=re.escape(token)):
        api_version_and_kind(token)


def test_lists_of_objects_cannot_be_created() -> None:
    with pytest.raises(AphexError, match="Use the underlying resource type"):
        api_version_and_kind("kubernetes:core/v1:ConfigMapList")


def test_a_patch_is_told_from_the_object_that_it_patches() -> None:
    assert is_patch("kubernetes:core/v1:ConfigMapPatch", "ConfigMap")
    assert not is_patch("kubernetes:core/v1:ConfigMap", "ConfigMap")


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("0.5", "500m"), ("1000m", "1"), ("1500m", "1500m"), ("1024Mi", "1Gi"), ("1.5Gi", "1536Mi"),
        ("100000", "100k"), ("0", "0"), (2, "2"), (0.1, "100m"), ("not a quantity", "not a quantity"),
    ],
)  # fmt: skip
def test_quantities_are_written_as_the_api_server_keeps_them(written: object, kept: str) -> None:
    assert canonical_quantity(written) == kept


def test_what_is_empty_is_left_out_of_built_in_kinds_only() -> None:
    meta = {"name": "one", "labels": {}, "annotations": {"kept": ""}}
    built_in = normalize({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"kept": ""}})
    assert built_in["metadata"] == {"name": "one", "annotations": {"kept": ""}}
    assert built_in["data"] == {"kept": ""}
    custom = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": meta, "spec": {"parts": [], "on": False}}
    assert normalize(custom) == custom


def test_what_only_the_server_sets_is_left_out() -> None:
    meta: dict[str, Any] = {
        "name": "one",
        "uid": "u",
        "resourceVersion": "1",
        "managedFields": [],
        "creationTimestamp": None,
    }
    assert normalize({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": meta})["metadata"] == {
        "name": "one"
    }


def test_the_string_data_of_a_secret_becomes_its_data() -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "data": {"a": "YQ=="}, "stringData": {"b": "b"}}
    assert normalize(secret) == {"apiVersion": "v1", "kind": "Secret", "data": {"a": "YQ==", "b": "Yg=="}}


def test_a_secret_whose_value_is_not_known_yet_is_left_as_it_is() -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "stringData": {"b": UNKNOWN}}
    assert normalize(secret) == secret


def named(meta: dict[str, Any], old: dict[str, Any] | None = None, naming: Naming = Naming()) -> dict[str, Any]:  # noqa: B008
    inputs: dict[str, Any] = {"metadata": meta}
    state.give_name(inputs, old, "settings", naming)
    return dict(inputs["metadata"])


def test_a_given_name_is_kept_and_not_marked() -> None:
    assert named({"name": "mine"}) == {"name": "mine"}
    assert named({"name": UNKNOWN}) == {"name": UNKNOWN}


def test_a_missing_name_is_made_of_the_resource_and_eight_digits() -> None:
    meta = named({}, naming=Naming(seed=b"seed"))
    assert re.fullmatch(r"settings-[0-9a-f]{8}", meta["name"])
    assert meta["annotations"] == {"pulumi.com/autonamed": "true"}
    assert named({}, naming=Naming(seed=b"seed")) == meta
    assert named({}, naming=Naming(seed=b"other")) != meta


def test_a_made_name_stays_with_the_object() -> None:
    old = {"metadata": named({})}
    assert named({}, old) == old["metadata"]


def test_the_stack_may_forbid_made_names() -> None:
    with pytest.raises(AphexError, match="autonaming is disabled"):
        named({}, naming=Naming(mode=NamingMode.DISABLE))


def test_the_stack_may_propose_the_name() -> None:
    assert named({}, naming=Naming(proposed="prod-settings"))["name"] == "prod-settings"


def test_the_data_of_a_secret_stays_secret_in_the_state() -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "one"}, "data": {"a": "YQ=="}}
    kept = state.checkpoint(secret, secret, manager="m", initial_api_version="v1")
    assert kept["data"] == Secret({"a": "YQ=="})
    assert kept["__inputs"]["data"] == Secret({"a": "YQ=="})
    assert "YQ==" not in repr(kept)


def test_what_is_secret_in_the_inputs_stays_secret_wherever_it_is_kept() -> None:
    inputs = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "data": {"a": "correct horse"}}
    kept = state.checkpoint(inputs, inputs, manager="m", initial_api_version="v1")
    marked = keep_secrets(kept, {**inputs, "data": {"a": Secret("correct horse")}})
    assert "correct horse" not in repr(marked)
    assert marked["__inputs"]["metadata"] == {"name": "one"}
    # What is read back is marked like what was kept, and no more.
    assert keep_secrets(kept, marked) == marked


def test_open_api_extensions_are_spelled_as_each_side_spells_them() -> None:
    sdk = {"schema": [{"x_kubernetes_preserve_unknown_fields": True}]}
    server = {"schema": [{"x-kubernetes-preserve-unknown-fields": True}]}
    assert to_server_keys(sdk) == server
    assert to_sdk_keys(server) == sdk


@pytest.mark.parametrize("text", ["team/settings", "settings"])
def test_an_id_is_namespace_and_name(text: str) -> None:
    namespace, name = split_identifier(text)
    meta = {"name": name, **({"namespace": namespace} if namespace else {})}
    assert identifier({"metadata": meta}) == text


def _live(*managers: tuple[str, str, dict[str, Any]]) -> dict[str, Any]:
    entries = [{"manager": name, "operation": how, "fieldsV1": fields} for name, how, fields in managers]
    return {"metadata": {"name": "one", "resourceVersion": "7", "managedFields": entries}}


def test_a_resource_takes_over_the_fields_with_which_it_was_created() -> None:
    live = _live(
        ("pulumi-kubernetes", "Update", {"f:data": {"f:a": {}}}),
        ("somebody", "Update", {"f:data": {"f:b": {}}}),
        ("pulumi-kubernetes-0123abcd", "Apply", {"f:data": {"f:c": {}}}),
    )
    test, replace = takeover(live, "pulumi-kubernetes-0123abcd")
    assert test == {"op": "test", "path": "/metadata/resourceVersion", "value": "7"}
    assert [(entry["manager"], entry["operation"], entry["fieldsV1"]) for entry in replace["value"]] == [
        ("somebody", "Update", {"f:data": {"f:b": {}}}),
        ("pulumi-kubernetes-0123abcd", "Apply", {"f:data": {"f:c": {}, "f:a": {}}}),
    ]


def test_there_is_nothing_to_take_over_from_others() -> None:
    assert takeover(_live(("somebody", "Update", {"f:data": {}})), "mine") == []


def test_conflicts_are_forced_only_when_asked_for() -> None:
    live = _live(("somebody", "Apply", {}))
    assert not must_force({}, live, always=False, preview=False)
    assert must_force({}, live, always=True, preview=False)
    asked = {"metadata": {"annotations": {"pulumi.com/patchForce": "true"}}}
    assert must_force(asked, live, always=False, preview=False)


def _kubeconfig(server: str) -> str:
    return f"""
clusters: [{{name: c, cluster: {{server: "{server}"}}}}]
users: [{{name: u, user: {{token: t}}}}]
contexts: [{{name: x, context: {{cluster: c, user: u}}}}]
current-context: x
"""


def test_another_cluster_replaces_what_is_in_the_old_one() -> None:
    old, new = ({"kubeconfig": _kubeconfig(f"https://{name}")} for name in ("one", "two"))
    assert [change.replaces for change in settings.difference(old, new).changes] == [True]


def test_other_credentials_for_the_same_cluster_replace_nothing() -> None:
    old = {"kubeconfig": _kubeconfig("https://one")}
    new = {"kubeconfig": _kubeconfig("https://one").replace("token: t", "token: other")}
    assert [change.replaces for change in settings.difference(old, new).changes] == [False]


def test_flags_come_from_the_configuration_or_the_environment() -> None:
    read = settings.Settings.read({"enableConfigMapMutable": "true"}, {"PULUMI_K8S_ENABLE_SECRET_MUTABLE": "true"})
    assert read.mutable_config_maps
    assert read.mutable_secrets
    assert not read.upsert


def test_rendering_to_files_is_refused() -> None:
    with pytest.raises(AphexError, match="renderYamlToDirectory"):
        settings.Settings.read({"renderYamlToDirectory": "out"}, {})


def test_a_kubeconfig_is_never_shown() -> None:
    assert "token" not in repr(settings.Settings.read({"kubeconfig": _kubeconfig("https://one")}, {}))
