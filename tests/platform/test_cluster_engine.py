"""The cluster's program by the real engine: on moto's AWS and a real API server, from creation to destruction.

The API server stands in for that of EKS, and no chart is rendered: a release is kept as Helm keeps its record.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lightkube.resources.core_v1 import Namespace, Secret
from lightkube.resources.networking_v1 import IngressClass
from lightkube.resources.storage_v1 import StorageClass

from aphex.cluster_config import ClusterConfig
from sandbox.providers.server import KubernetesTarget, attach
from tests.support.argo_kinds import api_client
from tests.support.cluster_examples import cluster
from tests.support.control_plane import ControlPlane, control_plane
from tests.support.eks_kinds import AUTO_MODE, LOAD_BALANCERS, install_kinds
from tests.support.engine import Engine, Observation
from tests.support.moto_endpoint import MotoEndpoint, moto_endpoint
from tests.support.recorded_charts import RecordedCharts

with warnings.catch_warnings():
    # pulumi_eks says so on its import, of a component that nobody uses.
    warnings.simplefilter("ignore", DeprecationWarning)
    from aphex_platform.cluster_program import cluster_program

pytestmark = [
    pytest.mark.engine,
    pytest.mark.timeout(300),
    # pulumi_aws says so on its import, of resources that nobody uses.
    pytest.mark.filterwarnings("ignore:.*has been deprecated:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with control_plane(tmp_path_factory.mktemp("control-plane")) as running:
        install_kinds(running.kubeconfig, (*AUTO_MODE, *LOAD_BALANCERS))
        yield running


@pytest.fixture(scope="module")
def server() -> Iterator[MotoEndpoint]:
    with moto_endpoint() as running:
        yield running


@pytest.fixture
def moto(server: MotoEndpoint) -> MotoEndpoint:
    server.reset()
    return server


@pytest.fixture
def engine(api_server: ControlPlane, moto: MotoEndpoint, tmp_path: Path) -> Iterator[Engine]:
    target = KubernetesTarget(kubeconfig=api_server.kubeconfig)
    home = tmp_path / "home"
    with attach(moto.provider, target, eks=True, charts=RecordedCharts, pulumi_home=home) as added:
        yield Engine(directory=tmp_path, environment=added, project="aphex")


def leftovers(moto: MotoEndpoint, region: str) -> dict[str, list[str]]:
    """What of a cluster is in AWS; a key that waits for its deletion is gone."""
    ec2, iam = moto.client("ec2", region), moto.client("iam")
    kms = moto.client("kms", region)
    keys = [kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"] for key in kms.list_keys()["Keys"]]
    return {
        "addresses": [each["AllocationId"] for each in ec2.describe_addresses()["Addresses"]],
        "clusters": moto.client("eks", region).list_clusters()["clusters"],
        "endpoints": [
            each["VpcEndpointId"] for each in ec2.describe_vpc_endpoints()["VpcEndpoints"] if each["State"] != "deleted"
        ],
        "flow logs": [each["FlowLogId"] for each in ec2.describe_flow_logs()["FlowLogs"]],
        "gateways": [each["InternetGatewayId"] for each in ec2.describe_internet_gateways()["InternetGateways"]],
        "identity providers": [
            each["Arn"] for each in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]
        ],
        "keys": [key["KeyId"] for key in keys if key["KeyState"] != "PendingDeletion" and key["KeyManager"] != "AWS"],
        "log groups": [each["logGroupName"] for each in moto.client("logs", region).describe_log_groups()["logGroups"]],
        "NAT gateways": [
            each["NatGatewayId"] for each in ec2.describe_nat_gateways()["NatGateways"] if each["State"] != "deleted"
        ],
        "repositories": [
            each["repositoryName"] for each in moto.client("ecr", region).describe_repositories()["repositories"]
        ],
        "roles": [each["RoleName"] for each in iam.list_roles()["Roles"]],
        "templates": [each["LaunchTemplateName"] for each in ec2.describe_launch_templates()["LaunchTemplates"]],
        "VPCs": [each["VpcId"] for each in ec2.describe_vpcs()["Vpcs"] if not each["IsDefault"]],
    }


def touched(seen: Observation) -> dict[str, list[str]]:
    """What was done to each resource that did not stay as it was."""
    assert seen.errors == []
    return {label: steps for label, steps in seen.steps.items() if steps != ["same"]}


def releases(api_server: ControlPlane, namespace: str) -> list[str]:
    with api_client(api_server.kubeconfig) as client:
        found = client.list(Secret, namespace=namespace, labels={"owner": "helm"})
        return sorted(str(secret.metadata.name) for secret in found if secret.metadata)


def inside(api_server: ControlPlane) -> set[str]:
    """What of a cluster is on the API server, of the kinds that belong to the whole of it."""
    with api_client(api_server.kubeconfig) as client:
        found: list[Any] = [*client.list(Namespace), *client.list(IngressClass), *client.list(StorageClass)]
        return {str(each.metadata.name) for each in found if each.metadata}


def with_sso(moto: MotoEndpoint, **changes: Any) -> ClusterConfig:
    """The example for production, and the secret of its login."""
    config = cluster("production", deletion_protection=False, **changes)
    secrets = moto.client("secretsmanager", config.region)
    if not secrets.list_secrets()["SecretList"]:
        secrets.create_secret(Name="aphex/argo-login", SecretString="sesame")
    (made,) = secrets.list_secrets()["SecretList"]
    document = config.model_dump(mode="json")
    document["ui"]["login"]["client_secret"] = made["ARN"]
    return ClusterConfig.model_validate(document)


def test_a_cluster_with_auto_mode_is_made_left_alone_changed_and_removed(
    engine: Engine, moto: MotoEndpoint, api_server: ControlPlane
) -> None:
    before = inside(api_server)
    first = with_sso(moto, kubernetes={"version": "1.34"})
    created = engine.run("up", cluster_program(first))
    assert created.errors == []
    made = leftovers(moto, first.region)
    assert [kind for kind, found in made.items() if not found] == ["templates"]
    assert len(made["NAT gateways"]) == 3
    assert made["clusters"] == ["aphex-production"]
    described = moto.client("eks", first.region).describe_cluster(name="aphex-production")["cluster"]
    assert created.outputs["vpc_id"] == made["VPCs"][0]
    assert created.outputs["oidc_issuer"] == described["identity"]["oidc"]["issuer"]
    assert created.outputs["oidc_provider_arn"] == made["identity providers"][0]
    assert described["computeConfig"]["nodePools"] == ["system"]
    assert inside(api_server) - before >= {"argo", "argo-events", "aphex-ui", "aphex"}
    assert releases(api_server, "argo") == ["sh.helm.release.v1.argo-workflows.v1"]

    assert touched(engine.run("up", cluster_program(first))) == {}

    network = {**first.network.model_dump(mode="json"), "nat": "single"}
    second = with_sso(moto, kubernetes={"version": "1.35"}, network=network)
    changed = touched(engine.run("up", cluster_program(second)))
    assert changed["aws:eks/cluster:Cluster production-eksCluster"] == ["update"]
    assert len([label for label, steps in changed.items() if "NatGateway " in label and steps == ["delete"]]) == 2
    assert len(leftovers(moto, first.region)["NAT gateways"]) == 1
    described = moto.client("eks", first.region).describe_cluster(name="aphex-production")["cluster"]
    assert described["version"] == "1.35"

    assert engine.run("destroy", cluster_program(second)).errors == []
    assert not any(leftovers(moto, first.region).values())
    assert inside(api_server) == before


def test_a_cluster_with_node_groups_is_made_left_alone_and_removed(
    engine: Engine, moto: MotoEndpoint, api_server: ControlPlane
) -> None:
    before = inside(api_server)
    config = cluster("node-groups", deletion_protection=False)
    created = engine.run("up", cluster_program(config))
    assert created.errors == []
    eks = moto.client("eks", config.region)
    addons = eks.list_addons(clusterName="aphex-groups")["addons"]
    assert addons == ["aws-ebs-csi-driver", "coredns", "eks-pod-identity-agent", "kube-proxy", "vpc-cni"]
    assert len(eks.list_nodegroups(clusterName="aphex-groups")["nodegroups"]) == 2
    assert "sh.helm.release.v1.cluster-autoscaler.v1" in releases(api_server, "kube-system")
    assert touched(engine.run("up", cluster_program(config))) == {}
    assert engine.run("destroy", cluster_program(config)).errors == []
    assert not any(leftovers(moto, config.region).values())
    assert inside(api_server) == before
    assert releases(api_server, "kube-system") == []
