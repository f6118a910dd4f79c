"""What the self-update may do on AWS: keep the pipeline stack's own resources as the configuration says.

It makes none of what a pipeline has once and keeps: bucket, table, key, roles. Its own role and the bound of the others
it may read only, so that it cannot widen what anyone of the pipeline may do.
"""

from __future__ import annotations

from aphex.names import PULUMI_PROJECT, STATE_KEY_ALIAS, PipelineNames
from aphex_platform.belongings import Belongings
from aphex_platform.identities import Identity
from aphex_platform.statements import Statement, allow


def self_update_statements(own: Belongings) -> list[Statement]:
    """Every right of the self-update besides those that all stages have."""
    return [
        *_roles(own),
        allow("Buckets", _BUCKET_ACTIONS, [own.bucket, own.log_bucket]),
        allow("Table", _TABLE_ACTIONS, [own.table]),
        *_key(own),
        *_monitoring(own),
        *_associations(own),
        *_webhook_secret(own),
        *_state(own),
    ]


def _roles(own: Belongings) -> list[Statement]:
    writable = [own.role(identity) for identity in Identity if identity is not Identity.SELF_UPDATE]
    bounded = {"StringEquals": {"iam:PermissionsBoundary": own.boundary}}
    attached = {**bounded, "ArnLike": {"iam:PolicyARN": own.managed_policies}}
    return [
        allow(
            "ReadRoles",
            [
                "iam:GetRole",
                "iam:GetRolePolicy",
                "iam:ListAttachedRolePolicies",
                "iam:ListRolePolicies",
                "iam:ListRoleTags",
            ],
            [*writable, own.role(Identity.SELF_UPDATE)],
        ),
        allow("TagRoles", ["iam:TagRole", "iam:UntagRole", "iam:UpdateRole", "iam:UpdateRoleDescription"], writable),
        allow("WriteRoles", ["iam:DeleteRolePolicy", "iam:PutRolePolicy"], writable, Condition=bounded),
        allow("AttachPolicies", ["iam:AttachRolePolicy", "iam:DetachRolePolicy"], writable, Condition=attached),
        allow("Policies", _POLICY_ACTIONS, [own.managed_policies]),
        allow("ReadBoundary", _READ_POLICY_ACTIONS, [own.boundary]),
    ]


def _key(own: Belongings) -> list[Statement]:
    return [
        allow(
            "KeyOfData",
            [
                "kms:DescribeKey",
                "kms:EnableKeyRotation",
                "kms:GetKeyPolicy",
                "kms:GetKeyRotationStatus",
                "kms:ListResourceTags",
                "kms:TagResource",
                "kms:UntagResource",
                "kms:UpdateKeyDescription",
            ],
            [own.key],
        ),
        # KMS knows no resources for it; it tells names of keys and nothing of what is in them.
        allow("Aliases", ["kms:ListAliases"], ["*"]),
    ]


def _monitoring(own: Belongings) -> list[Statement]:
    alarms = own.arn("cloudwatch", f"alarm:{own.names.alarm('*')}")
    dashboard = own.arn("cloudwatch", f"dashboard/{own.names.dashboard}", region=False)
    return [
        allow("Alarms", _ALARM_ACTIONS, [alarms]),
        allow("Dashboard", ["cloudwatch:GetDashboard", "cloudwatch:PutDashboard"], [dashboard]),
    ]


def _associations(own: Belongings) -> list[Statement]:
    """Which service account has which role is read only: to change it would be to hand out roles."""
    if own.aws.identity != "pod-identity":
        return []
    cluster = own.aws.cluster
    return [
        allow(
            "Associations",
            ["eks:DescribePodIdentityAssociation", "eks:ListPodIdentityAssociations", "eks:ListTagsForResource"],
            [own.arn("eks", f"cluster/{cluster}"), own.arn("eks", f"podidentityassociation/{cluster}/*")],
        )
    ]


def _webhook_secret(own: Belongings) -> list[Statement]:
    """The key of the webhook's signature; Secrets Manager adds a dash and six characters to a secret's name."""
    secret = own.settings.webhook.secret_name
    if secret is None:
        return []
    arn = secret if secret.startswith("arn:") else own.arn("secretsmanager", f"secret:{secret}-??????")
    return [allow("WebhookSecret", ["secretsmanager:GetSecretValue"], [arn])]


def _state(own: Belongings) -> list[Statement]:
    if own.state_bucket is None:
        return []
    keys = [f"{own.state_bucket}/{key}" for key in _state_keys(PipelineNames(own.pipeline).stack)]
    return [
        allow("StateBucket", ["s3:ListBucket", "s3:GetBucketLocation"], [own.state_bucket]),
        allow("StateFormat", ["s3:GetObject", "s3:PutObject"], [f"{own.state_bucket}/.pulumi/meta.yaml"]),
        allow("State", ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], keys),
        *_state_key(own),
    ]


def _state_key(own: Belongings) -> list[Statement]:
    """The key of the secrets in the state, which pipelines share; its id is not known before it is made, its alias is.

    https://docs.aws.amazon.com/kms/latest/developerguide/alias-authorization.html
    """
    if own.aws.kind != "account":
        return []
    named = {"ForAnyValue:StringEquals": {"kms:ResourceAliases": STATE_KEY_ALIAS}}
    return [allow("StateKey", ["kms:Decrypt", "kms:Encrypt"], [own.arn("kms", "key/*")], Condition=named)]


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


_READ_POLICY_ACTIONS = ("iam:GetPolicy", "iam:GetPolicyVersion", "iam:ListPolicyTags", "iam:ListPolicyVersions")

_POLICY_ACTIONS = (
    *_READ_POLICY_ACTIONS,
    "iam:CreatePolicy",
    "iam:CreatePolicyVersion",
    "iam:DeletePolicy",
    "iam:DeletePolicyVersion",
    "iam:TagPolicy",
    "iam:UntagPolicy",
)

_ALARM_ACTIONS = (
    "cloudwatch:DeleteAlarms",
    "cloudwatch:DescribeAlarms",
    "cloudwatch:ListTagsForResource",
    "cloudwatch:PutMetricAlarm",
    "cloudwatch:TagResource",
    "cloudwatch:UntagResource",
)

_BUCKET_ACTIONS = (
    "s3:GetAccelerateConfiguration",
    "s3:GetBucket*",
    "s3:GetEncryptionConfiguration",
    "s3:GetLifecycleConfiguration",
    "s3:GetReplicationConfiguration",
    "s3:ListBucket",
    "s3:ListTagsForResource",
    "s3:PutBucketLogging",
    "s3:PutBucketOwnershipControls",
    "s3:PutBucketPolicy",
    "s3:PutBucketPublicAccessBlock",
    "s3:PutBucketTagging",
    "s3:PutBucketVersioning",
    "s3:PutEncryptionConfiguration",
    "s3:PutLifecycleConfiguration",
    "s3:TagResource",
    "s3:UntagResource",
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
