"""A target account made ready on moto, whose accounts are apart, and once by the real CDK CLI."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from aphex_platform import target_roles
from aphex_platform.target_roles import DEPLOYER, TESTER, Trusted
from botocore.exceptions import ClientError

from aphex.errors import UsageError
from automation.bootstrap.account import apply as applying
from automation.bootstrap.account import sessions
from automation.bootstrap.account.apply import AccountNotReady
from automation.bootstrap.account.command import WrongAccount, run_account
from automation.bootstrap.account.facts import BootstrapFacts, read_facts
from automation.bootstrap.account.plan import Action, plan
from automation.bootstrap.account.request import AccountRequest
from automation.console import Terminal
from tests.support.aws_stand_in import ACCOUNT, AwsStandIn, aws_stand_in

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


@pytest.fixture(scope="module")
def aws() -> Iterator[AwsStandIn]:
    with aws_stand_in() as started:
        yield started


@pytest.fixture
def session(aws: AwsStandIn, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Credentials of an administrator of the target account."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws.endpoint)
    return aws.session(TARGET, REGION, "administrator")


@pytest.fixture
def no_cdk(monkeypatch: pytest.MonkeyPatch, session: Any) -> list[list[str]]:
    """The arguments of each bootstrap, which leaves behind what the real one does, and takes no time."""
    given: list[list[str]] = []

    def bootstrap(_plan: Any, action: Action, _session: Any, _report: Any) -> None:
        given.append(action.after)
        parameter = {"Name": "/cdk-bootstrap/hnb659fds/version", "Value": "27", "Type": "String"}
        session.client("ssm", region_name=action.subject).put_parameter(**parameter, Overwrite=True)
        template = json.dumps(
            {
                "Parameters": {"CloudFormationExecutionPolicies": {"Type": "CommaDelimitedList"}},
                "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
            }
        )
        values = [{"ParameterKey": "CloudFormationExecutionPolicies", "ParameterValue": POLICY}]
        session.client("cloudformation", region_name=action.subject).create_stack(
            StackName="CDKToolkit", TemplateBody=template, Parameters=values
        )

    monkeypatch.setitem(applying._ACTIONS, "bootstrap", bootstrap)
    return given


def test_a_failure_at_each_action_is_told_and_the_next_time_goes_on(
    aws: AwsStandIn, session: Any, no_cdk: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = request(test_role=TESTER)
    planned = len(plan(asked, read_facts(session, asked)).changes)
    carried_out: list[str] = []
    real = dict(applying._ACTIONS)
    failures = {"left": 0}

    def failing(kind: str) -> Any:
        def act(made_plan: Any, action: Action, *rest: Any) -> None:
            if failures["left"] == 0:
                raise AccountNotReady("the network is gone")
            failures["left"] -= 1
            real[kind](made_plan, action, *rest)
            carried_out.append(f"{action.kind} {action.subject} {action.name}".strip())

        return act

    for kind in real:
        monkeypatch.setitem(applying._ACTIONS, kind, failing(kind))
    # Each time one action succeeds and the next one fails; no action is ever repeated.
    for _ in range(planned - 1):
        failures["left"] = 1
        with pytest.raises(AccountNotReady):
            run_account(asked, session, Terminal(json_output=True), dry_run=False, yes=True)
    failures["left"] = 1
    run_account(asked, session, Terminal(json_output=True), dry_run=False, yes=True)
    assert carried_out == [
        "bootstrap eu-west-1",
        "role aphex-deployer",
        "policy aphex-deployer cdk-hnb659fds-eu-west-1",
        "role aphex-tester",
        "policy aphex-tester look",
    ]
    assert plan(asked, read_facts(session, asked)).changes == ()
    assert len(no_cdk) == 1
    _roles_are_of_the_target_alone(aws, session)


def _roles_are_of_the_target_alone(aws: AwsStandIn, session: Any) -> None:
    role = session.client("iam").get_role(RoleName=DEPLOYER)["Role"]
    assert role["Arn"] == f"arn:aws:iam::{TARGET}:role/aphex-deployer"
    there = [each["RoleName"] for each in aws.client("iam", aws.session(ACCOUNT)).list_roles()["Roles"]]
    assert not {DEPLOYER, TESTER} & set(there)


@contextmanager
def judged(aws: AwsStandIn) -> Iterator[None]:
    """Every request is judged by the caller's policies as long as the block."""
    _judge(aws, after=0)
    try:
        yield
    finally:
        _judge(aws, after=1_000_000)


def _judge(aws: AwsStandIn, *, after: int) -> None:
    # https://docs.getmoto.org/en/latest/docs/iam.html
    url, headers = f"{aws.endpoint}/moto-api/reset-auth", {"content-type": "application/octet-stream"}
    httpx.post(url, content=str(after).encode(), headers=headers, trust_env=False).raise_for_status()


