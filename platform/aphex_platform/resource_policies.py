"""What a pipeline's buckets and key demand of everybody, whatever else a caller may do."""

from __future__ import annotations

from aphex_platform.settings import AwsSettings
from aphex_platform.statements import Document, Statement, allow, deny, document

_TLS = 1.2
_ENCRYPTION = "s3:x-amz-server-side-encryption"
_KEY = "s3:x-amz-server-side-encryption-aws-kms-key-id"
_CUSTOMER_KEY = "s3:x-amz-server-side-encryption-customer-algorithm"


def tls_only_policy(bucket_arn: str) -> Document:
    """What every bucket refuses: requests without TLS, or by a version that is no longer held safe."""
    return document(_tls_only(bucket_arn))


def bucket_policy(bucket_arn: str, key_arn: str) -> Document:
    """What the artifact bucket refuses: requests without TLS or by an old one, and objects that its key is not for.

    A request that names no encryption gets the bucket's own, which is the key; only one that names another is refused.
    """
    objects = [f"{bucket_arn}/*"]
    named = {"Null": {_ENCRYPTION: "false"}}
    return document(
        [
            *_tls_only(bucket_arn),
            deny(
                "OtherEncryption",
                ["s3:PutObject"],
                objects,
                Condition={"StringNotEquals": {_ENCRYPTION: "aws:kms"}, **named},
            ),
            deny(
                "OtherKey",
                ["s3:PutObject"],
                objects,
                Condition={"StringNotEquals": {_KEY: key_arn}, "Null": {_KEY: "false"}},
            ),
            # S3 takes a key of its own for a request that asks for KMS and names no key.
            deny(
                "KeyOfS3",
                ["s3:PutObject"],
                objects,
                Condition={"StringEquals": {_ENCRYPTION: "aws:kms"}, "Null": {_KEY: "true"}},
            ),
            deny("CustomerKey", ["s3:PutObject"], objects, Condition={"Null": {_CUSTOMER_KEY: "false"}}),
        ]
    )


def log_bucket_policy(log_bucket_arn: str, bucket_arn: str, aws: AwsSettings) -> Document:
    """What the bucket of the access logs takes: those of the artifact bucket, from S3 itself."""
    delivery: Statement = {
        "Sid": "AccessLogs",
        "Effect": "Allow",
        "Principal": {"Service": "logging.s3.amazonaws.com"},
        "Action": ["s3:PutObject"],
        "Resource": f"{log_bucket_arn}/*",
        "Condition": {
            "ArnEquals": {"aws:SourceArn": bucket_arn},
            "StringEquals": {"aws:SourceAccount": aws.account},
        },
    }
    return document([delivery, *_tls_only(log_bucket_arn)])


def key_policy(aws: AwsSettings) -> Document:
    """Who may do what with the key: the account manages it, and its roles use it by S3 and DynamoDB alone.

    It names the account, so IAM policies decide which of its roles that are: those of the pipeline's stages, and of
    the people who read logs. In a key's own policy "*" is that key:
    https://docs.aws.amazon.com/kms/latest/developerguide/key-policies.html
    """
    account = {"AWS": f"arn:{aws.partition}:iam::{aws.account}:root"}
    through = {"kms:ViaService": via_services(aws), "kms:CallerAccount": aws.account}
    return document(
        [
            allow("Manage", _MANAGE, ["*"], Principal=account),
            allow("Use", _USE, ["*"], Principal=account, Condition={"StringEquals": through}),
        ]
    )


def via_services(aws: AwsSettings) -> list[str]:
    """The services by which the key is used, as KMS names them."""
    return [f"{service}.{aws.region}.{aws.dns_suffix}" for service in ("dynamodb", "s3")]


def _tls_only(bucket_arn: str) -> list[Statement]:
    everything = [bucket_arn, f"{bucket_arn}/*"]
    return [
        deny("TlsOnly", ["s3:*"], everything, Condition={"Bool": {"aws:SecureTransport": "false"}}),
        deny("RecentTlsOnly", ["s3:*"], everything, Condition={"NumericLessThan": {"s3:TlsVersion": str(_TLS)}}),
    ]


# Everything but the use of the key.
_MANAGE = (
    "kms:CancelKeyDeletion",
    "kms:CreateAlias",
    "kms:DeleteAlias",
    "kms:DescribeKey",
    "kms:DisableKey",
    "kms:DisableKeyRotation",
    "kms:EnableKey",
    "kms:EnableKeyRotation",
    "kms:GetKeyPolicy",
    "kms:GetKeyRotationStatus",
    "kms:ListAliases",
    "kms:ListGrants",
    "kms:ListKeyPolicies",
    "kms:ListResourceTags",
    "kms:PutKeyPolicy",
    "kms:RevokeGrant",
    "kms:ScheduleKeyDeletion",
    "kms:TagResource",
    "kms:UntagResource",
    "kms:UpdateAlias",
    "kms:UpdateKeyDescription",
)
# DynamoDB gives itself a grant on the key for each table.
_USE = ("kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*")
