"""Rules over all that the program plans, with few options and with every one: what a security review asks first."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from aphex_platform.identities import Identity

from tests.support.declared import KEY_ARN, Recorder, declare
from tests.support.example import everything, example_settings, real_aws

pytestmark = pytest.mark.filterwarnings("ignore:.*has been deprecated in favor of:DeprecationWarning")

# Every action or resource that stands for many, by the statement's Sid, and why it has to.
REASONS = {
    "Metrics": "CloudWatch knows no resources for metrics; the condition limits the namespace.",
    "Aliases": "KMS knows no resources for the list of aliases, which holds names alone.",
    "StateKey": "The state's key is known by its alias, which the condition demands.",
    "Roles": "Only the boundary: which roles environments have is for the configuration to say.",
    "Manage": "In a key's own policy the resource is the key.",
    "Use": "In a key's own policy the resource is the key; the actions are of the same right.",
    "TlsOnly": "A denial of everything.",
    "RecentTlsOnly": "A denial of everything.",
    "Buckets": "s3:GetBucket* reads how the bucket is set up, of which the provider reads every part.",
}
DOCUMENTS = {
    "aws:iam/rolePolicy:RolePolicy": "policy",
    "aws:iam/policy:Policy": "policy",
    "aws:s3/bucketPolicy:BucketPolicy": "policy",
    "aws:kms/key:Key": "policy",
}


@pytest.fixture(scope="module", params=["sandbox", "account", "every option"])
def planned(request: pytest.FixtureRequest) -> Recorder:
    settings = {
        "sandbox": example_settings(),
        "account": example_settings(aws=real_aws()),
        "every option": everything(),
    }
    return declare(settings[request.param])


def statements(planned: Recorder) -> Iterator[dict[str, Any]]:
    for kind, name in DOCUMENTS.items():
        for each in planned.of(kind):
            yield from json.loads(each[name])["Statement"]


def many(pattern: str) -> bool:
    """Whether an action or a resource stands for more than the parts of one thing."""
    if pattern.startswith("arn:"):
        service, owner, resource = (pattern.split(":", 5)[part] for part in (2, 4, 5))
        return owner == "*" or (resource.split("/", 1)[-1] in ("*", "") and service != "s3")
    return "*" in pattern


def test_nothing_stands_for_many_without_a_reason(planned: Recorder) -> None:
    found = {
        statement["Sid"]
        for statement in statements(planned)
        for words in (statement["Action"], statement["Resource"])
        for word in ([words] if isinstance(words, str) else words)
        if many(word)
    }
    assert found <= set(REASONS)
    assert {"Metrics", "Aliases", "Use"} <= found


def test_whoever_may_do_something_to_everything_is_held_by_a_condition(planned: Recorder) -> None:
    for statement in statements(planned):
        if statement["Effect"] == "Allow" and "*" in statement["Resource"]:
            assert statement.get("Condition") or statement["Sid"] in ("Aliases", "Manage"), statement


def test_everything_that_holds_data_is_encrypted(planned: Recorder) -> None:
    buckets = {each["bucket"] for each in planned.of("aws:s3/bucket:Bucket")}
    kind = "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
    encryption = planned.by("bucket", kind)
    assert set(encryption) == buckets
    for bucket, each in encryption.items():
        by_default = each["rules"][0]["applyServerSideEncryptionByDefault"]
        # S3 delivers access logs to buckets with its own keys alone.
        expected = (
            {"sseAlgorithm": "AES256"}
            if bucket.endswith("-logs")
            else {"sseAlgorithm": "aws:kms", "kmsMasterKeyId": KEY_ARN}
        )
        assert by_default == expected
    for table in planned.of("aws:dynamodb/table:Table"):
        assert table["serverSideEncryption"] == {"enabled": True, "kmsKeyArn": KEY_ARN}
    assert all(key["enableKeyRotation"] for key in planned.of("aws:kms/key:Key"))
    groups = planned.of("aws:cloudwatch/logGroup:LogGroup")
    assert all(group.get("kmsKeyId") and group.get("retentionInDays") for group in groups)


def test_nothing_is_public(planned: Recorder) -> None:
    buckets = {each["bucket"] for each in planned.of("aws:s3/bucket:Bucket")}
    blocks = planned.by("bucket", "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock")
    assert set(blocks) == buckets
    assert {block[part] for block in blocks.values() for part in set(block) - {"bucket"}} == {True}
    for statement in statements(planned):
        if statement["Effect"] == "Allow" and "Principal" in statement:
            assert statement["Principal"] in (
                {"AWS": "arn:aws:iam::123456789012:root"},
                {"Service": "logging.s3.amazonaws.com"},
            )


def test_every_bucket_demands_tls(planned: Recorder) -> None:
    policies = planned.by("bucket", "aws:s3/bucketPolicy:BucketPolicy")
    assert set(policies) == {each["bucket"] for each in planned.of("aws:s3/bucket:Bucket")}
    for policy in policies.values():
        sids = {each["Sid"] for each in json.loads(policy["policy"])["Statement"] if each["Effect"] == "Deny"}
        assert {"TlsOnly", "RecentTlsOnly"} <= sids


def test_every_role_trusts_one_service_account(planned: Recorder) -> None:
    roles = planned.by("name", "aws:iam/role:Role")
    trusted = []
    for role in roles.values():
        (statement,) = json.loads(role["assumeRolePolicy"])["Statement"]
        equal = statement["Condition"]["StringEquals"]
        tag = equal.get("aws:RequestTag/kubernetes-service-account")
        subject = [value for key, value in equal.items() if key.endswith(":sub")]
        trusted.append(f"system:serviceaccount:aphex-shop:{tag}" if tag else subject[0])
        assert "*" not in json.dumps(statement)
    accounts = planned.named("kubernetes:core/v1:ServiceAccount")
    assert sorted(trusted) == sorted(f"system:serviceaccount:aphex-shop:{identity}" for identity in Identity)
    assert {each.rpartition(":")[2] for each in trusted} <= set(accounts)


def test_every_role_that_the_self_update_writes_is_bounded(planned: Recorder) -> None:
    for name, role in planned.by("name", "aws:iam/role:Role").items():
        bounded = role.get("permissionsBoundary") == "arn:aws:iam::123456789012:policy/aphex-shop-boundary"
        assert bounded is (name != "aphex-shop-self-update")


def test_with_pod_identity_each_account_has_its_role_and_no_pod_is_told_another_way() -> None:
    planned = declare(everything())
    associations = planned.by("serviceAccount", "aws:eks/podIdentityAssociation:PodIdentityAssociation")
    assert set(associations) == set(Identity)
    for account, each in associations.items():
        assert (each["clusterName"], each["namespace"]) == ("delivery", "aphex-shop")
        assert each["roleArn"] == f"arn:aws:iam::123456789012:role/aphex-shop-{account}"
    template = json.dumps(planned.of("kubernetes:argoproj.io/v1alpha1:WorkflowTemplate"))
    for word in ("aws-token", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE", "sts.amazonaws.com"):
        assert word not in template
