"""Who may do what on AWS: statements about the policy documents themselves."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

import pytest
from aphex_platform.identities import Identity
from aphex_platform.manifests.sensors import pull_request_sensor, push_sensor
from aphex_platform.policies import boundary_policy, stage_policy
from aphex_platform.resource_policies import bucket_policy, key_policy
from aphex_platform.statements import Document
from aphex_platform.trust import trust_policy

from aphex.config import PipelineConfig
from tests.support.declared import KEY_ARN
from tests.support.example import everything, example_config, example_settings, pod_identity, real_aws

CONFIG, SETTINGS = example_config(), example_settings()
BUCKET = "arn:aws:s3:::aphex-shop-123456789012-us-east-1"
TABLE = "arn:aws:dynamodb:us-east-1:123456789012:table/aphex-shop-runs"
DEPLOYERS = {f"arn:aws:iam::{account}:role/aphex-deployer" for account in ("222222222222", "333333333333")}
TESTERS = {f"arn:aws:iam::{account}:role/aphex-tester" for account in ("222222222222", "333333333333")}


def allows(document: Document, action: str, resource: str) -> bool:
    """Whether a statement allows it, conditions aside."""
    return any(
        any(fnmatchcase(action, pattern) for pattern in statement["Action"])
        and any(fnmatchcase(resource, pattern) for pattern in statement["Resource"])
        for statement in document["Statement"]
    )


def assumable(document: Document) -> set[str]:
    statements = [each for each in document["Statement"] if "sts:AssumeRole" in each["Action"]]
    return {resource for statement in statements for resource in statement["Resource"]}


def policy(identity: Identity, config: PipelineConfig = CONFIG) -> Document:
    return stage_policy(identity, config, SETTINGS, KEY_ARN)


@pytest.mark.parametrize("identity", list(Identity))
def test_every_stage_keeps_its_log_and_record_and_deletes_nothing_of_the_audit_trail(identity: Identity) -> None:
    document = policy(identity)
    run = "shop-pr-abcde" if identity is Identity.PULL_REQUEST else "shop-abcde"
    assert allows(document, "s3:PutObject", f"{BUCKET}/runs/{run}/logs/build.log")
    assert allows(document, "dynamodb:UpdateItem", TABLE)
    assert not allows(document, "s3:DeleteObject", f"{BUCKET}/runs/{run}/logs/build.log")
    assert not allows(document, "s3:DeleteObjectVersion", f"{BUCKET}/runs/{run}/logs/build.log")
    assert not allows(document, "s3:DeleteBucket", BUCKET)
    assert not allows(document, "dynamodb:DeleteTable", TABLE)
    assert not allows(document, "dynamodb:DeleteItem", TABLE)


def test_only_builds_write_artifacts_and_only_later_stages_read_them() -> None:
    artifact = f"{BUCKET}/artifacts/{'a' * 40}/shop-abcde/artifact.tar.zst"
    assert {each for each in Identity if allows(policy(each), "s3:PutObject", artifact)} == {Identity.BUILD}
    readers = {each for each in Identity if allows(policy(each), "s3:GetObject", artifact)}
    assert readers == {Identity.DEPLOY, Identity.TEST}


def test_a_pull_request_reaches_nothing_of_a_run_that_deploys() -> None:
    document = policy(Identity.PULL_REQUEST)
    commit = "a" * 40
    assert allows(document, "s3:PutObject", f"{BUCKET}/artifacts/{commit}/shop-pr-abcde/artifact.tar.zst")
    for key in (f"artifacts/{commit}/shop-abcde/artifact.tar.zst", "runs/shop-abcde/outputs/dev.json"):
        assert not allows(document, "s3:PutObject", f"{BUCKET}/{key}")
        assert not allows(document, "s3:GetObject", f"{BUCKET}/{key}")
    (record,) = [each for each in document["Statement"] if each["Sid"] == "RunRecord"]
    assert record["Condition"]["ForAllValues:StringLike"] == {"dynamodb:LeadingKeys": ["shop-pr-*"]}
    for sensor, prefix in ((push_sensor(SETTINGS), "shop-"), (pull_request_sensor(SETTINGS), "shop-pr-")):
        (name, *_) = sensor["spec"]["triggers"][0]["template"]["k8s"]["parameters"]
        assert name["dest"] == "metadata.name"
        assert name["src"]["dataTemplate"].startswith(prefix + "{{ ")


def test_each_identity_assumes_exactly_the_configured_roles() -> None:
    assert {each: assumable(policy(each)) for each in Identity} == {
        Identity.VALIDATE: DEPLOYERS | TESTERS,
        Identity.BUILD: set(),
        Identity.SELF_UPDATE: set(),
        Identity.DEPLOY: DEPLOYERS,
        Identity.TEST: TESTERS,
        Identity.EXIT: set(),
        Identity.PULL_REQUEST: set(),
    }


def test_without_a_role_only_the_bootstrap_roles_of_account_and_region_are_assumed() -> None:
    document: dict[str, Any] = CONFIG.model_dump(mode="json", exclude_none=True)
    del document["environments"][0]["role"]
    roles = assumable(policy(Identity.DEPLOY, PipelineConfig.model_validate(document)))
    assert roles == {
        "arn:aws:iam::222222222222:role/cdk-*-222222222222-us-east-1",
        "arn:aws:iam::333333333333:role/aphex-deployer",
    }


def test_the_self_update_changes_the_other_roles_but_not_its_own() -> None:
    document = policy(Identity.SELF_UPDATE)
    for identity in Identity:
        role = f"arn:aws:iam::123456789012:role/aphex-shop-{identity}"
        assert allows(document, "iam:GetRolePolicy", role)
        assert allows(document, "iam:PutRolePolicy", role) is (identity is not Identity.SELF_UPDATE)
    assert not allows(document, "iam:PutRolePolicy", "arn:aws:iam::123456789012:role/aphex-other-deploy")
    assert not allows(document, "iam:CreateRole", "arn:aws:iam::123456789012:role/anything")
    assert not allows(document, "iam:UpdateAssumeRolePolicy", "arn:aws:iam::123456789012:role/aphex-shop-deploy")


def test_the_self_update_widens_no_role_beyond_its_boundary() -> None:
    document = policy(Identity.SELF_UPDATE)
    boundary = "arn:aws:iam::123456789012:policy/aphex-shop-boundary"
    for statement in document["Statement"]:
        if {"iam:PutRolePolicy", "iam:AttachRolePolicy"} & {*statement["Action"]}:
            assert statement["Condition"]["StringEquals"] == {"iam:PermissionsBoundary": boundary}
    assert allows(document, "iam:GetPolicy", boundary)
    for action in ("iam:CreatePolicyVersion", "iam:SetDefaultPolicyVersion", "iam:DeletePolicy"):
        assert not allows(document, action, boundary)
    for action in ("iam:PutRolePermissionsBoundary", "iam:DeleteRolePermissionsBoundary"):
        assert not allows(document, action, "arn:aws:iam::123456789012:role/aphex-shop-exit")


@pytest.mark.parametrize("identity", [each for each in Identity if each is not Identity.SELF_UPDATE])
def test_the_boundary_gives_room_for_all_that_a_stage_may_do(identity: Identity) -> None:
    bound = boundary_policy(SETTINGS, KEY_ARN)
    for statement in policy(identity)["Statement"]:
        for action in statement["Action"]:
            for resource in statement["Resource"]:
                assert allows(bound, action, resource), (action, resource)


def test_the_boundary_is_of_the_pipelines_own_account_but_for_roles_to_assume() -> None:
    for statement in boundary_policy(SETTINGS, KEY_ARN)["Statement"]:
        outside = [each for each in statement["Resource"] if "shop" not in each and each != KEY_ARN]
        assert not outside or statement["Action"] in (
            ["cloudwatch:PutMetricData"],
            ["sts:AssumeRole", "sts:TagSession"],
        )


def test_the_self_update_manages_what_the_configuration_changes_and_makes_no_key_or_association() -> None:
    document = stage_policy(Identity.SELF_UPDATE, CONFIG, everything(), KEY_ARN)
    alarm = "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:aphex/shop/failed-runs"
    assert allows(document, "cloudwatch:PutMetricAlarm", alarm)
    assert allows(document, "cloudwatch:PutDashboard", "arn:aws:cloudwatch::123456789012:dashboard/aphex-shop")
    assert allows(document, "iam:CreatePolicy", "arn:aws:iam::123456789012:policy/aphex/shop/aphex-shop-deploy-1")
    assert allows(document, "kms:GetKeyPolicy", KEY_ARN)
    for action in ("kms:PutKeyPolicy", "kms:ScheduleKeyDeletion", "kms:DisableKey", "kms:CreateGrant"):
        assert not allows(document, action, KEY_ARN)
    # The AWS provider's own ways to a bucket's tags and to a role's description.
    for action in ("s3:ListTagsForResource", "s3:TagResource", "s3:UntagResource"):
        assert allows(document, action, "arn:aws:s3:::aphex-shop-123456789012-eu-west-1")
    assert allows(document, "iam:UpdateRoleDescription", "arn:aws:iam::123456789012:role/aphex-shop-deploy")
    association = "arn:aws:eks:eu-west-1:123456789012:podidentityassociation/delivery/a-1"
    assert allows(document, "eks:DescribePodIdentityAssociation", association)
    assert not allows(document, "eks:UpdatePodIdentityAssociation", association)


def test_the_self_update_reads_the_webhooks_secret_where_there_is_one() -> None:
    secret = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:shop/webhook-AbCdEf"
    assert allows(
        stage_policy(Identity.SELF_UPDATE, CONFIG, everything(), KEY_ARN), "secretsmanager:GetSecretValue", secret
    )
    assert not allows(policy(Identity.SELF_UPDATE), "secretsmanager:GetSecretValue", secret)


@pytest.mark.parametrize("identity", list(Identity))
def test_every_stage_uses_the_key_through_the_services_that_keep_its_data(identity: Identity) -> None:
    (statement,) = [each for each in policy(identity)["Statement"] if each["Sid"] == "Key"]
    assert statement["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]
    assert statement["Resource"] == [KEY_ARN]
    services = ["dynamodb.us-east-1.amazonaws.com", "s3.us-east-1.amazonaws.com"]
    assert statement["Condition"] == {"StringEquals": {"kms:ViaService": services}}


def test_the_self_update_reaches_the_state_and_no_other_key_of_its_bucket() -> None:
    state = "arn:aws:s3:::aphex-state-123456789012-us-east-1"
    document = policy(Identity.SELF_UPDATE)
    assert allows(document, "s3:PutObject", f"{state}/.pulumi/stacks/aphex/pipeline-shop.json")
    assert not allows(document, "s3:PutObject", f"{state}/.pulumi/stacks/aphex/pipeline-other.json")
    assert not allows(document, "s3:PutObject", f"{state}/anything-else")
    others = [each for each in Identity if each is not Identity.SELF_UPDATE]
    assert not [each for each in others if allows(policy(each), "s3:GetObject", f"{state}/.pulumi/meta.yaml")]


@pytest.mark.parametrize("identity", list(Identity))
def test_a_role_trusts_its_own_service_account_alone(identity: Identity) -> None:
    (statement,) = trust_policy(example_settings(aws=real_aws()), identity)["Statement"]
    issuer = "oidc.eks.eu-west-1.amazonaws.com/id/ABCDEF0123456789"
    assert statement["Principal"] == {"Federated": f"arn:aws:iam::123456789012:oidc-provider/{issuer}"}
    assert statement["Action"] == "sts:AssumeRoleWithWebIdentity"
    assert statement["Condition"] == {
        "StringEquals": {
            f"{issuer}:sub": f"system:serviceaccount:aphex-shop:{identity}",
            f"{issuer}:aud": "sts.amazonaws.com",
        }
    }


@pytest.mark.parametrize("identity", list(Identity))
def test_with_pod_identity_a_role_trusts_eks_for_its_own_service_account_alone(identity: Identity) -> None:
    (statement,) = trust_policy(example_settings(aws=pod_identity()), identity)["Statement"]
    assert statement["Principal"] == {"Service": "pods.eks.amazonaws.com"}
    assert statement["Action"] == ["sts:AssumeRole", "sts:TagSession"]
    cluster = "arn:aws:eks:eu-west-1:123456789012:cluster/delivery"
    assert statement["Condition"] == {
        "StringEquals": {
            "aws:SourceAccount": "123456789012",
            "aws:RequestTag/eks-cluster-arn": cluster,
            "aws:RequestTag/kubernetes-namespace": "aphex-shop",
            "aws:RequestTag/kubernetes-service-account": identity.value,
        },
        "ArnEquals": {"aws:SourceArn": cluster},
    }


def test_partitions_are_part_of_every_arn() -> None:
    china = pod_identity().model_copy(update={"partition": "aws-cn", "region": "cn-north-1"})
    settings = everything(aws=china)
    key = "arn:aws-cn:kms:cn-north-1:123456789012:key/0f"
    for identity in Identity:
        for statement in stage_policy(identity, CONFIG, settings, key)["Statement"]:
            own = [each for each in statement["Resource"] if each != "*" and each not in DEPLOYERS | TESTERS]
            assert all(each.startswith("arn:aws-cn:") for each in own)
    assert key_policy(china)["Statement"][1]["Condition"]["StringEquals"]["kms:ViaService"] == [
        "dynamodb.cn-north-1.amazonaws.com.cn",
        "s3.cn-north-1.amazonaws.com.cn",
    ]


def denied(**request: str) -> set[str]:
    """The statements of the bucket's policy that refuse a PutObject with these condition keys."""
    return {
        each["Sid"]
        for each in bucket_policy(BUCKET, KEY_ARN)["Statement"]
        if all(_met(operator, keys, request) for operator, keys in each["Condition"].items())
    }


