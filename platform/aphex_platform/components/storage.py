"""Where a pipeline keeps things: the bucket of its artifacts and logs, and the table of its runs."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from aphex.config import Retention
from aphex_platform.components.buckets import (
    Encryption,
    attach_policy,
    encrypt,
    expiry,
    keep_versions,
    make_private,
    old_versions_expiry,
)
from aphex_platform.resource_policies import bucket_policy, log_bucket_policy
from aphex_platform.settings import AwsSettings
from aphex_platform.statements import text


@dataclass(frozen=True, kw_only=True)
class ArtifactStoreArgs:
    """What an artifact store needs to know.

    Attributes:
        bucket: the bucket's name.
        log_bucket: name of the bucket of its access logs.
        key_arn: ARN of the key that its objects are encrypted with.
        aws: the account.
        retention: how long it keeps what.
        disposable: whether destroying the stack may delete the buckets with all that is in them.
        tags: whose they are.
    """

    bucket: str
    log_bucket: str
    key_arn: pulumi.Input[str]
    aws: AwsSettings
    retention: Retention
    disposable: bool
    tags: dict[str, str]


class ArtifactStore(pulumi.ComponentResource):
    """The bucket that holds a pipeline's artifacts, outputs and logs: encrypted, versioned, private, watched."""

    bucket: pulumi.Output[str]
    log_bucket: pulumi.Output[str]
    arn: pulumi.Output[str]

    def __init__(self, name: str, args: ArtifactStoreArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("aphex:storage:ArtifactStore", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        guarded = pulumi.ResourceOptions(parent=self, protect=not args.disposable)
        bucket = aws.s3.Bucket(name, bucket=args.bucket, force_destroy=args.disposable, tags=args.tags, opts=guarded)
        block = make_private(name, bucket, child)
        policy = pulumi.Output.all(bucket.arn, args.key_arn).apply(lambda arns: text(bucket_policy(*arns)))
        attach_policy(name, bucket, policy, after=block, parent=self)
        encrypt(name, bucket, Encryption(key_arn=args.key_arn), child)
        keep_versions(name, bucket, lifecycle_rules(args.retention), self)
        self.log_bucket = self._watch(name, bucket, args)
        self.bucket = bucket.bucket
        self.arn = bucket.arn
        self.register_outputs({"bucket": self.bucket, "arn": self.arn, "log_bucket": self.log_bucket})

    def _watch(self, name: str, bucket: aws.s3.Bucket, args: ArtifactStoreArgs) -> pulumi.Output[str]:
        """Have S3 write down who reads and writes, into a bucket where nobody of the pipeline can change it.

        S3 delivers access logs to buckets with its own keys alone:
        https://docs.aws.amazon.com/AmazonS3/latest/userguide/enable-server-access-logging.html
        """
        child = pulumi.ResourceOptions(parent=self)
        logs = f"{name}-logs"
        # Logs arrive for hours after the last request, so an emptied bucket would not stay empty until it is deleted.
        guarded = pulumi.ResourceOptions(parent=self, protect=not args.disposable)
        target = aws.s3.Bucket(logs, bucket=args.log_bucket, force_destroy=True, tags=args.tags, opts=guarded)
        block = make_private(logs, target, child)
        policy = pulumi.Output.all(target.arn, bucket.arn).apply(
            lambda arns: text(log_bucket_policy(arns[0], arns[1], args.aws))
        )
        allowed = attach_policy(logs, target, policy, after=block, parent=self)
        encrypt(logs, target, Encryption(), child)
        rules = [expiry("access", "access/", args.retention.log_days), old_versions_expiry(args.retention)]
        keep_versions(logs, target, rules, self)
        by_day = aws.s3.BucketLoggingTargetObjectKeyFormatPartitionedPrefixArgs(partition_date_source="EventTime")
        aws.s3.BucketLogging(
            name,
            bucket=bucket.bucket,
            target_bucket=target.bucket,
            target_prefix="access/",
            target_object_key_format=aws.s3.BucketLoggingTargetObjectKeyFormatArgs(partitioned_prefix=by_day),
            # S3 asks on the spot whether it may deliver.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[allowed]),
        )
        name_of_target: pulumi.Output[str] = target.bucket
        return name_of_target


def lifecycle_rules(retention: Retention) -> list[aws.s3.BucketLifecycleConfigurationRuleArgs]:
    """Artifacts go first, then logs and results, which are the audit trail; old versions go with neither."""
    return [
        expiry("artifacts", "artifacts/", retention.artifact_days),
        expiry("runs", "runs/", retention.log_days),
        old_versions_expiry(retention),
    ]


@dataclass(frozen=True, kw_only=True)
class RunTableArgs:
    """What a run table needs to know.

    Attributes:
        table: the table's name.
        key_arn: ARN of the key that it is encrypted with.
        disposable: whether the table may be deleted with all that is in it.
        tags: whose it is.
    """

    table: str
    key_arn: pulumi.Input[str]
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
            server_side_encryption=aws.dynamodb.TableServerSideEncryptionArgs(enabled=True, kms_key_arn=args.key_arn),
            deletion_protection_enabled=not args.disposable,
            tags=args.tags,
            opts=pulumi.ResourceOptions(parent=self, protect=not args.disposable),
        )
        self.table = table.name
        self.arn = table.arn
        self.register_outputs({"table": self.table, "arn": self.arn})
