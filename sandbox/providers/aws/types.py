"""Every resource type of the stand-in AWS provider, by token."""

from __future__ import annotations

from sandbox.providers.aws import cloudwatch, dynamodb, eks_access, iam, kms, logs, s3_bucket, s3_settings
from sandbox.providers.aws.resource import ResourceType

_ALL: tuple[ResourceType, ...] = (
    s3_bucket.Bucket(),
    *s3_settings.SETTINGS,
    dynamodb.Table(),
    iam.Role(),
    iam.RolePolicy(),
    iam.Policy(),
    iam.RolePolicyAttachment(),
    kms.Key(),
    kms.Alias(),
    logs.LogGroup(),
    cloudwatch.Dashboard(),
    cloudwatch.MetricAlarm(),
    eks_access.PodIdentityAssociation(),
)

TYPES: dict[str, ResourceType] = {kind.schema.token: kind for kind in _ALL}
