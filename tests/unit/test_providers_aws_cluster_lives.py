"""The resource types of a cluster in the stand-in AWS provider, on moto: networks, repositories, and EKS itself."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from sandbox.providers.base import InitializationFailed, Properties, ProviderError
from tests.support.lives import Lives, lives_on
from tests.support.moto_endpoint import MotoEndpoint, moto_endpoint

ROLE = "arn:aws:iam::123456789012:role/builder"


@pytest.fixture(scope="module")
def server() -> Iterator[MotoEndpoint]:
    with moto_endpoint() as running:
        yield running


@pytest.fixture
def moto(server: MotoEndpoint) -> MotoEndpoint:
    server.reset()
    return server


@pytest.fixture
def lives(moto: MotoEndpoint) -> Iterator[Lives]:
    lives = lives_on(moto)
    yield lives
    lives.end()


def test_a_network(lives: Lives, moto: MotoEndpoint) -> None:
    tags = {"Name": "shared"}
    vpc = lives.create("aws:ec2/vpc:Vpc", {"cidrBlock": "10.42.0.0/16", "enableDnsHostnames": True, "tags": tags})
    assert lives.update(vpc, {"cidrBlock": "10.42.0.0/16", "enableDnsHostnames": False, "tags": {"Name": "other"}})
    assert lives.replaces(vpc, {"cidrBlock": "10.43.0.0/16"})
    group = lives.create("aws:ec2/defaultSecurityGroup:DefaultSecurityGroup", {"vpcId": vpc.id, "tags": tags})
    assert group.id == vpc.outputs["defaultSecurityGroupId"]
    (found,) = moto.client("ec2").describe_security_groups(GroupIds=[group.id])["SecurityGroups"]
    assert (found["IpPermissions"], found["IpPermissionsEgress"]) == ([], [])

    gateway = lives.create("aws:ec2/internetGateway:InternetGateway", {"vpcId": vpc.id, "tags": tags})
    asked = {"vpcId": vpc.id, "cidrBlock": "10.42.0.0/24", "availabilityZone": "us-east-1a", "tags": tags}
    subnet = lives.create("aws:ec2/subnet:Subnet", asked)
    assert lives.update(subnet, {**asked, "mapPublicIpOnLaunch": True}) == {"mapPublicIpOnLaunch"}
    address = lives.create("aws:ec2/eip:Eip", {"domain": "vpc", "tags": tags})
    asked = {"allocationId": address.id, "subnetId": subnet.id, "tags": tags}
    nat = lives.create("aws:ec2/natGateway:NatGateway", asked)
    assert nat.outputs["publicIp"] == address.outputs["publicIp"]
    assert lives.update(nat, {**asked, "tags": {}}) == {"tags"}

    tables = [
        lives.create("aws:ec2/routeTable:RouteTable", {"vpcId": vpc.id, "tags": tags}, name) for name in ("public", "b")
    ]
    asked = {"routeTableId": tables[0].id, "destinationCidrBlock": "0.0.0.0/0", "gatewayId": gateway.id}
    route = lives.create("aws:ec2/route:Route", asked)
    through_nat = {key: value for key, value in asked.items() if key != "gatewayId"} | {"natGatewayId": nat.id}
    assert lives.update(route, through_nat) == {"gatewayId", "natGatewayId"}
    asked = {"routeTableId": tables[0].id, "subnetId": subnet.id}
    association = lives.create("aws:ec2/routeTableAssociation:RouteTableAssociation", asked)
    assert lives.update(association, {**asked, "routeTableId": tables[1].id}) == {"routeTableId"}

    asked = {"vpcId": vpc.id, "serviceName": "com.amazonaws.us-east-1.s3", "routeTableIds": [tables[0].id]}
    endpoint = lives.create("aws:ec2/vpcEndpoint:VpcEndpoint", asked)
    assert lives.update(endpoint, {**asked, "routeTableIds": [tables[1].id]}) == {"routeTableIds[0]"}
    lives.made.remove(group)
    lives.end()
    ec2 = moto.client("ec2")
    assert vpc.id not in [each["VpcId"] for each in ec2.describe_vpcs()["Vpcs"]]
    assert ec2.describe_addresses()["Addresses"] == []


def test_a_flow_log(lives: Lives) -> None:
    vpc = lives.create("aws:ec2/vpc:Vpc", {"cidrBlock": "10.42.0.0/16"})
    logs = lives.create("aws:cloudwatch/logGroup:LogGroup", {"name": "flows"})
    asked = {
        "vpcId": vpc.id,
        "trafficType": "REJECT",
        "logDestination": logs.outputs["arn"],
        "iamRoleArn": ROLE,
        "maxAggregationInterval": 60,
        "tags": {"team": "a"},
    }
    flow = lives.create("aws:ec2/flowLog:FlowLog", asked)
    assert lives.update(flow, {**asked, "tags": {"team": "b"}}) == {"tags.team"}
    assert lives.replaces(flow, {**asked, "trafficType": "ALL"})


def test_a_launch_template(lives: Lives) -> None:
    disk: Properties = {"deviceName": "/dev/xvda", "ebs": {"volumeSize": 50, "encrypted": "true", "volumeType": "gp3"}}
    asked: Properties = {
        "blockDeviceMappings": [disk],
        "metadataOptions": {"httpTokens": "required", "httpPutResponseHopLimit": 1},
        "tagSpecifications": [{"resourceType": "instance", "tags": {"team": "a"}}],
        "updateDefaultVersion": True,
        "tags": {"team": "a"},
    }
    template = lives.create("aws:ec2/launchTemplate:LaunchTemplate", asked)
    assert (template.outputs["latestVersion"], template.outputs["defaultVersion"]) == (1, 1)
    bigger = {**asked, "blockDeviceMappings": [{**disk, "ebs": {**disk["ebs"], "volumeSize": 100}}]}
    assert lives.update(template, bigger) == {"blockDeviceMappings[0].ebs.volumeSize"}
    assert (template.outputs["latestVersion"], template.outputs["defaultVersion"]) == (2, 2)


def test_a_repository_of_images(lives: Lives, moto: MotoEndpoint) -> None:
    asked: Properties = {
        "name": "aphex/builder",
        "imageTagMutability": "IMMUTABLE",
        "imageScanningConfiguration": {"scanOnPush": True},
        "encryptionConfigurations": [{"encryptionType": "KMS", "kmsKey": "arn:aws:kms:us-east-1:123456789012:key/k"}],
        "forceDelete": True,
        "tags": {"team": "a"},
    }
    repository = lives.create("aws:ecr/repository:Repository", asked)
    changed = {**asked, "imageTagMutability": "MUTABLE", "imageScanningConfiguration": {"scanOnPush": False}}
    changed["tags"] = {"team": "b"}
    assert lives.update(repository, changed) == {
        "imageScanningConfiguration.scanOnPush",
        "imageTagMutability",
        "tags.team",
    }
    assert lives.replaces(repository, {**asked, "encryptionConfigurations": [{"encryptionType": "AES256"}]})
    rule = {
        "rulePriority": 1,
        "selection": {"tagStatus": "untagged", "countType": "imageCountMoreThan", "countNumber": 5},
        "action": {"type": "expire"},
    }
    policy = {"repository": "aphex/builder", "policy": json.dumps({"rules": [rule]})}
    lifecycle = lives.create("aws:ecr/lifecyclePolicy:LifecyclePolicy", policy)
    assert lives.replaces(lifecycle, {**policy, "policy": '{"rules": []}'})
    pull = {"Sid": "pull", "Effect": "Allow", "Principal": "*", "Action": ["ecr:BatchGetImage"]}
    document = {"Version": "2012-10-17", "Statement": [pull]}
    asked = {"repository": "aphex/builder", "policy": json.dumps(document)}
    shared = lives.create("aws:ecr/repositoryPolicy:RepositoryPolicy", asked)
    pull["Action"] = ["ecr:GetDownloadUrlForLayer"]
    assert lives.update(shared, {**asked, "policy": json.dumps(document)}) == {"policy"}


def test_an_identity_provider(lives: Lives) -> None:
    asked: Properties = {
        "url": "https://oidc.eks.us-east-1.amazonaws.com/id/A",
        "clientIdLists": ["sts.amazonaws.com"],
        "thumbprintLists": ["9e99a48a9960b14926bb7f3b02e22da2b0ab7280"],
        "tags": {"team": "a"},
    }
    provider = lives.create("aws:iam/openIdConnectProvider:OpenIdConnectProvider", asked)
    changed = {**asked, "clientIdLists": ["other"], "tags": {"team": "b"}}
    assert lives.update(provider, changed) == {"clientIdLists[0]", "tags.team"}
    assert lives.replaces(provider, {**asked, "url": "https://oidc.eks.us-east-1.amazonaws.com/id/B"})


def test_an_instance_profile(lives: Lives) -> None:
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    for name in ("one", "two"):
        lives.create("aws:iam/role:Role", {"name": name, "assumeRolePolicy": trust}, name)
    profile = lives.create("aws:iam/instanceProfile:InstanceProfile", {"role": "one", "tags": {"team": "a"}})
    assert lives.update(profile, {"role": "two", "tags": {"team": "b"}}) == {"role", "tags.team"}


def test_a_policy_of_aws_s_own_can_be_attached(lives: Lives, moto: MotoEndpoint) -> None:
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    lives.create("aws:iam/role:Role", {"name": "nodes", "assumeRolePolicy": trust})
    policies = ("AmazonEKSWorkerNodeMinimalPolicy", "service-role/AmazonEBSCSIDriverPolicy")
    for name in policies:
        asked = {"role": "nodes", "policyArn": f"arn:aws:iam::aws:policy/{name}"}
        lives.create("aws:iam/rolePolicyAttachment:RolePolicyAttachment", asked, name)
    asked = {"role": "nodes", "policyArn": "arn:aws:iam::aws:policy/NobodyKnows"}
    with pytest.raises(ProviderError, match="does not exist"):
        lives.create("aws:iam/rolePolicyAttachment:RolePolicyAttachment", asked)
    assert moto.client("iam").list_policies(Scope="Local")["Policies"] == []


@pytest.fixture
def subnets(moto: MotoEndpoint) -> list[str]:
    found = moto.client("ec2").describe_subnets()["Subnets"]
    return [subnet["SubnetId"] for subnet in found][:2]


def cluster(subnets: list[str], **more: object) -> Properties:
    return {
        "name": "shared",
        "roleArn": ROLE,
        "version": "1.33",
        "vpcConfig": {"subnetIds": subnets, "endpointPrivateAccess": True, "endpointPublicAccess": False},
        "tags": {"team": "a"},
        **more,
    }


def test_a_cluster_with_auto_mode(lives: Lives, moto: MotoEndpoint, subnets: list[str]) -> None:
    asked = cluster(
        subnets,
        accessConfig={"authenticationMode": "API", "bootstrapClusterCreatorAdminPermissions": True},
        bootstrapSelfManagedAddons=False,
        computeConfig={"enabled": True, "nodePools": ["general-purpose", "system"], "nodeRoleArn": ROLE},
        enabledClusterLogTypes=["api", "audit"],
        kubernetesNetworkConfig={"ipFamily": "ipv4", "elasticLoadBalancing": {"enabled": True}},
        storageConfig={"blockStorage": {"enabled": True}},
        upgradePolicy={"supportType": "STANDARD"},
        deletionProtection=True,
    )
    made = lives.create("aws:eks/cluster:Cluster", asked)
    assert made.outputs["identities"][0]["oidcs"][0]["issuer"].startswith(
        "https://oidc.eks.us-east-1.amazonaws.com/id/"
    )
    assert made.outputs["vpcConfig"]["clusterSecurityGroupId"].startswith("sg-")
    with pytest.raises(ProviderError, match="deletion protection"):
        lives.provider.delete(made.resource, made.id, made.inputs, made.outputs, 0)
    assert made.outputs["vpcConfig"]["vpcId"].startswith("vpc-")
    changed = {
        **asked,
        "version": "1.34",
        "enabledClusterLogTypes": ["api", "scheduler"],
        "vpcConfig": {**asked["vpcConfig"], "endpointPublicAccess": True, "publicAccessCidrs": ["198.51.100.0/24"]},
        "computeConfig": {**asked["computeConfig"], "nodePools": ["general-purpose"]},
        "deletionProtection": False,
        "encryptionConfig": {"provider": {"keyArn": "arn:aws:kms:us-east-1:1:key/k"}, "resources": ["secrets"]},
        "tags": {"team": "b"},
    }
    assert {"version", "encryptionConfig"} <= lives.update(made, changed)
    described = moto.client("eks").describe_cluster(name="shared")["cluster"]
    assert described["computeConfig"]["nodePools"] == ["general-purpose"]
    assert described["resourcesVpcConfig"]["publicAccessCidrs"] == ["198.51.100.0/24"]
    assert described["kubernetesNetworkConfig"]["elasticLoadBalancing"] == {"enabled": True}
    assert lives.replaces(made, {**changed, "roleArn": f"{ROLE}-2"})
    assert lives.replaces(made, {**changed, "kubernetesNetworkConfig": {"serviceIpv4Cidr": "10.100.0.0/16"}})
    assert lives.replaces(made, {key: value for key, value in changed.items() if key != "encryptionConfig"})
    assert lives.replaces(made, {**changed, "computeConfig": {**changed["computeConfig"], "nodeRoleArn": f"{ROLE}-2"}})
    with pytest.raises(InitializationFailed, match="cannot change the encryption of cluster shared"):
        lives.update(made, {**changed, "encryptionConfig": {"provider": {"keyArn": "k2"}, "resources": ["secrets"]}})
    with pytest.raises(InitializationFailed, match=r"Unsupported Kubernetes minor version update from 1\.34 to 1\.36"):
        lives.update(made, {**changed, "version": "1.36"})


def test_a_cluster_s_nodes_add_ons_and_access(lives: Lives, subnets: list[str]) -> None:
    lives.create("aws:eks/cluster:Cluster", cluster(subnets))
    asked: Properties = {
        "clusterName": "shared",
        "nodeRoleArn": ROLE,
        "subnetIds": subnets,
        "scalingConfig": {"minSize": 1, "maxSize": 3, "desiredSize": 1},
        "instanceTypes": ["m7g.large"],
        "amiType": "AL2023_ARM_64_STANDARD",
        "labels": {"team": "a"},
        "taints": [{"key": "only", "value": "builds", "effect": "NO_SCHEDULE"}],
        "updateConfig": {"maxUnavailable": 1},
        "tags": {"team": "a"},
    }
    nodes = lives.create("aws:eks/nodeGroup:NodeGroup", asked)
    changed = {
        **asked,
        "labels": {"owner": "b"},
        "taints": [],
        "scalingConfig": {"minSize": 2, "maxSize": 3, "desiredSize": 2},
    }
    lives.update(nodes, {**changed, "tags": {"team": "b"}})
    assert lives.replaces(nodes, {**asked, "instanceTypes": ["m7g.xlarge"]})
    template = lives.create("aws:ec2/launchTemplate:LaunchTemplate", {"instanceType": "m7g.large"})
    asked = {key: asked[key] for key in ("clusterName", "nodeRoleArn", "subnetIds", "scalingConfig")}
    asked["launchTemplate"] = {"id": template.id, "version": template.outputs["latestVersion"]}
    templated = lives.create("aws:eks/nodeGroup:NodeGroup", asked, "templated")
    assert templated.inputs["launchTemplate"]["version"] == "1"
    newer = {**asked, "launchTemplate": {"id": template.id, "version": 2}}
    assert lives.update(templated, newer) == {"launchTemplate.version"}

    asked = {
        "clusterName": "shared",
        "addonName": "coredns",
        "addonVersion": "v1.11.4-eksbuild.2",
        "tags": {"team": "a"},
    }
    addon = lives.create("aws:eks/addon:Addon", {**asked, "preserve": True, "resolveConflictsOnUpdate": "OVERWRITE"})
    assert "addonVersion" in lives.update(addon, {**asked, "addonVersion": "v1.12.1-eksbuild.2"})
    asked = {"clusterName": "shared", "addonName": "aws-ebs-csi-driver"}
    role = {"roleArn": ROLE, "serviceAccount": "ebs-csi-controller-sa"}
    volumes = lives.create("aws:eks/addon:Addon", {**asked, "podIdentityAssociations": [role]}, "volumes")
    other = {**role, "roleArn": f"{ROLE}-2"}
    assert lives.update(volumes, {**asked, "podIdentityAssociations": [other]}) == {
        "podIdentityAssociations[0].roleArn"
    }
    assert lives.update(volumes, asked) == {"podIdentityAssociations"}

    asked = {"clusterName": "shared", "principalArn": f"{ROLE}/with/path", "tags": {"team": "a"}}
    entry = lives.create("aws:eks/accessEntry:AccessEntry", {**asked, "kubernetesGroups": ["admins"]})
    assert lives.update(entry, {**asked, "kubernetesGroups": ["readers"]}) == {"kubernetesGroups[0]"}
    assert lives.replaces(entry, {**asked, "type": "EC2_LINUX"})
    asked = {
        "clusterName": "shared",
        "principalArn": f"{ROLE}/with/path",
        "policyArn": "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy",
        "accessScope": {"type": "cluster"},
    }
    policy = lives.create("aws:eks/accessPolicyAssociation:AccessPolicyAssociation", asked)
    assert lives.replaces(policy, {**asked, "accessScope": {"type": "namespace", "namespaces": ["default"]}})


def test_the_zones_of_a_region(lives: Lives) -> None:
    token = "aws:index/getAvailabilityZones:getAvailabilityZones"
    everything = lives.provider.invoke(token, {"state": "available"})
    first = everything["zoneIds"][0]
    rest = lives.provider.invoke(token, {"state": "available", "excludeZoneIds": [first]})
    assert everything["names"][0] == "us-east-1a"
    assert rest["zoneIds"] == everything["zoneIds"][1:]
