"""S3 buckets themselves; what is set on a bucket afterwards is in `s3_settings`."""

from __future__ import annotations

from collections.abc import Iterator, Set
from typing import Any

from botocore.exceptions import ClientError

from sandbox.providers.aws.resource import ResourceType, Scope
from sandbox.providers.aws.schema import AutoName, Schema
from sandbox.providers.aws.shapes import pairs, tag_map
from sandbox.providers.base import Properties, ProviderError

_FIRST_REGION = "us-east-1"
# https://docs.aws.amazon.com/general/latest/gr/s3.html
_HOSTED_ZONES = {
    "us-east-1": "Z3AQBSTGFYJSTF",
    "us-east-2": "Z2O1EMRO9K5GLX",
    "us-west-1": "Z2F56UZL2M1ACD",
    "us-west-2": "Z3BJ6K6RIION7M",
    "eu-central-1": "Z21DNDUVLTQW6Q",
    "eu-west-1": "Z1BKCTXD74EZPE",
    "eu-west-2": "Z3GKZC51ZF0DB4",
    "eu-west-3": "Z3R1K369G5AVDG",
    "eu-north-1": "Z3BAZG2TWCNX0D",
    "ap-northeast-1": "Z2M4EHUR26P7ZW",
    "ap-south-1": "Z11RGJOFQNVJUP",
    "ap-southeast-1": "Z3O0J2DXBE1FTB",
    "ap-southeast-2": "Z1WCIGYICN2BYD",
    "sa-east-1": "Z7KQH4QJS55SO",
}


class Bucket(ResourceType):
    """`aws:s3/bucket:Bucket`."""

    schema = Schema(
        token="aws:s3/bucket:Bucket",
        inputs=frozenset({"bucket", "bucketPrefix", "forceDestroy", "objectLockEnabled", "tags"}),
        replaces=frozenset({"objectLockEnabled"}),
        computed=frozenset({"arn", "bucketDomainName", "bucketRegion", "bucketRegionalDomainName", "hostedZoneId"}),
        defaults={"forceDestroy": False},
        local=frozenset({"forceDestroy"}),
        sticky=frozenset({"objectLockEnabled"}),
        name=AutoName("bucket", 63, "bucketPrefix", str.lower),
    )
    created_with = frozenset({"bucket", "bucketPrefix", "forceDestroy", "objectLockEnabled", "region"})
    missing = frozenset({"NoSuchBucket", "404"})

    def create(self, scope: Scope, inputs: Properties) -> str:
        """Make the bucket in the scope's region."""
        options: dict[str, Any] = {"Bucket": inputs["bucket"]}
        if scope.region != _FIRST_REGION:
            options["CreateBucketConfiguration"] = {"LocationConstraint": scope.region}
        if inputs.get("objectLockEnabled"):
            options["ObjectLockEnabledForBucket"] = True
        scope.client("s3").create_bucket(**options)
        return str(inputs["bucket"])

    def read(self, scope: Scope, id: str) -> Properties | None:
        """Names, domains, tags and whether objects can be locked."""
        s3 = scope.client("s3")
        s3.head_bucket(Bucket=id)
        suffix = scope.aws.dns_suffix(scope.region)
        return {
            "bucket": id,
            "arn": f"arn:{scope.partition}:s3:::{id}",
            "bucketDomainName": f"{id}.s3.{suffix}",
            "bucketRegion": scope.region,
            "bucketRegionalDomainName": f"{id}.s3.{scope.region}.{suffix}",
            "hostedZoneId": _HOSTED_ZONES.get(scope.region, ""),
            "objectLockEnabled": self._locks(s3, id),
            "tags": self._tags(s3, id),
        }

    def apply(self, scope: Scope, id: str, inputs: Properties, changed: Set[str]) -> None:
        """Set the tags."""
        if "tags" not in changed:
            return
        s3 = scope.client("s3")
        if inputs.get("tags"):
            s3.put_bucket_tagging(Bucket=id, Tagging={"TagSet": pairs(inputs["tags"])})
        else:
            s3.delete_bucket_tagging(Bucket=id)

    def delete(self, scope: Scope, id: str, outputs: Properties) -> None:
        """Remove the bucket, and with `forceDestroy` every version of its objects before."""
        s3 = scope.client("s3")
        if outputs.get("forceDestroy"):
            for batch in _versions(s3, id):
                _delete_versions(s3, id, batch)
        try:
            s3.delete_bucket(Bucket=id)
        except ClientError as error:
            if error.response["Error"]["Code"] != "BucketNotEmpty":
                raise
            raise ProviderError(
                f"deleting bucket {id}: it still has objects",
                hint="Empty it, or set forceDestroy on it and deploy that before it is deleted.",
            ) from error

    def _tags(self, s3: Any, bucket: str) -> dict[str, str]:
        try:
            return tag_map(s3.get_bucket_tagging(Bucket=bucket)["TagSet"])
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchTagSet":
                raise
            return {}

    def _locks(self, s3: Any, bucket: str) -> bool:
        try:
            configuration = s3.get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"]
        except ClientError as error:
            if error.response["Error"]["Code"] != "ObjectLockConfigurationNotFoundError":
                raise
            return False
        return bool(configuration.get("ObjectLockEnabled") == "Enabled")


def _versions(s3: Any, bucket: str) -> Iterator[list[dict[str, str]]]:
    """Every object version and delete marker, in the batches that one request may delete."""
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        if found:
            yield [{"Key": item["Key"], "VersionId": item["VersionId"]} for item in found]


def _delete_versions(s3: Any, bucket: str, batch: list[dict[str, str]]) -> None:
    refused = s3.delete_objects(Bucket=bucket, Delete={"Objects": batch, "Quiet": True}).get("Errors", [])
    if refused:
        first = refused[0]
        raise ProviderError(f"emptying bucket {bucket}: {first['Key']}: {first['Code']}: {first.get('Message', '')}")
