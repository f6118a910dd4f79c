"""Each resource type of the stand-in AWS provider on moto: made, looked at, changed in place, imported, removed."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from sandbox.providers.base import Properties, ProviderError, Secret
from tests.support.lives import Lives, lives_on
from tests.support.moto_endpoint import MotoEndpoint, moto_endpoint

ROLE = "arn:aws:iam::123456789012:role/builder"


@pytest.fixture(scope="module")
def server() -> Iterator[MotoEndpoint]:
    with moto_endpoint() as running:
        yield running


@pytest.fixture
def moto(server: MotoEndpoint) -> MotoEndpoint:
    server.reset()
    return server


@pytest.fixture
def lives(moto: MotoEndpoint) -> Iterator[Lives]:
    lives = lives_on(moto)
    yield lives
    lives.end()


def test_a_dashboard(lives: Lives) -> None:
    body = json.dumps({"widgets": [{"type": "text", "properties": {"markdown": "hello"}}]})
    asked = {"dashboardName": "runs", "dashboardBody": body}
    dashboard = lives.create("aws:cloudwatch/dashboard:Dashboard", asked)
    assert dashboard.outputs["dashboardArn"].endswith(":dashboard/runs")
    assert lives.update(dashboard, {**asked, "dashboardBody": '{"widgets": []}'}) == {"dashboardBody"}
    assert lives.replaces(dashboard, {**asked, "dashboardName": "others"})
    assert lives.imported(dashboard)["dashboardName"] == "runs"


def test_a_metric_alarm(lives: Lives, moto: MotoEndpoint) -> None:
    asked: Properties = {
        "alarmActions": ["arn:aws:sns:us-east-1:123456789012:alerts"],
        "alarmDescription": "a run failed",
        "comparisonOperator": "GreaterThanOrEqualToThreshold",
        "datapointsToAlarm": 1,
        "dimensions": {"Pipeline": "shop", "Environment": "dev"},
        "evaluationPeriods": 1,
        "metricName": "RunFailed",
        "namespace": "Aphex",
        "okActions": ["arn:aws:sns:us-east-1:123456789012:calm"],
        "period": 300,
        "statistic": "Sum",
        "tags": {"team": "a"},
        "threshold": 1,
        "treatMissingData": "notBreaching",
    }
    alarm = lives.create("aws:cloudwatch/metricAlarm:MetricAlarm", asked)
    assert alarm.id == "it-3031323"
    changed = {key: value for key, value in asked.items() if key != "okActions"}
    changed |= {"threshold": 2.5, "tags": {"owner": "b"}}
    assert lives.update(alarm, changed) == {"okActions", "tags.owner", "tags.team", "threshold"}
    (found,) = moto.client("cloudwatch").describe_alarms()["MetricAlarms"]
    assert (found["Threshold"], found["OKActions"]) == (2.5, [])
    assert lives.replaces(alarm, {**asked, "name": "other"})
    assert lives.imported(alarm)["dimensions"] == asked["dimensions"]


def test_access_logs_of_a_bucket(lives: Lives, moto: MotoEndpoint) -> None:
    for name in ("logs", "store"):
        lives.create("aws:s3/bucket:Bucket", {"bucket": name, "forceDestroy": True}, name)
    asked: Properties = {
        "bucket": "store",
        "targetBucket": "logs",
        "targetPrefix": "store/",
        "targetObjectKeyFormat": {"partitionedPrefix": {"partitionDateSource": "EventTime"}},
    }
    with pytest.raises(ProviderError, match="permissions to the logging service"):
        lives.create("aws:s3/bucketLogging:BucketLogging", asked)
    everybody = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": ["arn:aws:s3:::logs/*"]}
    logger = {
        "Effect": "Allow",
        "Principal": {"Service": "logging.s3.amazonaws.com"},
        "Action": ["s3:PutObject"],
        "Resource": ["arn:aws:s3:::logs/store/*"],
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [everybody, logger]})
    lives.create("aws:s3/bucketPolicy:BucketPolicy", {"bucket": "logs", "policy": policy})
    logging = lives.create("aws:s3/bucketLogging:BucketLogging", asked)
    assert lives.update(logging, {**asked, "targetObjectKeyFormat": {"simplePrefix": {}}})
    kept = moto.client("s3").get_bucket_logging(Bucket="store")["LoggingEnabled"]
    assert kept["TargetObjectKeyFormat"] == {"SimplePrefix": {}}
    assert lives.replaces(logging, {**asked, "bucket": "logs"})
    lives.end()
    assert moto.client("s3").list_buckets()["Buckets"] == []


def test_a_role_for_a_service_account(lives: Lives, moto: MotoEndpoint) -> None:
    moto.client("eks").create_cluster(name="shared", roleArn=ROLE, resourcesVpcConfig={"subnetIds": []})
    asked: Properties = {
        "clusterName": "shared",
        "namespace": "aphex-shop",
        "serviceAccount": "build",
        "roleArn": ROLE,
        "tags": {"team": "a"},
    }
    association = lives.create("aws:eks/podIdentityAssociation:PodIdentityAssociation", asked)
    with pytest.raises(ProviderError, match="It is there already"):
        lives.create("aws:eks/podIdentityAssociation:PodIdentityAssociation", asked)
    other = {**asked, "roleArn": f"{ROLE}-2", "tags": {"team": "b"}}
    assert lives.update(association, other) == {"roleArn", "tags.team"}
    assert lives.replaces(association, {**asked, "serviceAccount": "deploy"})
    assert lives.imported(association)["serviceAccount"] == "build"
    found = moto.client("eks").list_pod_identity_associations(clusterName="shared", namespace="aphex-shop")
    assert [each["associationId"] for each in found["associations"]] == [association.outputs["associationId"]]


def test_a_secret_s_value_stays_secret(lives: Lives, moto: MotoEndpoint) -> None:
    moto.client("secretsmanager").create_secret(Name="webhook", SecretString="correct horse")
    token = "aws:secretsmanager/getSecretVersion:getSecretVersion"
    found = lives.provider.invoke(token, {"secretId": "webhook"})
    assert found["secretString"] == Secret("correct horse")
    assert "correct horse" not in repr(found)
    assert found["versionStages"] == ["AWSCURRENT"]
    with pytest.raises(ProviderError, match="ResourceNotFoundException"):
        lives.provider.invoke(token, {"secretId": "other"})
