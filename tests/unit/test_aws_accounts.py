"""Target accounts of the AWS stand-in: roles that the pipeline's account can assume, and CDK's bootstrap."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from aphex_platform import target_roles

from sandbox.aws import accounts, cdk_cli
from tests.support.aws_stand_in import ACCOUNT, AwsStandIn, aws_stand_in

TARGET, REGION = "222222222222", "eu-west-1"


@pytest.fixture(scope="module")
def aws() -> Iterator[AwsStandIn]:
    with aws_stand_in() as started:
        yield started


@pytest.mark.parametrize("times", [1, 2])
def test_the_roles_trust_the_pipelines_account(aws: AwsStandIn, times: int) -> None:
    iam = aws.client("iam", aws.session("777777777777"))
    for _ in range(times):
        policies = {"cdk": target_roles.deployer_policy("777777777777", REGION)}
        accounts.ensure_role(iam, target_roles.DEPLOYER, ACCOUNT, policies)
    role = iam.get_role(RoleName=target_roles.DEPLOYER)["Role"]
    assert role["Arn"] == "arn:aws:iam::777777777777:role/aphex-deployer"
    (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    policy = iam.get_role_policy(RoleName=target_roles.DEPLOYER, PolicyName="cdk")["PolicyDocument"]
    assert policy == target_roles.deployer_policy("777777777777", REGION)


def test_the_tester_can_change_nothing() -> None:
    (statement,) = target_roles.tester_policy()["Statement"]
    verbs = {action.split(":")[1] for action in statement["Action"]}
    assert verbs == {"Describe*", "Get*", "List*", "BatchGetItem", "Query", "Scan"}


def test_an_endpoint_that_is_not_there_is_an_error_that_names_it() -> None:
    with pytest.raises(accounts.AccountNotReady, match=r"127\.0\.0\.1:1"):
        accounts.prepare_at("http://127.0.0.1:1", TARGET, REGION, ACCOUNT, lambda _: None)


@pytest.mark.integration
def test_an_account_is_bootstrapped_once(aws: AwsStandIn) -> None:
    said: list[str] = []
    accounts.prepare_at(aws.endpoint, TARGET, REGION, ACCOUNT, said.append)
    assert said[-1] == f"Bootstrapping aws://{TARGET}/{REGION} for CDK"
    there = aws.session(TARGET, REGION)
    assert aws.client("cloudformation", there).describe_stacks()["Stacks"][0]["StackName"] == "CDKToolkit"
    assert aws.client("s3", there).list_buckets()["Buckets"][0]["Name"].startswith("cdk-hnb659fds-assets-")
    assert accounts.is_ready(aws.endpoint, TARGET, REGION)
    assert not accounts.is_ready(aws.endpoint, TARGET, "us-west-2")
    assert not accounts.is_ready(aws.endpoint, "555555555555", REGION)
    said.clear()
    accounts.prepare_at(aws.endpoint, TARGET, REGION, ACCOUNT, said.append)
    assert said == []


@pytest.mark.integration
def test_the_cdk_cli_is_the_version_of_the_deployer_image() -> None:
    cli = cdk_cli.ensure()
    assert (cli.folder / "node_modules" / "aws-cdk" / "package.json").is_file()
    assert cli.environment({"PATH": "/bin"})["PATH"] == f"{cli.node.parent}:/bin"
    assert cdk_cli.ensure() == cli
