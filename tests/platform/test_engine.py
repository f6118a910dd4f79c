"""The pipeline's program by the real engine: on moto's AWS and a real API server, from creation to destruction."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aphex_platform.identities import Identity
from aphex_platform.program import pipeline_program
from aphex_platform.settings import PlatformSettings
from lightkube.core.exceptions import ApiError
from lightkube.generic_resource import create_namespaced_resource
from lightkube.models.authentication_v1 import TokenRequestSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Namespace, Secret, ServiceAccountToken

from aphex.config import PipelineConfig, Retention
from sandbox.providers.server import KubernetesTarget, attach
from tests.support.argo_kinds import api_client, install_argo_kinds
from tests.support.control_plane import ControlPlane, control_plane
from tests.support.engine import Engine, Program
from tests.support.example import (
    everything,
    example_config,
    example_secrets,
    example_settings,
    pod_identity,
    with_retention,
    with_roles,
)
from tests.support.moto_endpoint import REGION, MotoEndpoint, moto_endpoint

pytestmark = [
    pytest.mark.engine,
    pytest.mark.timeout(300),
    # pulumi_aws says so on its import, of resources that nobody uses.
    pytest.mark.filterwarnings("ignore:.*has been deprecated in favor of:DeprecationWarning"),
]

WORKFLOW_TEMPLATE = create_namespaced_resource("argoproj.io", "v1alpha1", "WorkflowTemplate", "workflowtemplates")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with control_plane(tmp_path_factory.mktemp("control-plane")) as running:
        install_argo_kinds(running.kubeconfig)
        yield running


@pytest.fixture
def aws() -> Iterator[MotoEndpoint]:
    with moto_endpoint() as running:
        yield running


@pytest.fixture
def engine(cluster: ControlPlane, aws: MotoEndpoint, tmp_path: Path) -> Iterator[Engine]:
    with attach(aws.provider, KubernetesTarget(kubeconfig=cluster.kubeconfig), pulumi_home=tmp_path / "home") as added:
        yield Engine(directory=tmp_path, environment=added, project="aphex")


def program(config: PipelineConfig | None = None, settings: PlatformSettings | None = None) -> Program:
    return pipeline_program(config or example_config(), settings or example_settings(), example_secrets())


def with_another_environment() -> PipelineConfig:
    document = example_config().model_dump(mode="json", exclude_none=True)
    staging: dict[str, Any] = {**document["environments"][0], "name": "staging"}
    document["environments"].insert(1, staging)
    return PipelineConfig.model_validate(document)


def leftovers(aws: MotoEndpoint) -> list[str]:
    cloudwatch, iam = aws.client("cloudwatch"), aws.client("iam")
    return [
        *(bucket["Name"] for bucket in aws.client("s3").list_buckets()["Buckets"]),
        *aws.client("dynamodb").list_tables()["TableNames"],
        *(role["RoleName"] for role in iam.list_roles()["Roles"]),
        *(policy["PolicyName"] for policy in iam.list_policies(Scope="Local")["Policies"]),
        *(alarm["AlarmName"] for alarm in cloudwatch.describe_alarms()["MetricAlarms"]),
        *(dashboard["DashboardName"] for dashboard in cloudwatch.list_dashboards()["DashboardEntries"]),
        *keys_in_use(aws),
    ]


def keys_in_use(aws: MotoEndpoint) -> list[str]:
    """Keys that are not about to be deleted, which takes KMS its time."""
    kms = aws.client("kms")
    keys = [kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"] for key in kms.list_keys()["Keys"]]
    return [key["Description"] for key in keys if key["KeyState"] == "Enabled"]


def with_every_option(aws: MotoEndpoint) -> PlatformSettings:
    """Settings that take every option, and what they need to be there: an EKS cluster and a secret."""
    vpc = aws.client("ec2").describe_subnets()["Subnets"]
    aws.client("eks").create_cluster(
        name="delivery",
        roleArn="arn:aws:iam::123456789012:role/eks",
        resourcesVpcConfig={"subnetIds": [subnet["SubnetId"] for subnet in vpc[:2]]},
    )
    aws.client("secretsmanager").create_secret(Name="shop/webhook", SecretString="sesame-of-secrets-manager")
    return everything(aws=pod_identity().model_copy(update={"region": REGION}))


def test_a_pipeline_with_every_option_is_made_left_alone_and_removed(
    engine: Engine, aws: MotoEndpoint, cluster: ControlPlane
) -> None:
    wanted = program(with_roles(100), with_every_option(aws))
    created = engine.run("up", wanted)
    assert created.errors == []
    assert created.outputs["webhook_url"] == "https://hooks.example.com/shop"
    assert {"aphex-shop-validate-1", "aphex/shop/failed-self-update"} <= {*leftovers(aws)}
    associations = aws.client("eks").list_pod_identity_associations(clusterName="delivery")["associations"]
    assert {each["serviceAccount"] for each in associations} == {*Identity}
    with api_client(cluster.kubeconfig) as client:
        secret = client.get(Secret, "webhook", namespace="aphex-shop")
    assert secret.data is not None
    assert base64.b64decode(secret.data["secret"]) == b"sesame-of-secrets-manager"
    assert "sesame" not in engine.state_file.read_text(encoding="utf-8")

    again = engine.run("up", wanted)
    assert again.errors == []
    assert {name: steps for name, steps in again.steps.items() if steps != ["same"]} == {}

    state = json.loads(engine.state_file.read_text(encoding="utf-8"))["checkpoint"]["latest"]["resources"]
    protected = [each["urn"].rsplit("$", 1)[-1] for each in state if each.get("protect")]
    assert sorted(protected) == [
        "aws:dynamodb/table:Table::shop-runs",
        "aws:kms/key:Key::shop-data",
        "aws:s3/bucket:Bucket::shop-artifacts",
        "aws:s3/bucket:Bucket::shop-artifacts-logs",
    ]
    engine.unprotect(wanted)
    aws.client("dynamodb").update_table(TableName="aphex-shop-runs", DeletionProtectionEnabled=False)
    assert engine.run("destroy", wanted).errors == []
    assert leftovers(aws) == []
    assert aws.client("eks").list_pod_identity_associations(clusterName="delivery")["associations"] == []


def test_a_pipeline_is_made_left_alone_changed_and_removed(
    engine: Engine, aws: MotoEndpoint, cluster: ControlPlane
) -> None:
    created = engine.run("up", program())
    assert created.errors == []
    assert created.outputs["bucket"] == "aphex-shop-123456789012-us-east-1"
    assert created.outputs["workflow_template"] == "shop"
    assert set(created.outputs["role_arns"]) >= {"deploy", "self-update", "pull-request"}
    assert {"aphex-shop-123456789012-us-east-1", "aphex-shop-boundary", "aphex/shop/failed-runs"} <= {*leftovers(aws)}

    again = engine.run("up", program())
    assert again.errors == []
    assert {name: steps for name, steps in again.steps.items() if steps != ["same"]} == {}

    shorter = with_retention(example_config(), Retention(artifact_days=7))
    changed = engine.run("up", program(config=shorter))
    assert changed.errors == []
    touched = {name for name, steps in changed.steps.items() if steps != ["same"]}
    assert touched == {"aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration shop-artifacts"}

    assert engine.run("destroy", program()).errors == []
    assert leftovers(aws) == []
    with api_client(cluster.kubeconfig) as client, pytest.raises(ApiError, match="not found"):
        client.get(Namespace, "aphex-shop")


def test_the_self_update_may_change_the_pipeline_and_nothing_else(
    engine: Engine, aws: MotoEndpoint, cluster: ControlPlane, tmp_path: Path
) -> None:
    assert engine.run("up", program()).errors == []
    kubeconfig = _kubeconfig_of("self-update", cluster, tmp_path)
    with attach(aws.provider, KubernetesTarget(kubeconfig=kubeconfig), pulumi_home=tmp_path / "home") as added:
        inside = Engine(directory=tmp_path, environment=added, project="aphex")
        updated = inside.run("up", program(with_another_environment()))
    assert updated.errors == []
    with api_client(cluster.kubeconfig) as client:
        template = client.get(WORKFLOW_TEMPLATE, "shop", namespace="aphex-shop")
    tasks = template["spec"]["templates"][0]["dag"]["tasks"]
    assert "deploy-staging" in [task["name"] for task in tasks]

    with api_client(kubeconfig) as account:
        for namespace in ("default", "kube-system"):
            with pytest.raises(ApiError, match="forbidden"):
                list(account.list(Secret, namespace=namespace))
        with pytest.raises(ApiError, match="forbidden"):
            account.get(Namespace, "default")
        with pytest.raises(ApiError, match="forbidden"):
            list(account.list(Namespace))
    assert engine.run("destroy", program()).errors == []


def _kubeconfig_of(account: str, cluster: ControlPlane, folder: Path) -> Path:
    """A kubeconfig for a service account of the pipeline's namespace."""
    request = ServiceAccountToken(metadata=ObjectMeta(), spec=TokenRequestSpec(audiences=[]))
    with api_client(cluster.kubeconfig) as client:
        token = client.create(request, account, namespace="aphex-shop")
    assert token.status is not None
    document = yaml.safe_load(cluster.kubeconfig.read_text())
    document["users"][0]["user"] = {"token": token.status.token}
    path = folder / f"{account}.kubeconfig"
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(document))
    return path
