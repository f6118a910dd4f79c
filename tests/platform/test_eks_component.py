"""The stand-in `eks` provider under the real engine: the children that pulumi-eks registers, made on moto."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pulumi
import pulumi_aws as aws
import pytest
import yaml

from sandbox.providers.server import KubernetesTarget, attach
from tests.support.engine import Engine, Observation, Program
from tests.support.moto_endpoint import REGION, MotoEndpoint, moto_endpoint

with warnings.catch_warnings():
    # It says so on its import, of a component that nobody uses.
    warnings.simplefilter("ignore", DeprecationWarning)
    import pulumi_eks as eks

pytestmark = [
    pytest.mark.engine,
    pytest.mark.timeout(300),
    # pulumi_aws says so on its import, of resources that nobody uses.
    pytest.mark.filterwarnings("ignore:.*has been deprecated:DeprecationWarning"),
    # The SDK leaves its event loop open when a program fails, and one here is meant to.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

ADMIN = "arn:aws:iam::123456789012:role/admin"
POLICY = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"
CLUSTER = "aws:eks/cluster:Cluster main-eksCluster"


@pytest.fixture(scope="module")
def server() -> Iterator[MotoEndpoint]:
    with moto_endpoint() as endpoint:
        yield endpoint


@pytest.fixture
def moto(server: MotoEndpoint) -> MotoEndpoint:
    server.reset()
    return server


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    """Of an API server that nobody calls here."""
    path = tmp_path / "kubeconfig"
    cluster = {"name": "here", "cluster": {"server": "https://127.0.0.1:1"}}
    contexts = [{"name": name, "context": {"cluster": name, "user": name}} for name in ("here", "other")]
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [cluster, {**cluster, "name": "other"}],
        "contexts": contexts,
        "users": [{"name": "here", "user": {"token": "t0ken"}}, {"name": "other", "user": {"token": "other"}}],
        "current-context": "here",
    }
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.fixture
def engine(moto: MotoEndpoint, kubeconfig: Path, tmp_path: Path) -> Iterator[Engine]:
    target = KubernetesTarget(kubeconfig=kubeconfig)
    with attach(moto.provider, target, eks=True, pulumi_home=tmp_path / "home") as added:
        yield Engine(directory=tmp_path, environment=added, project="eks")


def program(subnets: list[str], version: str = "1.33", **more: Any) -> Program:
    """A cluster as the cluster stack makes it, by a provider of its own."""

    def declare() -> None:
        provider = aws.Provider("aws", region=REGION)
        admin = eks.AccessPolicyAssociationArgs(
            policy_arn=POLICY, access_scope=aws.eks.AccessPolicyAssociationAccessScopeArgs(type="cluster")
        )
        entries = {"admin": eks.AccessEntryArgs(principal_arn=ADMIN, access_policies={"admin": admin})}
        cluster = eks.Cluster(
            "main",
            name="shared",
            version=version,
            vpc_id="vpc-any",
            private_subnet_ids=subnets[1:],
            public_subnet_ids=subnets[:1],
            endpoint_private_access=True,
            endpoint_public_access=False,
            authentication_mode=eks.AuthenticationMode.API,
            access_entries=entries,
            enabled_cluster_log_types=["api", "audit"],
            create_oidc_provider=True,
            skip_default_node_group=True,
            skip_default_security_groups=True,
            provider_credential_opts=eks.KubeconfigOptionsArgs(),
            tags={"team": "a"},
            **more,
            opts=pulumi.ResourceOptions(providers=[provider]),
        )
        for name in ("kubeconfig_json", "oidc_provider_url", "oidc_issuer", "oidc_provider_arn"):
            pulumi.export(name, getattr(cluster, name))
        pulumi.export("group", cluster.cluster_security_group_id)
        pulumi.export("nodes", cluster.auto_mode_node_role_name)
        pulumi.export("arn", cluster.eks_cluster.arn)

    return declare


AUTO: dict[str, Any] = {"auto_mode": eks.AutoModeOptionsArgs(enabled=True), "coredns_addon_options": {"enabled": False}}


def made(seen: Observation) -> set[str]:
    """What was made, by its type and name, less the stack and the providers."""
    return {label for label in seen.steps if not label.startswith(("pulumi:pulumi:Stack", "pulumi:providers:"))}


BOTH = {
    "eks:index:Cluster main",
    "eks:index:ServiceRole main-eksRole",
    "aws:iam/role:Role main-eksRole-role",
    CLUSTER,
    "aws:eks/accessEntry:AccessEntry main-admin",
    "aws:eks/accessPolicyAssociation:AccessPolicyAssociation main-admin-admin",
    "aws:iam/openIdConnectProvider:OpenIdConnectProvider main-oidcProvider",
}


def test_a_cluster_with_auto_mode_has_the_nodes_role(engine: Engine, moto: MotoEndpoint) -> None:
    subnets = [subnet["SubnetId"] for subnet in moto.client("ec2").describe_subnets()["Subnets"]][:3]
    created = engine.run("up", program(subnets, **AUTO))
    assert created.errors == []
    plain = {label for label in made(created) if "RolePolicyAttachment" not in label}
    assert plain == BOTH | {"eks:index:ServiceRole main-nodeRole", "aws:iam/role:Role main-nodeRole-role"}
    assert "pulumi:providers:kubernetes main-eks-k8s" in created.steps
    described = moto.client("eks").describe_cluster(name="shared")["cluster"]
    assert described["computeConfig"]["nodePools"] == ["general-purpose", "system"]
    assert described["tags"] == {"Name": "main-eksCluster", "team": "a"}

    outputs = created.outputs
    assert (
        outputs["oidc_provider_url"] == f"https://{outputs['oidc_issuer']}" == described["identity"]["oidc"]["issuer"]
    )
    assert outputs["group"] == described["resourcesVpcConfig"]["clusterSecurityGroupId"]
    assert outputs["arn"] == described["arn"]
    config = yaml.safe_load(outputs["kubeconfig_json"]["secret"])
    assert config["users"] == [{"name": "here", "user": {"token": "t0ken"}}]


def test_a_cluster_for_node_groups_has_its_add_ons(engine: Engine, moto: MotoEndpoint) -> None:
    subnets = [subnet["SubnetId"] for subnet in moto.client("ec2").describe_subnets()["Subnets"]][:3]
    options: dict[str, Any] = {"vpc_cni_options": eks.VpcCniOptionsArgs(enable_network_policy=True)}
    planned = engine.run("preview", program(subnets, **options))
    assert planned.errors == []
    plain = {label for label in made(planned) if "RolePolicyAttachment" not in label}
    assert plain == BOTH | {
        "aws:eks/addon:Addon main-kube-proxy",
        "aws:eks/addon:Addon main-vpc-cni",
        "eks:index:VpcCniAddon main-vpc-cni",
    }


def test_what_the_stand_in_cannot_make_is_refused(engine: Engine) -> None:
    refused = engine.run("preview", program([], gpu=True, fargate=True))
    assert any("fargate is not supported; gpu is not supported" in error for error in refused.errors)
