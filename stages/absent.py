"""Whether S3 refuses to give an object because there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from botocore.exceptions import ClientError
    from mypy_boto3_s3 import S3Client


def is_absent(s3: S3Client, bucket: str, key: str, error: ClientError) -> bool:
    """Whether the error of a GetObject or HeadObject means that the bucket has no such object.

    S3 says so only to who may list the whole bucket; others are told that access is denied
    (https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html). A stage may list below its own prefixes
    alone, a condition that such a request cannot meet, so the listing itself is asked.
    """
    from botocore.exceptions import ClientError

    code = error.response["Error"]["Code"]
    if code in ("404", "NoSuchKey"):
        return True
    if code not in ("403", "AccessDenied"):
        return False
    try:
        # In the order of the keys: the key itself comes before those that it begins.
        first = s3.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1).get("Contents", [])
    except ClientError:
        return False
    return [each["Key"] for each in first] != [key]