def test_the_roles_can_do_what_they_are_for_and_nothing_else(
    aws: AwsStandIn, session: Any, no_cdk: list[list[str]]
) -> None:
    asked = request(role="judged", test_role="judged-tests", regions=("us-east-2",))
    session.client("dynamodb", region_name="us-east-2").create_table(
        TableName="orders",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    run_account(asked, session, Terminal(json_output=True), dry_run=False, yes=True)
    deployer, tester = (aws.session(TARGET, "us-east-2", name) for name in ("judged", "judged-tests"))
    cdk = f"arn:aws:iam::{TARGET}:role/cdk-hnb659fds-{{}}-{TARGET}-us-east-2"
    with judged(aws):
        for role in ("deploy-role", "file-publishing-role", "image-publishing-role", "lookup-role"):
            deployer.client("sts").assume_role(RoleArn=cdk.format(role), RoleSessionName="deploy")
        for refused in (
            lambda: deployer.client("sts").assume_role(RoleArn=cdk.format("cfn-exec-role"), RoleSessionName="all"),
            lambda: deployer.client("sts").assume_role(
                RoleArn=f"arn:aws:iam::{TARGET}:role/administrator", RoleSessionName="all"
            ),
            lambda: deployer.client("cloudformation").list_stacks(),
            lambda: deployer.client("s3").list_buckets(),
            lambda: tester.client("sts").assume_role(RoleArn=cdk.format("deploy-role"), RoleSessionName="deploy"),
            lambda: tester.client("dynamodb").delete_table(TableName="orders"),
        ):
            with pytest.raises(ClientError, match="AccessDenied"):
                refused()
        assert tester.client("dynamodb").list_tables()["TableNames"] == ["orders"]


def test_what_aws_refuses_is_told_with_the_action(session: Any, no_cdk: list[list[str]]) -> None:
    missing = request(role="other", boundary=f"arn:aws:iam::{TARGET}:policy/none")
    with pytest.raises(AccountNotReady) as caught:
        run_account(missing, session, Terminal(json_output=True), dry_run=False, yes=True)
    assert "failed in account 222222222222:" in caught.value.message
    assert caught.value.hint == "What was done before is kept: the same command goes on from there."


def test_a_dry_run_shows_everything_and_does_nothing(
    session: Any, no_cdk: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = request(role="dry", test_role="dry-tests")
    run_account(asked, session, Terminal(json_output=True), dry_run=True, yes=False)
    document = json.loads(capsys.readouterr().out)
    assert document["changed"] is False
    assert [(each["kind"], each["subject"], each["done"]) for each in document["actions"] if each["action"] == "make"][
        -2:
    ] == [("role", "dry-tests", False), ("policy", "dry-tests", False)]
    assert no_cdk == []
    with pytest.raises(session.client("iam").exceptions.NoSuchEntityException):
        session.client("iam").get_role(RoleName="dry")


def test_credentials_of_another_account_do_nothing(aws: AwsStandIn, session: Any) -> None:
    other = aws.session("333333333333", REGION)
    with pytest.raises(WrongAccount) as caught:
        run_account(request(), other, Terminal(), dry_run=False, yes=True)
    assert caught.value.message == (
        "The credentials are of the account 333333333333 (arn:aws:sts::333333333333:assumed-role/tester/test), not of "
        "222222222222; nothing was done."
    )


def test_without_anybody_to_agree_nothing_is_done(session: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="Nobody is there to confirm this; nothing was done"):
        run_account(request(role="unasked"), session, Terminal(), dry_run=False, yes=False)


def test_a_profile_has_the_target_s_credentials_and_the_caller_s_own_name_the_pipeline_s_account(
    aws: AwsStandIn, session: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen = session.get_credentials().get_frozen_credentials()
    (tmp_path / "credentials").write_text(
        f"[target]\naws_access_key_id={frozen.access_key}\naws_secret_access_key={frozen.secret_key}\n"
        f"aws_session_token={frozen.token}\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    found = sessions.target_session("target", REGION)
    assert found.client("sts").get_caller_identity()["Account"] == TARGET
    assert sessions.pipeline_account("target", REGION) == ACCOUNT
    with pytest.raises(UsageError, match="could not be found"):
        sessions.target_session("nobody", REGION)
    with pytest.raises(UsageError, match="Which account is the pipeline's"):
        sessions.pipeline_account(None, REGION)


@pytest.mark.integration
def test_the_real_cdk_bootstraps_the_account_once(aws: AwsStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws.endpoint)
    account = "444444444444"
    session = aws.session(account, REGION, "administrator")
    session.client("iam").create_policy(
        PolicyName="what-stacks-need",
        PolicyDocument=json.dumps(target_roles.tester_policy()),
    )
    policy = f"arn:aws:iam::{account}:policy/what-stacks-need"
    asked = request(account=account, execution_policies=(policy,))
    run_account(asked, session, Terminal(json_output=True), dry_run=False, yes=True)
    assert plan(asked, read_facts(session, asked)).changes == ()
    (stack,) = session.client("cloudformation").describe_stacks(StackName="CDKToolkit")["Stacks"]
    values = {each["ParameterKey"]: each["ParameterValue"] for each in stack["Parameters"]}
    assert (values["CloudFormationExecutionPolicies"], values["TrustedAccounts"]) == (policy, "")
    deploy = session.client("iam").get_role(RoleName=f"cdk-hnb659fds-deploy-role-{account}-{REGION}")["Role"]
    assert ACCOUNT not in json.dumps(deploy["AssumeRolePolicyDocument"])
