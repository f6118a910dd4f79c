"""Rights fit into IAM's limits, or it is said before anything is made that they do not."""

from __future__ import annotations

import re

import pytest
from aphex_platform.identities import Identity
from aphex_platform.policies import stage_policy
from aphex_platform.policy_sizes import (
    INLINE_LIMIT,
    MANAGED_LIMIT,
    RolePolicies,
    TooManyRoles,
    check_sizes,
    role_policies,
)
from aphex_platform.program import pipeline_program
from aphex_platform.statements import Document, text

from aphex.config import PipelineConfig
from tests.support.declared import KEY_ARN, declare
from tests.support.example import everything, example_secrets, example_settings, with_roles

pytestmark = pytest.mark.filterwarnings("ignore:.*has been deprecated in favor of:DeprecationWarning")

SETTINGS = example_settings()


def granted(document: Document) -> set[tuple[str, str, str]]:
    return {
        (action, resource, text(statement.get("Condition", {})))
        for statement in document["Statement"]
        for action in statement["Action"]
        for resource in statement["Resource"]
    }


def characters(document: Document) -> int:
    """What IAM counts: everything but white space."""
    return len(re.sub(r"\s", "", text(document)))


def split(identity: Identity, config: PipelineConfig) -> RolePolicies:
    return role_policies(identity, config, SETTINGS, KEY_ARN)


@pytest.mark.parametrize("identity", list(Identity))
def test_few_environments_need_no_managed_policy(identity: Identity) -> None:
    policies = split(identity, with_roles(20))
    assert policies.managed == ()
    assert granted(policies.inline) == granted(stage_policy(identity, with_roles(20), SETTINGS, KEY_ARN))


@pytest.mark.parametrize("identity", list(Identity))
def test_500_environments_with_roles_of_their_own_fit(identity: Identity) -> None:
    config = with_roles(500)
    policies = split(identity, config)
    assert characters(policies.inline) <= INLINE_LIMIT
    assert all(characters(each) <= MANAGED_LIMIT for each in policies.managed)
    assert len(policies.managed) <= 10
    whole = granted(stage_policy(identity, config, SETTINGS, KEY_ARN))
    parts = [granted(each) for each in (policies.inline, *policies.managed)]
    assert set.union(*parts) == whole
    assert sum(len(each) for each in parts) == len(whole)


def test_every_option_fits_into_the_self_updates_role() -> None:
    long = everything(pipeline="s" * 40, namespace="aphex-" + "s" * 40)
    policies = role_policies(Identity.SELF_UPDATE, with_roles(500), long, KEY_ARN)
    assert policies.managed == ()
    assert characters(policies.inline) <= INLINE_LIMIT


def test_managed_policies_are_made_and_attached_to_their_role() -> None:
    declared = declare(SETTINGS, config=with_roles(200, tests=False))
    policies = declared.by("name", "aws:iam/policy:Policy")
    expected = {f"aphex-shop-{identity}-1" for identity in (Identity.VALIDATE, Identity.DEPLOY)}
    assert set(policies) == {*expected, "aphex-shop-boundary"}
    assert {policies[name]["path"] for name in expected} == {"/aphex/shop/"}
    attached = declared.of("aws:iam/rolePolicyAttachment:RolePolicyAttachment")
    assert {(each["role"], each["policyArn"]) for each in attached} == {
        (name.removesuffix("-1"), f"arn:aws:iam::123456789012:policy/aphex/shop/{name}") for name in expected
    }


def test_what_cannot_fit_is_said_before_anything_is_made() -> None:
    with pytest.raises(TooManyRoles) as raised:
        pipeline_program(with_roles(1000), SETTINGS, example_secrets())
    assert raised.value.message == (
        "The environments and their tests name 2000 roles, and IAM has no room for them: the role aphex-shop-validate "
        "would need 15 managed policies and may have 10."
    )
    assert raised.value.hint == (
        "Let environments of one account share a role; or have IAM's quota of managed policies a role raised for the "
        "account, to 20 at most, and say so in the setting aws.managed_policies."
    )


def test_a_raised_quota_is_used() -> None:
    raised = SETTINGS.model_copy(update={"aws": SETTINGS.aws.model_copy(update={"managed_policies": 20})})
    check_sizes(with_roles(1000), raised)
