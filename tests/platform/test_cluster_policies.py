"""Rules over everything that a cluster's program plans: who may do what, what is encrypted, what is open to whom."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

import pytest
from aphex_platform.cluster_policies import (
    MANAGED_POLICIES,
    REASONS,
    autoscaler_policy,
    key_policy,
    load_balancer_policy,
    pod_trust,
)
from aphex_platform.statements import Document, Statement

from aphex.cluster_config import ClusterConfig
from tests.support.cluster_examples import cluster
from tests.support.declared_cluster import ClusterRecorder, declare_cluster

pytestmark = pytest.mark.filterwarnings("ignore:.*has been deprecated in favor of:DeprecationWarning")

CERTIFICATE = "arn:aws:acm:us-east-1:123456789012:certificate/5b0d4c8e"
PLANNED = {
    "smallest": cluster(),
    "production": cluster("production"),
    "node groups": cluster("node-groups"),
    "node groups with webhooks": cluster(
        "node-groups", webhooks={"host": "hooks.example.com", "certificate": CERTIFICATE}
    ),
    "without flow logs, disposable": cluster(network={"flow_logs": "none"}, deletion_protection=False),
}
# What a role is for and who may have it, by the end of its name; nobody else may assume one.
TRUSTED = {
    "flow-logs": "vpc-flow-logs.amazonaws.com",
    "node": "ec2.amazonaws.com",
    "volumes": "kube-system/ebs-csi-controller-sa",
    "autoscaler": "kube-system/cluster-autoscaler",
    "load-balancers": "kube-system/aws-load-balancer-controller",
}


@pytest.fixture(params=list(PLANNED.values()), ids=list(PLANNED))
def planned(request: pytest.FixtureRequest) -> ClusterRecorder:
    return declare_cluster(request.param)


def policies(declared: ClusterRecorder) -> Iterator[Document]:
    yield json.loads(declared.one("aws:kms/key:Key")["policy"])
    for each in declared.of("aws:iam/rolePolicy:RolePolicy"):
        yield json.loads(each["policy"])


def has_wildcard(statement: Statement) -> bool:
    actions = [action for action in statement["Action"] if "*" in action]
    return bool(actions) or any("*" in resource for resource in statement["Resource"])


def test_a_wildcard_has_a_written_reason(planned: ClusterRecorder) -> None:
    found = [each for document in policies(planned) for each in document["Statement"]]
    assert found
    assert [each["Sid"] for each in found if has_wildcard(each) and each["Sid"] not in REASONS] == []
    assert [each for each in found if each["Effect"] != "Allow"] == []


def test_every_reason_is_one_for_something() -> None:
    documents = [document for config in PLANNED.values() for document in policies(declare_cluster(config))]
    wild = {each["Sid"] for document in documents for each in document["Statement"] if has_wildcard(each)}
    assert wild == set(REASONS)
    assert all(reason.endswith(".") and len(reason.split()) > 5 for reason in REASONS.values())


def test_the_account_alone_has_every_action_and_on_the_key_alone(planned: ClusterRecorder) -> None:
    everything = [
        each
        for document in policies(planned)
        for each in document["Statement"]
        if any(action == "*" or action.endswith(":*") for action in each["Action"])
    ]
    assert [(each["Sid"], each["Action"]) for each in everything] == [("Account", ["kms:*"])]
    assert everything[0]["Principal"] == {"AWS": "arn:aws:iam::123456789012:root"}


def test_policies_of_aws_are_attached_for_a_written_reason() -> None:
    attached = {
        each["policyArn"].partition(":policy/")[2]
        for config in PLANNED.values()
        for each in declare_cluster(config).of("aws:iam/rolePolicyAttachment:RolePolicyAttachment")
    }
    assert attached == set(MANAGED_POLICIES)


def test_every_role_is_assumed_by_its_own_service_or_service_account_alone(planned: ClusterRecorder) -> None:
    for role in planned.of("aws:iam/role:Role"):
        kind = next(kind for kind in TRUSTED if role["name"].endswith(f"-{kind}"))
        (statement,) = json.loads(role["assumeRolePolicy"])["Statement"]
        assert trusted_by(statement) == TRUSTED[kind]


def trusted_by(statement: Statement) -> str:
    """The service that may assume a role, or the service account when EKS asks for one."""
    ((kind, service),) = statement["Principal"].items()
    assert kind == "Service"
    assert "*" not in service
    if service != "pods.eks.amazonaws.com":
        return str(service)
    equal = statement["Condition"]["StringEquals"]
    assert equal["aws:SourceAccount"] == "123456789012"
    assert statement["Condition"]["ArnEquals"]["aws:SourceArn"].startswith("arn:aws:eks:")
    assert "*" not in json.dumps(statement["Condition"])
    return f"{equal['aws:RequestTag/kubernetes-namespace']}/{equal['aws:RequestTag/kubernetes-service-account']}"


def test_a_pods_role_is_that_of_one_account_of_one_cluster() -> None:
    (statement,) = pod_trust(cluster(), "kube-system", "cluster-autoscaler")["Statement"]
    assert statement["Action"] == ["sts:AssumeRole", "sts:TagSession"]
    assert statement["Condition"]["ArnEquals"] == {
        "aws:SourceArn": "arn:aws:eks:eu-west-1:123456789012:cluster/aphex-main"
    }


def test_flow_logs_are_written_for_networks_of_this_account(planned: ClusterRecorder) -> None:
    for role in planned.of("aws:iam/role:Role"):
        (statement,) = json.loads(role["assumeRolePolicy"])["Statement"]
        if statement["Principal"] == {"Service": "vpc-flow-logs.amazonaws.com"}:
            assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": "123456789012"}


def test_everything_that_is_kept_is_encrypted(planned: ClusterRecorder) -> None:
    key = "arn:aws:test:::"
    assert planned.one("eks:index:Cluster")["encryptionConfigKeyArn"].startswith(key)
    assert all(each["kmsKeyId"].startswith(key) for each in planned.of("aws:cloudwatch/logGroup:LogGroup"))
    for repository in planned.of("aws:ecr/repository:Repository"):
        (encryption,) = repository["encryptionConfigurations"]
        assert encryption["encryptionType"] == "KMS"
        assert encryption["kmsKey"].startswith(key)
    for template in planned.of("aws:ec2/launchTemplate:LaunchTemplate"):
        assert [each["ebs"]["encrypted"] for each in template["blockDeviceMappings"]] == ["true"]
    assert planned.one("kubernetes:storage.k8s.io/v1:StorageClass")["parameters"]["encrypted"] == "true"


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for each in value.values():
            yield from texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from texts(each)
    elif isinstance(value, str):
        yield value


def test_nothing_is_open_to_the_internet_as_a_whole(planned: ClusterRecorder) -> None:
    for each in planned.declared:
        whole = [text for text in texts(each.inputs) if "0.0.0.0/0" in text or "::/0" in text]
        if each.typ == "aws:ec2/route:Route":
            # The way out.
            assert each.inputs["destinationCidrBlock"] == "0.0.0.0/0"
        else:
            assert whole == [], each.name
    assert not [each.typ for each in planned.declared if "SecurityGroupRule" in each.typ or "IngressRule" in each.typ]


def test_a_public_endpoint_has_the_addresses_that_reach_it(planned: ClusterRecorder) -> None:
    eks = planned.one("eks:index:Cluster")
    assert eks["endpointPrivateAccess"] is True
    assert eks["endpointPublicAccess"] is bool(eks.get("publicAccessCidrs"))


def test_no_node_has_a_public_address(planned: ClusterRecorder) -> None:
    assert {each["mapPublicIpOnLaunch"] for each in planned.of("aws:ec2/subnet:Subnet")} == {False}
    for group in planned.of("aws:eks/nodeGroup:NodeGroup"):
        assert all("-private-" in subnet for subnet in group["subnetIds"])


def test_an_ingress_of_ours_says_who_may_connect(planned: ClusterRecorder) -> None:
    values = next(
        each["values"] for each in planned.of("kubernetes:helm.sh/v3:Release") if each["name"] == "argo-workflows"
    )
    annotations = [
        *([values["server"]["ingress"]["annotations"]] if "ingress" in values["server"] else []),
        *([planned.outputs["webhook_ingress_annotations"]] if "webhook_url" in planned.outputs else []),
    ]
    for each in annotations:
        assert each["alb.ingress.kubernetes.io/inbound-cidrs"]
        assert each["alb.ingress.kubernetes.io/listen-ports"] == '[{"HTTPS": 443}]'


def test_no_secret_of_kubernetes_is_written_into_a_role() -> None:
    roles = [
        each for config in PLANNED.values() for each in declare_cluster(config).declared if "ClusterRole" in each.typ
    ]
    assert roles
    assert not [each.name for each in roles if "secrets" in json.dumps(each.inputs) or '"*"' in json.dumps(each.inputs)]


def allowed(document: Document, action: str, resource: str, tags: Mapping[str, str]) -> bool:
    """Whether a statement allows it for a resource with these tags, given that a request may bring any."""
    for statement in document["Statement"]:
        wanted = statement.get("Condition", {}).get("StringEquals", {})
        own = {key.partition("/")[2]: value for key, value in wanted.items() if key.startswith("aws:ResourceTag/")}
        fits = all(tags.get(key) == value for key, value in own.items())
        named = any(fnmatchcase(resource, pattern) for pattern in statement["Resource"])
        if fits and named and any(fnmatchcase(action, pattern) for pattern in statement["Action"]):
            return True
    return False


def test_the_autoscaler_scales_the_groups_of_its_cluster_alone() -> None:
    document = autoscaler_policy(cluster("node-groups"))
    group = "arn:aws:autoscaling:us-east-1:123456789012:autoScalingGroup:uuid:autoScalingGroupName/eks-builds"
    for action in ("autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"):
        assert allowed(document, action, group, {"k8s.io/cluster-autoscaler/aphex-groups": "owned"})
        assert not allowed(document, action, group, {"k8s.io/cluster-autoscaler/other": "owned"})
        assert not allowed(document, action, group, {})
    assert not allowed(document, "autoscaling:UpdateAutoScalingGroup", group, {})


def test_the_load_balancer_controller_leaves_alone_what_it_did_not_make() -> None:
    document = load_balancer_policy(cluster("node-groups"))
    balancer = "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/k8s-aphex/1"
    group = "arn:aws:ec2:us-east-1:123456789012:security-group/sg-1"
    own, others = {"elbv2.k8s.aws/cluster": "aphex-groups"}, {"elbv2.k8s.aws/cluster": "other"}
    for action, resource in (
        ("elasticloadbalancing:DeleteLoadBalancer", balancer),
        ("elasticloadbalancing:SetSecurityGroups", balancer),
        ("ec2:DeleteSecurityGroup", group),
    ):
        assert allowed(document, action, resource, own)
        assert not allowed(document, action, resource, others)
        assert not allowed(document, action, resource, {})
    assert allowed(
        document, "ec2:AuthorizeSecurityGroupIngress", group, {"kubernetes.io/cluster/aphex-groups": "owned"}
    )
    assert not allowed(document, "ec2:AuthorizeSecurityGroupIngress", group, {})


def test_what_the_load_balancer_controller_makes_bears_its_clusters_tag() -> None:
    demanded = {
        each["Sid"]: each["Condition"]["StringEquals"]["aws:RequestTag/elbv2.k8s.aws/cluster"]
        for each in load_balancer_policy(cluster("node-groups"))["Statement"]
        if "aws:RequestTag/elbv2.k8s.aws/cluster" in each.get("Condition", {}).get("StringEquals", {})
    }
    made = {"CreateSecurityGroups", "TagNewSecurityGroups", "CreateLoadBalancers", "TagNewLoadBalancers"}
    assert demanded == dict.fromkeys(made, "aphex-groups")


def test_the_key_serves_the_logs_of_this_cluster_alone() -> None:
    logs = next(each for each in key_policy(cluster())["Statement"] if each["Sid"] == "Logs")
    assert logs["Principal"] == {"Service": "logs.eu-west-1.amazonaws.com"}
    assert logs["Condition"]["ArnEquals"]["kms:EncryptionContext:aws:logs:arn"] == [
        "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/eks/aphex-main/cluster",
        "arn:aws:logs:eu-west-1:123456789012:log-group:/aphex/main/flow-logs",
    ]


@pytest.mark.parametrize(("region", "partition"), [("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")])
def test_partitions_are_part_of_every_arn(region: str, partition: str) -> None:
    config: ClusterConfig = cluster(region=region)
    for document in (
        key_policy(config),
        autoscaler_policy(config),
        load_balancer_policy(config),
        pod_trust(config, "a", "b"),
    ):
        arns = [text for text in texts(document) if text.startswith("arn:")]
        assert arns
        assert all(arn.startswith(f"arn:{partition}:") for arn in arns)
    service = {"aws-cn": f"logs.{region}.amazonaws.com.cn"}.get(partition, f"logs.{region}.amazonaws.com")
    assert key_policy(config)["Statement"][1]["Principal"] == {"Service": service}
