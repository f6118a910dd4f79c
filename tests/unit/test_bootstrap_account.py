"""A target account made ready: what is decided, on plain values."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aphex_platform.identities import Identity
from aphex_platform.target_roles import DEPLOYER, TESTER, Trusted, deployer_policy, trust_statement

from aphex.errors import UsageError
from automation.bootstrap.account.command import next_steps
from automation.bootstrap.account.facts import AccountFacts, BootstrapFacts, RoleFacts
from automation.bootstrap.account.plan import RoleIsNotOurs, bootstrap_arguments, plan
from automation.bootstrap.account.request import AccountRequest, administrator, check_request
from tests.support.aws_stand_in import ACCOUNT

ROOT = Path(__file__).parents[2]
TARGET, REGION = "222222222222", "eu-west-1"
POLICY = f"arn:aws:iam::{TARGET}:policy/what-stacks-need"
BOUNDARY = f"arn:aws:iam::{TARGET}:policy/team/boundary"
SHOP = Trusted(pipeline="shop", account=ACCOUNT, external_id="acme-shop")
READY = BootstrapFacts(version=27, healthy=True, state="CREATE_COMPLETE", execution_policies=(POLICY,))


def request(**changes: Any) -> AccountRequest:
    values: dict[str, Any] = {
        "account": TARGET,
        "regions": (REGION,),
        "trusted": SHOP,
        "execution_policies": (POLICY,),
    }
    return AccountRequest(**(values | changes))


def made(asked: AccountRequest) -> dict[str, RoleFacts]:
    """The roles as they are once a request was carried out."""
    roles: dict[str, RoleFacts] = {}
    for action in plan(asked, AccountFacts()).actions:
        if action.kind == "role":
            roles[action.subject] = RoleFacts(trust=action.after, boundary=asked.boundary)
        elif action.kind == "policy":
            role = roles[action.subject]
            roles[action.subject] = dataclasses.replace(role, policies={**role.policies, action.name: action.after})
    return roles


def lines(asked: AccountRequest, facts: AccountFacts) -> list[str]:
    return [action.line() for action in plan(asked, facts).actions]


def test_an_empty_account_gets_everything() -> None:
    assert lines(request(test_role=TESTER, boundary=BOUNDARY), AccountFacts()) == [
        f"+ CDK bootstrap of eu-west-1: not there, CloudFormation will be allowed {POLICY}",
        f"+ role aphex-deployer: the pipeline shop of account {ACCOUNT} may assume it",
        f"+ permissions boundary of aphex-deployer: {BOUNDARY}",
        "+ policy cdk-hnb659fds-eu-west-1 of aphex-deployer: allows ssm:GetParameter, sts:AssumeRole, sts:TagSession",
        f"+ role aphex-tester: the pipeline shop of account {ACCOUNT} may assume it",
        f"+ permissions boundary of aphex-tester: {BOUNDARY}",
        "+ policy look of aphex-tester: allows cloudformation:Describe*, cloudformation:Get*, cloudformation:List* "
        "and 36 more",
    ]


def test_an_account_that_has_everything_is_left_alone() -> None:
    asked = request(test_role=TESTER)
    facts = AccountFacts(roles=made(asked), bootstraps={REGION: READY})
    assert plan(asked, facts).changes == ()


def test_only_the_stages_that_need_a_role_may_assume_it() -> None:
    (deployer,) = [action.after for action in plan(request(), AccountFacts()).actions if action.kind == "role"]
    assert deployer["Statement"] == [
        {
            "Sid": deployer["Statement"][0]["Sid"],
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
            "Action": ["sts:AssumeRole", "sts:TagSession"],
            "Condition": {
                "StringEquals": {
                    "aws:PrincipalArn": [
                        f"arn:aws:iam::{ACCOUNT}:role/aphex-shop-deploy",
                        f"arn:aws:iam::{ACCOUNT}:role/aphex-shop-validate",
                    ],
                    "sts:ExternalId": "acme-shop",
                }
            },
        }
    ]
    tester = trust_statement(SHOP, (Identity.TEST, Identity.VALIDATE))
    assert f"arn:aws:iam::{ACCOUNT}:role/aphex-shop-deploy" not in json.dumps(tester)


def test_the_deployment_role_may_assume_cdk_s_roles_of_its_region_and_nothing_else() -> None:
    assume, read = deployer_policy(TARGET, REGION, "team1")["Statement"]
    assert (assume["Action"], read["Action"]) == (["sts:AssumeRole", "sts:TagSession"], ["ssm:GetParameter"])
    assert assume["Resource"] == [
        f"arn:aws:iam::{TARGET}:role/cdk-team1-{role}-{TARGET}-{REGION}"
        for role in ("deploy-role", "file-publishing-role", "image-publishing-role", "lookup-role")
    ]
    assert read["Resource"] == [f"arn:aws:ssm:{REGION}:{TARGET}:parameter/cdk-bootstrap/team1/version"]


def test_a_second_pipeline_is_trusted_beside_the_first() -> None:
    other = Trusted(pipeline="store", account=ACCOUNT)
    facts = AccountFacts(roles=made(request()), bootstraps={REGION: READY})
    (change,) = plan(request(trusted=other), facts).changes
    assert (change.kind, change.verb) == ("trust", "change")
    first, second = change.after["Statement"]
    assert [first] == change.before["Statement"]
    assert "aphex-store-deploy" in json.dumps(second)
    assert "sts:ExternalId" not in json.dumps(second)


def test_another_region_adds_a_policy_and_keeps_the_first() -> None:
    facts = AccountFacts(roles=made(request()), bootstraps={REGION: READY})
    changes = plan(request(regions=("us-east-1",)), facts).changes
    assert [(each.kind, each.subject, each.name) for each in changes] == [
        ("bootstrap", "us-east-1", ""),
        ("policy", DEPLOYER, "cdk-hnb659fds-us-east-1"),
    ]


def test_iam_s_own_way_of_writing_a_policy_is_no_change() -> None:
    roles = made(request())
    trust = json.loads(json.dumps(roles[DEPLOYER].trust).replace('["sts:AssumeRole", "sts:TagSession"]', "null"))
    trust["Statement"][0]["Action"] = ["sts:TagSession", "sts:AssumeRole"]
    policies = json.loads(json.dumps(roles[DEPLOYER].policies))
    policies["cdk-hnb659fds-eu-west-1"]["Statement"][1]["Action"] = "ssm:GetParameter"
    facts = AccountFacts(roles={DEPLOYER: RoleFacts(trust=trust, policies=policies)}, bootstraps={REGION: READY})
    assert plan(request(), facts).changes == ()


def test_a_policy_that_somebody_widened_is_set_back() -> None:
    roles = made(request())
    wide = {name: {"Version": "2012-10-17", "Statement": []} for name in roles[DEPLOYER].policies}
    facts = AccountFacts(
        roles={DEPLOYER: dataclasses.replace(roles[DEPLOYER], policies=wide)}, bootstraps={REGION: READY}
    )
    (change,) = plan(request(), facts).changes
    assert (change.kind, change.verb, change.after) == ("policy", "change", deployer_policy(TARGET, REGION))


def test_a_boundary_that_was_not_asked_for_stays() -> None:
    roles = {DEPLOYER: dataclasses.replace(made(request())[DEPLOYER], boundary=BOUNDARY)}
    facts = AccountFacts(roles=roles, bootstraps={REGION: READY})
    assert plan(request(), facts).changes == ()
    other = BOUNDARY.replace("team/", "")
    changes = plan(request(boundary=other), facts).changes
    assert [(each.kind, each.before, each.after) for each in changes if each.kind == "boundary"] == [
        ("boundary", BOUNDARY, other)
    ]


def test_a_role_of_somebody_else_is_not_touched() -> None:
    facts = AccountFacts(roles={DEPLOYER: RoleFacts(trust={"Statement": []}, ours=False)})
    with pytest.raises(RoleIsNotOurs) as caught:
        plan(request(), facts)
    assert str(caught.value) == (
        "The account 222222222222 has a role aphex-deployer that this command did not make; nothing was done.\n"
        "Choose another name with --role-name or --test-role-name. If it may be taken over, tag it: "
        "aws iam tag-role --role-name aphex-deployer --tags Key=aphex:made-by,Value=bootstrap-account"
    )


@pytest.mark.parametrize(
    ("present", "why"),
    [
        (dataclasses.replace(READY, version=5), "version 5 is older than 6"),
        (dataclasses.replace(READY, healthy=False, state="ROLLBACK_COMPLETE"), "its stack is ROLLBACK_COMPLETE"),
        (
            dataclasses.replace(READY, execution_policies=(administrator(REGION),)),
            f"CloudFormation may do arn:aws:iam::aws:policy/AdministratorAccess, and then {POLICY}",
        ),
        (
            dataclasses.replace(READY, execution_policies=()),
            f"CloudFormation may do what nobody stated, and then {POLICY}",
        ),
    ],
)
def test_a_bootstrap_that_is_not_as_asked_is_changed(present: BootstrapFacts, why: str) -> None:
    (action,) = [each for each in plan(request(), AccountFacts(bootstraps={REGION: present})).actions if not each.name][
        :1
    ]
    assert (action.kind, action.verb, action.why) == ("bootstrap", "change", why)


def test_cdk_s_roles_trust_the_pipeline_s_account_only_when_there_is_no_role_of_its_own() -> None:
    others = dataclasses.replace(READY, trusted=("999999999999",))
    assert "--trust" not in bootstrap_arguments(request(), others)
    direct = request(role=None, trusted=dataclasses.replace(SHOP, external_id=None), boundary=BOUNDARY)
    assert bootstrap_arguments(direct, others) == [
        *("--qualifier", "hnb659fds", "--toolkit-stack-name", "CDKToolkit"),
        *("--trust", "999999999999", "--trust", ACCOUNT),
        *("--cloudformation-execution-policies", POLICY),
        *("--custom-permissions-boundary", "team/boundary"),
    ]
    own = dataclasses.replace(direct, account=ACCOUNT, execution_policies=(administrator(REGION),), boundary=None)
    assert "--trust" not in bootstrap_arguments(own, BootstrapFacts())


def test_what_should_be_known_is_told() -> None:
    asked = request(execution_policies=(administrator(REGION),))
    facts = AccountFacts(bootstraps={REGION: dataclasses.replace(READY, trusted=("999999999999",))})
    assert plan(asked, facts).notes == (
        "CloudFormation may do everything in the account 222222222222: so may whoever can push to the pipeline's "
        "branch.",
        "CDK's roles in eu-west-1 are trusted to 999999999999 as well; that is left as it is.",
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"account": "222"}, '"222" is not an account: it has twelve digits.'),
        ({"regions": ("eu-west-9",)}, '"eu-west-9" is not an AWS region. Did you mean eu-west-1 or eu-west-2 or '),
        (
            {"regions": ("cn-north-1",)},
            "cn-north-1 is in the partition aws-cn, the pipeline in aws: no role is assumed from one to the other.",
        ),
        (
            {"regions": ("eu-west-1", "cn-north-1")},
            "An account is in one partition; these regions are not: eu-west-1, cn-north-1.",
        ),
        ({"role": "a role"}, '"a role" is not a name for a role: letters, digits and +=,.@_- , at most 64.'),
        (
            {"test_role": DEPLOYER},
            "The role aphex-deployer cannot be the deployment role and the test role: they may differ.",
        ),
        (
            {"trusted": dataclasses.replace(SHOP, external_id="x")},
            '"x" is not an external id: letters, digits and +=,.@:/_- , 2 to 1224.',
        ),
        ({"role": None}, "CDK's own roles take no external id: leave out --direct, or --external-id."),
        ({"qualifier": "much-too-long"}, '"much-too-long" is not a qualifier: letters, digits, _ and -, at most 10.'),
        (
            {"execution_policies": ()},
            "What may CloudFormation do in the account when it deploys? Name managed policies with --execution-policy "
            "ARN (more than once if need be), or say --administrator for everything. Nothing is assumed here, because "
            "whoever can deploy through the pipeline can do what this allows.",
        ),
        (
            {"execution_policies": ("admin",)},
            '"admin" is not the ARN of a managed policy: arn:PARTITION:iam::ACCOUNT:policy/NAME.',
        ),
        (
            {"boundary": BOUNDARY.replace(TARGET, ACCOUNT)},
            f"arn:aws:iam::{ACCOUNT}:policy/team/boundary is not a policy of the account {TARGET}, and policies do not "
            "travel.",
        ),
        (
            {"boundary": administrator(REGION)},
            "arn:aws:iam::aws:policy/AdministratorAccess is AWS's own; CDK takes as boundary only a policy of the "
            "account.",
        ),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_request(request(**changes))
    assert message in caught.value.message
    assert caught.value.hint == "Nothing was done."


def test_the_configuration_that_follows_is_told() -> None:
    assert next_steps(request(test_role=TESTER))[1:] == [
        "In aphex-config.yaml, for each environment in the account:",
        '  account: "222222222222"',
        "  role: arn:aws:iam::222222222222:role/aphex-deployer",
        "  external_id: acme-shop",
        "  tests:",
        "    role: arn:aws:iam::222222222222:role/aphex-tester",
        "Then push, or: python -m automation up",
    ]


def test_the_command_line_tells_all_that_is_wrong_and_does_nothing() -> None:
    words = [
        "bootstrap",
        "account",
        "222",
        "--region",
        "eu-west-9",
        "--pipeline",
        "shop",
        "--pipeline-account",
        ACCOUNT,
    ]
    shown = subprocess.run(
        [sys.executable, "-m", "automation", *words], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (shown.returncode, shown.stdout) == (2, "")
    lines = shown.stderr.splitlines()
    assert lines[0] == 'Error: "222" is not an account: it has twelve digits.'
    assert lines[1].startswith('"eu-west-9" is not an AWS region.')
    assert lines[2].startswith("What may CloudFormation do in the account when it deploys?")
    assert lines[3] == "Nothing was done."
