"""The stage's own AWS clients, in the pipeline's account and region. boto3 is imported when the first is made."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from boto3.session import Session
    from botocore.config import Config
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client


def client_config() -> Config:
    """How every client retries and gives up."""
    from botocore.config import Config  # half a second that the first line should not wait for

    return Config(retries={"mode": "standard", "total_max_attempts": 6}, connect_timeout=10, read_timeout=60)


class PipelineClients:
    """Clients with the pod's own identity."""

    def __init__(self, region: str) -> None:
        self._region = region

    @cached_property
    def session(self) -> Session:
        """The session whose credentials are the pod's own; botocore refreshes them."""
        import boto3

        return boto3.Session(region_name=self._region)

    @cached_property
    def s3(self) -> S3Client:
        """For the artifact bucket."""
        return self.session.client("s3", config=client_config())

    @cached_property
    def dynamodb(self) -> DynamoDBClient:
        """For the run table."""
        return self.session.client("dynamodb", config=client_config())

    @cached_property
    def cloudwatch(self) -> CloudWatchClient:
        """For the metrics."""
        return self.session.client("cloudwatch", config=client_config())
