"""Buckets get what their stacks say, and bucket policies work.

moto's CloudFormation gives a bucket its name, encryption and tags alone, and does not know bucket policies. Its check
of a bucket policy takes a statement whose condition it cannot judge for a denial, so that the usual statement against
requests without TLS would shut everybody out.
"""

from __future__ import annotations

import json
from typing import Any

from moto.core.common_models import CloudFormationModel
from moto.iam.access_control import IAMPolicy, PermissionResult
from moto.s3.models import FakeBucket, S3Backend, s3_backends
from moto.utilities.utils import get_partition

_create_original = FakeBucket.create_from_cloudformation_json
_update_original = FakeBucket.update_from_cloudformation_json
_SAME_IN_BOTH = ("ID", "Prefix", "Status", "AbortIncompleteMultipartUpload", "NoncurrentVersionExpiration")


class BucketPolicy(CloudFormationModel):
    """AWS::S3::BucketPolicy, which is a part of its bucket."""

    def __init__(self, bucket: str) -> None:
        self.bucket = bucket

    @property
    def physical_resource_id(self) -> str:
        """The bucket's name, as CloudFormation has it."""
        return self.bucket

    @staticmethod
    def cloudformation_name_type() -> str:
        """No property names a bucket policy."""
        return ""

    @staticmethod
    def cloudformation_type() -> str:
        """Its name in templates."""
        return "AWS::S3::BucketPolicy"

    @classmethod
    def has_cfn_attr(cls, attr: str) -> bool:  # noqa: ARG003 - moto's signature
        """It has no attributes."""
        return False

    @classmethod
    def create_from_cloudformation_json(
        cls,
        resource_name: str,  # noqa: ARG003 - moto's signature
        cloudformation_json: dict[str, Any],
        account_id: str,
        region_name: str,
        **_: Any,
    ) -> BucketPolicy:
        """Give the bucket its policy."""
        properties = cloudformation_json["Properties"]
        policy = json.dumps(properties["PolicyDocument"]).encode()
        _backend(account_id, region_name).put_bucket_policy(properties["Bucket"], policy)
        return cls(properties["Bucket"])

    @classmethod
    def update_from_cloudformation_json(
        cls,
        original_resource: Any,
        new_resource_name: str,
        cloudformation_json: dict[str, Any],
        account_id: str,
        region_name: str,
    ) -> BucketPolicy:
        """Give the bucket its new policy; another bucket takes it from the former one."""
        changed = cls.create_from_cloudformation_json(new_resource_name, cloudformation_json, account_id, region_name)
        if changed.bucket != original_resource.bucket:
            _backend(account_id, region_name).delete_bucket_policy(original_resource.bucket)
        return changed

    @classmethod
    def delete_from_cloudformation_json(
        cls,
        resource_name: str,
        cloudformation_json: dict[str, Any],  # noqa: ARG003 - moto's signature
        account_id: str,
        region_name: str,
    ) -> None:
        """Take the policy from its bucket, if that is still there."""
        backend = _backend(account_id, region_name)
        if resource_name in backend.buckets:
            backend.delete_bucket_policy(resource_name)

    def is_created(self) -> bool:
        """It is, from its first moment."""
        return True


def lifecycle_rules(rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A template's lifecycle rules as S3's API has them."""
    return [_lifecycle_rule(rule) for rule in rules]


def _lifecycle_rule(rule: dict[str, Any]) -> dict[str, Any]:
    converted = {name: rule[name] for name in _SAME_IN_BOTH if name in rule} | {"ID": rule.get("Id")}
    if "NoncurrentVersionExpirationInDays" in rule:
        converted["NoncurrentVersionExpiration"] = {"NoncurrentDays": rule["NoncurrentVersionExpirationInDays"]}
    if "ExpirationInDays" in rule:
        converted["Expiration"] = {"Days": rule["ExpirationInDays"]}
    elif "ExpiredObjectDeleteMarker" in rule:
        converted["Expiration"] = {"ExpiredObjectDeleteMarker": rule["ExpiredObjectDeleteMarker"]}
    converted["Transition"] = [
        {"StorageClass": each["StorageClass"], "Days": each.get("TransitionInDays")}
        for each in rule.get("Transitions", [])
    ]
    if "Prefix" not in converted:
        converted["Prefix"] = ""
    return converted


def configure(backend: S3Backend, bucket: str, properties: dict[str, Any]) -> None:
    """Give a bucket the properties of its template that moto leaves out."""
    if "VersioningConfiguration" in properties:
        backend.put_bucket_versioning(bucket, properties["VersioningConfiguration"]["Status"])
    if "PublicAccessBlockConfiguration" in properties:
        names = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
        given = properties["PublicAccessBlockConfiguration"]
        block = {name: str(given.get(name, False)).lower() for name in names}
        backend.put_public_access_block(bucket, block)
    if "LifecycleConfiguration" in properties:
        rules = lifecycle_rules(properties["LifecycleConfiguration"]["Rules"])
        backend.put_bucket_lifecycle_configuration(bucket, rules)


def _backend(account_id: str, region_name: str) -> S3Backend:
    return s3_backends[account_id][get_partition(region_name)]


def _create(
    cls: type[FakeBucket],  # noqa: ARG001 - a class method
    /,
    resource_name: str,
    cloudformation_json: dict[str, Any],
    account_id: str,
    region_name: str,
    **more: Any,
) -> FakeBucket:
    bucket = _create_original(resource_name, cloudformation_json, account_id, region_name, **more)
    configure(_backend(account_id, region_name), bucket.name, cloudformation_json.get("Properties", {}))
    return bucket


def _update(
    cls: type[FakeBucket],  # noqa: ARG001 - a class method
    /,
    original_resource: FakeBucket,
    new_resource_name: str,
    cloudformation_json: dict[str, Any],
    account_id: str,
    region_name: str,
) -> FakeBucket:
    # moto looks for the bucket's name here when it has tags, and stacks mostly leave the name to CloudFormation.
    properties = {"BucketName": original_resource.name, **cloudformation_json.get("Properties", {})}
    whole = {**cloudformation_json, "Properties": properties}
    bucket = _update_original(original_resource, new_resource_name, whole, account_id, region_name)
    if bucket.is_versioned:
        # Versioning that a template no longer asks for is suspended: it cannot be undone.
        properties.setdefault("VersioningConfiguration", {"Status": "Suspended"})
    configure(_backend(account_id, region_name), bucket.name, properties)
    return bucket


def _get_permission(self: FakeBucket, action: str, resource: str) -> PermissionResult:
    if self.policy is None:
        return PermissionResult.NEUTRAL
    document = json.loads(self.policy)
    statements = document["Statement"]
    # A condition needs what only the request knows, which moto does not hand on.
    judged = [s for s in (statements if isinstance(statements, list) else [statements]) if not s.get("Condition")]
    if not judged:
        return PermissionResult.NEUTRAL
    return IAMPolicy(json.dumps({**document, "Statement": judged})).is_action_permitted(action, resource)


def apply() -> None:
    """Put these in the place of moto's own; `BucketPolicy` is known to moto by being defined."""
    setattr(FakeBucket, "create_from_cloudformation_json", classmethod(_create))  # noqa: B010 - mypy refuses else
    setattr(FakeBucket, "update_from_cloudformation_json", classmethod(_update))  # noqa: B010
    setattr(FakeBucket, "get_permission", _get_permission)  # noqa: B010
