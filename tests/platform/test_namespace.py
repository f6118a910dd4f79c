"""What is in a pipeline's namespace besides runs: who reaches whom, the event bus, and the webhook's way in."""

from __future__ import annotations

from typing import Any

import pytest
from aphex_platform.manifests import render
from aphex_platform.settings import EventBusSettings, PlatformSettings, WebhookSettings

from tests.support.declared import declare
from tests.support.example import everything, example_config, example_settings

pytestmark = pytest.mark.filterwarnings("ignore:.*has been deprecated in favor of:DeprecationWarning")

BUS = {"matchLabels": {"app.kubernetes.io/component": "event-bus"}}
SOURCE = {"matchLabels": {"app.kubernetes.io/component": "event-source"}}
SENSOR = {"matchLabels": {"app.kubernetes.io/component": "sensor"}}


def objects(kind: str, settings: PlatformSettings) -> dict[str, dict[str, Any]]:
    found = [each for each in render(example_config(), settings) if each["kind"] == kind]
    return {each["metadata"]["name"]: each for each in found}


def policies(settings: PlatformSettings) -> dict[str, dict[str, Any]]:
    return {name: each["spec"] for name, each in objects("NetworkPolicy", settings).items()}


def ports(rule: dict[str, Any]) -> list[int]:
    assert {each["protocol"] for each in rule["ports"]} == {"TCP"}
    return [each["port"] for each in rule["ports"]]


def test_nothing_comes_in_that_no_policy_lets_in() -> None:
    assert policies(example_settings())["default-deny"] == {"podSelector": {}, "policyTypes": ["Ingress"]}
    assert set(policies(example_settings())) == {"default-deny", "egress", "webhook"}
    assert set(policies(everything())) == {"default-deny", "egress", "webhook", "event-bus", "event-bus-clients"}


def test_only_events_reach_the_event_source_and_from_known_sources_where_these_are_known() -> None:
    unknown = policies(example_settings())["webhook"]
    assert unknown["podSelector"] == SOURCE
    (rule,) = unknown["ingress"]
    assert (ports(rule), "from" in rule) == ([12000], False)
    webhook = WebhookSettings(sources=("10.0.0.0/16", "fd00::/8"), ingress_namespace="ingress-nginx")
    (rule,) = policies(example_settings(webhook=webhook))["webhook"]["ingress"]
    assert rule["from"] == [
        {"ipBlock": {"cidr": "10.0.0.0/16"}},
        {"ipBlock": {"cidr": "fd00::/8"}},
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress-nginx"}}},
    ]


def test_builds_reach_everything_but_the_nodes_credentials_and_other_pipelines() -> None:
    egress = policies(everything())["egress"]
    assert (egress["podSelector"], egress["policyTypes"]) == ({}, ["Egress"])
    outside, inside = egress["egress"]
    assert [each["ipBlock"] for each in outside["to"]] == [
        {"cidr": "0.0.0.0/0", "except": ["169.254.169.254/32"]},
        {"cidr": "::/0", "except": ["fd00:ec2::254/128"]},
    ]
    assert inside["to"] == [
        {"namespaceSelector": {"matchExpressions": [{"key": "aphex/pipeline", "operator": "DoesNotExist"}]}}
    ]
    namespace = declare(everything()).one("kubernetes:core/v1:Namespace")
    assert namespace["metadata"]["labels"]["aphex/pipeline"] == "shop"


def test_the_bus_serves_event_source_and_sensors_alone() -> None:
    bus = policies(everything())["event-bus"]
    assert (bus["podSelector"], bus["policyTypes"]) == (BUS, ["Ingress"])
    clients, servers = bus["ingress"]
    assert (clients["from"], ports(clients)) == ([{"podSelector": SOURCE}, {"podSelector": SENSOR}], [4222])
    assert (servers["from"], ports(servers)) == ([{"podSelector": BUS}], [4222, 6222])
    (way_out,) = policies(everything())["event-bus-clients"]["egress"]
    assert (way_out["to"], ports(way_out)) == ([{"podSelector": BUS}], [4222, 6222])


def test_pods_have_the_labels_that_policies_select() -> None:
    settings = everything()
    source = objects("EventSource", settings)["shop"]["spec"]["template"]["metadata"]["labels"]
    assert SOURCE["matchLabels"].items() <= source.items()
    for sensor in objects("Sensor", settings).values():
        assert SENSOR["matchLabels"].items() <= sensor["spec"]["template"]["metadata"]["labels"].items()
    bus = objects("EventBus", settings)["default"]["spec"]["jetstream"]["metadata"]["labels"]
    assert BUS["matchLabels"].items() <= bus.items()


