"""What the validation says of accounts, paths and the schema: each finding whole, as people read it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from aphex.loader import ConfigError, load_config, parse_config
from stages.access import AccountAccess, account_access
from stages.account_checks import AccountCheck, account_checks, account_findings
from stages.context_checks import app_findings
from stages.findings import Finding, configuration_findings, with_lines
from tests.support.sts import Refusal, Request, Sts
from tests.support.sts_pod import CALLER, OWN_ROLE, sts_pod

ROLE = "arn:aws:iam::222222222222:role/deployer"
PIPELINE = "123456789012"
VALIDATOR = "arn:aws:iam::123456789012:role/aphex-shop-validate"
VERSION = "/cdk-bootstrap/hnb659fds/version"


@pytest.fixture
def sts(tmp_path: Path) -> Iterator[Sts]:
    with sts_pod(tmp_path) as server:
        server.parameters[VERSION] = "28"
        yield server


def checked(folder: Path, assumable: list[str] | None = None, qualifier: str = "", **environment: Any) -> list[Finding]:
    """What is found of one environment whose app is at the repository's root."""
    context = {"@aws-cdk/core:bootstrapQualifier": qualifier} if qualifier else {}
    (folder / "cdk.json").write_text(json.dumps({"app": "x", "context": context}))
    document = {
        "version": "1.0",
        "build": {"commands": ["true"]},
        "environments": [
            {
                "name": "dev",
                "region": "eu-west-1",
                "account": "222222222222",
                "stacks": [{"name": "App", "path": "."}],
                **environment,
            }
        ],
    }
    numbers = itertools.count()

    def connect(check: AccountCheck) -> AbstractContextManager[AccountAccess]:
        return account_access(
            folder / f"aws-config-{next(numbers)}",
            check.role,
            check.environment.region,
            "s1",
            external_id=check.environment.external_id,
            callers=(VALIDATOR,),
        )

    return account_findings(
        account_checks(parse_config(json.dumps(document)), folder),
        connect,
        pipeline_account=PIPELINE,
        assumable=assumable,
        report=lambda _line: None,
    )


def refusing(action: str, code: str, message: str) -> Callable[[Request], Refusal | None]:
    return lambda request: Refusal(code, message) if request["Action"] == action else None


NOT_AUTHORIZED = f"User: {CALLER} is not authorized to perform: sts:AssumeRole on resource: {ROLE}"
TRUST = f"""\
{{
  "Effect": "Allow",
  "Principal": {{
    "AWS": [
      "{OWN_ROLE}",
      "{VALIDATOR}"
    ]
  }},
  "Action": [
    "sts:AssumeRole",
    "sts:TagSession"
  ]"""
CONDITION = """,
  "Condition": {
    "StringEquals": {
      "sts:ExternalId": "%s"
    }
  }"""


def refused(external_id: str, condition: str = "") -> Finding:
    return Finding(
        field="environments[0].role",
        cause=f"{OWN_ROLE} may not assume the role {ROLE} with {external_id}: AccessDenied: {NOT_AUTHORIZED}\n"
        "AWS gives this answer also when there is no such role, or when its trust policy asks for another external id.",
        fix="1. Check that the role exists: its name, path and account are part of the ARN.\n"
        "2. If its trust policy asks for sts:ExternalId, set environments[].external_id to the same value.\n"
        f"3. Its trust policy needs this statement:\n{TRUST}{condition}\n}}",
    )


def test_a_role_that_is_not_there_or_does_not_trust_the_pipeline(sts: Sts, tmp_path: Path) -> None:
    sts.refuse = refusing("AssumeRole", "AccessDenied", NOT_AUTHORIZED)
    assert checked(tmp_path, role=ROLE) == [refused("no external id")]


