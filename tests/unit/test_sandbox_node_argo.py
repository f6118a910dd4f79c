"""Argo's installation manifests as the sandbox changes them."""

from __future__ import annotations

from typing import Any

from ruamel.yaml import YAML

from sandbox.argo import ArgoSettings, customised, deployment_ready, namespaces, pod_started, settings_digest

SETTINGS = ArgoSettings(
    controller="r/controller:1", executor="r/executor:1", server="r/server:1", events="r/events:1", server_ip="10.9.9.9"
)
WORKFLOWS = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: argo-server}
spec:
  template:
    spec:
      containers: [{name: argo-server, image: quay.io/argoproj/argocli:v3, args: [server], env: []}]
---
apiVersion: v1
kind: Service
metadata: {name: argo-server}
spec: {ports: [{port: 2746}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: workflow-controller}
spec:
  template:
    spec:
      containers: [{name: c, image: quay.io/argoproj/workflow-controller:v3, command: [workflow-controller], env: []}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: argo-binding}
subjects: [{kind: ServiceAccount, name: argo, namespace: elsewhere}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: workflow-controller-configmap}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: workflows.argoproj.io}
"""


def by_name(kind: str, name: str) -> dict[str, Any]:
    documents = customised(WORKFLOWS, SETTINGS, "argo")
    return next(d for d in documents if (d["kind"], d["metadata"]["name"]) == (kind, name))


def container(name: str) -> dict[str, Any]:
    only: dict[str, Any] = by_name("Deployment", name)["spec"]["template"]["spec"]["containers"][0]
    return only


def test_nothing_is_pulled_from_outside() -> None:
    images = {container(name)["image"] for name in ("argo-server", "workflow-controller")}
    assert images == {SETTINGS.server, SETTINGS.controller}
    assert SETTINGS.executor in container("workflow-controller")["args"]


def test_argo_server_asks_for_a_login() -> None:
    assert "--auth-mode=client" in container("argo-server")["args"]


def test_no_controller_runs_as_root() -> None:
    for name in ("argo-server", "workflow-controller"):
        security = by_name("Deployment", name)["spec"]["template"]["spec"]["securityContext"]
        assert security["runAsNonRoot"]
        assert security["runAsUser"] > 0


def test_the_controller_does_not_wait_ten_seconds_between_steps() -> None:
    variables = {v["name"]: v["value"] for v in container("workflow-controller")["env"]}
    assert variables["DEFAULT_REQUEUE_TIME"] == "200ms"


def test_namespaced_objects_and_subjects_are_in_the_namespace_and_cluster_wide_ones_in_none() -> None:
    assert by_name("Service", "argo-server")["metadata"]["namespace"] == "argo"
    assert by_name("Service", "argo-server")["spec"]["clusterIP"] == SETTINGS.server_ip
    binding = by_name("ClusterRoleBinding", "argo-binding")
    assert "namespace" not in binding["metadata"]
    assert binding["subjects"][0]["namespace"] == "argo"


def test_definitions_come_before_what_uses_them() -> None:
    assert customised(WORKFLOWS, SETTINGS, "argo")[0]["kind"] == "CustomResourceDefinition"


def test_streams_of_the_event_bus_have_one_replica() -> None:
    text = (
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: argo-events-controller-config}\n"
        "data:\n  controller-config.yaml: |\n    eventBus:\n      jetstream:\n        streamConfig: |\n"
        "          replicas: 3\n          maxAge: 168h\n"
    )
    (document,) = customised(text, SETTINGS, "argo-events")
    configuration = YAML(typ="safe").load(document["data"]["controller-config.yaml"])
    stream = YAML(typ="safe").load(configuration["eventBus"]["jetstream"]["streamConfig"])
    assert stream == {"replicas": 1, "maxAge": "168h"}


def test_the_digest_changes_with_settings_and_manifests_alone() -> None:
    one = settings_digest(SETTINGS, ["a", "b"])
    assert one == settings_digest(SETTINGS, ["a", "b"])
    assert one != settings_digest(SETTINGS, ["a", "c"])
    assert "annotations" not in namespaces()[0]["metadata"]
    assert one in namespaces(one)[0]["metadata"]["annotations"].values()


def test_a_deployment_is_ready_when_its_current_generation_runs() -> None:
    counts = {"replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}
    live = {"metadata": {"generation": 2}, "spec": {"replicas": 1}, "status": {"observedGeneration": 2, **counts}}
    assert deployment_ready(live)
    assert not deployment_ready({**live, "status": {"observedGeneration": 1, **counts}})
    assert not deployment_ready({**live, "status": {"observedGeneration": 2, **counts, "replicas": 2}})


def test_a_pod_of_before_a_crash_does_not_count() -> None:
    running = {"state": {"running": {"startedAt": "1970-01-01T00:01:40Z"}}}
    assert pod_started({"status": {"containerStatuses": [running]}}, since=100.7)
    assert not pod_started({"status": {"containerStatuses": [running]}}, since=101.0)
    assert not pod_started({"status": {"containerStatuses": [running, {"state": {"waiting": {}}}]}}, since=0.0)
    assert not pod_started({"status": {}}, since=0.0)