def test_a_bus_of_the_namespaces_own_outlives_a_node() -> None:
    settings = everything()
    bus = objects("EventBus", settings)["default"]["spec"]["jetstream"]
    assert bus["replicas"] == 3
    assert bus["persistence"] == {"accessMode": "ReadWriteOnce", "volumeSize": "10Gi", "storageClassName": "gp3"}
    assert bus["securityContext"]["runAsNonRoot"] is True
    assert bus["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in ("container", "reloaderContainer", "metricsContainer"):
        assert bus[f"{container}Template"]["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    apart = bus["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert [each["podAffinityTerm"]["topologyKey"] for each in apart] == [
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
    ]
    budget = objects("PodDisruptionBudget", settings)["event-bus"]["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["selector"]["matchLabels"].items() <= bus["metadata"]["labels"].items()
    assert objects("PodDisruptionBudget", example_settings()) == {}


def test_where_the_bus_keeps_events_is_a_choice() -> None:
    default = objects("EventBus", example_settings(event_bus=EventBusSettings()))["default"]["spec"]["jetstream"]
    assert default["persistence"] == {"accessMode": "ReadWriteOnce", "volumeSize": "10Gi"}
    nowhere = objects("EventBus", example_settings(event_bus=EventBusSettings(persistent=False)))["default"]
    assert "persistence" not in nowhere["spec"]["jetstream"]


def test_the_webhook_is_reached_by_tls_and_by_the_pipelines_own_path() -> None:
    settings = everything()
    ingress = objects("Ingress", settings)["shop"]
    (rule,) = ingress["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    assert (rule["host"], path["path"], path["pathType"]) == ("hooks.example.com", "/shop", "Exact")
    assert path["backend"]["service"] == {"name": "shop-eventsource-svc", "port": {"number": 12000}}
    assert ingress["spec"]["ingressClassName"] == "alb"
    annotations = ingress["metadata"]["annotations"]
    assert annotations["alb.ingress.kubernetes.io/certificate-arn"].startswith("arn:aws:acm:")
    assert annotations["alb.ingress.kubernetes.io/listen-ports"] == '[{"HTTPS": 443}]'
    endpoint = objects("EventSource", settings)["shop"]["spec"]["github"]["webhook"]["webhook"]["endpoint"]
    assert endpoint == path["path"]
    assert settings.webhook_url == "https://hooks.example.com/shop"
    assert settings.service_url == "http://shop-eventsource-svc.aphex-shop.svc:12000/shop"


def test_a_controller_in_the_cluster_gets_its_certificate_from_a_secret() -> None:
    webhook = WebhookSettings(host="hooks.example.com", tls_secret="hooks-tls", annotations={"example.com/a": "b"})
    ingress = objects("Ingress", example_settings(webhook=webhook))["shop"]
    assert ingress["spec"]["tls"] == [{"hosts": ["hooks.example.com"], "secretName": "hooks-tls"}]
    assert "ingressClassName" not in ingress["spec"]
    assert ingress["metadata"]["annotations"] == {"pulumi.com/skipAwait": "true", "example.com/a": "b"}


def test_without_a_host_there_is_no_way_in_from_outside() -> None:
    assert objects("Ingress", example_settings()) == {}
    assert example_settings().webhook_url == example_settings().service_url


def test_the_signatures_key_comes_from_where_the_settings_say() -> None:
    def source(settings: PlatformSettings) -> str:
        github = objects("EventSource", settings)["shop"]["spec"]["github"]["webhook"]
        assert github["webhookSecret"]["key"] == "secret"
        return str(github["webhookSecret"]["name"])

    generated, kept = example_settings(), everything()
    elsewhere = example_settings(webhook=WebhookSettings(kubernetes_secret="from-vault"))
    assert (source(generated), source(kept), source(elsewhere)) == ("webhook", "webhook", "from-vault")
    assert declare(generated).secret("webhook", "secret") == "sesame-webhook"
    assert declare(kept).secret("webhook", "secret") == "sesame-of-shop/webhook"
    assert "webhook" not in declare(elsewhere).named("kubernetes:core/v1:Secret")


def test_sensors_start_a_run_once_and_in_measure() -> None:
    for sensor in objects("Sensor", example_settings()).values():
        (trigger,) = sensor["spec"]["triggers"]
        assert trigger["atLeastOnce"] is True
        assert trigger["rateLimit"] == {"unit": "Minute", "requestsPerUnit": 60}
        assert trigger["retryStrategy"] == {"steps": 10, "duration": "1s", "factor": 2}
        assert trigger["template"]["k8s"]["operation"] == "patch"
        assert sensor["spec"]["template"]["serviceAccountName"] == "sensor"
