"""What each identity of a pipeline may do on AWS: policy documents, each the least that its stage needs.

All ARNs follow from names, so the documents are computed without asking AWS and can be tested as plain values.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from aphex.config import Environment, PipelineConfig
from aphex.names import PULUMI_PROJECT, STATE_KEY_ALIAS, PipelineNames
from aphex_platform.identities import TOKEN_AUDIENCE, Identity, pull_request_prefix, role_arn
from aphex_platform.settings import AwsSettings, PlatformSettings

Statement = dict[str, Any]
Document = dict[str, Any]

METRIC_NAMESPACE = "AphexPipeline"
_VERSION = "2012-10-17"


def document(statements: Iterable[Statement]) -> Document:
    """A policy document of these statements."""
    return {"Version": _VERSION, "Statement": list(statements)}


def allow(sid: str, actions: Iterable[str], resources: Iterable[str], **more: Any) -> Statement:
    """A statement that allows the actions on the resources."""
    return {"Sid": sid, "Effect": "Allow", "Action": list(actions), "Resource": list(resources), **more}


def trust_policy(settings: PlatformSettings, identity: Identity) -> Document:
    """Who may assume the role: the service account of that name in the pipeline's namespace, and nobody else."""
    provider = settings.aws.oidc_provider
    subject = f"system:serviceaccount:{settings.namespace}:{identity.value}"
    return document(
        [
            {
                "Sid": "ServiceAccount",
                "Effect": "Allow",
                "Principal": {"Federated": settings.aws.oidc_provider_arn},
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {"StringEquals": {f"{provider}:sub": subject, f"{provider}:aud": TOKEN_AUDIENCE}},
            }
        ]
    )


