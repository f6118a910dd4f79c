"""The AWS provider finds AWS, the region and its identity where every SDK does, and in its own configuration."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.providers.aws.endpoint import Aws, AwsEndpoint, problems
from sandbox.providers.aws.functions import call
from sandbox.providers.aws.provider import AwsProvider
from sandbox.providers.base import UNKNOWN, ProviderError, UnknownFunction
from tests.support.moto_endpoint import MotoEndpoint, moto_endpoint

ROLE = "arn:aws:iam::333333333333:role/deployer"


@pytest.fixture(scope="module")
def moto() -> Iterator[MotoEndpoint]:
    with moto_endpoint() as endpoint:
        yield endpoint


@pytest.fixture(autouse=True)
def nothing_of_the_caller(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def test_a_pod_s_web_identity_is_taken_from_its_environment(
    moto: MotoEndpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("header.payload.signature")
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto.url)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    monkeypatch.setenv("AWS_ROLE_SESSION_NAME", "pod")
    aws = Aws(AwsEndpoint())
    assert aws.region == "eu-west-1"
    assert aws.identity["Arn"] == "arn:aws:sts::333333333333:assumed-role/deployer/pod"


def test_the_program_s_configuration_comes_before_the_target_s(moto: MotoEndpoint) -> None:
    config = {
        "region": "eu-central-1",
        "accessKey": "other",
        "secretKey": "other",
        "assumeRoles": f'[{{"roleArn": "{ROLE}", "sessionName": "me"}}]',
        "endpoints": f'[{{"s3": "{moto.url}", "cloudwatchlogs": "http://logs.invalid"}}]',
        "defaultTags": '{"tags": {"a": "b"}}',
    }
    aws = Aws(moto.provider, config)
    assert aws.region == "eu-central-1"
    assert aws.account == "333333333333"
    assert aws.default_tags == {"a": "b"}
    assert aws.client("logs").meta.endpoint_url == "http://logs.invalid"
    assert aws.client("s3").meta.endpoint_url == moto.url
    assert aws.client("s3") is aws.client("s3")
    assert aws.client("s3", "us-west-2").meta.region_name == "us-west-2"


def test_s3_may_have_an_address_of_its_own() -> None:
    aws = Aws(AwsEndpoint(url="http://all.invalid", s3_url="http://s3.invalid", region="us-east-1"))
    assert aws.client("s3").meta.endpoint_url == "http://s3.invalid"
    assert aws.client("iam").meta.endpoint_url == "http://all.invalid"


@pytest.mark.parametrize(
    ("config", "property_name"),
    [
        ({}, "region"),
        ({"region": "us-east-1", "profile": "missing"}, ""),
        ({"region": "us-east-1", "assumeRoles": '[{"externalId": "x"}]'}, ""),
        ({"region": "us-east-1", "ignoreTags": '{"keys": ["a"]}'}, "ignoreTags"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(config: dict[str, Any], property_name: str) -> None:
    ((found, reason),) = problems(config, AwsEndpoint())
    assert found == property_name
    assert reason


def test_a_configuration_that_is_not_known_yet_is_left_for_later() -> None:
    assert not problems({"region": UNKNOWN, "skipRegionValidation": True}, AwsEndpoint())


def test_an_excluded_account_is_refused(moto: MotoEndpoint) -> None:
    AwsProvider(moto.provider).configure({"allowedAccountIds": '["123456789012"]'})
    with pytest.raises(ProviderError, match="123456789012"):
        AwsProvider(moto.provider).configure({"forbiddenAccountIds": '["123456789012"]'})


def test_functions_tell_who_and_where(moto: MotoEndpoint) -> None:
    aws = Aws(moto.provider, {"region": "cn-north-1"})
    partition = call(aws, "aws:index/getPartition:getPartition", {})
    assert partition == {
        "partition": "aws-cn",
        "id": "aws-cn",
        "dnsSuffix": "amazonaws.com.cn",
        "reverseDnsPrefix": "cn.com.amazonaws",
    }
    region = call(aws, "aws:index/getRegion:getRegion", {"region": "eu-west-1"})
    assert region["description"] == "Europe (Ireland)"
    assert region["endpoint"] == "ec2.eu-west-1.amazonaws.com"
    assert call(aws, "aws:index/getCallerIdentity:getCallerIdentity", {})["accountId"] == "123456789012"
    with pytest.raises(UnknownFunction, match="getRegions"):
        call(aws, "aws:index/getRegions:getRegions", {})


def test_no_credentials_is_said_with_what_to_do() -> None:
    with pytest.raises(ProviderError, match="identity cannot be read") as raised:
        _ = Aws(AwsEndpoint(region="us-east-1")).account
    assert "credentials" in raised.value.hint
