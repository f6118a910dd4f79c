"""The AWS stand-in: accounts kept apart, and CloudFormation as the CDK CLI needs it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.request import urlopen

import boto3
import pytest
from botocore.exceptions import ClientError

from sandbox.aws import HEALTH_PATH
from sandbox.aws.patches import PATCHES
from sandbox.aws.patches.template_url import bucket_and_key
from tests.support.aws_stand_in import ACCOUNT, AwsStandIn, aws_stand_in

TABLE = {
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
    "BillingMode": "PAY_PER_REQUEST",
}


@pytest.fixture(scope="module")
def aws() -> Iterator[AwsStandIn]:
    with aws_stand_in() as started:
        yield started


class Stacks:
    """CloudFormation as the CDK CLI uses it, with its one name for all change sets."""

    def __init__(self, aws: AwsStandIn) -> None:
        # An account a test, so that no test sees another's stacks.
        self.session = aws.session(f"{uuid.uuid4().int % 10**12:012d}")
        self.aws = aws
        self.client = aws.client("cloudformation", self.session)

    def service(self, name: str) -> Any:
        return self.aws.client(name, self.session)

    def propose(self, stack: str, template: dict[str, Any], kind: str = "CREATE", **more: Any) -> None:
        self.client.create_change_set(
            StackName=stack,
            ChangeSetName="cdk-deploy-change-set",
            ChangeSetType=kind,
            TemplateBody=json.dumps(template),
            **more,
        )

    def execute(self, stack: str) -> dict[str, Any]:
        self.client.execute_change_set(StackName=stack, ChangeSetName="cdk-deploy-change-set")
        return self.describe(stack)

    def deploy(self, stack: str, template: dict[str, Any], kind: str = "CREATE", **more: Any) -> dict[str, Any]:
        self.propose(stack, template, kind, **more)
        return self.execute(stack)

    def describe(self, stack: str) -> dict[str, Any]:
        described: dict[str, Any] = self.client.describe_stacks(StackName=stack)["Stacks"][0]
        return described

    def outputs(self, stack: str) -> dict[str, str]:
        return {each["OutputKey"]: each["OutputValue"] for each in self.describe(stack).get("Outputs", [])}

    def events(self, stack: str) -> list[tuple[str, str, str]]:
        told = self.client.describe_stack_events(StackName=stack)["StackEvents"]
        return [(e["LogicalResourceId"], e["ResourceStatus"], e.get("ResourceStatusReason", "")) for e in told]


@pytest.fixture
def stacks(aws: AwsStandIn) -> Stacks:
    return Stacks(aws)


def template(resources: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"Resources": resources, **more}


def exporting(name: str, value: Any) -> dict[str, Any]:
    return {"Outputs": {"Value": {"Value": value, "Export": {"Name": name}}}}


QUEUE = {"Type": "AWS::SQS::Queue"}
IMPOSSIBLE = {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": {"Fn::ImportValue": "nowhere"}}}


def test_health_names_the_patches(aws: AwsStandIn) -> None:
    with urlopen(aws.endpoint + HEALTH_PATH) as answer:
        assert answer.read().decode().split() == ["ok", *(patch.name for patch in PATCHES)]


def test_every_patch_says_what_it_mends_and_where_that_can_be_read() -> None:
    assert len({patch.name for patch in PATCHES}) == len(PATCHES)
    for patch in PATCHES:
        assert patch.cause
        assert patch.link.startswith("https://github.com/getmoto/moto/")


def test_credentials_of_a_role_are_those_of_its_account(aws: AwsStandIn) -> None:
    accounts = {name: aws.session(name) for name in ("222222222222", "333333333333")}
    for name, session in accounts.items():
        identity = aws.client("sts", session).get_caller_identity()
        assert identity["Account"] == name
        assert identity["Arn"] == f"arn:aws:sts::{name}:assumed-role/tester/test"
        table = aws.client("dynamodb", session).create_table(TableName="same", **TABLE)["TableDescription"]
        assert table["TableArn"] == f"arn:aws:dynamodb:us-east-1:{name}:table/same"
    assert aws.client("dynamodb").list_tables()["TableNames"] == []
    assert aws.client("sts").get_caller_identity()["Account"] == ACCOUNT


def test_a_service_account_token_is_exchanged_for_credentials_of_the_roles_account(aws: AwsStandIn) -> None:
    given = aws.client("sts").assume_role_with_web_identity(
        RoleArn="arn:aws:iam::444444444444:role/pod", RoleSessionName="pod", WebIdentityToken="header.payload.signature"
    )["Credentials"]
    session = boto3.Session(
        given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"], region_name="eu-west-1"
    )
    assert aws.client("sts", session).get_caller_identity()["Account"] == "444444444444"


def test_concurrent_updates_of_an_item_are_all_counted(aws: AwsStandIn) -> None:
    client = aws.client("dynamodb", aws.session("555555555555"))
    client.create_table(TableName="count", **TABLE)

    def add(_: int) -> None:
        client.update_item(
            TableName="count",
            Key={"id": {"S": "x"}},
            UpdateExpression="ADD n :one",
            ExpressionAttributeValues={":one": {"N": "1"}},
        )

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(80)))
    assert client.get_item(TableName="count", Key={"id": {"S": "x"}})["Item"]["n"] == {"N": "80"}


@pytest.mark.parametrize(
    "url",
    [
        "http://10.1.2.3:5000/assets/some/key.json",
        "http://aws-localhost:5000/assets/some/key.json",
        "https://s3.eu-west-1.amazonaws.com/assets/some/key.json",
        "https://assets.s3.eu-west-1.amazonaws.com/some/key.json",
        "http://assets.aws.internal:5000/some/key.json",
    ],
)
def test_a_template_is_found_whatever_the_endpoint_is_called(url: str) -> None:
    assert bucket_and_key(url, {"assets", "other"}) == ("assets", "some/key.json")


def test_a_stack_is_made_from_a_template_in_s3(stacks: Stacks) -> None:
    s3, bucket = stacks.service("s3"), f"assets-{uuid.uuid4().hex}"
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="a b.json", Body=json.dumps(template({"Queue": QUEUE})))
    stacks.client.create_stack(StackName="one", TemplateURL=f"{stacks.aws.endpoint}/{bucket}/a%20b.json")
    assert stacks.describe("one")["StackStatus"] == "CREATE_COMPLETE"
    with pytest.raises(ClientError, match="key does not exist"):
        stacks.client.create_stack(StackName="two", TemplateURL=f"{stacks.aws.endpoint}/{bucket}/none.json")


def test_a_change_set_gives_outputs_and_exports(stacks: Stacks) -> None:
    made = stacks.deploy("data", template({"Queue": QUEUE}, **exporting("queue", {"Ref": "Queue"})))
    assert made["StackStatus"] == "CREATE_COMPLETE"
    url = stacks.service("sqs").list_queues()["QueueUrls"][0]
    assert stacks.outputs("data")["Value"].rsplit("/", 1)[1] == url.rsplit("/", 1)[1]
    reading = {"Type": "AWS::SSM::Parameter", "Properties": {"Name": "/q", "Type": "String"}}
    reading["Properties"] |= {"Value": {"Fn::ImportValue": "queue"}}  # type: ignore[operator]
    assert stacks.deploy("service", template({"Parameter": reading}))["StackStatus"] == "CREATE_COMPLETE"
    value = stacks.service("ssm").get_parameter(Name="/q")["Parameter"]["Value"]
    assert value == stacks.outputs("data")["Value"]


@pytest.mark.parametrize("method", ["change-set", "direct"])
def test_an_update_changes_outputs_and_exports(stacks: Stacks, method: str) -> None:
    first = template({"Queue": QUEUE}, **exporting("old", "1"))
    second = template({"Queue": QUEUE, "Other": QUEUE}, **exporting("new", {"Fn::GetAtt": ["Other", "Arn"]}))
    if method == "direct":
        stacks.client.create_stack(StackName="data", TemplateBody=json.dumps(first))
        stacks.client.update_stack(StackName="data", TemplateBody=json.dumps(second))
    else:
        stacks.deploy("data", first)
        stacks.deploy("data", second, "UPDATE")
    assert stacks.describe("data")["StackStatus"] == "UPDATE_COMPLETE"
    (export,) = stacks.client.list_exports()["Exports"]
    assert (export["Name"], export["Value"]) == ("new", stacks.outputs("data")["Value"])


def test_an_update_without_a_change_is_told_so(stacks: Stacks) -> None:
    same = template({"Queue": QUEUE})
    stacks.deploy("data", same)
    stacks.propose("data", same, "UPDATE")
    described = stacks.client.describe_change_set(StackName="data", ChangeSetName="cdk-deploy-change-set")
    assert described["Status"] == "FAILED"
    assert "didn't contain changes" in described["StatusReason"]


def test_change_sets_of_one_name_belong_to_their_stacks(stacks: Stacks) -> None:
    stacks.propose("one", template({"First": QUEUE}))
    stacks.propose("two", template({"Second": QUEUE}))
    stacks.client.delete_change_set(StackName="two", ChangeSetName="cdk-deploy-change-set")
    stacks.execute("one")
    (resource,) = stacks.client.list_stack_resources(StackName="one")["StackResourceSummaries"]
    assert resource["LogicalResourceId"] == "First"
    with pytest.raises(ClientError, match="ChangeSetNotFound"):
        stacks.execute("two")


def test_a_stack_under_review_is_begun_again(stacks: Stacks) -> None:
    stacks.propose("data", template({"First": QUEUE}))
    stacks.deploy("data", template({"Second": QUEUE}))
    assert [s["StackStatus"] for s in stacks.client.describe_stacks()["Stacks"]] == ["CREATE_COMPLETE"]
    with pytest.raises(ClientError, match="already exists"):
        stacks.propose("data", template({"Third": QUEUE}))


@pytest.mark.parametrize("method", ["change-set", "direct"])
def test_a_failed_stack_is_rolled_back_and_says_why(stacks: Stacks, method: str) -> None:
    broken = template({"Queue": QUEUE, "Broken": IMPOSSIBLE | {"DependsOn": "Queue"}})
    if method == "direct":
        stacks.client.create_stack(StackName="data", TemplateBody=json.dumps(broken))
    else:
        stacks.deploy("data", broken)
    assert stacks.describe("data")["StackStatus"] == "ROLLBACK_COMPLETE"
    assert ("Broken", "CREATE_FAILED", "No export named nowhere found.") in stacks.events("data")
    assert stacks.service("sqs").list_queues().get("QueueUrls", []) == []
    stacks.client.delete_stack(StackName="data")
    assert stacks.deploy("data", template({"Queue": QUEUE}))["StackStatus"] == "CREATE_COMPLETE"


def test_a_failed_update_puts_the_former_stack_back(stacks: Stacks) -> None:
    first = template({"Queue": QUEUE}, **exporting("queue", {"Ref": "Queue"}))
    stacks.deploy("data", first)
    before = stacks.outputs("data")
    broken = template({"Queue": QUEUE, "Broken": IMPOSSIBLE}, **exporting("other", "1"))
    assert stacks.deploy("data", broken, "UPDATE")["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert stacks.outputs("data") == before
    assert [export["Name"] for export in stacks.client.list_exports()["Exports"]] == ["queue"]


def test_looking_at_a_deleted_stack_makes_nothing(stacks: Stacks) -> None:
    identifier = stacks.deploy("data", template({"Queue": QUEUE}, **exporting("queue", {"Ref": "Queue"})))["StackId"]
    stacks.client.delete_stack(StackName="data")
    assert stacks.describe(identifier)["StackStatus"] == "DELETE_COMPLETE"
    assert stacks.service("sqs").list_queues().get("QueueUrls", []) == []
    assert stacks.client.list_exports()["Exports"] == []


def test_a_parameter_that_names_an_ssm_parameter_keeps_its_name_in_an_update(stacks: Stacks) -> None:
    stacks.service("ssm").put_parameter(Name="/version", Value="30", Type="String")
    slot = {"Version": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/version"}}
    outputs = {"Outputs": {"Version": {"Value": {"Ref": "Version"}}}}
    stacks.deploy("data", template({"Queue": QUEUE}, Parameters=slot, **outputs))
    previous = [{"ParameterKey": "Version", "UsePreviousValue": True}]
    changed = template({"Queue": QUEUE, "Other": QUEUE}, Parameters=slot, **outputs)
    assert stacks.deploy("data", changed, "UPDATE", Parameters=previous)["StackStatus"] == "UPDATE_COMPLETE"
    assert stacks.outputs("data") == {"Version": "30"}


def test_a_custom_resource_does_not_hold_its_stack_up(stacks: Stacks) -> None:
    custom = {"Type": "Custom::Thing", "Properties": {"ServiceToken": "arn:aws:lambda:us-east-1:1:function:f"}}
    assert stacks.deploy("data", template({"Thing": custom}))["StackStatus"] == "CREATE_COMPLETE"
    changed = template({"Thing": custom, "Queue": QUEUE})
    assert stacks.deploy("data", changed, "UPDATE")["StackStatus"] == "UPDATE_COMPLETE"
    stacks.client.delete_stack(StackName="data")


def test_a_resource_that_is_passed_over_says_so(stacks: Stacks) -> None:
    stacks.deploy("data", template({"Queue": QUEUE, "Odd": {"Type": "AWS::Odd::Thing"}}))
    assert ("Odd", "CREATE_COMPLETE", "Passed over: moto does not know AWS::Odd::Thing.") in stacks.events("data")
    assert ("Queue", "CREATE_COMPLETE", "") in stacks.events("data")


def test_a_bucket_gets_what_its_stack_says(stacks: Stacks) -> None:
    properties = {
        "VersioningConfiguration": {"Status": "Enabled"},
        "PublicAccessBlockConfiguration": {"BlockPublicAcls": True, "RestrictPublicBuckets": True},
        "LifecycleConfiguration": {"Rules": [{"Id": "old", "Status": "Enabled", "ExpirationInDays": 30}]},
        "Tags": [{"Key": "team", "Value": "shop"}],
    }
    bucket = {"Type": "AWS::S3::Bucket", "Properties": properties}
    outputs = {"Outputs": {"Name": {"Value": {"Ref": "Bucket"}}}}
    stacks.deploy("data", template({"Bucket": bucket}, **outputs))
    s3, name = stacks.service("s3"), stacks.outputs("data")["Name"]
    assert s3.get_bucket_versioning(Bucket=name)["Status"] == "Enabled"
    block = s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"]
    assert sorted(key for key, value in block.items() if value) == ["BlockPublicAcls", "RestrictPublicBuckets"]
    (rule,) = s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
    assert (rule["ID"], rule["Expiration"]) == ("old", {"Days": 30})
    del properties["VersioningConfiguration"]
    assert stacks.deploy("data", template({"Bucket": bucket}, **outputs), "UPDATE")["StackStatus"] == "UPDATE_COMPLETE"
    assert s3.get_bucket_versioning(Bucket=name)["Status"] == "Suspended"


@pytest.mark.parametrize(("condition", "readable"), [({"Bool": {"aws:SecureTransport": "false"}}, True), (None, False)])
def test_a_bucket_policy_denies_what_it_says_without_a_condition(
    stacks: Stacks, condition: dict[str, Any] | None, readable: bool
) -> None:
    name = f"data-{uuid.uuid4().hex}"
    statement: dict[str, Any] = {"Effect": "Deny", "Principal": "*", "Action": "s3:*"}
    statement |= {"Resource": [f"arn:aws:s3:::{name}/*"]} | ({"Condition": condition} if condition else {})
    policy = {"Bucket": {"Ref": "Bucket"}, "PolicyDocument": {"Version": "2012-10-17", "Statement": [statement]}}
    resources = {
        "Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": name}},
        "Policy": {"Type": "AWS::S3::BucketPolicy", "Properties": policy},
    }
    stacks.deploy("data", template(resources))
    s3 = stacks.service("s3")
    assert json.loads(s3.get_bucket_policy(Bucket=name)["Policy"])["Statement"] == [statement]
    if readable:
        s3.put_object(Bucket=name, Key="k", Body=b"x")
    else:
        with pytest.raises(ClientError, match="403"):
            s3.put_object(Bucket=name, Key="k", Body=b"x")


def test_a_failed_nested_stack_fails_the_stack_around_it(stacks: Stacks) -> None:
    s3, bucket = stacks.service("s3"), f"assets-{uuid.uuid4().hex}"
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="nested.json", Body=json.dumps(template({"Broken": IMPOSSIBLE})))
    url = {"TemplateURL": f"{stacks.aws.endpoint}/{bucket}/nested.json"}
    stacks.deploy("outer", template({"Nested": {"Type": "AWS::CloudFormation::Stack", "Properties": url}}))
    assert stacks.describe("outer")["StackStatus"] == "ROLLBACK_COMPLETE"
    assert any("Embedded stack" in reason for _, status, reason in stacks.events("outer") if status == "CREATE_FAILED")


def test_an_image_repository_without_a_name_gets_a_valid_one(stacks: Stacks) -> None:
    stacks.deploy("Images", template({"Images": {"Type": "AWS::ECR::Repository"}}))
    (repository,) = stacks.service("ecr").describe_repositories()["repositories"]
    assert repository["repositoryName"].startswith("images-images-")


def test_a_parameter_without_a_name_gets_one(stacks: Stacks) -> None:
    parameter = {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": "1"}}
    outputs = {"Outputs": {"Name": {"Value": {"Ref": "Parameter"}}}}
    stacks.deploy("data", template({"Parameter": parameter}, **outputs))
    parameter["Properties"] = {"Type": "String", "Value": "2"}
    stacks.deploy("data", template({"Parameter": parameter}, **outputs), "UPDATE")
    name = stacks.outputs("data")["Name"]
    assert name.startswith("data-Parameter-")
    assert stacks.service("ssm").get_parameter(Name=name)["Parameter"]["Value"] == "2"


def test_an_action_that_is_missing_is_refused_at_once(aws: AwsStandIn) -> None:
    with pytest.raises(ClientError, match=r"InvalidAction.*does not serve cloudtrail") as refused:
        aws.client("cloudtrail").lookup_events()
    assert refused.value.response["ResponseMetadata"]["RetryAttempts"] == 0


def test_an_object_has_a_checksum_although_none_was_sent(aws: AwsStandIn) -> None:
    s3 = aws.client("s3", aws.session("666666666666"))
    s3.meta.events.register("before-sign.s3.PutObject", _without_checksum)
    s3.create_bucket(Bucket="checked")
    s3.put_object(Bucket="checked", Key="k", Body=b"123456789")
    # The check value of CRC-32 for these nine digits, 0xcbf43926, in base64.
    assert s3.get_object(Bucket="checked", Key="k", ChecksumMode="ENABLED")["ChecksumCRC32"] == "y/Q5Jg=="


def _without_checksum(request: Any, **_: Any) -> None:
    for name in [name for name in request.headers if "checksum" in name.lower()]:
        del request.headers[name]
