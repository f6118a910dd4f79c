"""Who may do what on AWS: statements about the policy documents themselves."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

import pytest
from aphex_platform.identities import Identity
from aphex_platform.manifests.sensors import pull_request_sensor, push_sensor
from aphex_platform.policies import Document, bucket_policy, stage_policy, trust_policy

from aphex.config import PipelineConfig
from tests.support.example import example_config, example_settings, real_aws

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
    return stage_policy(identity, config, SETTINGS)


@pytest.mark.parametrize("identity", list(Identity))
def test_no_identity_has_a_wildcard_for_action_or_resource(identity: Identity) -> None:
    for statement in policy(identity)["Statement"]:
        assert "*" not in statement["Action"]
        assert not [action for action in statement["Action"] if action.endswith(":*")]
        if "*" in statement["Resource"]:
            assert statement["Action"] == ["cloudwatch:PutMetricData"]
            assert statement["Condition"]["StringEquals"] == {"cloudwatch:namespace": "AphexPipeline"}


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
    names = {
        each["metadata"]["name"]: each["spec"]["triggers"][0]["template"]["k8s"]["source"]["resource"]["metadata"]
        for each in (push_sensor(SETTINGS), pull_request_sensor(SETTINGS))
    }
    assert names["shop-pull-request"]["generateName"] == "shop-pr-"
    assert names["shop-push"]["generateName"] == "shop-"


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


def test_partitions_are_part_of_every_arn() -> None:
    china = real_aws().model_copy(update={"partition": "aws-cn", "region": "cn-north-1"})
    settings = example_settings(aws=china)
    for identity in Identity:
        for statement in stage_policy(identity, CONFIG, settings)["Statement"]:
            own = [each for each in statement["Resource"] if each != "*" and each not in DEPLOYERS | TESTERS]
            assert all(each.startswith("arn:aws-cn:") for each in own)


def test_the_bucket_refuses_requests_without_tls() -> None:
    (statement,) = bucket_policy(BUCKET)["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Principal"] == "*"
    assert statement["Resource"] == [BUCKET, f"{BUCKET}/*"]
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
