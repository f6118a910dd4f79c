"""The values that charts are installed with: known to the chart, and what the configuration says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from aphex_platform.charts import (
    AUTOSCALER_CHART,
    BALANCER_CHART,
    Values,
    autoscaler_values,
    balancer_values,
    events_values,
    workflow_defaults,
    workflows_values,
)
from aphex_platform.manifests.workflow_templates import workflow_template

from aphex.argo_config import EVENTS_CHARTS, WORKFLOWS_CHARTS
from aphex.cluster_config import ClusterConfig
from tests.support.charts import known_keys, unknown
from tests.support.cluster_examples import EXAMPLES, cluster
from tests.support.example import example_config, example_settings

REPOSITORY = {"bucket": "company-artifacts"}


@pytest.mark.parametrize("chart", WORKFLOWS_CHARTS.values())
@pytest.mark.parametrize("example", EXAMPLES)
def test_the_chart_of_argo_workflows_knows_every_value(example: str, chart: str) -> None:
    assert list(unknown(workflows_values(cluster(example)), known_keys("argo-workflows", chart))) == []


@pytest.mark.parametrize("chart", EVENTS_CHARTS.values())
@pytest.mark.parametrize("example", EXAMPLES)
def test_the_chart_of_argo_events_knows_every_value(example: str, chart: str) -> None:
    assert list(unknown(events_values(cluster(example)), known_keys("argo-events", chart))) == []


def test_the_charts_of_the_add_ons_know_every_value() -> None:
    config = cluster("node-groups")
    autoscaler = known_keys("cluster-autoscaler", AUTOSCALER_CHART)
    assert list(unknown(autoscaler_values(config), autoscaler)) == []
    balancers = known_keys("aws-load-balancer-controller", BALANCER_CHART)
    assert list(unknown(balancer_values(config, "vpc-1"), balancers)) == []


def test_a_value_that_a_chart_does_not_know_is_found() -> None:
    known = known_keys("argo-workflows", WORKFLOWS_CHARTS["3.7"])
    values = {"controller": {"paralelism": 1, "workflowDefaults": {"anything": 1}}, "server": {"sso": {"scope": []}}}
    assert list(unknown(values, known)) == ["controller.paralelism", "server.sso.scope"]


def argo(**changes: Any) -> Values:
    return workflows_values(cluster(argo=changes))


def test_the_controller_is_set_up_as_configured() -> None:
    controller = argo(parallelism=7, namespace_parallelism=3, requeue="2s")["controller"]
    assert (controller["parallelism"], controller["namespaceParallelism"]) == (7, 3)
    assert controller["extraEnv"] == [{"name": "DEFAULT_REQUEUE_TIME", "value": "2s"}]


def test_versions_are_those_of_the_configuration() -> None:
    assert argo(workflows={"version": "4.0.6"})["images"]["tag"] == "v4.0.6"
    assert events_values(cluster(argo={"events": {"version": "1.9.9"}}))["global"]["image"]["tag"] == "v1.9.9"
    config = cluster("node-groups", kubernetes={"version": "1.36"})
    assert autoscaler_values(config)["image"]["tag"] == "v1.36.0"


def test_finished_workflows_and_their_pods_go_after_a_while() -> None:
    config = cluster(argo={"keep_succeeded": "1h", "keep_failed": "2h", "keep_pods": "30m"})
    spec = workflow_defaults(config)["spec"]
    assert spec["ttlStrategy"] == {"secondsAfterSuccess": 3600, "secondsAfterFailure": 7200}
    assert spec["podGC"] == {"strategy": "OnWorkflowCompletion", "deleteDelayDuration": "1800s"}


def test_no_autoscaler_takes_the_node_of_a_run_away() -> None:
    assert workflow_defaults(cluster())["spec"]["podMetadata"]["annotations"] == {
        "karpenter.sh/do-not-disrupt": "true",
        "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
    }


def harmless(context: Mapping[str, Any]) -> bool:
    return bool(
        context["runAsNonRoot"] is True
        and context["readOnlyRootFilesystem"] is True
        and context["allowPrivilegeEscalation"] is False
        and context["capabilities"] == {"drop": ["ALL"]}
        and context["seccompProfile"] == {"type": "RuntimeDefault"}
    )


def test_everything_runs_without_root_and_without_writing_into_its_image() -> None:
    config = cluster("node-groups")
    workflows, events = workflows_values(config), events_values(config)
    autoscaler, balancers = autoscaler_values(config), balancer_values(config, "vpc-1")
    containers = [
        workflows["controller"]["securityContext"],
        workflows["server"]["securityContext"],
        workflows["executor"]["securityContext"],
        workflows["mainContainer"]["securityContext"],
        events["controller"]["containerSecurityContext"],
        autoscaler["containerSecurityContext"],
        balancers["securityContext"],
    ]
    assert [context for context in containers if not harmless(context)] == []
    pods = [
        workflow_defaults(config)["spec"]["securityContext"],
        workflows["controller"]["podSecurityContext"],
        workflows["server"]["podSecurityContext"],
        events["global"]["securityContext"],
        autoscaler["securityContext"],
        balancers["podSecurityContext"],
    ]
    assert all(pod["runAsNonRoot"] and pod["seccompProfile"] == {"type": "RuntimeDefault"} for pod in pods)


def test_stages_can_write_although_containers_cannot_by_default() -> None:
    # Argo lays what a template says over the controller's defaults.
    default = workflows_values(cluster())["mainContainer"]["securityContext"]
    stages = [
        each
        for each in workflow_template(example_config(), example_settings())["spec"]["templates"]
        if "container" in each
    ]
    assert len(stages) > 4
    for stage in stages:
        merged = {**default, **stage["container"]["securityContext"]}
        assert (merged["readOnlyRootFilesystem"], merged["allowPrivilegeEscalation"]) == (False, False)


def requested(values: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(values, Mapping):
        if "resources" in values:
            yield values["resources"]
        for each in values.values():
            yield from requested(each)


def test_every_pod_says_what_it_needs_and_how_much_memory_it_may_have() -> None:
    config = cluster("node-groups")
    everything = [
        *requested(workflows_values(config)),
        *requested(events_values(config)),
        *requested(autoscaler_values(config)),
        *requested(balancer_values(config, "vpc-1")),
    ]
    assert len(everything) == 7
    assert all(set(each["requests"]) == {"cpu", "memory"} and "memory" in each["limits"] for each in everything)


@pytest.mark.parametrize("example", EXAMPLES)
def test_there_is_no_way_into_the_ui_without_a_login(example: str) -> None:
    server = workflows_values(cluster(example))["server"]
    assert server["authModes"] in (["client"], ["sso"])
    assert server["secure"] is True
    assert "authMode" not in server
    assert "extraArgs" not in server


def test_a_forwarded_port_needs_no_ingress() -> None:
    server = workflows_values(cluster())["server"]
    assert "ingress" not in server
    assert "sso" not in server


def test_the_ui_on_the_internet_is_reached_by_tls_from_the_named_addresses() -> None:
    ingress = workflows_values(cluster("production"))["server"]["ingress"]
    assert ingress["enabled"] is True
    assert ingress["ingressClassName"] == "aphex-ui"
    assert ingress["hosts"] == ["argo.example.com"]
    assert ingress["annotations"] == {
        "alb.ingress.kubernetes.io/listen-ports": '[{"HTTPS": 443}]',
        "alb.ingress.kubernetes.io/target-type": "ip",
        "alb.ingress.kubernetes.io/ssl-policy": "ELBSecurityPolicy-TLS13-1-2-2021-06",
        "alb.ingress.kubernetes.io/inbound-cidrs": "203.0.113.0/24",
        "alb.ingress.kubernetes.io/healthcheck-path": "/",
        "alb.ingress.kubernetes.io/backend-protocol": "HTTPS",
    }


def test_the_ui_inside_the_network_is_reached_from_the_network() -> None:
    annotations = workflows_values(cluster("node-groups"))["server"]["ingress"]["annotations"]
    assert annotations["alb.ingress.kubernetes.io/inbound-cidrs"] == "10.64.0.0/16"


def test_sso_is_set_up_with_a_secret_by_name_alone() -> None:
    sso = workflows_values(cluster("production"))["server"]["sso"]
    assert sso["issuer"] == "https://login.example.com/realms/company"
    assert sso["redirectUrl"] == "https://argo.example.com/oauth2/callback"
    assert sso["clientId"] == {"name": "argo-login", "key": "client-id"}
    assert sso["clientSecret"] == {"name": "argo-login", "key": "client-secret"}
    assert (sso["scopes"], sso["sessionExpiry"]) == (["groups"], "8h")
    assert sso["rbac"] == {
        "enabled": True,
        "secretWhitelist": ["argo-login", "ui-viewer.service-account-token", "ui-operator.service-account-token"],
    }


@pytest.mark.parametrize(
    ("region", "endpoint"),
    [("eu-west-1", "s3.eu-west-1.amazonaws.com"), ("cn-north-1", "s3.cn-north-1.amazonaws.com.cn")],
)
def test_artifacts_of_argo_are_kept_with_the_pods_own_role(region: str, endpoint: str) -> None:
    config = cluster(region=region, argo={"artifact_repository": REPOSITORY})
    repository = workflows_values(config)["artifactRepository"]
    assert repository["archiveLogs"] is True
    assert repository["s3"] == {
        "bucket": "company-artifacts",
        "region": region,
        "endpoint": endpoint,
        "insecure": False,
        "keyFormat": "argo/{{workflow.namespace}}/{{workflow.name}}/{{pod.name}}",
        "useSDKCreds": True,
    }


def test_without_a_repository_argo_keeps_nothing_and_has_no_keys() -> None:
    values = workflows_values(cluster())
    assert "artifactRepository" not in values
    assert values["useStaticCredentials"] is False


def balancers(config: ClusterConfig) -> Values:
    return balancer_values(config, "vpc-1")


def test_the_load_balancer_controller_makes_no_class_of_its_own_and_uses_nothing_it_has_no_right_to() -> None:
    values = balancers(cluster("node-groups"))
    assert values["createIngressClassResource"] is False
    assert values["ingressClassParams"] == {"create": False}
    assert {values[f"enable{each}"] for each in ("Shield", "Waf", "Wafv2")} == {False}
    assert (values["clusterName"], values["region"], values["vpcId"]) == ("aphex-groups", "us-east-1", "vpc-1")


def test_the_autoscaler_looks_for_the_groups_of_its_cluster() -> None:
    values = autoscaler_values(cluster("node-groups"))
    assert values["autoDiscovery"] == {"clusterName": "aphex-groups"}
    assert values["awsRegion"] == "us-east-1"