# AWS says the same of a role that is not there and of one whose external id is missing or wrong.
@pytest.mark.parametrize("sent", [None, "id-6"])
def test_an_external_id_that_is_missing_or_wrong(sts: Sts, tmp_path: Path, sent: str | None) -> None:
    def refuse(request: Request) -> Refusal | None:
        wrong = request["Action"] == "AssumeRole" and request.get("ExternalId") != "id-7"
        return Refusal("AccessDenied", NOT_AUTHORIZED) if wrong else None

    sts.refuse = refuse
    if sent is None:
        assert checked(tmp_path, role=ROLE) == [refused("no external id")]
    else:
        assert checked(tmp_path, role=ROLE, external_id=sent) == [
            refused('the external id "id-6"', CONDITION % "id-6"),
        ]
    assert checked(tmp_path, role=ROLE, external_id="id-7") == []


def test_a_role_that_the_pipeline_may_assume_after_this_run_s_self_update_is_a_warning(
    sts: Sts, tmp_path: Path
) -> None:
    sts.refuse = refusing("AssumeRole", "AccessDenied", NOT_AUTHORIZED)
    plain = refused("no external id")
    assert checked(tmp_path, ["arn:aws:iam::222222222222:role/dep*"], role=ROLE) == [plain]
    assert checked(tmp_path, ["arn:aws:iam::222222222222:role/other"], role=ROLE) == [
        Finding(
            field=plain.field,
            cause=f"The pipeline may assume the role {ROLE} only after the self-update of this run, so this tells "
            f"little: {plain.cause}",
            fix=f"Nothing, if the role is ready. Otherwise:\n{plain.fix}",
            warning=True,
        )
    ]


def test_a_role_that_a_policy_denies_explicitly(sts: Sts, tmp_path: Path) -> None:
    message = f"{NOT_AUTHORIZED} with an explicit deny in a service control policy"
    sts.refuse = refusing("AssumeRole", "AccessDenied", message)
    assert checked(tmp_path, role=ROLE) == [
        Finding(
            field="environments[0].role",
            cause=f"{OWN_ROLE} is explicitly denied to assume the role {ROLE}: AccessDenied: {message}",
            fix="A Deny statement is in the way: in a service control policy of the organization, a permissions "
            "boundary, or the trust policy. No Allow statement helps.",
        )
    ]


def test_no_role_for_another_account_without_bootstrap(sts: Sts, tmp_path: Path) -> None:
    sts.refuse = refusing("AssumeRole", "AccessDenied", "No.")
    role = "arn:aws:iam::222222222222:role/cdk-hnb659fds-deploy-role-222222222222-eu-west-1"
    found = Finding(
        field="environments[0].account",
        cause="The environment dev has no role, so the pipeline deploys with CDK's bootstrap roles of account "
        f"222222222222, and they cannot be assumed. {OWN_ROLE} may not assume the role {role} with no external id: "
        "AccessDenied: No.\nAWS gives this answer also when there is no such role, or when its trust policy asks for "
        "another external id.",
        fix="Run `cdk bootstrap aws://222222222222/eu-west-1 --trust 123456789012 "
        "--cloudformation-execution-policies POLICY_ARN` with credentials of the account, or configure a role for the "
        "environment.",
    )
    assert checked(tmp_path) == [found]


def test_no_role_for_another_account_whose_stacks_need_no_bootstrap(sts: Sts, tmp_path: Path) -> None:
    document = {
        "version": "1.0",
        "build": {"commands": ["true"]},
        "cdk": {"bootstrap": False},
        "environments": [
            {
                "name": "dev",
                "region": "eu-west-1",
                "account": "222222222222",
                "stacks": [{"name": "App", "path": "."}],
            }
        ],
    }
    checks = account_checks(parse_config(json.dumps(document)), tmp_path)
    assert account_findings(
        checks,
        lambda check: account_access(tmp_path / "c", check.role, "eu-west-1", "s1"),
        pipeline_account=PIPELINE,
        assumable=None,
        report=lambda _line: None,
    ) == [
        Finding(
            field="environments[0].account",
            cause="The environment dev is in account 222222222222 and has no role, but the pipeline's own identity is "
            "of account 123456789012.",
            fix="Configure a role of account 222222222222 that trusts the pipeline's account 123456789012.",
        )
    ]


