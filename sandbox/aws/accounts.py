"""Makes an account of the AWS stand-in ready for deployments: the roles that the pipeline assumes, and CDK's bootstrap.

On AWS whoever owns a target account does this once, by `python -m automation bootstrap account`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import boto3
from aphex_platform.target_roles import DEPLOYER, QUALIFIER, TESTER, deployer_policy, tester_policy
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from aphex import process
from aphex.errors import AphexError
from sandbox.aws import cdk_bootstrap

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient

    from sandbox.state import StandIns

_OWNER = "OrganizationAccountAccessRole"
_BOOTSTRAP_VERSION = f"/cdk-bootstrap/{QUALIFIER}/version"


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


def is_ready(endpoint: str, account: str, region: str) -> bool:
    """Whether an account of a stand-in has the roles, and CDK's bootstrap in a region.

    Raises:
        AccountNotReady: the stand-in does not answer.
    """
    try:
        session = _session(_owner_credentials(endpoint, account, region), region)
        found = session.client("ssm", endpoint_url=endpoint).get_parameters(Names=[_BOOTSTRAP_VERSION])["Parameters"]
        names = {role["RoleName"] for role in session.client("iam", endpoint_url=endpoint).list_roles()["Roles"]}
    except (BotoCoreError, ClientError) as error:
        raise AccountNotReady(f"Account {account} cannot be looked at at {endpoint}: {error}") from error
    return bool(found) and {DEPLOYER, TESTER} <= names


def prepare_at(endpoint: str, account: str, region: str, trusted_account: str, report: Callable[[str], None]) -> None:
    """The same, at the address of any AWS stand-in, for roles of `trusted_account`.

    Raises:
        AccountNotReady: the stand-in refused, or `cdk bootstrap` failed.
    """
    try:
        credentials = _owner_credentials(endpoint, account, region)
        session = _session(credentials, region)
        iam = session.client("iam", endpoint_url=endpoint)
        ensure_role(iam, DEPLOYER, trusted_account, {f"cdk-{QUALIFIER}-{region}": deployer_policy(account, region)})
        ensure_role(iam, TESTER, trusted_account, {"read": tester_policy()})
        parameters = session.client("ssm", endpoint_url=endpoint).get_parameters(Names=[_BOOTSTRAP_VERSION])
    except (BotoCoreError, ClientError) as error:
        raise AccountNotReady(f"Account {account} could not be made ready at {endpoint}: {error}") from error
    if not parameters["Parameters"]:
        bootstrap(endpoint, account, region, credentials, report)


def trust_policy(trusted_account: str) -> dict[str, Any]:
    """Lets the roles of an account assume a role, as far as their own policies let them."""
    principal = {"AWS": f"arn:aws:iam::{trusted_account}:root"}
    statement = {"Effect": "Allow", "Principal": principal, "Action": ["sts:AssumeRole", "sts:TagSession"]}
    return {"Version": "2012-10-17", "Statement": [statement]}


def ensure_role(iam: IAMClient, name: str, trusted_account: str, policies: dict[str, dict[str, Any]]) -> None:
    """Make a role with these policies by name, or give them to the one that is there."""
    trust = json.dumps(trust_policy(trusted_account))
    try:
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)
    except iam.exceptions.EntityAlreadyExistsException:
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=trust)
    for policy, document in policies.items():
        iam.put_role_policy(RoleName=name, PolicyName=policy, PolicyDocument=json.dumps(document))


def bootstrap(
    endpoint: str, account: str, region: str, credentials: dict[str, str], report: Callable[[str], None]
) -> None:
    """Run the real `cdk bootstrap` in an account.

    Raises:
        AccountNotReady: it failed; its last lines are in the message.
    """
    environment = f"aws://{account}/{region}"
    variables = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": credentials["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": credentials["SecretAccessKey"],
        "AWS_SESSION_TOKEN": credentials["SessionToken"],
    }
    try:
        cdk_bootstrap.run(account, region, variables, report)
    except process.ProcessError as error:
        raise AccountNotReady(f"{environment}: {error.message}") from error


def _session(credentials: dict[str, str], region: str) -> boto3.Session:
    return boto3.Session(
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
        region_name=region,
    )


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
