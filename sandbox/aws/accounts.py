"""Makes an account of the AWS stand-in ready for deployments: the roles that the pipeline assumes, and CDK's bootstrap.

On AWS whoever owns a target account does this once; `docs/` says how.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from aphex import process
from aphex.errors import AphexError
from sandbox.aws import cdk_cli

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient

    from sandbox.state import StandIns

DEPLOYER = "aphex-deployer"
TESTER = "aphex-tester"
_OWNER = "OrganizationAccountAccessRole"
_BOOTSTRAP_VERSION = "/cdk-bootstrap/hnb659fds/version"
_BOOTSTRAP_SECONDS = 300.0
_READ = ("Describe*", "Get*", "List*")
_READABLE = (
    "cloudformation",
    "dynamodb",
    "ecr",
    "events",
    "iam",
    "lambda",
    "logs",
    "s3",
    "sns",
    "sqs",
    "ssm",
    "states",
)


class AccountNotReady(AphexError):
    """An account of the stand-in could not be made ready."""


def prepare(state: StandIns, account: str, region: str, report: Callable[[str], None]) -> None:
    """Make an account ready in a region; fast when it is already.

    Args:
        state: the sandbox whose AWS stand-in has the account.
        account: the target account, twelve digits.
        region: where stacks will be deployed.
        report: told what takes time.

    Raises:
        AccountNotReady: the stand-in refused, or `cdk bootstrap` failed.
    """
    prepare_at(state.aws_endpoint, account, region, state.account, report)


def prepare_at(endpoint: str, account: str, region: str, trusted_account: str, report: Callable[[str], None]) -> None:
    """The same, at the address of any AWS stand-in, for roles of `trusted_account`.

    Raises:
        AccountNotReady: the stand-in refused, or `cdk bootstrap` failed.
    """
    try:
        credentials = _owner_credentials(endpoint, account, region)
        session = boto3.Session(
            aws_access_key_id=credentials["AccessKeyId"],
            aws_secret_access_key=credentials["SecretAccessKey"],
            aws_session_token=credentials["SessionToken"],
            region_name=region,
        )
        iam = session.client("iam", endpoint_url=endpoint)
        ensure_role(iam, DEPLOYER, trusted_account, deployer_policy(account))
        ensure_role(iam, TESTER, trusted_account, tester_policy())
        parameters = session.client("ssm", endpoint_url=endpoint).get_parameters(Names=[_BOOTSTRAP_VERSION])
    except (BotoCoreError, ClientError) as error:
        raise AccountNotReady(f"Account {account} could not be made ready at {endpoint}: {error}") from error
    if not parameters["Parameters"]:
        bootstrap(endpoint, account, region, credentials, report)


def deployer_policy(account: str) -> dict[str, Any]:
    """What the deployer may do: assume the roles of CDK's bootstrap, and look at stacks."""
    return _policy(
        _allow(["sts:AssumeRole"], f"arn:aws:iam::{account}:role/cdk-*"),
        _allow(["cloudformation:Describe*", "cloudformation:Get*", "cloudformation:List*"], "*"),
        _allow(["ssm:GetParameter"], f"arn:aws:ssm:*:{account}:parameter/cdk-bootstrap/*"),
    )


def tester_policy() -> dict[str, Any]:
    """What tests of an environment may do: look at what was deployed."""
    items = ["dynamodb:BatchGetItem", "dynamodb:Query", "dynamodb:Scan"]
    return _policy(_allow([f"{service}:{action}" for service in _READABLE for action in _READ] + items, "*"))


def trust_policy(trusted_account: str) -> dict[str, Any]:
    """Lets the roles of an account assume a role, as far as their own policies let them."""
    principal = {"AWS": f"arn:aws:iam::{trusted_account}:root"}
    statement = {"Effect": "Allow", "Principal": principal, "Action": ["sts:AssumeRole", "sts:TagSession"]}
    return {"Version": "2012-10-17", "Statement": [statement]}


def ensure_role(iam: IAMClient, name: str, trusted_account: str, policy: dict[str, Any]) -> None:
    """Make a role with these policies, or give them to the one that is there."""
    trust = json.dumps(trust_policy(trusted_account))
    try:
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)
    except iam.exceptions.EntityAlreadyExistsException:
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=trust)
    iam.put_role_policy(RoleName=name, PolicyName=name, PolicyDocument=json.dumps(policy))


def bootstrap(
    endpoint: str, account: str, region: str, credentials: dict[str, str], report: Callable[[str], None]
) -> None:
    """Run the real `cdk bootstrap` in an account.

    Raises:
        AccountNotReady: it failed; its last lines are in the message.
    """
    cli = cdk_cli.ensure(report)
    environment = f"aws://{account}/{region}"
    report(f"Bootstrapping {environment} for CDK")
    variables = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": region,
        "AWS_ACCESS_KEY_ID": credentials["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": credentials["SecretAccessKey"],
        "AWS_SESSION_TOKEN": credentials["SessionToken"],
    }
    argv = cli.argv("bootstrap", environment, "--ci", "--no-color", "--no-notices")
    # The CLI would take an app from the current folder, and bootstrap that app's environments.
    try:
        process.run(
            argv, cwd=cli.folder, env=cli.environment(variables), timeout=_BOOTSTRAP_SECONDS, label="cdk bootstrap"
        )
    except process.ProcessError as error:
        raise AccountNotReady(f"{environment}: {error.message}") from error


def _owner_credentials(endpoint: str, account: str, region: str) -> dict[str, str]:
    """Credentials in the account; the stand-in gives them for any role to anyone."""
    sts = boto3.client(
        "sts",
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id="sandbox",
        aws_secret_access_key="sandbox",
        config=Config(retries={"max_attempts": 3, "mode": "standard"}, connect_timeout=5),
    )
    answer = sts.assume_role(RoleArn=f"arn:aws:iam::{account}:role/{_OWNER}", RoleSessionName="prepare-account")
    given = answer["Credentials"]
    names = ("AccessKeyId", "SecretAccessKey", "SessionToken")
    return {name: str(value) for name, value in given.items() if name in names}


def _allow(actions: list[str], resource: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": resource}


def _policy(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}