def test_a_web_identity_token_that_is_expired(sts: Sts, tmp_path: Path) -> None:
    message = "Token expired: current date/time 1700000000 must be before the expiration date/time 1600000000"
    sts.refuse = refusing("AssumeRoleWithWebIdentity", "ExpiredTokenException", message)
    assert checked(tmp_path, role=ROLE) == [
        Finding(
            field="environments[0].role",
            cause=f"The pod's web identity token is expired: ExpiredTokenException: {message}",
            fix="The kubelet renews AWS_WEB_IDENTITY_TOKEN_FILE while the pod runs. Check the node's clock and "
            "kubelet, then start again.",
        )
    ]


def test_a_pod_that_may_not_assume_its_own_role(sts: Sts, tmp_path: Path) -> None:
    sts.refuse = refusing("AssumeRoleWithWebIdentity", "AccessDenied", "Not authorized.")
    assert checked(tmp_path, role=ROLE) == [
        Finding(
            field="environments[0].role",
            cause=f"The pod may not assume its own role {OWN_ROLE}: AccessDenied: Not authorized.",
            fix="Its trust policy must name the pod's service account (system:serviceaccount:NAMESPACE:NAME). "
            "`python -m automation up` restores it.",
        )
    ]


def test_a_cluster_that_the_account_does_not_know(sts: Sts, tmp_path: Path) -> None:
    sts.refuse = refusing("AssumeRoleWithWebIdentity", "InvalidIdentityToken", "No OpenIDConnect provider found")
    assert checked(tmp_path, role=ROLE) == [
        Finding(
            field="environments[0].role",
            cause=f"AWS does not accept the pod's web identity token for the role {OWN_ROLE}: InvalidIdentityToken: "
            "No OpenIDConnect provider found",
            fix="The IAM OIDC provider of the role's account must be that of this cluster, with the audience "
            "sts.amazonaws.com.",
        )
    ]


def test_no_identity(sts: Sts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name)
    assert checked(tmp_path, role=ROLE) == [
        Finding(
            field="environments[0].role",
            cause="The stage has no AWS identity: neither a web identity (IRSA) nor container credentials (EKS Pod "
            "Identity).",
            fix="Check that the stage's pod has its service account, and that the service account has its role: the "
            "annotation eks.amazonaws.com/role-arn or a Pod Identity association. On a machine of your own, log in to "
            "AWS.",
        )
    ]


def test_a_region_that_is_closed_to_the_account(sts: Sts, tmp_path: Path) -> None:
    message = "The security token included in the request is invalid."
    sts.refuse = refusing("GetCallerIdentity", "InvalidClientTokenId", message)
    assert checked(tmp_path, role=ROLE, region="ap-east-1") == [
        Finding(
            field="environments[0].role",
            cause="The region ap-east-1 does not accept the credentials of 222222222222: InvalidClientTokenId: "
            f"{message}",
            fix="Regions that are not on by default have to be enabled in each account: AWS console > Account > AWS "
            "Regions, or `aws account enable-region --region-name ap-east-1`, which takes some minutes.",
        )
    ]


BOOTSTRAP = "cdk bootstrap aws://222222222222/eu-west-1"


def test_a_region_that_is_not_bootstrapped(sts: Sts, tmp_path: Path) -> None:
    assert checked(tmp_path, role=ROLE) == []
    assert checked(tmp_path, role=ROLE, qualifier="shop") == [
        Finding(
            field="environments[0].role",
            cause="eu-west-1 of account 222222222222 is not bootstrapped for CDK: it has no SSM parameter "
            "/cdk-bootstrap/shop/version.",
            fix=f"Run `{BOOTSTRAP} --qualifier shop --toolkit-stack-name CDKToolkit-shop` with credentials of the "
            "account. If the app has another qualifier, put it in cdk.json's context as "
            "@aws-cdk/core:bootstrapQualifier; if its stacks need no bootstrap, set cdk.bootstrap to false.",
        )
    ]


