"""Every AWS resource of a cluster, as the program declares it: Pulumi's mocks take the engine's place."""

from __future__ import annotations

import json
from ipaddress import IPv4Network
from typing import Any

import pulumi
import pytest
from aphex_platform.components.network import first_zones, subnet_blocks

from aphex.errors import AphexError
from tests.support.cluster_examples import EXAMPLES, cluster
from tests.support.declared_cluster import ISSUER, ClusterRecorder, declare_cluster

pytestmark = pytest.mark.filterwarnings("ignore:.*has been deprecated in favor of:DeprecationWarning")


@pytest.fixture(scope="module")
def smallest() -> ClusterRecorder:
    return declare_cluster(cluster())


@pytest.fixture(scope="module")
def production() -> ClusterRecorder:
    return declare_cluster(cluster("production"))


def by_name(declared: ClusterRecorder, kind: str) -> dict[str, dict[str, Any]]:
    return {each.name: each.inputs for each in declared.declared if each.typ == kind}


def test_aws_is_the_configured_account_and_region(smallest: ClusterRecorder) -> None:
    provider = smallest.one("pulumi:providers:aws")
    assert provider["region"] == "eu-west-1"
    assert json.loads(provider["allowedAccountIds"]) == ["123456789012"]
    aws = [each for each in smallest.declared if each.typ.startswith("aws:")]
    assert {str(each.provider).rsplit("::", 2)[1] for each in aws} == {"aws"}


def test_what_is_inside_the_cluster_is_made_with_its_own_kubeconfig(smallest: ClusterRecorder) -> None:
    assert json.loads(smallest.one("pulumi:providers:kubernetes")["kubeconfig"]) == {"kind": "Config"}
    inside = [each for each in smallest.declared if each.typ.startswith("kubernetes:")]
    assert {str(each.provider).rsplit("::", 2)[1] for each in inside} == {"main-kubernetes"}


@pytest.mark.parametrize("cidr", ["10.64.0.0/16", "10.0.0.0/20", "172.16.4.0/22"])
def test_private_subnets_have_three_quarters_of_the_addresses_and_nothing_overlaps(cidr: str) -> None:
    blocks = subnet_blocks(cidr)
    networks = [IPv4Network(block) for block in (*blocks.private, *blocks.public)]
    assert len(networks) == 6
    assert all(each.subnet_of(IPv4Network(cidr)) for each in networks)
    assert not [(a, b) for a in networks for b in networks if a is not b and a.overlaps(b)]
    assert sum(IPv4Network(block).num_addresses for block in blocks.private) == IPv4Network(cidr).num_addresses * 3 // 4
    # A load balancer needs subnets of /27 or larger.
    assert all(IPv4Network(block).prefixlen <= 27 for block in blocks.public)


def test_subnets_are_in_three_zones_and_say_which_load_balancers_they_are_for(smallest: ClusterRecorder) -> None:
    subnets = by_name(smallest, "aws:ec2/subnet:Subnet")
    for kind, tag in (("public", "kubernetes.io/role/elb"), ("private", "kubernetes.io/role/internal-elb")):
        chosen = [subnets[f"main-{kind}-{number}"] for number in (1, 2, 3)]
        assert [each["availabilityZone"] for each in chosen] == ["eu-west-1a", "eu-west-1b", "eu-west-1c"]
        assert {each["tags"][tag] for each in chosen} == {"1"}
        assert {each["mapPublicIpOnLaunch"] for each in chosen} == {False}


def test_named_zones_are_taken_as_they_are() -> None:
    zones = ["eu-west-1c", "eu-west-1b", "eu-west-1a"]
    declared = declare_cluster(cluster(network={"zones": zones}))
    subnets = by_name(declared, "aws:ec2/subnet:Subnet")
    assert [subnets[f"main-private-{number}"]["availabilityZone"] for number in (1, 2, 3)] == zones


def test_a_region_with_too_few_zones_is_told() -> None:
    with pytest.raises(AphexError) as caught:
        first_zones(["us-west-1a", "us-west-1c"], "us-west-1")
    assert str(caught.value) == (
        "us-west-1 has only 2 zones that EKS can use for this account, and a cluster needs 3.\n"
        "Choose another region, or ask AWS for access to another zone and name the three in network.zones."
    )


