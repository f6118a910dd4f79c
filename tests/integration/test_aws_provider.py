"""The stand-in AWS provider under the real Pulumi engine, with moto as AWS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pulumi
import pulumi_aws as aws
import pytest
from aphex_platform.components.data_key import DataKey, DataKeyArgs
from aphex_platform.components.storage import ArtifactStore, ArtifactStoreArgs, RunTable, RunTableArgs
from botocore.exceptions import ClientError

from aphex.config import Retention
from sandbox.providers.server import attach
from tests.support.aws_programs import TRUST, everything
from tests.support.engine import SECRET_KEY, Engine, Observation, Program
from tests.support.example import example_settings, sandbox_aws
from tests.support.moto_endpoint import MotoEndpoint, moto_endpoint

pytestmark = [
    pytest.mark.engine,
    # The SDK warns of its own old names while it is imported, which it does when a program first uses it,
    pytest.mark.filterwarnings("ignore:.*has been deprecated:DeprecationWarning"),
    # and leaves the event loop of a program that failed open.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

STACK = "pulumi:pulumi:Stack aws-test"
PROVIDERS = "pulumi:providers:aws"


@pytest.fixture(scope="module")
def server() -> Iterator[MotoEndpoint]:
    with moto_endpoint() as endpoint:
        yield endpoint


@pytest.fixture
def moto(server: MotoEndpoint) -> MotoEndpoint:
    server.reset()
    return server


@pytest.fixture
def engine(moto: MotoEndpoint, tmp_path: Path) -> Iterator[Engine]:
    with attach(moto.provider, pulumi_home=tmp_path / "home") as environment:
        yield Engine(directory=tmp_path, environment=environment, project="aws")


def operations(seen: Observation) -> dict[str, list[str]]:
    """What was done to each resource, those only looked at and the providers aside."""
    return {
        label.rpartition(":")[2]: steps
        for label, steps in seen.steps.items()
        if not {"same", "refresh"} >= set(steps) and not label.startswith((PROVIDERS, STACK))
    }


def succeeded(seen: Observation) -> Observation:
    assert not seen.errors
    return seen


def names(moto: MotoEndpoint) -> dict[str, list[str]]:
    """Everything of ours that is in AWS."""
    kms = moto.client("kms")
    theirs = {alias["TargetKeyId"] for alias in kms.list_aliases()["Aliases"] if "/aws/" in alias["AliasName"]}
    states = {
        key["KeyId"]: kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["KeyState"]
        for key in kms.list_keys()["Keys"]
        if key["KeyId"] not in theirs
    }
    return {
        "buckets": [bucket["Name"] for bucket in moto.client("s3").list_buckets()["Buckets"]],
        "tables": moto.client("dynamodb").list_tables()["TableNames"],
        "roles": [role["RoleName"] for role in moto.client("iam").list_roles()["Roles"]],
        "policies": [item["PolicyName"] for item in moto.client("iam").list_policies(Scope="Local")["Policies"]],
        "keys": [key for key, state in states.items() if state != "PendingDeletion"],
        "log groups": [group["logGroupName"] for group in moto.client("logs").describe_log_groups()["logGroups"]],
    }


def test_every_type_lives_and_goes(engine: Engine, moto: MotoEndpoint) -> None:
    planned = succeeded(engine.run("preview", everything()))
    assert set(map(tuple, operations(planned).values())) == {("create",)}
    assert not any(names(moto).values()), "a preview has no effect"

    made = succeeded(engine.run("up", everything()))
    assert made.outputs["account"] == "123456789012"
    assert made.outputs["region"] == "us-east-1"
    assert made.outputs["suffix"] == "amazonaws.com"
    assert {kind: len(found) for kind, found in names(moto).items()} == dict.fromkeys(names(moto), 1)

    assert not operations(succeeded(engine.run("up", everything())))
    refreshed = succeeded(engine.run("refresh", everything()))
    assert not refreshed.changes
    assert not operations(succeeded(engine.run("preview", everything()))), "a refresh found nothing to correct"

    changed = succeeded(engine.run("up", everything(90, changed=True)))
    assert set(map(tuple, operations(changed).values())) == {("update",)}
    assert len(operations(changed)) == 13, "all but the alias and the attachment"
    look_changed(moto, changed.outputs["bucket"])
    assert not operations(succeeded(engine.run("preview", everything(90, changed=True), refresh=True)))

    succeeded(engine.run("destroy", everything()))
    assert not any(names(moto).values())


def look_changed(moto: MotoEndpoint, bucket: str) -> None:
    s3 = moto.client("s3")
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == [{"Key": "team", "Value": "b"}]
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Suspended"
    rules = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert rules[0]["Expiration"]["Days"] == 90
    assert rules[1]["Filter"]["And"]["Tags"] == [{"Key": "k", "Value": "v"}, {"Key": "l", "Value": "w"}]
    blocks = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert (blocks["BlockPublicAcls"], blocks["BlockPublicPolicy"]) == (True, False)
    dynamodb = moto.client("dynamodb")
    (table,) = dynamodb.list_tables()["TableNames"]
    assert not dynamodb.describe_table(TableName=table)["Table"].get("GlobalSecondaryIndexes")
    expiry = dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
    assert expiry["TimeToLiveStatus"] == "DISABLED"
    iam = moto.client("iam")
    (policy,) = iam.list_policies(Scope="Local")["Policies"]
    version = iam.get_policy_version(PolicyArn=policy["Arn"], VersionId=policy["DefaultVersionId"])["PolicyVersion"]
    assert version["Document"]["Statement"][0]["Action"] == ["s3:PutObject"]
    assert moto.client("logs").describe_log_groups()["logGroups"][0]["retentionInDays"] == 90
    (key,) = names(moto)["keys"]
    assert not moto.client("kms").get_key_rotation_status(KeyId=key)["KeyRotationEnabled"]


def test_the_pipeline_s_storage_stays_as_it_is_declared(engine: Engine, moto: MotoEndpoint) -> None:
    def program(days: int) -> Program:
        def declare() -> None:
            key = DataKey("data", DataKeyArgs(settings=example_settings(), tags={"a": "b"})).arn
            store = ArtifactStoreArgs(
                bucket="artifacts",
                log_bucket="artifacts-logs",
                key_arn=key,
                aws=sandbox_aws(),
                retention=Retention(artifact_days=days),
                disposable=True,
                tags={"a": "b"},
            )
            ArtifactStore("artifacts", store)
            RunTable("runs", RunTableArgs(table="runs", key_arn=key, disposable=True, tags={"a": "b"}))

        return declare

    succeeded(engine.run("up", program(90)))
    assert not operations(succeeded(engine.run("up", program(90), refresh=True)))
    changed = succeeded(engine.run("up", program(30)))
    assert operations(changed) == {"BucketLifecycleConfiguration artifacts": ["update"]}
    succeeded(engine.run("destroy", program(30)))
    assert not names(moto)["buckets"] + names(moto)["tables"]


def test_a_fixed_name_is_freed_before_its_replacement_and_an_automatic_one_is_not(
    engine: Engine, moto: MotoEndpoint
) -> None:
    def program(path: str) -> Program:
        def declare() -> None:
            aws.iam.Role("fixed", name="fixed", path=path, assume_role_policy=TRUST)
            aws.iam.Role("automatic", path=path, assume_role_policy=TRUST)
            watching = pulumi.ResourceOptions(replace_on_changes=["description"], ignore_changes=["tags"])
            aws.iam.Role("watched", description=path, tags={"ignored": path}, assume_role_policy=TRUST, opts=watching)

        return declare

    succeeded(engine.run("up", program("/old/")))
    before = names(moto)["roles"]
    replaced = succeeded(engine.run("up", program("/new/")))

    steps = operations(replaced)
    assert steps["Role fixed"] == ["delete-replaced", "replace", "create-replacement"]
    assert steps["Role automatic"] == ["create-replacement", "replace", "delete-replaced"]
    assert steps["Role watched"] == ["create-replacement", "replace", "delete-replaced"]
    assert replaced.changes["aws:iam/role:Role fixed"] == {"path": "update-replace"}
    assert replaced.changes["aws:iam/role:Role watched"] == {"description": "update-replace"}
    roles = moto.client("iam").list_roles()["Roles"]
    assert sorted(role["Path"] for role in roles) == ["/", "/new/", "/new/"]
    assert len({*before, *names(moto)["roles"]}) == 5, "the automatic names are new ones"
    assert {name.partition("-")[0] for name in names(moto)["roles"]} == {"automatic", "fixed", "watched"}


def test_what_is_there_can_be_imported(engine: Engine, moto: MotoEndpoint) -> None:
    moto.client("s3").create_bucket(Bucket="found")
    moto.client("s3").put_bucket_tagging(Bucket="found", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    moto.client("iam").create_role(RoleName="found", AssumeRolePolicyDocument=TRUST)
    moto.client("logs").create_log_group(logGroupName="found")
    imported = ["found"]

    def program() -> None:
        options = pulumi.ResourceOptions(import_="found")
        aws.s3.Bucket("bucket", bucket="found", tags={"a": "b"}, opts=options)
        aws.iam.Role("role", name="found", assume_role_policy=TRUST, opts=options)
        aws.cloudwatch.LogGroup("logs", name="found", opts=options)

    seen = succeeded(engine.run("up", program))
    assert set(map(tuple, operations(seen).values())) == {("import",)}
    assert seen.state["aws:s3/bucket:Bucket bucket"]["inputs"]["tags"] == {"a": "b"}
    assert seen.state["aws:iam/role:Role role"]["outputs"]["arn"] == "arn:aws:iam::123456789012:role/found"
    assert not operations(succeeded(engine.run("up", program)))
    assert names(moto)["roles"] == imported

    def other() -> None:
        aws.s3.Bucket("missing", bucket="missing", opts=pulumi.ResourceOptions(import_="missing"))

    assert "does not exist" in " ".join(engine.run("up", other).errors)


def test_refresh_sees_what_went_and_what_changed_outside(engine: Engine, moto: MotoEndpoint) -> None:
    def program() -> None:
        aws.s3.Bucket("gone", bucket="gone")
        aws.s3.Bucket("changed", bucket="changed", tags={"team": "ours"})
        aws.cloudwatch.LogGroup("logs", name="logs", retention_in_days=7)

    succeeded(engine.run("up", program))
    moto.client("s3").delete_bucket(Bucket="gone")
    theirs = {"TagSet": [{"Key": "team", "Value": "theirs"}]}
    moto.client("s3").put_bucket_tagging(Bucket="changed", Tagging=theirs)
    moto.client("logs").put_retention_policy(logGroupName="logs", retentionInDays=1)

    refreshed = succeeded(engine.run("refresh", program))
    assert "aws:s3/bucket:Bucket gone" not in refreshed.state
    assert refreshed.state["aws:s3/bucket:Bucket changed"]["outputs"]["tags"] == {"team": "theirs"}

    corrected = succeeded(engine.run("up", program))
    expected = {"Bucket gone": ["create"], "Bucket changed": ["update"], "LogGroup logs": ["update"]}
    assert operations(corrected) == expected
    assert moto.client("s3").get_bucket_tagging(Bucket="changed")["TagSet"] == [{"Key": "team", "Value": "ours"}]


def test_a_failure_keeps_what_was_done_and_the_next_update_goes_on(engine: Engine, moto: MotoEndpoint) -> None:
    def program(key: str, trust: str) -> Program:
        def declare() -> None:
            aws.s3.Bucket("bucket", bucket="half", tags={key: "x"})
            aws.iam.Role("role", name="role", assume_role_policy=trust)

        return declare

    # AWS reserves tags that begin with `aws:`, so the bucket is made and its tagging is refused.
    failed = engine.run("up", program("aws:team", TRUST))
    assert any("InvalidTag" in error for error in failed.errors)
    kept = failed.state["aws:s3/bucket:Bucket bucket"]
    assert (kept["id"], kept["failures"]) == ("half", 1)
    assert kept["outputs"]["arn"] == "arn:aws:s3:::half"

    healed = succeeded(engine.run("up", program("team", TRUST)))
    assert operations(healed) == {"Bucket bucket": ["update"]}
    assert healed.state["aws:s3/bucket:Bucket bucket"]["failures"] == 0
    assert moto.client("s3").get_bucket_tagging(Bucket="half")["TagSet"] == [{"Key": "team", "Value": "x"}]

    refused = engine.run("up", program("team", '{"Version": "2012-10-17", "Statement": "none"}'))
    assert any("MalformedPolicyDocument" in error for error in refused.errors)
    assert refused.state["aws:iam/role:Role role"]["outputs"]["assumeRolePolicy"] == TRUST
    succeeded(engine.run("up", program("team", TRUST)))
    succeeded(engine.run("destroy", program("team", TRUST)))
    assert not any(names(moto).values())


def test_what_cannot_be_done_is_refused_before_anything_is(engine: Engine, moto: MotoEndpoint) -> None:
    def unknown() -> None:
        aws.s3.Bucket("bucket")
        aws.sns.Topic("topic")

    (error,) = {error for error in engine.run("preview", unknown).errors if "Topic" in error}
    assert "aws:sns/topic:Topic" in error
    assert "aws:s3/bucket:Bucket" in error, "the known types are named"

    def unsupported() -> None:
        aws.s3.Bucket("bucket", acceleration_status="Enabled")

    assert any("accelerationStatus" in error for error in engine.run("up", unsupported).errors)

    def function() -> None:
        pulumi.export("account", aws.get_billing_service_account().arn)

    assert any("getBillingServiceAccount" in error for error in engine.run("preview", function).errors)
    assert not any(names(moto).values())


def test_secrets_stay_secret(engine: Engine, tmp_path: Path) -> None:
    def program() -> None:
        bucket = aws.s3.Bucket("bucket", tags={"token": pulumi.Output.secret("hunter2"), "open": "yes"})
        pulumi.export("tags", bucket.tags)

    seen = succeeded(engine.run("up", program))
    state = seen.state["aws:s3/bucket:Bucket bucket"]
    for properties in (state["inputs"], state["outputs"]):
        assert "secret" in properties["tags"]["token"]
        assert properties["tags"]["open"] == "yes"
    exported = (tmp_path / "state" / ".pulumi" / "stacks" / "aws" / "test.json").read_text()
    assert SECRET_KEY in exported
    assert "hunter2" not in exported


def test_a_bucket_with_objects_goes_only_when_forced(engine: Engine, moto: MotoEndpoint) -> None:
    def program(force: bool) -> Program:
        def declare() -> None:
            bucket = aws.s3.Bucket("bucket", bucket="full", force_destroy=force)
            aws.s3.BucketVersioning("versions", bucket=bucket.id, versioning_configuration={"status": "Enabled"})

        return declare

    succeeded(engine.run("up", program(force=False)))
    s3 = moto.client("s3")
    for body in (b"one", b"two"):
        s3.put_object(Bucket="full", Key="a b", Body=body)
    s3.delete_object(Bucket="full", Key="a b")

    refused = engine.run("destroy", program(force=False))
    assert any("still has objects" in error and "forceDestroy" in error for error in refused.errors)
    assert "aws:s3/bucket:Bucket bucket" in refused.state

    succeeded(engine.run("up", program(force=True)))
    succeeded(engine.run("destroy", program(force=True)))
    with pytest.raises(ClientError):
        s3.head_bucket(Bucket="full")


def test_providers_of_one_program_keep_their_regions_accounts_and_tags_apart(
    engine: Engine, moto: MotoEndpoint
) -> None:
    other = "222222222222"

    def program(cost: str) -> Program:
        def declare() -> None:
            tags = aws.ProviderDefaultTagsArgs(tags={"cost": cost})
            ireland = aws.Provider("ireland", region="eu-west-1", default_tags=tags)
            role = aws.ProviderAssumeRoleArgs(role_arn=f"arn:aws:iam::{other}:role/deployer")
            away = aws.Provider("away", region="eu-west-1", assume_roles=[role])
            aws.s3.Bucket("here", bucket="here")
            aws.s3.Bucket("there", bucket="there", tags={"a": "b"}, opts=pulumi.ResourceOptions(provider=ireland))
            aws.cloudwatch.LogGroup("logs", name="logs", region="us-west-2")
            table = aws.dynamodb.Table(
                "table",
                hash_key="id",
                attributes=[{"name": "id", "type": "S"}],
                opts=pulumi.ResourceOptions(provider=away),
            )
            pulumi.export("table", table.arn)
            account = aws.get_caller_identity(opts=pulumi.InvokeOptions(provider=away)).account_id
            pulumi.export("account", account)

        return declare

    seen = succeeded(engine.run("up", program("one")))
    assert seen.outputs["account"] == other
    assert seen.outputs["table"].startswith(f"arn:aws:dynamodb:eu-west-1:{other}:table/table-")
    s3 = moto.client("s3")
    assert not s3.get_bucket_location(Bucket="here")["LocationConstraint"]
    assert s3.get_bucket_location(Bucket="there")["LocationConstraint"] == "eu-west-1"
    assert not moto.client("logs").describe_log_groups()["logGroups"]
    assert moto.client("logs", "us-west-2").describe_log_groups()["logGroups"]
    tags = {tag["Key"]: tag["Value"] for tag in s3.get_bucket_tagging(Bucket="there")["TagSet"]}
    assert tags == {"a": "b", "cost": "one"}

    changed = succeeded(engine.run("up", program("two")))
    assert operations(changed) == {"Bucket there": ["update"]}
    succeeded(engine.run("destroy", program("two")))
    assert not names(moto)["buckets"]
