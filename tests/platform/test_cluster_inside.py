"""What a cluster's program makes inside the cluster, and its nodes: Pulumi's mocks take the engine's place."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from aphex_platform.argo_manifests import EVENTS_NAMESPACE, WORKFLOWS_NAMESPACE
from aphex_platform.components.ui_access import OPERATOR_RULES, VIEWER_RULES, login_rules

from aphex.cluster_access import Login
from tests.support.cluster_examples import EXAMPLES, cluster
from tests.support.declared_cluster import CLIENT_SECRET, ClusterRecorder, declare_cluster

pytestmark = pytest.mark.filterwarnings("ignore:.*has been deprecated in favor of:DeprecationWarning")

RELEASE = "kubernetes:helm.sh/v3:Release"


@pytest.fixture(scope="module")
def smallest() -> ClusterRecorder:
    return declare_cluster(cluster())


@pytest.fixture(scope="module")
def production() -> ClusterRecorder:
    return declare_cluster(cluster("production"))


@pytest.fixture(scope="module")
def groups() -> ClusterRecorder:
    return declare_cluster(cluster("node-groups"))


def releases(declared: ClusterRecorder) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in declared.of(RELEASE)}


def test_auto_mode_brings_nodes_without_add_ons(smallest: ClusterRecorder) -> None:
    eks = smallest.one("eks:index:Cluster")
    assert eks["autoMode"] == {"enabled": True, "createNodeRole": True, "computeConfig": {"nodePools": ["system"]}}
    assert eks["corednsAddonOptions"]["enabled"] is False
    assert smallest.of("aws:eks/addon:Addon") == []
    assert smallest.of("aws:eks/nodeGroup:NodeGroup") == []
    assert set(releases(smallest)) == {"argo-workflows", "argo-events"}


def test_the_pool_of_auto_mode_has_a_limit_and_only_the_wanted_nodes() -> None:
    settings = {"capacity": "spot", "architectures": ["arm64"], "families": ["m"], "max_cpus": 12}
    declared = declare_cluster(cluster(autoscaling={"auto": {**settings, "consolidate_after": "2m"}}))
    pool = declared.one("kubernetes:karpenter.sh/v1:NodePool")["spec"]
    assert pool["limits"] == {"cpu": "12"}
    assert pool["disruption"] == {"consolidationPolicy": "WhenEmptyOrUnderutilized", "consolidateAfter": "120s"}
    asked = {each["key"]: (each["operator"], each["values"]) for each in pool["template"]["spec"]["requirements"]}
    assert asked == {
        "karpenter.sh/capacity-type": ("In", ["spot"]),
        "kubernetes.io/arch": ("In", ["arm64"]),
        "eks.amazonaws.com/instance-category": ("In", ["m"]),
        "eks.amazonaws.com/instance-generation": ("Gt", ["4"]),
    }
    assert pool["template"]["spec"]["nodeClassRef"]["name"] == "default"


def test_network_policies_are_enforced_in_either_mode(smallest: ClusterRecorder, groups: ClusterRecorder) -> None:
    switch = smallest.named("kubernetes:core/v1:ConfigMap")["amazon-vpc-cni"]
    assert switch["metadata"]["namespace"] == "kube-system"
    assert switch["data"] == {"enable-network-policy-controller": "true"}
    assert groups.one("eks:index:Cluster")["vpcCniOptions"]["enableNetworkPolicy"] is True
    assert "autoMode" not in groups.one("eks:index:Cluster")


def test_node_groups_are_as_configured(groups: ClusterRecorder) -> None:
    made = {each["nodeGroupNamePrefix"]: each for each in groups.of("aws:eks/nodeGroup:NodeGroup")}
    steady, builds = made["steady-"], made["builds-"]
    assert steady["scalingConfig"] == {"minSize": 2, "maxSize": 6, "desiredSize": 2}
    assert builds["scalingConfig"] == {"minSize": 0, "maxSize": 10, "desiredSize": 1}
    assert (steady["capacityType"], builds["capacityType"]) == ("ON_DEMAND", "SPOT")
    assert steady["instanceTypes"] == ["m7i.large", "m7i-flex.large"]
    assert {each["version"] for each in made.values()} == {"1.35"}
    assert {each["amiType"] for each in made.values()} == {"AL2023_x86_64_STANDARD"}
    assert {each["clusterName"] for each in made.values()} == {"aphex-groups"}
    for each in made.values():
        assert each["subnetIds"] == [f"groups-private-{number}-id" for number in (1, 2, 3)]
        assert each["launchTemplate"]["version"] == "1"


def test_nodes_have_encrypted_disks_and_hide_their_credentials_from_pods(groups: ClusterRecorder) -> None:
    for template in groups.of("aws:ec2/launchTemplate:LaunchTemplate"):
        (disk,) = template["blockDeviceMappings"]
        assert disk["ebs"] == {
            "encrypted": "true",
            "volumeSize": 80,
            "volumeType": "gp3",
            "deleteOnTermination": "true",
        }
        assert template["metadataOptions"] == {
            "httpEndpoint": "enabled",
            "httpTokens": "required",
            "httpPutResponseHopLimit": 1,
        }


def test_node_groups_have_the_add_ons_that_auto_mode_brings_itself(groups: ClusterRecorder) -> None:
    addons = {each["addonName"]: each for each in groups.of("aws:eks/addon:Addon")}
    assert set(addons) == {"eks-pod-identity-agent", "coredns", "aws-ebs-csi-driver"}
    (identity,) = addons["aws-ebs-csi-driver"]["podIdentityAssociations"]
    assert identity["serviceAccount"] == "ebs-csi-controller-sa"
    assert identity["roleArn"] == "arn:aws:test:::groups-nodes-volumes"
    assert set(releases(groups)) == {
        "argo-workflows",
        "argo-events",
        "cluster-autoscaler",
        "aws-load-balancer-controller",
    }


def test_the_add_ons_get_their_roles_by_pod_identity(groups: ClusterRecorder) -> None:
    identities = {
        each["serviceAccount"]: each for each in groups.of("aws:eks/podIdentityAssociation:PodIdentityAssociation")
    }
    assert set(identities) == {"cluster-autoscaler", "aws-load-balancer-controller"}
    assert {each["namespace"] for each in identities.values()} == {"kube-system"}
    assert {each["clusterName"] for each in identities.values()} == {"aphex-groups"}


def test_without_a_load_balancer_there_is_no_controller_for_one() -> None:
    declared = declare_cluster(cluster("node-groups", ui={"reach": "port-forward"}))
    assert "aws-load-balancer-controller" not in releases(declared)
    assert declared.of("kubernetes:networking.k8s.io/v1:IngressClass") == []


@pytest.mark.parametrize(
    ("example", "provisioner"), [("smallest", "ebs.csi.eks.amazonaws.com"), ("node-groups", "ebs.csi.aws.com")]
)
def test_volumes_are_encrypted_by_default(example: str, provisioner: str) -> None:
    declared = declare_cluster(cluster(example)).one("kubernetes:storage.k8s.io/v1:StorageClass")
    assert declared["metadata"]["annotations"] == {"storageclass.kubernetes.io/is-default-class": "true"}
    assert declared["provisioner"] == provisioner
    assert declared["parameters"] == {"type": "gp3", "encrypted": "true"}
    assert declared["volumeBindingMode"] == "WaitForFirstConsumer"


def test_the_ui_and_the_webhooks_have_a_load_balancer_each(production: ClusterRecorder) -> None:
    classes = production.named("kubernetes:networking.k8s.io/v1:IngressClass")
    parameters = production.named("kubernetes:eks.amazonaws.com/v1:IngressClassParams")
    assert set(classes) == set(parameters) == {"aphex-ui", "aphex-webhooks"}
    for name, each in classes.items():
        assert each["spec"] == {
            "controller": "eks.amazonaws.com/alb",
            "parameters": {"apiGroup": "eks.amazonaws.com", "kind": "IngressClassParams", "name": name},
        }
        spec = parameters[name]["spec"]
        assert spec["scheme"] == "internet-facing"
        assert spec["group"] == {"name": name}
        assert len(spec["certificateARNs"]) == 1
        # The role that Auto Mode uses may not set them.
        assert "tags" not in spec


def test_only_argo_uses_the_load_balancer_of_the_ui_and_only_pipelines_that_of_the_webhooks(
    production: ClusterRecorder,
) -> None:
    parameters = production.named("kubernetes:eks.amazonaws.com/v1:IngressClassParams")
    assert parameters["aphex-ui"]["spec"]["namespaceSelector"] == {
        "matchLabels": {"kubernetes.io/metadata.name": "argo"}
    }
    assert parameters["aphex-webhooks"]["spec"]["namespaceSelector"] == {
        "matchExpressions": [{"key": "aphex/pipeline", "operator": "Exists"}]
    }


def test_with_node_groups_the_open_controller_acts_on_the_class(groups: ClusterRecorder) -> None:
    made = groups.one("kubernetes:networking.k8s.io/v1:IngressClass")
    assert made["spec"]["controller"] == "ingress.k8s.aws/alb"
    spec = groups.one("kubernetes:elbv2.k8s.aws/v1beta1:IngressClassParams")["spec"]
    assert spec["scheme"] == "internal"
    assert len(spec["certificateArn"]) == 1
    assert spec["tags"] == [{"key": "aphex:cluster", "value": "groups"}]


def test_argo_is_installed_at_the_pinned_charts(smallest: ClusterRecorder) -> None:
    made = releases(smallest)
    for name, version, namespace in (
        ("argo-workflows", "0.47.5", "argo"),
        ("argo-events", "2.4.22", "argo-events"),
    ):
        assert (made[name]["chart"], made[name]["version"], made[name]["namespace"]) == (name, version, namespace)
        assert made[name]["repositoryOpts"] == {"repo": "https://argoproj.github.io/argo-helm"}


def test_charts_can_come_from_a_registry_of_the_company() -> None:
    mirror = {"chart_repository": "oci://registry.example.com/charts/"}
    made = releases(declare_cluster(cluster(argo=mirror)))["argo-events"]
    assert made["chart"] == "oci://registry.example.com/charts/argo-events"
    assert "repositoryOpts" not in made


def test_the_namespaces_of_argo_admit_harmless_pods_alone_and_not_without_end(smallest: ClusterRecorder) -> None:
    namespaces = smallest.named("kubernetes:core/v1:Namespace")
    assert set(namespaces) == {WORKFLOWS_NAMESPACE, EVENTS_NAMESPACE}
    for each in namespaces.values():
        assert each["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    quotas = smallest.of("kubernetes:core/v1:ResourceQuota")
    limits = smallest.of("kubernetes:core/v1:LimitRange")
    for bounds in (quotas, limits):
        assert {each["metadata"]["namespace"] for each in bounds} == set(namespaces)
    assert {each["spec"]["hard"]["services.loadbalancers"] for each in quotas} == {"0"}
    # Who names no requests gets some: otherwise the quota would refuse the pod.
    assert all({"cpu", "memory"} == set(each["spec"]["limits"][0]["defaultRequest"]) for each in limits)


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_accounts_of_the_ui_may_look_or_also_act_on_runs(example: str) -> None:
    declared = declare_cluster(cluster(example))
    roles = declared.named("kubernetes:rbac.authorization.k8s.io/v1:ClusterRole")
    for name, rules in (("aphex-ui-viewer", VIEWER_RULES), ("aphex-ui-operator", OPERATOR_RULES)):
        granted = [(each["apiGroups"], each["resources"], each["verbs"]) for each in roles[name]["rules"]]
        assert granted == [([rule.group], list(rule.resources), list(rule.verbs)) for rule in rules]
    for name, binding in declared.named("kubernetes:rbac.authorization.k8s.io/v1:ClusterRoleBinding").items():
        assert binding["roleRef"]["name"] == name
        (subject,) = binding["subjects"]
        account = name.removeprefix("aphex-")
        assert (subject["kind"], subject["name"], subject["namespace"]) == ("ServiceAccount", account, "argo")


def test_nobody_sees_secrets_in_the_ui_and_only_runs_are_changed() -> None:
    assert not [rule for rule in OPERATOR_RULES if {"secrets", "configmaps", "*"} & set(rule.resources)]
    assert not [rule for rule in OPERATOR_RULES if "*" in rule.verbs]
    changing = [rule.resources for rule in OPERATOR_RULES if set(rule.verbs) - {"get", "list", "watch"}]
    assert changing == [("workflows",)]
    assert not [rule for rule in VIEWER_RULES if set(rule.verbs) - {"get", "list", "watch"}]


def test_groups_of_the_identity_provider_decide_who_may_do_what() -> None:
    login = {"mode": "sso", "issuer": "https://login.example.com", "client_id": "argo"}
    secret = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:login"
    quoted = Login(
        **login, client_secret=secret, viewer_groups=["dev", 'a" in groups || true'], operator_groups=["ops"]
    )
    rules = login_rules(quoted)
    assert rules["ui-viewer"]["workflows.argoproj.io/rbac-rule"] == (
        r'"dev" in groups || "a\" in groups || true" in groups'
    )
    assert rules["ui-operator"] == {
        "workflows.argoproj.io/rbac-rule": '"ops" in groups',
        "workflows.argoproj.io/rbac-rule-precedence": "2",
    }
    everyone = login_rules(Login(**login, client_secret=secret))
    assert everyone == {
        "ui-viewer": {
            "workflows.argoproj.io/rbac-rule": "true",
            "workflows.argoproj.io/rbac-rule-precedence": "1",
        }
    }


def test_a_login_with_tokens_needs_no_lasting_token(smallest: ClusterRecorder) -> None:
    assert smallest.of("kubernetes:core/v1:Secret") == []
    accounts = smallest.named("kubernetes:core/v1:ServiceAccount")
    assert set(accounts) == {"ui-viewer", "ui-operator"}
    assert all("annotations" not in each["metadata"] for each in accounts.values())


def test_the_clients_secret_goes_from_secrets_manager_into_a_secret_and_nowhere_else(
    production: ClusterRecorder,
) -> None:
    assert production.secret("argo-login", "client-secret") == CLIENT_SECRET
    assert production.secret("argo-login", "client-id") == "argo-workflows"
    for each in production.declared:
        if each.typ != "kubernetes:core/v1:Secret":
            shown = json.dumps(each.inputs)
            assert CLIENT_SECRET not in shown, each.name
            assert base64.b64encode(CLIENT_SECRET.encode()).decode() not in shown, each.name
    tokens = {
        name: each["metadata"]["annotations"]["kubernetes.io/service-account.name"]
        for name, each in production.named("kubernetes:core/v1:Secret").items()
        if each.get("type") == "kubernetes.io/service-account-token"
    }
    assert tokens == {
        "ui-viewer.service-account-token": "ui-viewer",
        "ui-operator.service-account-token": "ui-operator",
    }
