"""Where a pipeline keeps things: the bucket of its artifacts and logs, and the table of its runs."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from aphex.config import Retention
from aphex_platform.policies import bucket_policy

_ABORT_UPLOADS_DAYS = 7


@dataclass(frozen=True, kw_only=True)
class ArtifactStoreArgs:
    """What an artifact store needs to know.

    Attributes:
        bucket: the bucket's name.
        retention: how long it keeps what.
        disposable: whether destroying the stack may delete the bucket with all that is in it.
        tags: whose it is.
    """

    bucket: str
    retention: Retention
    disposable: bool
    tags: dict[str, str]


class ArtifactStore(pulumi.ComponentResource):
    """The bucket that holds a pipeline's artifacts, outputs and logs: encrypted, versioned, private."""

    bucket: pulumi.Output[str]
    arn: pulumi.Output[str]

    def __init__(self, name: str, args: ArtifactStoreArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("aphex:storage:ArtifactStore", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        bucket = aws.s3.Bucket(name, bucket=args.bucket, force_destroy=args.disposable, tags=args.tags, opts=child)
        self._make_private(name, bucket, child)
        versioning = aws.s3.BucketVersioning(
            name,
            bucket=bucket.bucket,
            versioning_configuration=aws.s3.BucketVersioningVersioningConfigurationArgs(status="Enabled"),
            opts=child,
        )
        self._encrypt(name, bucket, child)
        aws.s3.BucketLifecycleConfiguration(
            name,
            bucket=bucket.bucket,
            rules=lifecycle_rules(args.retention),
            # Rules for versions that are no longer current are refused before versioning is on.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[versioning]),
        )
        self.bucket = bucket.bucket
        self.arn = bucket.arn
        self.register_outputs({"bucket": self.bucket, "arn": self.arn})

    def _make_private(self, name: str, bucket: aws.s3.Bucket, child: pulumi.ResourceOptions) -> None:
        aws.s3.BucketOwnershipControls(
            name,
            bucket=bucket.bucket,
            rule=aws.s3.BucketOwnershipControlsRuleArgs(object_ownership="BucketOwnerEnforced"),
            opts=child,
        )
        block = aws.s3.BucketPublicAccessBlock(
            name,
            bucket=bucket.bucket,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=child,
        )
        aws.s3.BucketPolicy(
            name,
            bucket=bucket.bucket,
            policy=bucket.arn.apply(lambda arn: json.dumps(bucket_policy(arn))),
            # S3 refuses to change both at the same time.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[block]),
        )

    def _encrypt(self, name: str, bucket: aws.s3.Bucket, child: pulumi.ResourceOptions) -> None:
        by_default = aws.s3.BucketServerSideEncryptionConfigurationRuleApplyServerSideEncryptionByDefaultArgs(
            sse_algorithm="AES256"
        )
        aws.s3.BucketServerSideEncryptionConfiguration(
            name,
            bucket=bucket.bucket,
            rules=[
                aws.s3.BucketServerSideEncryptionConfigurationRuleArgs(
                    apply_server_side_encryption_by_default=by_default
                )
            ],
            opts=child,
        )


def lifecycle_rules(retention: Retention) -> list[aws.s3.BucketLifecycleConfigurationRuleArgs]:
    """Artifacts go first, then logs and results, which are the audit trail; old versions go with neither."""
    return [
        _expire("artifacts", retention.artifact_days),
        _expire("runs", retention.log_days),
        aws.s3.BucketLifecycleConfigurationRuleArgs(
            id="old-versions",
            status="Enabled",
            filter=aws.s3.BucketLifecycleConfigurationRuleFilterArgs(prefix=""),
            noncurrent_version_expiration=aws.s3.BucketLifecycleConfigurationRuleNoncurrentVersionExpirationArgs(
                noncurrent_days=retention.noncurrent_days
            ),
            abort_incomplete_multipart_upload=(
                aws.s3.BucketLifecycleConfigurationRuleAbortIncompleteMultipartUploadArgs(
                    days_after_initiation=_ABORT_UPLOADS_DAYS
                )
            ),
        ),
    ]


def _expire(folder: str, days: int) -> aws.s3.BucketLifecycleConfigurationRuleArgs:
    return aws.s3.BucketLifecycleConfigurationRuleArgs(
        id=folder,
        status="Enabled",
        filter=aws.s3.BucketLifecycleConfigurationRuleFilterArgs(prefix=f"{folder}/"),
        expiration=aws.s3.BucketLifecycleConfigurationRuleExpirationArgs(days=days),
    )


@dataclass(frozen=True, kw_only=True)
class RunTableArgs:
    """What a run table needs to know.

    Attributes:
        table: the table's name.
        disposable: whether the table may be deleted with all that is in it.
        tags: whose it is.
    """

    table: str
    disposable: bool
    tags: dict[str, str]


class RunTable(pulumi.ComponentResource):
    """The table that holds a record of each run: by id, and by start for a pipeline's history."""

    table: pulumi.Output[str]
    arn: pulumi.Output[str]

    def __init__(self, name: str, args: RunTableArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("aphex:storage:RunTable", name, None, opts)
        table = aws.dynamodb.Table(
            name,
            name=args.table,
            billing_mode="PAY_PER_REQUEST",
            hash_key="run_id",
            attributes=[
                aws.dynamodb.TableAttributeArgs(name=attribute, type="S")
                for attribute in ("pipeline", "run_id", "started_at")
            ],
            global_secondary_indexes=[
                {
                    "name": "by-start",
                    "hash_key": "pipeline",
                    "range_key": "started_at",
                    "projection_type": "ALL",
                }
            ],
            point_in_time_recovery=aws.dynamodb.TablePointInTimeRecoveryArgs(enabled=True),
            server_side_encryption=aws.dynamodb.TableServerSideEncryptionArgs(enabled=True),
            deletion_protection_enabled=not args.disposable,
            tags=args.tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.table = table.name
        self.arn = table.arn
        self.register_outputs({"table": self.table, "arn": self.arn})
