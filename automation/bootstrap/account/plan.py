"""What has to be done in a target account so that it has what was asked for: pure decisions over what it has."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from aphex_platform.identities import Identity
from aphex_platform.statements import Document, Statement, document
from aphex_platform.target_roles import DEPLOYING, TESTING, deployer_policy, tester_policy, trust_statement

from aphex.errors import AphexError
from automation.bootstrap.account.facts import MADE_BY, TAG, AccountFacts, BootstrapFacts, RoleFacts
from automation.bootstrap.account.request import AccountRequest, administrator

Kind = Literal["role", "trust", "boundary", "policy", "bootstrap"]
Verb = Literal["make", "change", "keep"]

MINIMUM_VERSION = 6  # what aws-cdk-lib 2 asks for: MIN_BOOTSTRAP_STACK_VERSION of its DefaultStackSynthesizer
TESTER_POLICY = "look"


class RoleIsNotOurs(AphexError):
    """A role of that name was made by somebody else."""


@dataclass(frozen=True, kw_only=True)
class Action:
    """One thing in the account.

    Attributes:
        kind: what it is.
        verb: make, change, or keep (it is as it should be).
        subject: the role, or the region for a bootstrap.
        name: of an inline policy; empty otherwise.
        why: for a person.
        before: as it is; None when it is not there.
        after: as it will be: a policy document, a boundary's ARN, or the CDK CLI's arguments.
    """

    kind: Kind
    verb: Verb
    subject: str
    name: str = ""
    why: str
    before: Any = None
    after: Any = None

    def line(self) -> str:
        """For a person."""
        return f"{_SIGNS[self.verb]} {_TITLES[self.kind].format(subject=self.subject, name=self.name)}: {self.why}"

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        names = {"kind": self.kind, "action": self.verb, "subject": self.subject, "name": self.name, "why": self.why}
        return {**names, "before": self.before, "after": self.after}


_SIGNS = {"make": "+", "change": "~", "keep": " "}
_TITLES = {
    "role": "role {subject}",
    "trust": "trust of {subject}",
    "boundary": "permissions boundary of {subject}",
    "policy": "policy {name} of {subject}",
    "bootstrap": "CDK bootstrap of {subject}",
}


@dataclass(frozen=True, kw_only=True)
class AccountPlan:
    """What is done in an account, in its order, and what should be known besides."""

    request: AccountRequest
    actions: tuple[Action, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def changes(self) -> tuple[Action, ...]:
        """The actions that change something."""
        return tuple(action for action in self.actions if action.verb != "keep")


def plan(request: AccountRequest, facts: AccountFacts) -> AccountPlan:
    """Decide what to do.

    Raises:
        RoleIsNotOurs: a role of that name was not made by this command.
    """
    actions = [
        _bootstrap(request, region, facts.bootstraps.get(region, BootstrapFacts())) for region in request.regions
    ]
    if request.role is not None:
        policies = {
            f"cdk-{request.qualifier}-{region}": deployer_policy(
                request.account, region, request.qualifier, request.partition
            )
            for region in request.regions
        }
        actions += _role(request, request.role, DEPLOYING, policies, facts)
    if request.test_role is not None:
        actions += _role(request, request.test_role, TESTING, {TESTER_POLICY: tester_policy()}, facts)
    return AccountPlan(request=request, actions=tuple(actions), notes=tuple(_notes(request, facts)))


def _role(
    request: AccountRequest,
    name: str,
    identities: Iterable[Identity],
    policies: Mapping[str, Document],
    facts: AccountFacts,
) -> list[Action]:
    present = facts.roles.get(name)
    if present is not None and not present.ours:
        raise RoleIsNotOurs(
            f"The account {request.account} has a role {name} that this command did not make; nothing was done.",
            hint=f"Choose another name with --role-name or --test-role-name. If it may be taken over, tag it: "
            f"aws iam tag-role --role-name {name} --tags Key={TAG},Value={MADE_BY}",
        )
    statement = trust_statement(request.trusted, identities)
    who = f"the pipeline {request.trusted.pipeline} of account {request.trusted.account} may assume it"
    if present is None:
        trust = document([statement])
        actions = [Action(kind="role", verb="make", subject=name, why=who, after=trust)]
        if request.boundary:
            actions.append(
                Action(kind="boundary", verb="make", subject=name, why=request.boundary, after=request.boundary)
            )
    else:
        actions = [_trust(name, present, statement, who), *_boundary(request, name, present)]
    there = present.policies if present is not None else {}
    return [*actions, *(_policy(name, policy, there.get(policy), after) for policy, after in policies.items())]


def _trust(name: str, present: RoleFacts, statement: Statement, who: str) -> Action:
    """The statement of this pipeline, beside those of other pipelines."""
    after = copy.deepcopy(dict(present.trust))
    others = [each for each in after.get("Statement", []) if each.get("Sid") != statement["Sid"]]
    after["Statement"] = [*others, statement]
    more = f", besides {len(others)} other statement{'s' * (len(others) > 1)}" if others else ""
    same = [_normal(each) for each in present.trust.get("Statement", [])]
    if _normal(statement) in same:
        return Action(
            kind="trust", verb="keep", subject=name, why=who + more, before=present.trust, after=present.trust
        )
    return Action(kind="trust", verb="change", subject=name, why=who + more, before=present.trust, after=after)


def _boundary(request: AccountRequest, name: str, present: RoleFacts) -> list[Action]:
    """A boundary that is there and was not asked for stays: nothing is loosened in passing."""
    wanted = request.boundary or present.boundary
    if wanted is None:
        return []
    verb: Verb = "keep" if wanted == present.boundary else "change"
    return [Action(kind="boundary", verb=verb, subject=name, why=wanted, before=present.boundary, after=wanted)]


def _policy(role: str, name: str, before: Any, after: Document) -> Action:
    actions = sorted({action for statement in after["Statement"] for action in _listed(statement["Action"])})
    shown = ", ".join(actions[:3]) + (f" and {len(actions) - 3} more" if len(actions) > 3 else "")
    verb: Verb = "make" if before is None else "keep" if _normal(before) == _normal(after) else "change"
    return Action(kind="policy", verb=verb, subject=role, name=name, why=f"allows {shown}", before=before, after=after)


def _bootstrap(request: AccountRequest, region: str, present: BootstrapFacts) -> Action:
    reasons = _bootstrap_reasons(request, present)
    arguments = bootstrap_arguments(request, present)
    before = None
    if present.version is not None or present.state:
        before = {
            "version": present.version,
            "state": present.state,
            "trusted": list(present.trusted),
            "execution_policies": list(present.execution_policies),
        }
    verb: Verb = "keep" if not reasons else "make" if before is None else "change"
    why = "; ".join(reasons) or f"version {present.version} is there, with the same trust and policies"
    return Action(kind="bootstrap", verb=verb, subject=region, why=why, before=before, after=arguments)


def _bootstrap_reasons(request: AccountRequest, present: BootstrapFacts) -> list[str]:
    if present.version is None:
        return [f"not there, CloudFormation will be allowed {', '.join(request.execution_policies)}"]
    reasons = []
    if present.version < MINIMUM_VERSION:
        reasons.append(f"version {present.version} is older than {MINIMUM_VERSION}")
    if present.state and not present.healthy:
        reasons.append(f"its stack is {present.state}")
    if set(present.execution_policies) != set(request.execution_policies):
        now = ", ".join(present.execution_policies) or "what nobody stated"
        reasons.append(f"CloudFormation may do {now}, and then {', '.join(request.execution_policies)}")
    if request.boundary_name and present.boundary != request.boundary_name:
        reasons.append(f"permissions boundary {present.boundary or 'none'}, and then {request.boundary_name}")
    if (missing := _missing_trust(request)) and missing not in present.trusted:
        reasons.append(f"its roles do not trust {missing}")
    return reasons


def _missing_trust(request: AccountRequest) -> str | None:
    """The account that CDK's roles have to trust: none when a role of their own account assumes them."""
    return request.trusted.account if request.role is None and not request.same_account else None


