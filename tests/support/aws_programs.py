"""A Pulumi program with a resource of every type that the stand-in AWS provider has."""

from __future__ import annotations

import json
from typing import Any

import pulumi
import pulumi_aws as aws

from tests.support.engine import Program


def _document(*actions: str, principal: str | None = None) -> str:
    statement: dict[str, Any] = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    if principal:
        statement = {"Effect": "Allow", "Action": list(actions), "Principal": {"Service": principal}}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


TRUST = _document("sts:AssumeRole", principal="ec2.amazonaws.com")


def everything(retention: int = 30, *, changed: bool = False) -> Program:
    """A program with a resource of every type; `changed` changes each that has something to change in place."""

    def program() -> None:
        pulumi.export("account", aws.get_caller_identity().account_id)
        pulumi.export("region", aws.get_region().region)
        pulumi.export("suffix", aws.get_partition().dns_suffix)
        tags = {"team": "b" if changed else "a"}
        key = aws.kms.Key("key", enable_key_rotation=not changed, deletion_window_in_days=7, tags=tags)
        aws.kms.Alias("alias", target_key_id=key.arn)
        bucket = aws.s3.Bucket("store", force_destroy=True, tags=tags)
        _settings(bucket, key, retention, changed)
        role = aws.iam.Role("role", assume_role_policy=json.loads(TRUST), tags=tags, max_session_duration=7200)
        action = "s3:PutObject" if changed else "s3:GetObject"
        aws.iam.RolePolicy("inline", role=role.name, policy=_document(action))
        policy = aws.iam.Policy("policy", policy=_document(action), tags=tags)
        aws.iam.RolePolicyAttachment("attached", role=role.name, policy_arn=policy.arn)
        aws.cloudwatch.LogGroup("logs", retention_in_days=retention, tags=tags)
        table = _runs(tags, changed)
        pulumi.export("bucket", bucket.bucket)
        pulumi.export("table", table.arn)

    return program


def _settings(bucket: aws.s3.Bucket, key: aws.kms.Key, retention: int, changed: bool) -> None:
    aws.s3.BucketVersioning(
        "versioning", bucket=bucket.id, versioning_configuration={"status": "Suspended" if changed else "Enabled"}
    )
    by_key = {"sse_algorithm": "aws:kms", "kms_master_key_id": key.arn}
    aws.s3.BucketServerSideEncryptionConfiguration(
        "encryption",
        bucket=bucket.id,
        rules=[{"apply_server_side_encryption_by_default": by_key, "bucket_key_enabled": not changed}],
    )
    rules: list[Any] = [
        {"id": "logs", "status": "Enabled", "filter": {"prefix": "runs/"}, "expiration": {"days": retention}},
        {
            "id": "old",
            "status": "Enabled",
            "filter": {"and_": {"prefix": "a/", "tags": {"k": "v", "l": "w"}}},
            "noncurrent_version_expiration": {"noncurrent_days": 7},
            "transitions": [{"days": 30, "storage_class": "GLACIER"}],
        },
        {"id": "parts", "status": "Enabled", "abort_incomplete_multipart_upload": {"days_after_initiation": 1}},
    ]
    aws.s3.BucketLifecycleConfiguration("lifecycle", bucket=bucket.id, rules=rules)
    aws.s3.BucketPublicAccessBlock("private", bucket=bucket.id, block_public_acls=True, block_public_policy=not changed)
    owner = "BucketOwnerPreferred" if changed else "BucketOwnerEnforced"
    aws.s3.BucketOwnershipControls("ownership", bucket=bucket.id, rule={"object_ownership": owner})
    denied = bucket.arn.apply(
        lambda arn: json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [{"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": [arn, f"{arn}/*"]}]
                * (2 if changed else 1),
            }
        )
    )
    aws.s3.BucketPolicy("policy", bucket=bucket.id, policy=denied)


def _runs(tags: dict[str, str], changed: bool) -> aws.dynamodb.Table:
    index = {"name": "by-start", "hash_key": "pipeline", "range_key": "started", "projection_type": "ALL"}
    keys = ["id", "pipeline", "started"]
    return aws.dynamodb.Table(
        "runs",
        billing_mode="PAY_PER_REQUEST",
        hash_key="id",
        attributes=[{"name": name, "type": "S"} for name in (keys[:1] if changed else keys)],
        global_secondary_indexes=[] if changed else [index],
        point_in_time_recovery={"enabled": not changed},
        server_side_encryption={"enabled": True},
        ttl={"attribute_name": "expires", "enabled": not changed},
        tags=tags,
    )