def _met(operator: str, keys: dict[str, str], request: dict[str, str]) -> bool:
    """Whether a condition is met, as IAM judges it: a negated operator is met by a key that is not there.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
    """
    judge: dict[str, Callable[[str, str], bool]] = {
        "Null": lambda key, value: (key not in request) is (value == "true"),
        "StringEquals": lambda key, value: request.get(key) == value,
        "StringNotEquals": lambda key, value: request.get(key) != value,
        "Bool": lambda key, value: request.get(key) == value,
        "NumericLessThan": lambda key, value: key in request and float(request[key]) < float(value),
    }
    return all(judge[operator](key, value) for key, value in keys.items())


def test_the_bucket_takes_what_names_no_encryption_or_its_own_key() -> None:
    tls = {"aws:SecureTransport": "true", "s3:TlsVersion": "1.3"}
    algorithm, key = "s3:x-amz-server-side-encryption", "s3:x-amz-server-side-encryption-aws-kms-key-id"
    assert denied(**tls) == set()
    assert denied(**tls, **{algorithm: "aws:kms", key: KEY_ARN}) == set()
    assert denied(**tls, **{algorithm: "AES256"}) == {"OtherEncryption"}
    assert denied(**tls, **{algorithm: "aws:kms:dsse", key: KEY_ARN}) == {"OtherEncryption"}
    assert denied(**tls, **{algorithm: "aws:kms", key: KEY_ARN.replace("key/", "key/0")}) == {"OtherKey"}
    assert denied(**tls, **{algorithm: "aws:kms"}) == {"KeyOfS3"}
    assert denied(**tls, **{"s3:x-amz-server-side-encryption-customer-algorithm": "AES256"}) == {"CustomerKey"}


def test_the_bucket_refuses_requests_without_tls_or_with_an_old_one() -> None:
    assert denied(**{"aws:SecureTransport": "false"}) == {"TlsOnly"}
    assert denied(**{"aws:SecureTransport": "true", "s3:TlsVersion": "1.1"}) == {"RecentTlsOnly"}
    for statement in bucket_policy(BUCKET, KEY_ARN)["Statement"][:2]:
        assert (statement["Effect"], statement["Principal"]) == ("Deny", {"AWS": "*"})
        assert statement["Action"] == ["s3:*"]
        assert statement["Resource"] == [BUCKET, f"{BUCKET}/*"]


def test_the_key_is_used_by_the_account_alone_and_through_services_alone() -> None:
    statements = {each["Sid"]: each for each in key_policy(real_aws())["Statement"]}
    assert {each["Principal"]["AWS"] for each in statements.values()} == {"arn:aws:iam::123456789012:root"}
    assert statements["Use"]["Condition"]["StringEquals"]["kms:CallerAccount"] == "123456789012"
    using = {"kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*", "kms:CreateGrant"}
    assert using <= {*statements["Use"]["Action"]}
    assert not using & {*statements["Manage"]["Action"]}
