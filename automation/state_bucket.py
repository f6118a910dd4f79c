"""The bucket that holds the Pulumi state: made before the first operation, removed with the sandbox's last pipeline."""

from __future__ import annotations

import json
from typing import Any

from aphex.errors import AphexError
from aphex.regions import partition_of
from automation.access import AwsAccess

_PAGE = 1000


def ensure_state_bucket(aws: AwsAccess, bucket: str) -> bool:
    """Make the bucket when it is not there: private, versioned, encrypted, by TLS alone. Whether it was made.

    Raises:
        AphexError: the name belongs to somebody else, or S3 refuses.
    """
    from botocore.exceptions import ClientError

    s3 = aws.client("s3")
    try:
        s3.head_bucket(Bucket=bucket)
        return False
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if status == 403:
            raise AphexError(
                f"The state bucket {bucket} exists, but these credentials may not read it.",
                hint="Use credentials of the account that holds the pipeline.",
            ) from error
        if status != 404:
            raise
    _create(s3, bucket, aws.region)
    return True


def _create(s3: Any, bucket: str, region: str) -> None:
    place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    s3.create_bucket(Bucket=bucket, **place)
    secure(s3, bucket, region)


def secure(s3: Any, bucket: str, region: str) -> None:
    """Make a bucket private, versioned, encrypted, and closed to requests without TLS; again does no harm."""
    from aphex_platform.resource_policies import tls_only_policy

    s3.put_public_access_block(
        Bucket=bucket,
        PublicAccessBlockConfiguration={
            "BlockPublicAcls": True,
            "IgnorePublicAcls": True,
            "BlockPublicPolicy": True,
            "RestrictPublicBuckets": True,
        },
    )
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_bucket_encryption(
        Bucket=bucket,
        ServerSideEncryptionConfiguration={
            "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}, "BucketKeyEnabled": True}]
        },
    )
    policy = tls_only_policy(f"arn:{partition_of(region)}:s3:::{bucket}")
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))


def empty_bucket(aws: AwsAccess, bucket: str) -> int:
    """Delete every version of every object of a bucket; how many there were.

    Raises:
        AphexError: some could not be deleted.
    """
    s3 = aws.client("s3")
    deleted = 0
    # Always the first page: where the next one begins has changed once this one is deleted.
    while objects := _first_versions(s3, bucket):
        errors = s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True}).get("Errors", [])
        if errors:
            raise AphexError(f"{len(errors)} objects of {bucket} could not be deleted: {errors[0]['Message']}")
        deleted += len(objects)
    return deleted


def _first_versions(s3: Any, bucket: str) -> list[dict[str, str]]:
    page = s3.list_object_versions(Bucket=bucket, MaxKeys=_PAGE)
    found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
    # What one request may delete; a page of the stand-in can have more than was asked for.
    return [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in found][:_PAGE]


def stacks(aws: AwsAccess, bucket: str) -> list[str]:
    """The stacks whose state is in the bucket."""
    s3 = aws.client("s3")
    names = set()
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=".pulumi/stacks/"):
        for each in page.get("Contents", []):
            name = each["Key"].rsplit("/", 1)[-1]
            if name.endswith(".json"):
                names.add(name.removesuffix(".json"))
    return sorted(names)
