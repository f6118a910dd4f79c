"""Who may do what on AWS, asked of an AWS that enforces the policies: moto with its IAM checks switched on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import httpx
import pulumi
import pytest
from aphex_platform.identities import Identity, role_arn
from aphex_platform.policies import allow, document, stage_policy, trust_policy
from botocore.exceptions import ClientError
from pulumi import automation as auto

from aphex.names import PULUMI_PROJECT, PipelineNames
from tests.support.control_plane import tool
from tests.support.example import example_config, example_settings
from tests.support.moto_endpoint import REGION, MotoEndpoint, moto_endpoint

SETTINGS = example_settings()
OTHER = SETTINGS.model_copy(update={"pipeline": "other", "namespace": "aphex-other"})
COMMIT = "a" * 40


def bucket(pipeline: str) -> str:
    return PipelineNames(pipeline).bucket(SETTINGS.aws.account, SETTINGS.aws.region)


@dataclass(frozen=True)
class Enforced:
    """AWS with two pipelines, where every request is judged."""

    url: str
    keys: dict[Identity, dict[str, str]]

    def client(self, identity: Identity, service: str) -> Any:
        keys = self.keys[identity]
        session: Any = boto3.Session(
            keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"], region_name=REGION
        )
        return session.client(service, endpoint_url=self.url)


@pytest.fixture(scope="module")
def aws() -> Iterator[Enforced]:
    with moto_endpoint() as endpoint:
        for settings in (SETTINGS, OTHER):
            _make_pipeline(endpoint, settings.pipeline)
        endpoint.client("s3").create_bucket(Bucket=str(SETTINGS.state_bucket))
        iam = endpoint.client("iam")
        for identity in Identity:
            name = PipelineNames(SETTINGS.pipeline).role(identity)
            iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust_policy(SETTINGS, identity)))
            policy = json.dumps(stage_policy(identity, example_config(), SETTINGS))
            iam.put_role_policy(RoleName=name, PolicyName="stage", PolicyDocument=policy)
        keys = {identity: _keys_of(endpoint, identity) for identity in Identity}
        # https://docs.getmoto.org/en/latest/docs/iam.html: from now on no request goes without a check.
        httpx.post(
            f"{endpoint.url}/moto-api/reset-auth",
            content=b"0",
            headers={"content-type": "application/octet-stream"},
            trust_env=False,
        ).raise_for_status()
        yield Enforced(endpoint.url, keys)


def _make_pipeline(endpoint: MotoEndpoint, pipeline: str) -> None:
    s3 = endpoint.client("s3")
    s3.create_bucket(Bucket=bucket(pipeline))
    s3.put_object(Bucket=bucket(pipeline), Key=f"artifacts/{COMMIT}/{pipeline}-1/artifact.tar.zst", Body=b"archive")
    s3.put_object(Bucket=bucket(pipeline), Key=f"runs/{pipeline}-1/outputs/dev.json", Body=b"{}")


def _keys_of(endpoint: MotoEndpoint, identity: Identity) -> dict[str, str]:
    answer = endpoint.client("sts").assume_role_with_web_identity(
        RoleArn=role_arn(SETTINGS.aws, SETTINGS.pipeline, identity), RoleSessionName="test", WebIdentityToken="token"
    )
    credentials: dict[str, str] = answer["Credentials"]
    return credentials


def refused(call: Callable[..., object], **arguments: Any) -> bool:
    """Whether AWS refuses it; whatever else goes wrong is an error of the test."""
    try:
        call(**arguments)
    except ClientError as error:
        if not error.response["Error"]["Code"].startswith("AccessDenied"):
            raise
        return True
    return False


@pytest.mark.parametrize("identity", [each for each in Identity if each is not Identity.SELF_UPDATE])
def test_no_stage_touches_cloudformation_with_its_own_role(aws: Enforced, identity: Identity) -> None:
    cloudformation = aws.client(identity, "cloudformation")
    assert refused(cloudformation.create_stack, StackName="any", TemplateBody='{"Resources": {}}')
    assert refused(cloudformation.delete_stack, StackName="any")


def test_the_build_writes_its_artifact_and_reads_nobody_elses(aws: Enforced) -> None:
    s3 = aws.client(Identity.BUILD, "s3")
    key = f"artifacts/{COMMIT}/shop-2/artifact.tar.zst"
    assert not refused(s3.put_object, Bucket=bucket("shop"), Key=key, Body=b"archive")
    assert refused(s3.get_object, Bucket=bucket("shop"), Key=key)
    assert refused(s3.delete_object, Bucket=bucket("shop"), Key=key)


@pytest.mark.parametrize("identity", list(Identity))
def test_nothing_of_another_pipeline_is_read_or_written(aws: Enforced, identity: Identity) -> None:
    s3 = aws.client(identity, "s3")
    for key in (f"artifacts/{COMMIT}/other-1/artifact.tar.zst", "runs/other-1/outputs/dev.json"):
        assert refused(s3.get_object, Bucket=bucket("other"), Key=key)
        assert refused(s3.put_object, Bucket=bucket("other"), Key=key, Body=b"forged")
        assert refused(s3.delete_object, Bucket=bucket("other"), Key=key)


@pytest.mark.parametrize("identity", list(Identity))
def test_each_stage_assumes_the_configured_roles_and_no_other(aws: Enforced, identity: Identity) -> None:
    sts = aws.client(identity, "sts")
    accounts = [environment.account for environment in example_config().environments]
    tried = {
        f"arn:aws:iam::{account}:role/{name}" for account in accounts for name in ("aphex-deployer", "aphex-tester")
    }
    tried |= {f"arn:aws:iam::{accounts[0]}:role/Administrator", role_arn(SETTINGS.aws, "other", Identity.DEPLOY)}
    given = {arn for arn in tried if not refused(sts.assume_role, RoleArn=arn, RoleSessionName="test")}
    deployers = {arn for arn in tried if arn.endswith("/aphex-deployer")}
    testers = {arn for arn in tried if arn.endswith("/aphex-tester")}
    expected = {Identity.DEPLOY: deployers, Identity.TEST: testers, Identity.VALIDATE: deployers | testers}
    assert given == expected.get(identity, set())


def test_the_self_update_cannot_widen_its_own_role(aws: Enforced) -> None:
    iam = aws.client(Identity.SELF_UPDATE, "iam")

    arguments = {"PolicyName": "stage", "PolicyDocument": json.dumps(document([allow("Logs", ["logs:*"], ["*"])]))}
    names = PipelineNames("shop")
    assert refused(iam.put_role_policy, RoleName=names.role(Identity.SELF_UPDATE), **arguments)
    assert not refused(iam.put_role_policy, RoleName=names.role(Identity.EXIT), **arguments)


@pytest.mark.engine
@pytest.mark.timeout(180)
def test_the_self_update_keeps_the_state_of_its_own_stack_and_of_no_other(aws: Enforced, tmp_path: Path) -> None:
    keys = aws.keys[Identity.SELF_UPDATE]
    environment = {
        "AWS_ACCESS_KEY_ID": keys["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"],
        "AWS_SESSION_TOKEN": keys["SessionToken"],
        "PULUMI_CONFIG_PASSPHRASE": "test",
        "PULUMI_HOME": str(tmp_path / "home"),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }
    backend = f"s3://{SETTINGS.state_bucket}?region={REGION}&endpoint={aws.url}&use_path_style=true"

    def up(stack: str) -> str:
        options = auto.LocalWorkspaceOptions(
            env_vars=environment,
            project_settings=auto.ProjectSettings(PULUMI_PROJECT, "python", backend=auto.ProjectBackend(backend)),
            pulumi_command=auto.PulumiCommand(str(tool("pulumi").parent.parent), skip_version_check=True),
        )
        made = auto.create_or_select_stack(stack, PULUMI_PROJECT, lambda: pulumi.export("answer", 42), opts=options)
        made.up()
        made.up()
        return str(made.outputs()["answer"].value)

    assert up(PipelineNames("shop").stack) == "42"
    with pytest.raises(auto.CommandError, match="PermissionDenied"):
        up(PipelineNames("other").stack)