@pytest.mark.parametrize(("nat", "gateways"), [("single", 1), ("per-zone", 3)])
def test_private_subnets_go_out_by_one_gateway_or_by_that_of_their_zone(nat: str, gateways: int) -> None:
    declared = declare_cluster(cluster(network={"nat": nat}))
    assert len(declared.of("aws:ec2/natGateway:NatGateway")) == gateways
    assert [each["domain"] for each in declared.of("aws:ec2/eip:Eip")] == ["vpc"] * gateways
    routes = by_name(declared, "aws:ec2/route:Route")
    used = [routes[f"main-private-{number}"]["natGatewayId"] for number in (1, 2, 3)]
    assert used == [f"main-nat-{min(number, gateways)}-id" for number in (1, 2, 3)]
    public = {each["subnetId"] for each in declared.of("aws:ec2/natGateway:NatGateway")}
    assert public == {f"main-public-{number}-id" for number in range(1, gateways + 1)}
    assert routes["main-public"]["gatewayId"] == "main-id"
    # EC2 refuses a NAT gateway as long as the network has no internet gateway.
    for kind in ("aws:ec2/eip:Eip", "aws:ec2/natGateway:NatGateway"):
        for number in range(1, gateways + 1):
            before = declared.after[kind, f"main-nat-{number}"]
            assert any(urn.endswith("aws:ec2/internetGateway:InternetGateway::main") for urn in before)


def test_every_subnet_has_a_route_table_and_s3_and_dynamodb_pass_by_the_gateway(smallest: ClusterRecorder) -> None:
    associated = {each["subnetId"] for each in smallest.of("aws:ec2/routeTableAssociation:RouteTableAssociation")}
    assert associated == {f"{name}-id" for name in by_name(smallest, "aws:ec2/subnet:Subnet")}
    tables = {f"{name}-id" for name in by_name(smallest, "aws:ec2/routeTable:RouteTable")}
    endpoints = smallest.of("aws:ec2/vpcEndpoint:VpcEndpoint")
    assert {each["serviceName"] for each in endpoints} == {
        "com.amazonaws.eu-west-1.s3",
        "com.amazonaws.eu-west-1.dynamodb",
    }
    assert all(each["vpcEndpointType"] == "Gateway" and set(each["routeTableIds"]) == tables for each in endpoints)


def test_the_default_security_group_lets_nothing_pass(smallest: ClusterRecorder) -> None:
    group = smallest.one("aws:ec2/defaultSecurityGroup:DefaultSecurityGroup")
    assert group.get("ingress") is None
    assert group.get("egress") is None


def test_logs_are_encrypted_and_kept_for_so_many_days(production: ClusterRecorder) -> None:
    groups = {each["name"]: each for each in production.of("aws:cloudwatch/logGroup:LogGroup")}
    assert set(groups) == {"/aws/eks/aphex-production/cluster", "/aphex/production/flow-logs"}
    assert {each["retentionInDays"] for each in groups.values()} == {365}
    assert {each["kmsKeyId"] for each in groups.values()} == {"arn:aws:test:::production"}


@pytest.mark.parametrize(("chosen", "traffic"), [("rejected", ["REJECT"]), ("all", ["ALL"]), ("none", [])])
def test_flow_logs_are_a_choice(chosen: str, traffic: list[str]) -> None:
    declared = declare_cluster(cluster(network={"flow_logs": chosen}))
    flows = declared.of("aws:ec2/flowLog:FlowLog")
    assert [each["trafficType"] for each in flows] == traffic
    assert all(each["logDestination"] == "arn:aws:test:::main-logs-flow-logs" for each in flows)
    assert len(declared.of("aws:iam/role:Role")) == len(traffic)


def test_the_key_is_rotated_and_can_be_taken_back(smallest: ClusterRecorder) -> None:
    key = smallest.one("aws:kms/key:Key")
    assert key["enableKeyRotation"] is True
    assert key["deletionWindowInDays"] == 30
    assert smallest.one("aws:kms/alias:Alias")["name"] == "alias/aphex/cluster/main"


def test_the_control_plane_is_encrypted_logged_and_restricted(smallest: ClusterRecorder) -> None:
    eks = smallest.one("eks:index:Cluster")
    assert eks["name"] == "aphex-main"
    assert eks["version"] == "1.35"
    assert eks["encryptionConfigKeyArn"] == "arn:aws:test:::main"
    assert eks["enabledClusterLogTypes"] == ["api", "audit", "authenticator", "controllerManager", "scheduler"]
    assert eks["authenticationMode"] == "API"
    assert eks["endpointPrivateAccess"] is True
    assert eks["endpointPublicAccess"] is True
    assert eks["publicAccessCidrs"] == ["203.0.113.0/24"]
    assert eks["privateSubnetIds"] == [f"main-private-{number}-id" for number in (1, 2, 3)]
    # Auto Mode starts nodes in all that are named here, and only the private ones have a way out for them.
    assert "publicSubnetIds" not in eks
    assert eks["upgradePolicy"] == {"supportType": "STANDARD"}
    assert eks["createOidcProvider"] is True
    assert eks["skipDefaultNodeGroup"] is True
    assert eks["skipDefaultSecurityGroups"] is True
    assert "accessEntries" not in eks


def test_a_private_endpoint_is_reached_from_the_network_alone() -> None:
    eks = declare_cluster(cluster("node-groups")).one("eks:index:Cluster")
    assert eks["endpointPrivateAccess"] is True
    assert eks["endpointPublicAccess"] is False
    assert "publicAccessCidrs" not in eks