def bucket_policy(bucket_arn: str) -> Document:
    """What the artifact bucket refuses whoever asks: requests without TLS."""
    return document(
        [
            {
                "Sid": "TlsOnly",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": [bucket_arn, f"{bucket_arn}/*"],
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            }
        ]
    )


@dataclass(frozen=True, kw_only=True)
class _Resources:
    """ARNs of the pipeline's own resources."""

    bucket: str
    table: str
    state_bucket: str | None
    aws: AwsSettings
    pipeline: str

    @classmethod
    def of(cls, settings: PlatformSettings) -> _Resources:
        names, aws = PipelineNames(settings.pipeline), settings.aws
        state = settings.state_bucket
        return cls(
            bucket=f"arn:{aws.partition}:s3:::{names.bucket(aws.account, aws.region)}",
            table=f"arn:{aws.partition}:dynamodb:{aws.region}:{aws.account}:table/{names.table}",
            state_bucket=f"arn:{aws.partition}:s3:::{state}" if state else None,
            aws=aws,
            pipeline=settings.pipeline,
        )

    def runs(self, identity: Identity) -> str:
        """Pattern of the runs that an identity acts in: what a pull request builds must not reach a deployment."""
        return f"{pull_request_prefix(self.pipeline)}*" if identity is Identity.PULL_REQUEST else "*"

    def role(self, identity: Identity) -> str:
        return role_arn(self.aws, self.pipeline, identity)


def stage_policy(identity: Identity, config: PipelineConfig, settings: PlatformSettings) -> Document:
    """What the identity may do."""
    own = _Resources.of(settings)
    environments, partition = config.environments, settings.aws.partition
    extra: dict[Identity, list[Statement]] = {
        Identity.VALIDATE: [
            *_assume("Environments", environment_roles(environments, partition)),
            *_assume("Tests", test_roles(environments)),
        ],
        Identity.BUILD: [_write_artifacts(own, identity)],
        Identity.SELF_UPDATE: _self_update(own),
        Identity.DEPLOY: [
            _read_artifacts(own),
            *_assume("Environments", environment_roles(environments, partition)),
            _metrics(),
        ],
        Identity.TEST: [_read_artifacts(own), *_assume("Tests", test_roles(environments))],
        Identity.EXIT: [_metrics(), _secrets(own)],
        Identity.PULL_REQUEST: [_write_artifacts(own, identity)],
    }
    return document([*_record(own, identity), *extra[identity]])


def environment_roles(environments: list[Environment], partition: str) -> list[str]:
    """The role of each environment; without one, the roles that `cdk bootstrap` made in its account and region."""
    return sorted(
        {
            each.role or f"arn:{partition}:iam::{each.account}:role/cdk-*-{each.account}-{each.region}"
            for each in environments
        }
    )


def test_roles(environments: list[Environment]) -> list[str]:
    """The roles that tests are run with."""
    return sorted({each.tests.role for each in environments if each.tests is not None and each.tests.role is not None})


def _record(own: _Resources, identity: Identity) -> list[Statement]:
    """Every stage keeps its log and result, reads those before it, and writes itself into the run's record."""
    record = allow("RunRecord", ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"], [own.table])
    if identity is Identity.PULL_REQUEST:
        record["Condition"] = {
            "ForAllValues:StringLike": {"dynamodb:LeadingKeys": [f"{pull_request_prefix(own.pipeline)}*"]},
            "Null": {"dynamodb:LeadingKeys": "false"},
        }
    runs = own.runs(identity)
    return [
        allow("RunFiles", ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"], [f"{own.bucket}/runs/{runs}"]),
        allow(
            "FindFiles",
            ["s3:ListBucket"],
            [own.bucket],
            Condition={"StringLike": {"s3:prefix": [f"runs/{runs}", "artifacts/*"]}},
        ),
        record,
    ]


def _write_artifacts(own: _Resources, identity: Identity) -> Statement:
    # A key is artifacts/COMMIT/RUN/FILE.
    keys = f"{own.bucket}/artifacts/*/{own.runs(identity)}"
    return allow("WriteArtifacts", ["s3:PutObject", "s3:PutObjectTagging", "s3:AbortMultipartUpload"], [keys])


def _read_artifacts(own: _Resources) -> Statement:
    return allow("ReadArtifacts", ["s3:GetObject"], [f"{own.bucket}/artifacts/*"])


def _metrics() -> Statement:
    # CloudWatch knows no resources for metrics; the namespace is what can be limited.
    condition = {"StringEquals": {"cloudwatch:namespace": METRIC_NAMESPACE}}
    return allow("Metrics", ["cloudwatch:PutMetricData"], ["*"], Condition=condition)


def _secrets(own: _Resources) -> Statement:
    """Addresses of notification channels; Secrets Manager adds a random part to a secret's name in its ARN."""
    aws = own.aws
    prefix = PipelineNames(own.pipeline).secrets_prefix
    arn = f"arn:{aws.partition}:secretsmanager:{aws.region}:{aws.account}:secret:{prefix}*"
    return allow("NotificationSecrets", ["secretsmanager:GetSecretValue"], [arn])


def _assume(sid: str, roles: list[str]) -> list[Statement]:
    return [allow(f"Assume{sid}", ["sts:AssumeRole", "sts:TagSession"], roles)] if roles else []


def _self_update(own: _Resources) -> list[Statement]:
    """The pipeline stack's own resources. Its own role it may read only, so that it cannot widen it."""
    writable = [own.role(identity) for identity in Identity if identity is not Identity.SELF_UPDATE]
    statements = [
        allow(
            "ReadRoles",
            ["iam:GetRole", "iam:GetRolePolicy", "iam:ListRolePolicies", "iam:ListAttachedRolePolicies"],
            [*writable, own.role(Identity.SELF_UPDATE)],
        ),
        allow(
            "WriteRoles",
            [
                "iam:UpdateRole",
                "iam:UpdateAssumeRolePolicy",
                "iam:PutRolePolicy",
                "iam:DeleteRolePolicy",
                "iam:TagRole",
                "iam:UntagRole",
            ],
            writable,
        ),
        allow("Bucket", _BUCKET_ACTIONS, [own.bucket]),
        allow("Table", _TABLE_ACTIONS, [own.table]),
    ]
    if own.state_bucket is not None:
        statements.append(allow("StateBucket", ["s3:ListBucket", "s3:GetBucketLocation"], [own.state_bucket]))
        statements.append(
            allow("StateFormat", ["s3:GetObject", "s3:PutObject"], [f"{own.state_bucket}/.pulumi/meta.yaml"])
        )
        keys = [f"{own.state_bucket}/{key}" for key in _state_keys(PipelineNames(own.pipeline).stack)]
        statements.append(allow("State", ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], keys))
    return [*statements, *_state_key(own.aws)]


def _state_key(aws: AwsSettings) -> list[Statement]:
    """The key that encrypts the secrets in the state; its id is not known before it is made, its alias is."""
    if aws.kind != "account":
        return []
    condition = {"ForAnyValue:StringEquals": {"kms:ResourceAliases": STATE_KEY_ALIAS}}
    keys = f"arn:{aws.partition}:kms:{aws.region}:{aws.account}:key/*"
    return [allow("StateKey", ["kms:Encrypt", "kms:Decrypt"], [keys], Condition=condition)]


def _state_keys(stack: str) -> list[str]:
    """Patterns of the keys that are one stack's in a state bucket, which pipelines share.

    The layout is that of Pulumi's self-managed backends (pkg/backend/diy/store.go and lock.go); the last is ours.
    """
    return [
        f".pulumi/stacks/{PULUMI_PROJECT}/{stack}.json*",
        f".pulumi/stacks/{PULUMI_PROJECT}/{stack}.pulumi-tags",
        f".pulumi/history/{PULUMI_PROJECT}/{stack}/*",
        f".pulumi/backups/{PULUMI_PROJECT}/{stack}/*",
        f".pulumi/locks/organization/{PULUMI_PROJECT}/{stack}/*",
        f".pulumi/aphex/{PULUMI_PROJECT}/{stack}.json",
    ]


_BUCKET_ACTIONS = (
    "s3:GetAccelerateConfiguration",
    "s3:GetBucket*",
    "s3:GetEncryptionConfiguration",
    "s3:GetLifecycleConfiguration",
    "s3:GetReplicationConfiguration",
    "s3:ListBucket",
    "s3:PutBucketOwnershipControls",
    "s3:PutBucketPolicy",
    "s3:PutBucketPublicAccessBlock",
    "s3:PutBucketTagging",
    "s3:PutBucketVersioning",
    "s3:PutEncryptionConfiguration",
    "s3:PutLifecycleConfiguration",
)

_TABLE_ACTIONS = (
    "dynamodb:DescribeContinuousBackups",
    "dynamodb:DescribeTable",
    "dynamodb:DescribeTimeToLive",
    "dynamodb:ListTagsOfResource",
    "dynamodb:TagResource",
    "dynamodb:UntagResource",
    "dynamodb:UpdateContinuousBackups",
    "dynamodb:UpdateTable",
)
