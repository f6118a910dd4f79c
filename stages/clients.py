"""The stage's own AWS clients, in the pipeline's account and region. boto3 is imported when the first is made."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from boto3.session import Session
    from botocore.config import Config
    from botocore.session import Session as CoreSession
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient


# Waits between attempts are drawn from up to 25 or 50 ms, then twice as much each time, at most 20 s: so many outlast
# half a minute of refused connections in all but one of a thousand cases, and give up after about a minute and a half.
ATTEMPTS = 18


def client_config() -> Config:
    """How every client retries and gives up."""
    from botocore.config import Config  # half a second that the first line should not wait for

    return Config(retries={"mode": "standard", "total_max_attempts": ATTEMPTS}, connect_timeout=10, read_timeout=60)


def patient(session: CoreSession) -> CoreSession:
    """Let what botocore asks by itself, such as STS for credentials, be tried as often, unless a variable says else."""
    if session.get_config_variable("max_attempts") is None:
        session.set_config_variable("max_attempts", ATTEMPTS)
        session.set_config_variable("retry_mode", "standard")
    return session


class PipelineClients:
    """Clients with the pod's own identity.

    With a store endpoint, which is a stand-in's, the bucket, the table and the metrics are there, and the pod's own
    credentials never go there.
    """

    def __init__(self, region: str, store_endpoint: str = "") -> None:
        self._region = region
        self._store_endpoint = store_endpoint

    @cached_property
    def session(self) -> Session:
        """The session whose credentials are the pod's own; botocore refreshes them."""
        import boto3
        from botocore.session import Session as CoreSession

        return boto3.Session(botocore_session=patient(CoreSession()), region_name=self._region)

    @cached_property
    def _store(self) -> Session:
        import boto3

        if not self._store_endpoint:
            return self.session
        return boto3.Session(aws_access_key_id="local", aws_secret_access_key="local", region_name=self._region)

    @cached_property
    def s3(self) -> S3Client:
        """For the artifact bucket."""
        return self._store.client("s3", endpoint_url=self._store_endpoint or None, config=client_config())

    @cached_property
    def dynamodb(self) -> DynamoDBClient:
        """For the run table."""
        return self._store.client("dynamodb", endpoint_url=self._store_endpoint or None, config=client_config())

    @cached_property
    def cloudwatch(self) -> CloudWatchClient:
        """For the metrics."""
        return self._store.client("cloudwatch", endpoint_url=self._store_endpoint or None, config=client_config())

    @cached_property
    def secrets_manager(self) -> SecretsManagerClient:
        """For the addresses of notification channels; it gives up soon, since a run's end waits for it."""
        from botocore.config import Config

        soon = Config(retries={"mode": "standard", "total_max_attempts": 2}, connect_timeout=3, read_timeout=5)
        return self.session.client("secretsmanager", config=soon)