def bootstrap_arguments(request: AccountRequest, present: BootstrapFacts) -> list[str]:
    """Arguments of `cdk bootstrap` besides the environment.

    `--trust` replaces what is trusted, so those that are trusted already are named again.
    """
    words = ["--qualifier", request.qualifier, "--toolkit-stack-name", request.toolkit]
    if trusted := _missing_trust(request):
        for account in dict.fromkeys((*present.trusted, trusted)):
            words += ["--trust", account]
    for policy in request.execution_policies:
        words += ["--cloudformation-execution-policies", policy]
    if request.boundary_name:
        words += ["--custom-permissions-boundary", request.boundary_name]
    return words


def _notes(request: AccountRequest, facts: AccountFacts) -> list[str]:
    notes = []
    if administrator(request.regions[0]) in request.execution_policies:
        notes.append(
            f"CloudFormation may do everything in the account {request.account}: so may whoever can push to the "
            "pipeline's branch."
        )
    for region, present in facts.bootstraps.items():
        known = () if request.role is not None else (request.trusted.account,)
        if others := [account for account in present.trusted if account not in known]:
            notes.append(f"CDK's roles in {region} are trusted to {', '.join(others)} as well; that is left as it is.")
    if request.role is not None and request.trusted.external_id is None and not request.same_account:
        notes.append(
            "No external id is asked for: only the roles of the pipeline may assume these roles, so none is needed."
        )
    return notes


def _normal(value: Any) -> str:
    """A policy or statement in one form: IAM gives lists of one element back as they were, or as a plain text."""
    return json.dumps(_sorted(value), sort_keys=True)


def _sorted(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _sorted(each) for key, each in value.items()}
    if isinstance(value, list):
        items = sorted((_sorted(each) for each in value), key=lambda each: json.dumps(each, sort_keys=True))
        return items[0] if len(items) == 1 and isinstance(items[0], str) else items
    return value


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)