def test_extended_support_is_a_choice() -> None:
    eks = declare_cluster(cluster(kubernetes={"version": "1.36", "extended_support": True})).one("eks:index:Cluster")
    assert eks["upgradePolicy"] == {"supportType": "EXTENDED"}
    assert eks["version"] == "1.36"


def test_administrators_are_roles_with_an_access_entry(production: ClusterRecorder) -> None:
    (entry,) = production.one("eks:index:Cluster")["accessEntries"].values()
    assert entry["principalArn"] == "arn:aws:iam::123456789012:role/platform-admin"
    (policy,) = entry["accessPolicies"].values()
    assert policy["policyArn"] == "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"
    assert policy["accessScope"] == {"type": "cluster"}


def test_images_are_scanned_encrypted_and_their_tags_stay(smallest: ClusterRecorder) -> None:
    repositories = {each["name"]: each for each in smallest.of("aws:ecr/repository:Repository")}
    assert set(repositories) == {"aphex-main/aphex-builder", "aphex-main/aphex-deployer"}
    for repository in repositories.values():
        assert repository["imageTagMutability"] == "IMMUTABLE"
        assert repository["imageScanningConfiguration"] == {"scanOnPush": True}
        assert repository["encryptionConfigurations"] == [{"encryptionType": "KMS", "kmsKey": "arn:aws:test:::main"}]
        assert repository["forceDelete"] is False


def test_repositories_do_not_grow_for_ever() -> None:
    chosen = {"keep_images": 5, "untagged_days": 2, "immutable_tags": False, "scan_on_push": False}
    declared = declare_cluster(cluster(registry=chosen))
    for policy in declared.of("aws:ecr/lifecyclePolicy:LifecyclePolicy"):
        untagged, newest = json.loads(policy["policy"])["rules"]
        assert (untagged["rulePriority"], newest["rulePriority"]) == (1, 2)
        assert untagged["selection"] == {
            "tagStatus": "untagged",
            "countType": "sinceImagePushed",
            "countUnit": "days",
            "countNumber": 2,
        }
        assert newest["selection"] == {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 5}
    for repository in declared.of("aws:ecr/repository:Repository"):
        assert repository["imageTagMutability"] == "MUTABLE"
        assert repository["imageScanningConfiguration"] == {"scanOnPush": False}


@pytest.mark.parametrize("protected", [True, False])
def test_what_holds_data_is_protected_until_the_file_says_otherwise(protected: bool) -> None:
    declared = declare_cluster(cluster(deletion_protection=protected))
    assert declared.one("eks:index:Cluster")["deletionProtection"] is protected
    assert {each["forceDelete"] for each in declared.of("aws:ecr/repository:Repository")} == {not protected}
    kept = {"eks:index:Cluster", "aws:kms/key:Key", "aws:ecr/repository:Repository"}
    assert set(declared.protected) == (kept if protected else set())


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_aws_resource_says_whose_it_is(example: str) -> None:
    config = cluster(example, tags={"cost-centre": "4711"})
    tagged = 0
    for each in declare_cluster(config).declared:
        tags = each.inputs.get("tags")
        if each.typ.startswith(("aws:", "eks:")) and tags is not None:
            assert tags["aphex:cluster"] == config.name
            assert tags["cost-centre"] == "4711"
            tagged += 1
    assert tagged > 20


def test_the_outputs_say_where_everything_is(production: ClusterRecorder) -> None:
    outputs = production.outputs
    registry = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/aphex-production"
    assert outputs["cluster_name"] == "aphex-production"
    assert json.loads(outputs["kubeconfig"]) == {"kind": "Config"}
    assert outputs["oidc_issuer"] == f"https://{ISSUER}"
    assert outputs["oidc_provider_arn"] == f"arn:aws:iam::123456789012:oidc-provider/{ISSUER}"
    assert outputs["vpc_id"] == "production-id"
    assert outputs["builder_repository"] == f"{registry}/aphex-builder"
    assert outputs["deployer_repository"] == f"{registry}/aphex-deployer"
    assert outputs["storage_class"] == "aphex"
    assert outputs["argo_url"] == "https://argo.example.com"
    assert outputs["webhook_url"] == "https://hooks.example.com"
    assert outputs["webhook_ingress_class"] == "aphex-webhooks"
    # At "/" an EventSource answers 404, for which a load balancer holds it to be ill.
    assert outputs["webhook_ingress_annotations"]["alb.ingress.kubernetes.io/healthcheck-path"] == "/health"
    assert (outputs["kubernetes_version"], outputs["argo_version"]) == ("1.35", "3.7.18")
    assert (outputs["region"], outputs["account"]) == ("eu-west-1", "123456789012")
    assert outputs["identity"] == "pod-identity"


def test_without_webhooks_there_are_no_outputs_of_them(smallest: ClusterRecorder) -> None:
    assert not [name for name in smallest.outputs if name.startswith("webhook")]
    assert pulumi.get_project() == "aphex"
