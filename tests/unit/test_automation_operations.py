"""The parts of an operation that need AWS or git, with the AWS stand-in and real repositories."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aphex.errors import AphexError, UsageError
from aphex.loader import parse_cluster_config
from aphex.process import run
from automation.access import AwsAccess
from automation.cluster import cluster_home, cluster_outputs, home_of
from automation.console import Terminal
from automation.context_target import account_secrets
from automation.demo import push_example
from automation.destroy import plan_removal
from automation.eks_target import named_home, newest_image
from automation.guard import GUARDED, release_on_aws
from automation.stack import StackMissing
from automation.state_bucket import empty_bucket, ensure_state_bucket, stacks
from automation.state_key import ensure_state_key
from sandbox.git_host import Repository
from tests.support.moto_endpoint import KEYS, REGION, MotoEndpoint, moto_endpoint

MEDIA_TYPE = "application/vnd.docker.distribution.manifest.v2+json"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[MotoEndpoint]:
    with moto_endpoint() as running:
        yield running


@pytest.fixture
def aws(endpoint: MotoEndpoint) -> AwsAccess:
    endpoint.reset()
    return AwsAccess(region=REGION, endpoint=endpoint.url, static_keys=KEYS)


def test_the_state_bucket_is_made_once_private_versioned_and_encrypted(aws: AwsAccess) -> None:
    assert ensure_state_bucket(aws, "the-state") is True
    assert ensure_state_bucket(aws, "the-state") is False
    s3 = aws.client("s3")
    assert s3.get_bucket_versioning(Bucket="the-state")["Status"] == "Enabled"
    assert all(s3.get_public_access_block(Bucket="the-state")["PublicAccessBlockConfiguration"].values())
    rule = s3.get_bucket_encryption(Bucket="the-state")["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    statements = json.loads(s3.get_bucket_policy(Bucket="the-state")["Policy"])["Statement"]
    assert {statement["Effect"] for statement in statements} == {"Deny"}
    assert [statement["Condition"] for statement in statements] == [
        {"Bool": {"aws:SecureTransport": "false"}},
        {"NumericLessThan": {"s3:TlsVersion": "1.2"}},
    ]


def test_the_state_s_key_is_made_once_and_rotates(aws: AwsAccess) -> None:
    assert ensure_state_key(aws) is True
    assert ensure_state_key(aws) is False
    kms = aws.client("kms")
    [alias] = [each for each in kms.list_aliases()["Aliases"] if each["AliasName"] == "alias/aphex-state"]
    assert kms.get_key_rotation_status(KeyId=alias["TargetKeyId"])["KeyRotationEnabled"] is True
    kms.schedule_key_deletion(KeyId=alias["TargetKeyId"])
    with pytest.raises(AphexError, match="is PendingDeletion"):
        ensure_state_key(aws)


def test_a_state_bucket_outside_the_first_region_is_made_there(endpoint: MotoEndpoint) -> None:
    access = AwsAccess(region="eu-west-1", endpoint=endpoint.url, static_keys=KEYS)
    ensure_state_bucket(access, "the-state-in-ireland")
    place = access.client("s3").get_bucket_location(Bucket="the-state-in-ireland")
    assert place["LocationConstraint"] == "eu-west-1"


def test_a_bucket_is_emptied_of_every_version_and_deletion(aws: AwsAccess) -> None:
    ensure_state_bucket(aws, "the-state")
    s3 = aws.client("s3")
    for body in (b"1", b"2"):
        s3.put_object(Bucket="the-state", Key=".pulumi/stacks/aphex/pipeline-shop.json", Body=body)
    assert stacks(aws, "the-state") == ["pipeline-shop"]
    s3.delete_object(Bucket="the-state", Key=".pulumi/stacks/aphex/pipeline-shop.json")
    assert stacks(aws, "the-state") == []
    assert empty_bucket(aws, "the-state") == 3
    s3.delete_bucket(Bucket="the-state")


def test_a_bucket_with_more_than_a_page_of_versions_is_emptied(aws: AwsAccess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("automation.state_bucket._PAGE", 4)
    ensure_state_bucket(aws, "the-state")
    s3 = aws.client("s3")
    for number in range(22):
        s3.put_object(Bucket="the-state", Key=f"history/{number % 9}.json", Body=b"x")
    s3.delete_object(Bucket="the-state", Key="history/0.json")
    assert empty_bucket(aws, "the-state") == 23
    s3.delete_bucket(Bucket="the-state")


def test_a_pipeline_s_secrets_are_made_once_and_kept_encrypted(aws: AwsAccess) -> None:
    with pytest.raises(AphexError, match="no pipeline shop"):
        account_secrets(aws, "shop", create=False)
    made = account_secrets(aws, "shop", create=True)
    assert account_secrets(aws, "shop", create=False).revealed() == made.revealed()
    assert len(made.webhook_secret.get_secret_value()) == 64
    stored = aws.client("ssm").get_parameter(Name="/aphex/shop/secrets")["Parameter"]
    assert stored["Type"] == "SecureString"
    assert account_secrets(aws, "store", create=True).revealed() != made.revealed()


def deployment(*kinds: str) -> dict[str, Any]:
    urn = "urn:pulumi:pipeline-shop::aphex::"
    found = [{"type": kind, "urn": f"{urn}{kind}::it", "custom": True, "id": f"id-{kind}"} for kind in kinds]
    component = {"type": "aphex:Pipeline", "urn": f"{urn}aphex:Pipeline::shop", "custom": False}
    return {"resources": [component, *found]}


KINDS = (
    "aws:s3/bucket:Bucket",
    "aws:s3/bucketPolicy:BucketPolicy",
    "aws:dynamodb/table:Table",
    "aws:kms/key:Key",
    "aws:kms/alias:Alias",
    "aws:iam/role:Role",
    "kubernetes:core/v1:Namespace",
    "pulumi:providers:aws",
)


def test_data_and_what_guards_it_stay_unless_their_removal_was_asked_for() -> None:
    plan = plan_removal(deployment(*KINDS), delete_data=False)
    assert [change.type for change in plan.removed] == ["aws:iam/role:Role", "kubernetes:core/v1:Namespace"]
    assert [change.type for change in plan.kept] == list(KINDS[:5])
    assert plan.guarded == ()


def test_everything_goes_when_that_was_asked_for() -> None:
    plan = plan_removal(deployment(*KINDS), delete_data=True)
    assert [change.type for change in plan.removed] == list(KINDS[:7])
    assert plan.kept == ()
    assert plan.guarded == tuple((kind, f"id-{kind}") for kind in (KINDS[0], KINDS[2]))


def test_what_kept_data_needs_is_kept_and_protection_is_lifted_from_what_goes() -> None:
    state = deployment(*KINDS)
    role, table = state["resources"][6], state["resources"][3]
    table["dependencies"] = [role["urn"]]
    state["resources"][7]["protect"] = True
    plan = plan_removal(state, delete_data=False)
    assert [change.type for change in plan.removed] == ["kubernetes:core/v1:Namespace"]
    assert plan.protected == (plan.removed[0].urn,)


def test_what_aws_guards_is_released_and_what_is_gone_does_not_matter(aws: AwsAccess) -> None:
    home = cluster_home("main", "123456789012", REGION, aws)
    ecr, dynamodb = aws.client("ecr"), aws.client("dynamodb")
    ecr.create_repository(repositoryName="aphex-main/builder")
    for number in range(3):
        manifest = {
            "schemaVersion": 2,
            "mediaType": MEDIA_TYPE,
            "config": {"digest": f"sha256:{number:064d}"},
            "layers": [],
        }
        ecr.put_image(repositoryName="aphex-main/builder", imageManifest=json.dumps(manifest), imageTag=f"v{number}")
    dynamodb.create_table(
        TableName="runs",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        DeletionProtectionEnabled=True,
    )
    for _again in range(2):
        release_on_aws(home, "aws:ecr/repository:Repository", "aphex-main/builder")
        release_on_aws(home, "aws:dynamodb/table:Table", "runs")
    assert ecr.list_images(repositoryName="aphex-main/builder")["imageIds"] == []
    assert dynamodb.describe_table(TableName="runs")["Table"]["DeletionProtectionEnabled"] is False
    for kind in GUARDED:
        release_on_aws(home, kind, "nothing-of-that-name")


def test_the_newest_image_is_taken_by_its_digest(aws: AwsAccess) -> None:
    ecr = aws.client("ecr")
    address = ecr.create_repository(repositoryName="aphex-main/builder")["repository"]["repositoryUri"]
    with pytest.raises(AphexError, match="no image in") as none:
        newest_image(aws, address)
    registry = address.removesuffix("/builder")
    assert f"python -m automation images push --registry {registry}." in none.value.hint
    manifest = {"schemaVersion": 2, "mediaType": MEDIA_TYPE, "config": {"digest": f"sha256:{1:064d}"}, "layers": []}
    pushed = ecr.put_image(repositoryName="aphex-main/builder", imageManifest=json.dumps(manifest), imageTag="v1")
    assert newest_image(aws, address) == f"{address}@{pushed['image']['imageId']['imageDigest']}"


def test_a_cluster_is_looked_for_in_the_caller_s_account(
    endpoint: MotoEndpoint, aws: AwsAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = {"AWS_ENDPOINT_URL": endpoint.url, "AWS_ACCESS_KEY_ID": KEYS[0], "AWS_SECRET_ACCESS_KEY": KEYS[1]}
    for name, value in {**caller, "AWS_DEFAULT_REGION": REGION, "AWS_EC2_METADATA_DISABLED": "true"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=f"no cluster stack in account 123456789012, {REGION}") as none:
        named_home("")
    assert none.value.hint == "`python -m automation cluster up` makes one from aphex-cluster.yaml."
    other = f"""{{version: "1.0", name: main, region: {REGION}, account: "999999999999", api: {{access: private}},
        ui: {{reach: port-forward}}}}"""
    with pytest.raises(UsageError, match="belongs to account 999999999999, but your credentials are for 123456789012"):
        home_of(parse_cluster_config(other))

    bucket = f"aphex-state-123456789012-{REGION}"
    ensure_state_bucket(aws, bucket)
    s3 = aws.client("s3")
    for name in ("cluster-main", "cluster-two", "pipeline-shop"):
        s3.put_object(Bucket=bucket, Key=f".pulumi/stacks/aphex/{name}.json", Body=b"{}")
    with pytest.raises(UsageError, match=f"several clusters in {REGION}: main, two"):
        named_home("")
    assert named_home("two").name == "cluster-two"
    s3.delete_object(Bucket=bucket, Key=".pulumi/stacks/aphex/cluster-two.json")
    assert named_home("").owner == "main"
    with pytest.raises(StackMissing, match='no cluster "three"'):
        cluster_outputs(named_home("three"))


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    path = tmp_path / "shop.git"
    run(["git", "init", "--quiet", "--bare", "--initial-branch=main", path])
    return Repository(path=path, full_name="aphex/shop", clone_url="http://git/aphex/shop.git")


def test_the_example_is_pushed_whole_once_and_again_when_it_changed(tmp_path: Path, repository: Repository) -> None:
    example = tmp_path / "example"
    (example / "src").mkdir(parents=True)
    (example / "src" / "app.py").write_text("print(1)\n")
    (example / "old.txt").write_text("old\n")
    (example / "cdk.out").mkdir()
    (example / "cdk.out" / "manifest.json").write_text("{}")
    first = push_example(example, repository, "main", Terminal())
    assert first.changed
    assert repository.git("ls-tree", "-r", "--name-only", "main").split() == ["old.txt", "src/app.py"]
    again = push_example(example, repository, "main", Terminal())
    assert (again.commit, again.changed) == (first.commit, False)
    (example / "old.txt").unlink()
    (example / "src" / "app.py").write_text("print(2)\n")
    changed = push_example(example, repository, "main", Terminal())
    assert repository.git("ls-tree", "-r", "--name-only", "main").split() == ["src/app.py"]
    assert repository.git("rev-list", "--count", "main").strip() == "2"
    assert changed.commit == repository.git("rev-parse", "main").strip()


def test_a_json_result_is_alone_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal(json_output=True)
    terminal.say("under way")
    terminal.show("for a person")
    with terminal.step("Thinking"):
        terminal.warn("careful")
    terminal.result({"changed": True})
    output = capsys.readouterr()
    assert json.loads(output.out) == {"changed": True}
    assert "under way" in output.err
    assert "\x1b" not in output.err


class EcrWithIndexes:
    """Answers as ECR does for images of several platforms, which the AWS stand-in takes for unrelated ones.

    Attributes:
        images: what each image's index has of others, by digest.
        stuck: digests that are refused whatever there is.
    """

    def __init__(self, images: dict[str, set[str]], stuck: frozenset[str] = frozenset()) -> None:
        self.images, self.stuck = images, stuck

    def get_paginator(self, _operation: str) -> EcrWithIndexes:
        return self

    def paginate(self, **_repository: str) -> list[dict[str, Any]]:
        return [{"imageIds": [{"imageDigest": digest} for digest in self.images]}]

    def batch_delete_image(self, *, imageIds: list[dict[str, str]], **_repository: str) -> dict[str, Any]:  # noqa: N803
        failures = []
        for each in imageIds:
            digest = each["imageDigest"]
            if digest in self.stuck or any(digest in parts for parts in self.images.values()):
                failures.append({"imageId": each, "failureCode": "ImageReferencedByManifestList"})
            else:
                del self.images[digest]
        return {"failures": failures}


def test_images_of_several_platforms_go_after_the_indexes_that_have_them(monkeypatch: pytest.MonkeyPatch) -> None:
    home = cluster_home("main", "123456789012", REGION, AwsAccess(region=REGION))
    ecr = EcrWithIndexes({"sha256:a": set(), "sha256:b": set(), "sha256:c": {"sha256:a", "sha256:b"}})
    monkeypatch.setattr(AwsAccess, "client", lambda _access, _service: ecr)
    release_on_aws(home, "aws:ecr/repository:Repository", "aphex-main/aphex-builder")
    assert ecr.images == {}
    ecr.images, ecr.stuck = {"sha256:d": set()}, frozenset({"sha256:d"})
    with pytest.raises(AphexError, match="1 images of aphex-main/aphex-builder could not be deleted: ImageReferenced"):
        release_on_aws(home, "aws:ecr/repository:Repository", "aphex-main/aphex-builder")
