"""The API server lets only harmless pods into a pipeline's namespace; the others that a pipeline has are such."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from aphex_platform.manifests.common import namespace_labels
from aphex_platform.manifests.events import event_bus
from aphex_platform.settings import EventBusSettings

from sandbox.providers.kubernetes.api import ApiError, KubernetesApi
from tests.support.example import example_settings
from tests.support.faults import awaited

pytestmark = pytest.mark.integration


@pytest.fixture
def namespace(api: KubernetesApi) -> Iterator[str]:
    """A namespace with the labels of a pipeline's."""
    name = f"pods-{secrets.token_hex(3)}"
    metadata = {"name": name, "labels": namespace_labels(example_settings())}
    made = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
    api.apply(made, manager="test")
    yield name
    api.delete(made, propagation="Background")


def test_a_pod_that_could_harm_its_node_is_refused(api: KubernetesApi, namespace: str) -> None:
    pod: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "harmful", "namespace": namespace},
        "spec": {"containers": [{"name": "main", "image": "x", "securityContext": {"privileged": True}}]},
    }
    with pytest.raises(ApiError, match='violates PodSecurity "restricted:latest": privileged'):
        api.apply(pod, manager="test")


def test_the_servers_of_an_event_bus_of_its_own_are_let_in(api: KubernetesApi, namespace: str) -> None:
    bus = event_bus(example_settings(event_bus=EventBusSettings(persistent=False)))
    bus["metadata"]["namespace"] = namespace
    api.apply(bus, manager="test")
    # Their images come from the internet, so here they never run.
    selector = {"eventbus-name": "default"}
    awaited("the bus's pods", lambda: len(api.find_all("v1", "Pod", namespace, selector)) == 3 or None)
    api.delete(bus, propagation="Background")
