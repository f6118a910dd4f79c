"""Who may do what on AWS, asked of an AWS that enforces the policies: moto with its IAM checks switched on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import httpx
import pulumi
import pytest
from aphex_platform.identities import Identity, role_arn
from aphex_platform.policies import boundary_policy
from aphex_platform.policy_sizes import role_policies
from aphex_platform.resource_policies import bucket_policy, key_policy
from aphex_platform.statements import allow, document, text
from aphex_platform.trust import trust_policy
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
    data_keys: dict[str, str]

    def client(self, identity: Identity, service: str) -> Any:
        keys = self.keys[identity]
        session: Any = boto3.Session(
            keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"], region_name=REGION
        )
        return session.client(service, endpoint_url=self.url)


@pytest.fixture(scope="module")
def aws() -> Iterator[Enforced]:
    with moto_endpoint() as endpoint:
        data_keys = {each.pipeline: _make_pipeline(endpoint, each.pipeline) for each in (SETTINGS, OTHER)}
        endpoint.client("s3").create_bucket(Bucket=str(SETTINGS.state_bucket))
        _make_roles(endpoint, data_keys[SETTINGS.pipeline])
        keys = {identity: _keys_of(endpoint, identity) for identity in Identity}
        # https://docs.getmoto.org/en/latest/docs/iam.html: from now on no request goes without a check.
        httpx.post(
            f"{endpoint.url}/moto-api/reset-auth",
            content=b"0",
            headers={"content-type": "application/octet-stream"},
            trust_env=False,
        ).raise_for_status()
        yield Enforced(endpoint.url, keys, data_keys)


def _make_pipeline(endpoint: MotoEndpoint, pipeline: str) -> str:
    """Make what a pipeline keeps, as the program makes it, and return the ARN of its key."""
    s3, kms, dynamodb = (endpoint.client(service) for service in ("s3", "kms", "dynamodb"))
    dynamodb.create_table(
        TableName=PipelineNames(pipeline).table,
        KeySchema=[{"AttributeName": "run_id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "run_id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    key: str = kms.create_key(Policy=text(key_policy(SETTINGS.aws)))["KeyMetadata"]["Arn"]
    s3.create_bucket(Bucket=bucket(pipeline))
    by_default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
    s3.put_bucket_encryption(
        Bucket=bucket(pipeline),
        ServerSideEncryptionConfiguration={"Rules": [{"ApplyServerSideEncryptionByDefault": by_default}]},
    )
    s3.put_bucket_policy(Bucket=bucket(pipeline), Policy=text(bucket_policy(f"arn:aws:s3:::{bucket(pipeline)}", key)))
    s3.put_object(Bucket=bucket(pipeline), Key=f"artifacts/{COMMIT}/{pipeline}-1/artifact.tar.zst", Body=b"archive")
    s3.put_object(Bucket=bucket(pipeline), Key=f"runs/{pipeline}-1/outputs/dev.json", Body=b"{}")
    return key


def _make_roles(endpoint: MotoEndpoint, key: str) -> None:
    """Make the roles of the pipeline with all that the program gives them."""
    iam, names = endpoint.client("iam"), PipelineNames(SETTINGS.pipeline)
    bound = text(boundary_policy(SETTINGS, key))
    boundary = iam.create_policy(PolicyName=names.boundary, PolicyDocument=bound)["Policy"]["Arn"]
    for identity in Identity:
        trust = text(trust_policy(SETTINGS, identity))
        limited = {} if identity is Identity.SELF_UPDATE else {"PermissionsBoundary": boundary}
        iam.create_role(RoleName=names.role(identity), AssumeRolePolicyDocument=trust, **limited)
        policies = role_policies(identity, example_config(), SETTINGS, key)
        inline = text(policies.inline)
        iam.put_role_policy(RoleName=names.role(identity), PolicyName="stage", PolicyDocument=inline)


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
        # moto refuses requests of the JSON protocols in XML too, which botocore takes for the message.
        said = error.response["Error"]
        if not said["Code"].startswith("AccessDenied") and "<Code>AccessDenied</Code>" not in said["Message"]:
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
def test_a_stage_writes_itself_into_its_own_pipelines_record_alone(aws: Enforced, identity: Identity) -> None:
    dynamodb = aws.client(identity, "dynamodb")
    item = {"run_id": {"S": "shop-1"}}
    assert not refused(dynamodb.put_item, TableName=PipelineNames("shop").table, Item=item)
    assert refused(dynamodb.put_item, TableName=PipelineNames("other").table, Item=item)
    assert refused(dynamodb.delete_item, TableName=PipelineNames("shop").table, Key=item)
    assert refused(dynamodb.delete_table, TableName=PipelineNames("shop").table)


def test_what_is_stored_without_a_word_is_encrypted_with_the_pipelines_key(aws: Enforced) -> None:
    s3 = aws.client(Identity.DEPLOY, "s3")
    key = "runs/shop-1/logs/deploy-dev.log"
    assert not refused(s3.put_object, Bucket=bucket("shop"), Key=key, Body=b"log")
    stored = s3.get_object(Bucket=bucket("shop"), Key=key)
    assert (stored["ServerSideEncryption"], stored["SSEKMSKeyId"]) == ("aws:kms", aws.data_keys["shop"])


@pytest.mark.parametrize("identity", list(Identity))
def test_a_stage_uses_its_own_pipelines_key_and_manages_none(aws: Enforced, identity: Identity) -> None:
    kms = aws.client(identity, "kms")
    own, other = aws.data_keys["shop"], aws.data_keys["other"]
    assert not refused(kms.generate_data_key, KeyId=own, KeySpec="AES_256")
    assert refused(kms.generate_data_key, KeyId=other, KeySpec="AES_256")
    for key in (own, other):
        assert refused(kms.schedule_key_deletion, KeyId=key, PendingWindowInDays=7)
        assert refused(kms.disable_key, KeyId=key)
        assert refused(kms.put_key_policy, KeyId=key, PolicyName="default", Policy=text(key_policy(OTHER.aws)))
        grantee = role_arn(SETTINGS.aws, "other", Identity.BUILD)
        assert refused(kms.create_grant, KeyId=key, GranteePrincipal=grantee, Operations=["Decrypt"])


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
    arguments = {"PolicyName": "stage", "PolicyDocument": text(document([allow("Logs", ["logs:*"], ["*"])]))}
    names = PipelineNames("shop")
    assert refused(iam.put_role_policy, RoleName=names.role(Identity.SELF_UPDATE), **arguments)
    assert not refused(iam.put_role_policy, RoleName=names.role(Identity.EXIT), **arguments)


def test_the_self_update_cannot_lift_the_bound_of_a_role(aws: Enforced) -> None:
    iam, names = aws.client(Identity.SELF_UPDATE, "iam"), PipelineNames("shop")
    boundary = f"arn:aws:iam::{SETTINGS.aws.account}:policy/{names.boundary}"
    everything = text(document([allow("All", ["*"], ["*"])]))
    assert refused(iam.delete_role_permissions_boundary, RoleName=names.role(Identity.EXIT))
    assert refused(iam.create_policy_version, PolicyArn=boundary, PolicyDocument=everything, SetAsDefault=True)
    assert refused(iam.update_assume_role_policy, RoleName=names.role(Identity.EXIT), PolicyDocument=everything)
    assert refused(iam.create_role, RoleName="aphex-shop-mine", AssumeRolePolicyDocument=everything)


def test_the_self_update_gives_the_other_roles_managed_policies_of_the_pipelines_own(aws: Enforced) -> None:
    iam, names = aws.client(Identity.SELF_UPDATE, "iam"), PipelineNames("shop")
    assumed = text(document([allow("Roles", ["sts:AssumeRole"], ["arn:aws:iam::222222222222:role/aphex-deployer"])]))
    made = iam.create_policy(
        PolicyName=names.managed_policy(Identity.DEPLOY, 1), Path=names.policy_path, PolicyDocument=assumed
    )
    arn = made["Policy"]["Arn"]
    assert not refused(iam.attach_role_policy, RoleName=names.role(Identity.DEPLOY), PolicyArn=arn)
    assert refused(iam.attach_role_policy, RoleName=names.role(Identity.SELF_UPDATE), PolicyArn=arn)
    assert refused(iam.create_policy, PolicyName="aphex-other-deploy-1", Path="/aphex/other/", PolicyDocument=assumed)


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
