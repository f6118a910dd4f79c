"""What was asked to be made in a target account, checked before anything is done."""

from __future__ import annotations

import re
from dataclasses import dataclass

from aphex_platform.target_roles import DEPLOYER, QUALIFIER, Trusted

from aphex.errors import UsageError
from aphex.regions import partition_of, region_problem

_ACCOUNT = re.compile(r"\d{12}")
_ROLE = re.compile(r"[\w+=,.@-]{1,64}", re.ASCII)
_EXTERNAL_ID = re.compile(r"[\w+=,.@:/-]{2,1224}", re.ASCII)
_QUALIFIER = re.compile(r"[A-Za-z0-9_-]{1,10}")
_POLICY = re.compile(r"arn:[\w-]+:iam::(?P<account>aws|\d{12}):policy/(?P<name>[\w+=,.@/-]{1,512})", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class AccountRequest:
    """What a target account is to have.

    Attributes:
        account: the target account.
        regions: where stacks are going to be deployed.
        trusted: the pipeline.
        role: name of the deployment role; None: the pipeline assumes CDK's own roles, which then trust its account.
        test_role: name of the role that tests are run with; None: there is none.
        boundary: ARN of a permissions boundary for every role that is made.
        execution_policies: ARNs of what CloudFormation may do when it deploys.
        qualifier: of CDK's bootstrap.
    """

    account: str
    regions: tuple[str, ...]
    trusted: Trusted
    role: str | None = DEPLOYER
    test_role: str | None = None
    boundary: str | None = None
    execution_policies: tuple[str, ...]
    qualifier: str = QUALIFIER

    @property
    def partition(self) -> str:
        """Of the account."""
        return partition_of(self.regions[0])

    @property
    def boundary_name(self) -> str | None:
        """The boundary as the CDK CLI takes it: the policy's path and name."""
        return self.boundary.split(":policy/", 1)[1] if self.boundary else None

    @property
    def toolkit(self) -> str:
        """Name of the bootstrap's stack: CDK's own, or one of the qualifier's own beside it."""
        return "CDKToolkit" if self.qualifier == QUALIFIER else f"CDKToolkit-{self.qualifier}"

    @property
    def same_account(self) -> bool:
        """Whether the pipeline itself is in the target account."""
        return self.account == self.trusted.account

    def role_arn(self, name: str) -> str:
        """ARN of a role of the account."""
        return f"arn:{self.partition}:iam::{self.account}:role/{name}"


def administrator(region: str) -> str:
    """AWS's policy that allows everything, in the partition of a region."""
    return f"arn:{partition_of(region)}:iam::aws:policy/AdministratorAccess"


def check_request(request: AccountRequest) -> None:
    """See that a request makes sense, as far as that can be said without asking AWS.

    Raises:
        UsageError: has everything that is wrong, a line each.
    """
    problems = [*_account_problems(request), *_role_problems(request), *_policy_problems(request)]
    if problems:
        raise UsageError("\n".join(problems), hint="Nothing was done.")


def _account_problems(request: AccountRequest) -> list[str]:
    problems = [
        f'"{account}" is not an account: it has twelve digits.'
        for account in dict.fromkeys((request.account, request.trusted.account))
        if not _ACCOUNT.fullmatch(account)
    ]
    problems += [problem for region in request.regions if (problem := region_problem(region))]
    if len({partition_of(region) for region in request.regions}) > 1:
        problems.append(f"An account is in one partition; these regions are not: {', '.join(request.regions)}.")
    elif partition_of(request.regions[0]) != request.trusted.partition:
        problems.append(
            f"{request.regions[0]} is in the partition {request.partition}, the pipeline in "
            f"{request.trusted.partition}: no role is assumed from one to the other."
        )
    return problems


def _role_problems(request: AccountRequest) -> list[str]:
    problems = [
        f'"{name}" is not a name for a role: letters, digits and +=,.@_- , at most 64.'
        for name in (request.role, request.test_role)
        if name is not None and not _ROLE.fullmatch(name)
    ]
    if request.role is not None and request.role == request.test_role:
        problems.append(f"The role {request.role} cannot be the deployment role and the test role: they may differ.")
    external_id = request.trusted.external_id
    if external_id is not None and not _EXTERNAL_ID.fullmatch(external_id):
        problems.append(f'"{external_id}" is not an external id: letters, digits and +=,.@:/_- , 2 to 1224.')
    if external_id is not None and request.role is None:
        problems.append("CDK's own roles take no external id: leave out --direct, or --external-id.")
    if not _QUALIFIER.fullmatch(request.qualifier):
        problems.append(f'"{request.qualifier}" is not a qualifier: letters, digits, _ and -, at most 10.')
    return problems


def _policy_problems(request: AccountRequest) -> list[str]:
    problems = []
    if not request.execution_policies:
        problems.append(
            "What may CloudFormation do in the account when it deploys? Name managed policies with --execution-policy "
            "ARN (more than once if need be), or say --administrator for everything. Nothing is assumed here, because "
            "whoever can deploy through the pipeline can do what this allows."
        )
    for arn in (*request.execution_policies, *([request.boundary] if request.boundary else [])):
        found = _POLICY.fullmatch(arn)
        if found is None:
            problems.append(f'"{arn}" is not the ARN of a managed policy: arn:PARTITION:iam::ACCOUNT:policy/NAME.')
        elif found["account"] not in ("aws", request.account):
            problems.append(f"{arn} is not a policy of the account {request.account}, and policies do not travel.")
        elif arn == request.boundary and found["account"] == "aws":
            problems.append(f"{arn} is AWS's own; CDK takes as boundary only a policy of the account.")
    return problems
