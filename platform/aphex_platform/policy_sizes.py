"""Brings a role's rights within IAM's limits: first into its inline policy, the rest into managed policies.

The limits, without white space: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from aphex.config import PipelineConfig
from aphex.errors import AphexError
from aphex.names import PipelineNames
from aphex_platform.identities import Identity
from aphex_platform.policies import assumable_roles, assume, stage_statements
from aphex_platform.settings import AwsSettings, PlatformSettings
from aphex_platform.statements import Document, Statement, document, text

INLINE_LIMIT = 10_240
MANAGED_LIMIT = 6_144
_KEY_ID = "00000000-0000-0000-0000-000000000000"


class TooManyRoles(AphexError):
    """IAM cannot hold the roles that a configuration has environments deployed and tested with."""


@dataclass(frozen=True)
class RolePolicies:
    """The policies of one role.

    Attributes:
        inline: the policy in the role itself.
        managed: those of their own, attached to it, in order; mostly none.
    """

    inline: Document
    managed: tuple[Document, ...] = ()


def role_policies(identity: Identity, config: PipelineConfig, settings: PlatformSettings, key_arn: str) -> RolePolicies:
    """The rights of an identity in as many policies as they need.

    Raises:
        TooManyRoles: they do not fit into those that a role may have.
    """
    fixed = stage_statements(identity, settings, key_arn)
    roles = assumable_roles(identity, config, settings)
    documents = list(_filled(fixed, roles))
    if len(documents) - 1 > settings.aws.managed_policies:
        name = PipelineNames(settings.pipeline).role(identity)
        raise TooManyRoles(
            f"The environments and their tests name {len(roles)} roles, and IAM has no room for them: the role {name} "
            f"would need {len(documents) - 1} managed policies and may have {settings.aws.managed_policies}.",
            hint="Let environments of one account share a role; or have IAM's quota of managed policies a role raised "
            "for the account, to 20 at most, and say so in the setting aws.managed_policies.",
        )
    return RolePolicies(documents[0], tuple(documents[1:]))


def check_sizes(config: PipelineConfig, settings: PlatformSettings) -> None:
    """Find out before anything is made whether every role's policies fit.

    Raises:
        TooManyRoles: one role's do not.
    """
    for identity in Identity:
        role_policies(identity, config, settings, sized_key(settings.aws))


def sized_key(aws: AwsSettings) -> str:
    """An ARN that is as long as those of the account's keys, to measure policies with before there is a key."""
    return f"arn:{aws.partition}:kms:{aws.region}:{aws.account}:key/{_KEY_ID}"


def _filled(fixed: list[Statement], roles: Iterable[str]) -> Iterable[Document]:
    """Documents that are each filled before the next is begun, the first with the fixed statements."""
    statements, limit = fixed, INLINE_LIMIT
    waiting: list[str] = []
    room = _room(statements, limit)
    for role in roles:
        needed = len(role) + len('"",')
        if needed > room and (waiting or statements):
            yield document([*statements, *([assume("Roles", waiting)] if waiting else [])])
            statements, limit, waiting = [], MANAGED_LIMIT, []
            room = _room(statements, limit)
        waiting.append(role)
        room -= needed
    if waiting or statements:
        yield document([*statements, *([assume("Roles", waiting)] if waiting else [])])


def _room(statements: list[Statement], limit: int) -> int:
    """Characters that are left for roles' ARNs."""
    return limit - len(text(document([*statements, assume("Roles", [])])))
