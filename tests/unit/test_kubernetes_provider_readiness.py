"""When the Kubernetes provider calls an object ready."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from aphex.errors import AphexError
from sandbox.providers.kubernetes.awaiting import timeout_of
from sandbox.providers.kubernetes.objects import KubernetesObject
from sandbox.providers.kubernetes.readiness import Readiness, Sight, readiness


def judge(live: dict[str, Any], *others: KubernetesObject, before: KubernetesObject | None = None) -> Readiness:
    def related(api_version: str, kind: str, labels: Mapping[str, str]) -> list[KubernetesObject]:
        return [other for other in others if (other["apiVersion"], other["kind"]) == (api_version, kind)]

    return readiness(live, Sight(live=live, before=before, related=related))


def obj(kind: str, api_version: str = "v1", *, uid: str = "u", **fields: Any) -> dict[str, Any]:
    meta = {"name": "one", "uid": uid, "generation": 1, **fields.pop("metadata", {})}
    return {"apiVersion": api_version, "kind": kind, "metadata": meta, **fields}


def condition(name: str, status: str, message: str = "") -> dict[str, Any]:
    return {"conditions": [{"type": name, "status": status, "message": message}]}


def test_a_kind_that_is_not_known_is_ready_at_once() -> None:
    assert judge(obj("Widget", "example.com/v1")).ready


def test_waiting_can_be_skipped() -> None:
    pod = obj("Pod", metadata={"annotations": {"pulumi.com/skipAwait": "true"}}, status={"phase": "Pending"})
    assert judge(pod).ready


@pytest.mark.parametrize(
    ("expression", "ready"),
    [
        ("condition=Ready", True),
        ("condition=Ready=false", False),
        ("condition=Other", False),
        ("jsonpath={.status.phase}=Running", True),
        ("jsonpath={.status.phase}=Done", False),
        ("jsonpath={.status.conditions[0].type}", True),
        ('["condition=Ready", "jsonpath={.status.other}"]', False),
    ],
)
def test_what_to_wait_for_can_be_said(expression: str, ready: bool) -> None:
    status = {**condition("Ready", "True"), "phase": "Running"}
    widget = obj("Widget", metadata={"annotations": {"pulumi.com/waitFor": expression}}, status=status)
    assert judge(widget).ready is ready


def test_a_condition_to_wait_for_that_makes_no_sense_is_refused() -> None:
    widget = obj("Widget", metadata={"annotations": {"pulumi.com/waitFor": "soon"}})
    with pytest.raises(AphexError, match='"soon" is no condition'):
        judge(widget)


def deployment(**status: Any) -> dict[str, Any]:
    return obj(
        "Deployment",
        "apps/v1",
        metadata={"annotations": {"deployment.kubernetes.io/revision": "1"}},
        spec={"selector": {"matchLabels": {"app": "web"}}},
        status={"observedGeneration": 1, **status},
    )


def replica_set(ready: int, *, wanted: int = 1) -> dict[str, Any]:
    return obj(
        "ReplicaSet",
        "apps/v1",
        uid="set",
        metadata={
            "annotations": {"deployment.kubernetes.io/revision": "1"},
            "ownerReferences": [{"uid": "u"}],
        },
        spec={"replicas": wanted},
        status={"readyReplicas": ready},
    )


def test_a_deployment_is_ready_when_its_pods_are() -> None:
    assert judge(deployment(**condition("Available", "True")), replica_set(1)).ready


def test_a_deployment_of_no_pods_is_ready() -> None:
    assert judge(deployment(), replica_set(0, wanted=0)).ready


def test_a_deployment_says_why_its_pods_do_not_run() -> None:
    waiting = {"name": "web", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}
    pod = obj("Pod", metadata={"ownerReferences": [{"uid": "set"}]}, status={"containerStatuses": [waiting]})
    seen = judge(deployment(), replica_set(0), pod)
    assert not seen.ready
    assert seen.reasons[-1] == "Pod one, container web: ImagePullBackOff: no such image"


def test_a_deployment_whose_new_shape_was_not_seen_yet_is_not_ready() -> None:
    live = deployment(**condition("Available", "True"))
    live["metadata"]["generation"] = 2
    assert not judge(live, replica_set(1)).ready


def test_a_job_is_ready_when_it_is_complete() -> None:
    assert judge(obj("Job", "batch/v1", spec={}, status=condition("Complete", "True"))).ready


def test_a_failed_job_is_not_waited_for() -> None:
    seen = judge(obj("Job", "batch/v1", spec={}, status=condition("Failed", "True", "too many retries")))
    assert seen.failed
    assert seen.reasons == ("too many retries",)


def endpoints(*ready: bool) -> dict[str, Any]:
    slices = [{"conditions": {"ready": each}} for each in ready]
    return obj("EndpointSlice", "discovery.k8s.io/v1", endpoints=slices)


def test_a_service_is_ready_when_all_its_pods_are() -> None:
    service = obj("Service", spec={"selector": {"app": "web"}})
    assert judge(service, endpoints(True)).ready
    assert not judge(service, endpoints(True, False)).ready
    assert not judge(service).ready


@pytest.mark.parametrize("spec", [{}, {"clusterIP": "None", "selector": {"a": "b"}}, {"type": "ExternalName"}])
def test_a_service_without_pods_of_its_own_is_ready(spec: dict[str, Any]) -> None:
    assert judge(obj("Service", spec=spec)).ready


def test_a_load_balancer_needs_an_address() -> None:
    assert not judge(obj("Service", spec={"type": "LoadBalancer"})).ready
    balancer = {"loadBalancer": {"ingress": [{"hostname": "lb.example.com"}]}}
    assert judge(obj("Service", spec={"type": "LoadBalancer"}, status=balancer)).ready


def test_a_claim_that_waits_for_its_first_pod_is_ready() -> None:
    claim = obj("PersistentVolumeClaim", spec={"storageClassName": "one"}, status={"phase": "Pending"})
    assert not judge(claim).ready
    late = obj("StorageClass", "storage.k8s.io/v1", volumeBindingMode="WaitForFirstConsumer")
    assert judge(claim, late).ready


def test_a_definition_is_ready_when_it_is_established() -> None:
    definition = obj("CustomResourceDefinition", "apiextensions.k8s.io/v1", status=condition("Established", "False"))
    assert not judge(definition).ready
    definition["status"] = {
        "conditions": [{"type": "Established", "status": "True"}, {"type": "NamesAccepted", "status": "True"}]
    }
    assert judge(definition).ready


def test_a_time_limit_comes_from_the_options_or_the_annotation() -> None:
    asked = {"metadata": {"annotations": {"pulumi.com/timeoutSeconds": "30"}}}
    assert timeout_of(asked, 0) == 30
    assert timeout_of(asked, 5) == 5
    assert timeout_of({}, 0) == 600
