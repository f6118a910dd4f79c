"""The roles of a target account, as policy documents: who may assume them, and what they may do there.

Whoever owns a target account makes them, by `python -m automation bootstrap account`; no stack of a pipeline does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from aphex.names import PipelineNames, slug
from aphex_platform.identities import Identity
from aphex_platform.statements import Document, Statement, allow, document

DEPLOYER = "aphex-deployer"
TESTER = "aphex-tester"
QUALIFIER = "hnb659fds"  # CDK's own, of a bootstrap that was given none

# What runs with each role: validation tries every role before anything is deployed.
DEPLOYING = (Identity.DEPLOY, Identity.VALIDATE)
TESTING = (Identity.TEST, Identity.VALIDATE)

# Those that the CDK CLI assumes; the execution role is CloudFormation's alone.
# https://docs.aws.amazon.com/cdk/v2/guide/bootstrapping-env.html#bootstrapping-env-roles
_CDK_ROLES = ("deploy-role", "file-publishing-role", "image-publishing-role", "lookup-role")

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


@dataclass(frozen=True, kw_only=True)
class Trusted:
    """A pipeline whose stages may assume a role.

    Attributes:
        pipeline: its name.
        account: its account.
        partition: of both accounts.
        external_id: what its stages send along; None when nothing.
    """

    pipeline: str
    account: str
    partition: str = "aws"
    external_id: str | None = None


def trust_statement(trusted: Trusted, identities: Iterable[Identity]) -> Statement:
    """Lets the roles of a pipeline's identities assume a role, and nobody else of their account.

    The principal is the account and the roles are a condition: IAM takes a role as principal only when it exists, and
    forgets it when it is made anew, and the target account comes before the pipeline's roles.
    """
    account = f"arn:{trusted.partition}:iam::{trusted.account}"
    names = PipelineNames(trusted.pipeline)
    condition: dict[str, Any] = {"aws:PrincipalArn": [f"{account}:role/{names.role(each)}" for each in identities]}
    if trusted.external_id is not None:
        condition["sts:ExternalId"] = trusted.external_id
    return {
        "Sid": statement_id(trusted),
        "Effect": "Allow",
        "Principal": {"AWS": f"{account}:root"},
        "Action": ["sts:AssumeRole", "sts:TagSession"],
        "Condition": {"StringEquals": condition},
    }


def statement_id(trusted: Trusted) -> str:
    """The id of a pipeline's statement in a trust policy; pipelines that share a role have one each."""
    digest = hashlib.sha256(f"{trusted.account}/{trusted.pipeline}".encode()).hexdigest()[:8]
    words = "".join(word.capitalize() for word in slug(trusted.pipeline).split("-"))
    return f"Pipeline{words[:40]}{digest}"


def deployer_policy(account: str, region: str, qualifier: str = QUALIFIER, partition: str = "aws") -> Document:
    """What the deployment role may do in a region: assume the roles of CDK's bootstrap, and read its version.

    The version is what the validation looks up before anything is deployed.
    """
    roles = [f"arn:{partition}:iam::{account}:role/cdk-{qualifier}-{role}-{account}-{region}" for role in _CDK_ROLES]
    version = f"arn:{partition}:ssm:{region}:{account}:parameter/cdk-bootstrap/{qualifier}/version"
    return document(
        [
            # EKS Pod Identity hands its session tags on from role to role: without the second nobody gets further.
            allow("AssumeCdkRoles", ["sts:AssumeRole", "sts:TagSession"], roles),
            allow("ReadBootstrapVersion", ["ssm:GetParameter"], [version]),
        ]
    )


def tester_policy() -> Document:
    """What tests of an environment may do: look at what was deployed, and change nothing."""
    items = ["dynamodb:BatchGetItem", "dynamodb:Query", "dynamodb:Scan"]
    actions = [f"{service}:{action}" for service in _READABLE for action in _READ] + items
    return document([allow("LookAtWhatWasDeployed", actions, ["*"])])
