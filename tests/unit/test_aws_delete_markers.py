"""A versioned bucket can be emptied in the AWS stand-in whatever became of its versioning."""

from __future__ import annotations

from tests.support.moto_endpoint import moto_endpoint


def test_a_bucket_with_suspended_versioning_can_be_emptied_of_delete_markers() -> None:
    with moto_endpoint() as aws:
        s3 = aws.client("s3")
        s3.create_bucket(Bucket="bucket")
        s3.put_bucket_versioning(Bucket="bucket", VersioningConfiguration={"Status": "Enabled"})
        s3.put_object(Bucket="bucket", Key="key", Body=b"content")
        s3.delete_object(Bucket="bucket", Key="key")
        s3.put_bucket_versioning(Bucket="bucket", VersioningConfiguration={"Status": "Suspended"})
        listed = s3.list_object_versions(Bucket="bucket")
        found = [*listed["Versions"], *listed["DeleteMarkers"]]
        versions = [{"Key": item["Key"], "VersionId": item["VersionId"]} for item in found]
        answer = s3.delete_objects(Bucket="bucket", Delete={"Objects": versions})
        assert not answer.get("Errors")
        s3.delete_bucket(Bucket="bucket")
        assert not s3.list_buckets()["Buckets"]
