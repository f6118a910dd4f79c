"""Where a pipeline keeps things, as the program declares it: key, buckets and run table."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aphex.config import Retention
from tests.support.declared import KEY_ARN, KEY_ID, Recorder, declare
from tests.support.example import example_config, example_settings, real_aws, with_retention

pytestmark = pytest.mark.filterwarnings("ignore:.*has been deprecated in favor of:DeprecationWarning")

BUCKET = "aphex-shop-123456789012-us-east-1"
LOGS = f"{BUCKET}-logs"


@pytest.fixture(scope="module")
def pipeline() -> Recorder:
    return declare(example_settings())


def setting(pipeline: Recorder, kind: str, bucket: str) -> dict[str, Any]:
    return pipeline.by("bucket", f"aws:s3/bucket{kind}:Bucket{kind}")[bucket]


def test_the_key_is_changed_every_year_and_goes_slowly(pipeline: Recorder) -> None:
    key = pipeline.one("aws:kms/key:Key")
    assert key["enableKeyRotation"] is True
    assert key["deletionWindowInDays"] == 30
    alias = pipeline.one("aws:kms/alias:Alias")
    assert (alias["name"], alias["targetKeyId"]) == ("alias/aphex/shop", KEY_ID)


@pytest.mark.parametrize("bucket", [BUCKET, LOGS])
def test_buckets_are_versioned_and_private(pipeline: Recorder, bucket: str) -> None:
    assert set(pipeline.by("bucket", "aws:s3/bucket:Bucket")) == {BUCKET, LOGS}
    assert setting(pipeline, "Versioning", bucket)["versioningConfiguration"] == {"status": "Enabled"}
    block = setting(pipeline, "PublicAccessBlock", bucket)
    assert [block[each] for each in sorted(block) if each != "bucket"] == [True] * 4
    assert setting(pipeline, "OwnershipControls", bucket)["rule"] == {"objectOwnership": "BucketOwnerEnforced"}


def test_artifacts_are_encrypted_with_the_key_and_access_logs_with_that_of_s3(pipeline: Recorder) -> None:
    (artifacts,) = setting(pipeline, "ServerSideEncryptionConfiguration", BUCKET)["rules"]
    assert artifacts == {
        "applyServerSideEncryptionByDefault": {"sseAlgorithm": "aws:kms", "kmsMasterKeyId": KEY_ARN},
        "bucketKeyEnabled": True,
    }
    (logs,) = setting(pipeline, "ServerSideEncryptionConfiguration", LOGS)["rules"]
    assert logs == {"applyServerSideEncryptionByDefault": {"sseAlgorithm": "AES256"}}


def test_every_access_is_written_down_in_a_bucket_of_its_own(pipeline: Recorder) -> None:
    logging = pipeline.one("aws:s3/bucketLogging:BucketLogging")
    assert (logging["bucket"], logging["targetBucket"], logging["targetPrefix"]) == (BUCKET, LOGS, "access/")
    policy = json.loads(setting(pipeline, "Policy", LOGS)["policy"])
    (delivery,) = [each for each in policy["Statement"] if each["Effect"] == "Allow"]
    assert delivery["Principal"] == {"Service": "logging.s3.amazonaws.com"}
    assert delivery["Condition"] == {
        "ArnEquals": {"aws:SourceArn": f"arn:aws:s3:::{BUCKET}"},
        "StringEquals": {"aws:SourceAccount": "123456789012"},
    }


def test_artifacts_expire_before_the_audit_trail() -> None:
    retention = Retention(artifact_days=10, log_days=400, noncurrent_days=5)
    declared = declare(example_settings(), config=with_retention(example_config(), retention))
    rules = {rule["id"]: rule for rule in setting(declared, "LifecycleConfiguration", BUCKET)["rules"]}
    assert rules["artifacts"]["filter"] == {"prefix": "artifacts/"}
    assert rules["artifacts"]["expiration"] == {"days": 10}
    assert rules["runs"]["filter"] == {"prefix": "runs/"}
    assert rules["runs"]["expiration"] == {"days": 400}
    assert rules["old-versions"]["noncurrentVersionExpiration"] == {"noncurrentDays": 5}
    assert rules["old-versions"]["abortIncompleteMultipartUpload"] == {"daysAfterInitiation": 7}
    assert {rule["status"] for rule in rules.values()} == {"Enabled"}
    logs = {rule["id"]: rule for rule in setting(declared, "LifecycleConfiguration", LOGS)["rules"]}
    assert logs["access"]["filter"] == {"prefix": "access/"}
    assert logs["access"]["expiration"] == {"days": 400}


def test_the_run_table_finds_runs_by_id_and_by_start(pipeline: Recorder) -> None:
    table = pipeline.one("aws:dynamodb/table:Table")
    assert table["name"] == "aphex-shop-runs"
    assert table["billingMode"] == "PAY_PER_REQUEST"
    assert table["hashKey"] == "run_id"
    (index,) = table["globalSecondaryIndexes"]
    assert (index["name"], index["hashKey"], index["rangeKey"]) == ("by-start", "pipeline", "started_at")
    assert table["pointInTimeRecovery"] == {"enabled": True}
    assert table["serverSideEncryption"] == {"enabled": True, "kmsKeyArn": KEY_ARN}


def test_data_is_disposable_in_the_sandbox_alone() -> None:
    for settings, disposable in ((example_settings(), True), (example_settings(aws=real_aws()), False)):
        declared = declare(settings)
        artifacts, logs = declared.of("aws:s3/bucket:Bucket")
        assert artifacts["forceDestroy"] is disposable
        assert logs["forceDestroy"] is True, "it is protected instead"
        assert declared.one("aws:dynamodb/table:Table")["deletionProtectionEnabled"] is not disposable
