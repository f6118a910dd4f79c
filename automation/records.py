"""What is kept of a run outside the cluster: its record in the run table and its logs in the bucket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aphex.errors import AphexError
from aphex.names import PipelineNames
from aphex.run import RunKeys, RunRecord

if TYPE_CHECKING:
    from automation.target import Target


class LogNotFound(AphexError):
    """A stage's log is not in the bucket."""


def bucket_name(target: Target) -> str:
    """The pipeline's artifact bucket."""
    settings = target.settings
    return PipelineNames(settings.pipeline).bucket(settings.aws.account, settings.aws.region)


def read_record(target: Target, run: str) -> RunRecord | None:
    """The record of a run; none when the table has none, or there is no table."""
    from botocore.exceptions import ClientError

    dynamodb = target.aws.client("dynamodb")
    table = PipelineNames(target.settings.pipeline).table
    try:
        item = dynamodb.get_item(TableName=table, Key={"run_id": {"S": run}}, ConsistentRead=True).get("Item")
    except ClientError as error:
        if error.response["Error"]["Code"] == "ResourceNotFoundException":
            return None
        raise
    return None if item is None else plain_record(item)


def plain_record(item: Mapping[str, Any]) -> RunRecord:
    """A record from an item as DynamoDB gives it, each value with its type."""
    from boto3.dynamodb.types import TypeDeserializer

    plain: dict[str, Any] = {name: TypeDeserializer().deserialize(value) for name, value in item.items()}
    return RunRecord.model_validate(plain)


def stored_log(target: Target, run: str, stage: str) -> str:
    """The whole log of a stage, as its pod stored it.

    Raises:
        LogNotFound: the bucket has none.
    """
    from botocore.exceptions import ClientError

    bucket, key = bucket_name(target), RunKeys(run).log(stage)
    try:
        body = target.aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("NoSuchKey", "NoSuchBucket"):
            raise
        raise LogNotFound(f"There is no log of the stage {stage} of the run {run}: s3://{bucket}/{key}") from error
    return str(body.decode("utf-8", errors="replace"))
