"""What every bucket of a pipeline gets, one setting a function."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from aphex.config import Retention

_ABORT_UPLOADS_DAYS = 7


@dataclass(frozen=True)
class Encryption:
    """How a bucket encrypts what it is given without a word about that.

    Attributes:
        key_arn: ARN of the key in KMS; without one S3's own keys are used.
    """

    key_arn: pulumi.Input[str] | None = None


def make_private(name: str, bucket: aws.s3.Bucket, child: pulumi.ResourceOptions) -> aws.s3.BucketPublicAccessBlock:
    """Objects belong to the account, and neither list nor policy can make them public."""
    aws.s3.BucketOwnershipControls(
        name,
        bucket=bucket.bucket,
        rule=aws.s3.BucketOwnershipControlsRuleArgs(object_ownership="BucketOwnerEnforced"),
        opts=child,
    )
    return aws.s3.BucketPublicAccessBlock(
        name,
        bucket=bucket.bucket,
        block_public_acls=True,
        block_public_policy=True,
        ignore_public_acls=True,
        restrict_public_buckets=True,
        opts=child,
    )


def attach_policy(
    name: str, bucket: aws.s3.Bucket, policy: pulumi.Input[str], *, after: pulumi.Resource, parent: pulumi.Resource
) -> aws.s3.BucketPolicy:
    """The bucket's policy; it comes after the access block, as S3 refuses to change both at the same time."""
    return aws.s3.BucketPolicy(
        name,
        bucket=bucket.bucket,
        policy=policy,
        opts=pulumi.ResourceOptions(parent=parent, depends_on=[after]),
    )


def encrypt(name: str, bucket: aws.s3.Bucket, encryption: Encryption, child: pulumi.ResourceOptions) -> None:
    """Encrypt what comes without a word about encryption. A bucket key spares KMS a call for each object."""
    with_key = encryption.key_arn is not None
    by_default = aws.s3.BucketServerSideEncryptionConfigurationRuleApplyServerSideEncryptionByDefaultArgs(
        sse_algorithm="aws:kms" if with_key else "AES256", kms_master_key_id=encryption.key_arn
    )
    rule = aws.s3.BucketServerSideEncryptionConfigurationRuleArgs(
        apply_server_side_encryption_by_default=by_default, bucket_key_enabled=True if with_key else None
    )
    aws.s3.BucketServerSideEncryptionConfiguration(name, bucket=bucket.bucket, rules=[rule], opts=child)


def keep_versions(
    name: str,
    bucket: aws.s3.Bucket,
    rules: list[aws.s3.BucketLifecycleConfigurationRuleArgs],
    parent: pulumi.Resource,
) -> None:
    """Keep what is overwritten or deleted, and remove everything in its time."""
    versioning = aws.s3.BucketVersioning(
        name,
        bucket=bucket.bucket,
        versioning_configuration=aws.s3.BucketVersioningVersioningConfigurationArgs(status="Enabled"),
        opts=pulumi.ResourceOptions(parent=parent),
    )
    aws.s3.BucketLifecycleConfiguration(
        name,
        bucket=bucket.bucket,
        rules=rules,
        # Rules for versions that are no longer current are refused before versioning is on.
        opts=pulumi.ResourceOptions(parent=parent, depends_on=[versioning]),
    )


def expiry(rule: str, prefix: str, days: int) -> aws.s3.BucketLifecycleConfigurationRuleArgs:
    """A rule that removes what begins with a prefix after so many days."""
    return aws.s3.BucketLifecycleConfigurationRuleArgs(
        id=rule,
        status="Enabled",
        filter=aws.s3.BucketLifecycleConfigurationRuleFilterArgs(prefix=prefix),
        expiration=aws.s3.BucketLifecycleConfigurationRuleExpirationArgs(days=days),
    )


def old_versions_expiry(retention: Retention) -> aws.s3.BucketLifecycleConfigurationRuleArgs:
    """A rule that removes old versions, and uploads that were never finished."""
    return aws.s3.BucketLifecycleConfigurationRuleArgs(
        id="old-versions",
        status="Enabled",
        filter=aws.s3.BucketLifecycleConfigurationRuleFilterArgs(prefix=""),
        noncurrent_version_expiration=aws.s3.BucketLifecycleConfigurationRuleNoncurrentVersionExpirationArgs(
            noncurrent_days=retention.noncurrent_days
        ),
        abort_incomplete_multipart_upload=aws.s3.BucketLifecycleConfigurationRuleAbortIncompleteMultipartUploadArgs(
            days_after_initiation=_ABORT_UPLOADS_DAYS
        ),
    )
