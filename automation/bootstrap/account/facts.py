"""What a target account has already: read from AWS, changed never."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import boto3

    from automation.bootstrap.account.request import AccountRequest

TAG = "aphex:made-by"
MADE_BY = "bootstrap-account"
_STATES = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE")


@dataclass(frozen=True, kw_only=True)
class RoleFacts:
    """A role that is there.

    Attributes:
        trust: its trust policy.
        policies: its inline policies by name.
        boundary: ARN of its permissions boundary.
        ours: whether this command made it.
    """

    trust: Mapping[str, Any]
    policies: Mapping[str, Any] = field(default_factory=dict)
    boundary: str | None = None
    ours: bool = True


@dataclass(frozen=True, kw_only=True)
class BootstrapFacts:
    """CDK's bootstrap of a region as it is there.

    Attributes:
        version: its version; None when there is none.
        healthy: whether its stack is complete.
        state: the stack's status; empty when there is none.
        trusted: accounts that its roles trust besides their own.
        execution_policies: what CloudFormation may do.
        boundary: its roles' permissions boundary, as the CDK CLI takes it.
    """

    version: int | None = None
    healthy: bool = False
    state: str = ""
    trusted: tuple[str, ...] = ()
    execution_policies: tuple[str, ...] = ()
    boundary: str | None = None


@dataclass(frozen=True, kw_only=True)
class AccountFacts:
    """What an account has: roles by their names, and bootstraps by their regions."""

    roles: Mapping[str, RoleFacts] = field(default_factory=dict)
    bootstraps: Mapping[str, BootstrapFacts] = field(default_factory=dict)


def read_facts(session: boto3.Session, request: AccountRequest) -> AccountFacts:
    """Read what a request is about.

    Raises:
        botocore.exceptions.ClientError: the credentials may not look.
    """
    iam: Any = session.client("iam", region_name=request.regions[0])
    names = [name for name in (request.role, request.test_role) if name is not None]
    roles = {name: found for name in names if (found := read_role(iam, name)) is not None}
    bootstraps = {region: read_bootstrap(session, region, request) for region in request.regions}
    return AccountFacts(roles=roles, bootstraps=bootstraps)


def read_role(iam: Any, name: str) -> RoleFacts | None:
    """A role; None when there is none of that name."""
    try:
        role = iam.get_role(RoleName=name)["Role"]
    except iam.exceptions.NoSuchEntityException:
        return None
    policies = {
        policy: iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
        for page in iam.get_paginator("list_role_policies").paginate(RoleName=name)
        for policy in page["PolicyNames"]
    }
    tags = {tag["Key"]: tag["Value"] for tag in role.get("Tags", [])}
    return RoleFacts(
        trust=role["AssumeRolePolicyDocument"],
        policies=policies,
        boundary=(role.get("PermissionsBoundary") or {}).get("PermissionsBoundaryArn"),
        ours=tags.get(TAG) == MADE_BY,
    )


def read_bootstrap(session: boto3.Session, region: str, request: AccountRequest) -> BootstrapFacts:
    """CDK's bootstrap of a region."""
    from botocore.exceptions import ClientError

    ssm: Any = session.client("ssm", region_name=region)
    cloudformation: Any = session.client("cloudformation", region_name=region)
    found = ssm.get_parameters(Names=[f"/cdk-bootstrap/{request.qualifier}/version"])["Parameters"]
    version = int(found[0]["Value"]) if found and found[0]["Value"].isdigit() else None
    try:
        stack = cloudformation.describe_stacks(StackName=request.toolkit)["Stacks"][0]
    except ClientError as error:
        if "does not exist" not in str(error):
            raise
        return BootstrapFacts(version=version)
    values = {each["ParameterKey"]: each.get("ParameterValue", "") for each in stack.get("Parameters", [])}
    return BootstrapFacts(
        version=version,
        healthy=stack["StackStatus"] in _STATES,
        state=stack["StackStatus"],
        trusted=_list(values.get("TrustedAccounts", "")),
        execution_policies=_list(values.get("CloudFormationExecutionPolicies", "")),
        boundary=values.get("InputPermissionsBoundary") or None,
    )


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