def test_a_bootstrap_that_is_too_old(sts: Sts, tmp_path: Path) -> None:
    sts.parameters[VERSION] = "6"
    assert checked(tmp_path, role=ROLE) == []
    sts.parameters[VERSION] = "5"
    assert checked(tmp_path, role=ROLE) == [
        Finding(
            field="environments[0].role",
            cause="The CDK bootstrap of eu-west-1 in account 222222222222 has version 5, and aws-cdk-lib 2 needs 6 or "
            "newer.",
            fix=f"Bring it up to date: `{BOOTSTRAP}` with credentials of the account.",
        )
    ]


@pytest.mark.parametrize(
    ("code", "words", "fix"),
    [
        (
            "AccessDeniedException",
            "may not be read",
            "Allow the role ssm:GetParameter on arn:aws:ssm:eu-west-1:222222222222:parameter"
            "/cdk-bootstrap/hnb659fds/version, so that the validation can check it.",
        ),
        (
            "ValidationException",
            "could not be read",
            "Nothing, if the account is bootstrapped: the CDK CLI asks again when it deploys.",
        ),
    ],
)
def test_a_bootstrap_that_cannot_be_read_is_a_warning(
    sts: Sts, tmp_path: Path, code: str, words: str, fix: str
) -> None:
    sts.refuse = refusing("GetParameter", code, "No.")
    assert checked(tmp_path, role=ROLE) == [
        Finding(
            field="environments[0].role",
            cause=f"The bootstrap version of eu-west-1 in account 222222222222 is unknown: {VERSION} {words}: An error "
            f"occurred ({code}) when calling the GetParameter operation: No.",
            fix=fix,
            warning=True,
        )
    ]


CONFIG = """\
version: "1.0"
build:
  commands: ["true"]
environments:
  - name: dev
    region: us-east-1
    account: "222222222222"
    role: arn:aws:iam::222222222222:role/deployer
    stacks:
      - {name: App, path: nowhere/app.py}
      - {name: Site, path: site/app.py}
"""


def test_paths_without_an_app_are_told_with_their_lines(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site/app.py").touch()
    file = tmp_path / "aphex-config.yaml"
    file.write_text(CONFIG)
    found = with_lines(app_findings(load_config(file), tmp_path), file)
    assert [line for finding in found for line in finding.lines()] == [
        "aphex-config.yaml:10  environments[0].stacks[0].path",
        '  The path "nowhere/app.py" of the stack App does not exist at this commit.',
        "  Name the stack's file or its CDK app's folder, relative to the repository's root.",
        "aphex-config.yaml:11  environments[0].stacks[1].path",
        '  There is no cdk.json at or above "site/app.py", the path of the stack Site.',
        "  A CDK app is a folder with a cdk.json.",
    ]


def test_all_that_is_wrong_with_the_schema_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "aphex-config.yaml"
    file.write_text(CONFIG.replace("us-east-1", "us-east-7").replace("name: Site, ", "") + "    rolle: x\n")
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert [line for finding in configuration_findings(caught.value) for line in finding.lines()] == [
        "aphex-config.yaml:6  environments[0].region",
        '  "us-east-7" is not an AWS region. Did you mean us-east-1 or us-east-2?',
        "  Correct aphex-config.yaml and push again.",
        "aphex-config.yaml:11  environments[0].stacks[1].name",
        "  is required.",
        "  Correct aphex-config.yaml and push again.",
        "aphex-config.yaml:12  environments[0].rolle",
        "  is not a setting. Check its spelling, or remove it.",
        "  Correct aphex-config.yaml and push again.",
    ]


def test_a_role_of_another_account_than_the_environment_s(tmp_path: Path) -> None:
    file = tmp_path / "aphex-config.yaml"
    file.write_text(CONFIG.replace("::222222222222:", "::333333333333:"))
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert [line for finding in configuration_findings(caught.value) for line in finding.lines()] == [
        "aphex-config.yaml:5  environments[0]",
        "  role is in account 333333333333, but account is 222222222222.",
        "  Correct aphex-config.yaml and push again.",
    ]
