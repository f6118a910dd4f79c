"""What the AWS stand-in holds outlives its process."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import boto3
import pytest

from sandbox.aws.snapshot import changes_something
from tests.support.aws_stand_in import AwsStandIn, aws_stand_in

TEMPLATE = {
    "Resources": {
        "Queue": {"Type": "AWS::SQS::Queue"},
        "Topic": {"Type": "AWS::SNS::Topic"},
        "Bucket": {"Type": "AWS::S3::Bucket"},
        "Parameter": {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": {"Ref": "Queue"}}},
        "Images": {"Type": "AWS::ECR::Repository", "Properties": {"RepositoryName": "images"}},
        "Table": {
            "Type": "AWS::DynamoDB::Table",
            "Properties": {
                "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
                "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
                "BillingMode": "PAY_PER_REQUEST",
            },
        },
        "Role": {
            "Type": "AWS::IAM::Role",
            "Properties": {"AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": []}},
        },
        "Key": {"Type": "AWS::KMS::Key", "Properties": {"KeyPolicy": {"Version": "2012-10-17", "Statement": []}}},
        "Log": {"Type": "AWS::Logs::LogGroup"},
    },
    "Outputs": {
        name: {"Value": {"Ref": name}, "Export": {"Name": name}} for name in ("Queue", "Bucket", "Table", "Parameter")
    },
}


def outputs(aws: AwsStandIn, session: boto3.Session) -> dict[str, str]:
    (stack,) = aws.client("cloudformation", session).describe_stacks(StackName="data")["Stacks"]
    return {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}


def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    snapshot = tmp_path / "aws" / "snapshot"
    with aws_stand_in(snapshot) as aws:
        session = aws.session("222222222222", "eu-west-1")
        aws.client("cloudformation", session).create_stack(StackName="data", TemplateBody=json.dumps(TEMPLATE))
        before = outputs(aws, session)
        s3 = aws.client("s3", session)
        s3.put_object(Bucket=before["Bucket"], Key="big", Body=os.urandom(20_000_000))
        etag = s3.head_object(Bucket=before["Bucket"], Key="big")["ETag"]
        item = {"id": {"S": "1"}, "n": {"N": "2"}}
        aws.client("dynamodb", session).put_item(TableName=before["Table"], Item=item)
        aws.client("cloudwatch", session).put_metric_data(Namespace="n", MetricData=[{"MetricName": "m", "Value": 1}])
    assert snapshot.stat().st_mode & 0o777 == 0o600
    with aws_stand_in(snapshot) as aws:
        # The credentials of before: a pod keeps them over a restart of the stand-in.
        assert aws.client("sts", session).get_caller_identity()["Account"] == "222222222222"
        assert outputs(aws, session) == before
        s3, table = aws.client("s3", session), aws.client("dynamodb", session)
        assert s3.head_object(Bucket=before["Bucket"], Key="big")["ETag"] == etag
        assert table.get_item(TableName=before["Table"], Key={"id": {"S": "1"}})["Item"] == item
        changed = TEMPLATE | {"Outputs": {"Table": {"Value": {"Ref": "Table"}}}}
        s3.delete_object(Bucket=before["Bucket"], Key="big")
        cloudformation = aws.client("cloudformation", session)
        cloudformation.update_stack(StackName="data", TemplateBody=json.dumps(changed))
        assert outputs(aws, session) == {"Table": before["Table"]}
        cloudformation.delete_stack(StackName="data")
        assert table.list_tables()["TableNames"] == []
        assert s3.list_buckets()["Buckets"] == []


def test_a_killed_stand_in_loses_a_few_seconds_at_most(tmp_path: Path) -> None:
    snapshot = tmp_path / "snapshot"
    with aws_stand_in(snapshot) as aws:
        aws.client("s3").create_bucket(Bucket="kept")
        deadline = time.monotonic() + 30
        while not snapshot.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        held = snapshot.read_bytes()
    snapshot.write_bytes(held)
    with aws_stand_in(snapshot) as aws:
        assert [each["Name"] for each in aws.client("s3").list_buckets()["Buckets"]] == ["kept"]


def test_a_damaged_snapshot_begins_empty(tmp_path: Path) -> None:
    snapshot = tmp_path / "snapshot"
    snapshot.write_bytes(b"not a snapshot")
    with aws_stand_in(snapshot) as aws:
        assert aws.client("s3").list_buckets()["Buckets"] == []


@pytest.mark.parametrize(
    ("method", "target", "body", "changes"),
    [
        ("GET", "", b"", False),
        ("PUT", "", b"", True),
        ("POST", "DynamoDB_20120810.PutItem", b"{}", True),
        ("POST", "DynamoDB_20120810.GetItem", b"{}", False),
        ("POST", "", b"Version=2011-06-15&Action=AssumeRole&RoleArn=x", True),
        ("POST", "", b"Action=DescribeStacks&Version=2010-05-15", False),
        ("POST", "", b"", True),
    ],
)
def test_reading_requests_write_no_snapshot(method: str, target: str, body: bytes, changes: bool) -> None:
    environ: dict[str, Any] = {"REQUEST_METHOD": method} | ({"HTTP_X_AMZ_TARGET": target} if target else {})
    assert changes_something(environ, body) is changes
