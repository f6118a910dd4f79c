"""The bootstrap's steps up to the pipeline, each on the world it is about: an account, a kubeconfig."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aphex_platform.settings import WebhookSettings
from ruamel.yaml import YAML

from aphex.errors import AphexError, UsageError
from aphex.loader import load_cluster_config
from automation import doctor
from automation.bootstrap import command
from automation.bootstrap.context import Account
from automation.bootstrap.runner import StepFailed, carry_out
from automation.bootstrap.step import done, to_do
from automation.bootstrap.steps import cluster, pipeline, prerequisites, state
from automation.console import Terminal
from automation.github.secret import webhook_secret
from automation.images.pins import Pins
from automation.target import Target
from tests.support.aws_stand_in import ACCOUNT, REGION, AwsStandIn, aws_stand_in
from tests.support.bootstrap import (
    BUCKET,
    CLUSTERS,
    CONFIG,
    NAME,
    caller_of,
    context,
    outputs,
    target_of,
)


@pytest.fixture(scope="module")
def aws() -> Iterator[AwsStandIn]:
    with aws_stand_in() as started:
        yield started


@pytest.fixture
def account(aws: AwsStandIn) -> Iterator[AwsStandIn]:
    with caller_of(aws) as caller:
        yield caller


# The state.


def guards(**changes: Any) -> state.BucketFacts:
    values: dict[str, Any] = {"versioning": True, "encryption": "aws:kms", "private": True, "tls_only": True}
    return state.BucketFacts(**(values | changes))


@pytest.mark.parametrize(
    ("facts", "lacks"),
    [
        (guards(), []),
        (guards(versioning=False), ["versioning"]),
        (guards(encryption="AES256"), ["encryption by KMS (it has AES256)"]),
        (guards(encryption=""), ["encryption by KMS (it has none)"]),
        (
            guards(private=False, tls_only=False),
            [
                "the block of public access",
                "a policy that denies requests without TLS",
            ],
        ),
    ],
)
def test_a_state_bucket_lacks_what_does_not_guard_it(facts: state.BucketFacts, lacks: list[str]) -> None:
    assert state.missing(facts) == lacks


def test_a_bucket_that_was_left_half_made_is_completed_and_keeps_what_it_holds(
    account: AwsStandIn, tmp_path: Path
) -> None:
    s3 = account.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key=".pulumi/meta.yaml", Body=b"version: 1")
    step = state.StateStep(context=context(tmp_path))
    assert step.check().why.startswith(f"the bucket {BUCKET} lacks versioning, encryption by KMS")
    carry_out([step], Terminal())
    assert state.read_bucket(step.context.aws(), BUCKET) == guards()
    assert state.state_of_key(step.context.aws()) == "Enabled"
    assert s3.get_object(Bucket=BUCKET, Key=".pulumi/meta.yaml")["Body"].read() == b"version: 1"
    (again,) = carry_out([step], Terminal())
    assert (again.changed, again.finding.details) == (False, (state.LOCKING,))
    s3.delete_bucket_policy(Bucket=BUCKET)
    assert step.check().why == f"the bucket {BUCKET} lacks a policy that denies requests without TLS"
    carry_out([step], Terminal())


@pytest.mark.parametrize(
    ("statement", "denies"),
    [
        ({"Effect": "Deny", "Principal": "*", "Action": "s3:*"}, True),
        ({"Effect": "Deny", "Principal": {"AWS": "*"}, "Action": ["s3:*"]}, True),
        ({"Effect": "Allow", "Principal": "*", "Action": "s3:*"}, False),
        ({"Effect": "Deny", "Principal": {"AWS": "arn:aws:iam::1:root"}, "Action": "s3:*"}, False),
        ({"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject"}, False),
    ],
)
def test_only_a_policy_that_denies_everybody_everything_counts(statement: dict[str, Any], denies: bool) -> None:
    condition = {"Condition": {"Bool": {"aws:SecureTransport": "false"}}}
    assert state.denies_plain_http({"Statement": [statement | condition]}) is denies
    assert state.denies_plain_http({"Statement": [statement]}) is False


# Prerequisites.


def test_all_that_is_missing_is_told_at_once() -> None:
    found = prerequisites.judged(
        [
            prerequisites.repository(None),
            prerequisites.region("ap-east-1", "not-opted-in"),
            prerequisites.region("eu-west-9", None),
            prerequisites.quota(prerequisites.Quota(name="VPCs", limit=5, used=5, needed=1, code="vpc/L-F678F1CE")),
            prerequisites.region("eu-west-1", "opt-in-not-required"),
        ]
    )
    assert (found.state, found.why) == ("blocked", "4 of 5 are not met")
    assert found.details == (
        "repository: the configuration names none. Set pipeline.repository in aphex-config.yaml to the clone URL.",
        "region: ap-east-1 is not enabled in the account. Enable it: aws account enable-region --region-name ap-east-1 "
        "(it takes some minutes), or choose another.",
        "region: eu-west-9 is no region of EC2. Enable it: aws account enable-region --region-name eu-west-9 "
        "(it takes some minutes), or choose another.",
        "quota of VPCs: 5 of 5 used, 1 needed. Ask for more: aws service-quotas request-service-quota-increase "
        "--service-code vpc --quota-code L-F678F1CE --desired-value 6",
    )


def test_a_cluster_is_not_begun_without_the_aws_cli(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = prerequisites.judged([doctor.aws_cli()])
    assert (found.state, found.details) == (
        "blocked",
        (
            "AWS CLI: not installed. Install it: "
            "https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html",
        ),
    )


def test_that_images_cannot_be_built_is_told_before_a_cluster_is_made_for_them() -> None:
    file = {"url": "https://releases.test/p", "sha256": None}
    program = {"name": "pulumi", "version": "3.1.0", "files": {"amd64": {**file, "sha256": "1" * 64}, "arm64": file}}
    pins = Pins.model_validate({"base": f"debian:12@sha256:{'1' * 64}", "programs": [program]})
    assert prerequisites.image_build(pins, ("linux/amd64",), lambda: None).verdict == "ok"
    unpinned = prerequisites.image_build(pins, ("linux/amd64", "linux/arm64"), lambda: None)
    assert (unpinned.verdict, unpinned.found) == (
        "fail",
        "docker/pins.json has no checksum of pulumi 3.1.0 for arm64",
    )
    assert unpinned.fix == (
        "Write what their projects released into it, and commit it: python -m automation images pin. "
        "Or name images that exist: pipeline.images in aphex-config.yaml."
    )

    def nothing() -> None:
        raise AphexError("Neither docker nor buildah is on this machine.", hint="Install one.")

    assert prerequisites.image_build(pins, ("linux/amd64",), nothing).found.startswith("Neither docker nor buildah")


def test_the_checks_for_a_cluster_include_its_images_unless_the_configuration_names_some(
    account: AwsStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    (tmp_path / "aphex-cluster.yaml").write_text(CLUSTERS[0].read_text())

    def failing(text: str) -> list[str]:
        here = context(tmp_path, text=text, read_outputs=lambda _: None)
        return [line.partition(":")[0] for line in prerequisites.PrerequisitesStep(context=here).check().details]

    assert "images" in failing(CONFIG)
    assert "images" not in failing(CONFIG.replace("name: shop,", "name: shop, images: {builder: b, deployer: d},"))


def test_a_quota_that_cannot_be_read_is_a_warning() -> None:
    unknown = prerequisites.Quota(name="Elastic IPs", limit=None, used=0, needed=1, code="ec2/L-0263D0A3")
    assert prerequisites.quota(unknown).verdict == "warn"
    assert prerequisites.judged([prerequisites.quota(unknown)]).state == "done"


def test_the_cluster_s_file_and_the_credentials_have_to_mean_the_same_account() -> None:
    config = load_cluster_config(CLUSTERS[0])
    here = Account(number=config.account, region=config.region, caller="arn:aws:iam::1:user/ada")
    assert prerequisites.cluster_account(config, here).verdict == "ok"
    other = Account(number="999999999999", region=config.region)
    assert prerequisites.cluster_account(config, other) == doctor.Finding(
        check="account",
        verdict="fail",
        found=f"the credentials are for 999999999999 in {config.region}, the cluster is for {config.account} in "
        f"{config.region}",
        fix="Set AWS_PROFILE and AWS_DEFAULT_REGION, or correct account and region in the cluster's file.",
    )


def test_region_and_quotas_are_asked_of_the_account(account: AwsStandIn, tmp_path: Path) -> None:
    here = context(tmp_path)
    assert prerequisites.read_region(here.aws(), REGION) == "opt-in-not-required"
    assert prerequisites.read_region(here.aws(), "moon-west-1") is None
    found = {each.name: each for each in prerequisites.read_quotas(here.aws(), load_cluster_config(CLUSTERS[0]))}
    assert set(found) == {"VPCs", "Elastic IPs", "EKS clusters"}
    assert found["VPCs"].used >= 1
    assert found["VPCs"].needed == 1


def test_the_caller_is_asked_of_aws(account: AwsStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (command.caller().number, command.caller().region) == (ACCOUNT, REGION)
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with pytest.raises(UsageError, match="There is no AWS region"):
        command.caller()
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(UsageError, match="AWS does not know the caller"):
        command.caller()


# Cluster and kubeconfig.


MINE = """\
# mine
apiVersion: v1
kind: Config
clusters: [{name: other, cluster: {server: "https://other.example.org"}}]
users: [{name: ada, user: {token: secret}}]
contexts: [{name: work, context: {cluster: other, user: ada}}]
current-context: work
"""


def kubeconfig_step(tmp_path: Path) -> cluster.KubeconfigStep:
    here = context(tmp_path, read_outputs=lambda _: outputs())
    return cluster.KubeconfigStep(context=here, file=tmp_path / "kube" / "config")


def test_a_context_is_added_to_a_kubeconfig_and_nothing_of_it_is_lost(account: AwsStandIn, tmp_path: Path) -> None:
    step = kubeconfig_step(tmp_path)
    step.file.parent.mkdir()
    step.file.write_text(MINE)
    assert step.check().state == "to-do"
    carry_out([step], Terminal())
    document = YAML(typ="safe").load(step.file)
    assert [each["name"] for each in document["contexts"]] == ["work", NAME]
    assert document["users"][0] == {"name": "ada", "user": {"token": "secret"}}
    assert document["current-context"] == "work"
    assert document["users"][1]["user"]["exec"]["args"][-4:] == ["--eks", NAME, "--region", REGION]
    (copy,) = step.file.parent.glob("config.before-aphex-*")
    assert (copy.read_text(), copy.stat().st_mode & 0o777) == (MINE, 0o600)
    assert step.file.stat().st_mode & 0o777 == 0o600
    (again,) = carry_out([step], Terminal())
    assert again.changed is False
    assert len(list(step.file.parent.iterdir())) == 2


def test_a_kubeconfig_is_made_where_there_is_none(account: AwsStandIn, tmp_path: Path) -> None:
    step = kubeconfig_step(tmp_path)
    carry_out([step], Terminal())
    assert YAML(typ="safe").load(step.file)["current-context"] == NAME


def test_another_cluster_of_the_same_name_is_not_overwritten(account: AwsStandIn, tmp_path: Path) -> None:
    step = kubeconfig_step(tmp_path)
    step.file.parent.mkdir()
    text = MINE.replace("name: other, cluster", f"name: {NAME}, cluster")
    step.file.write_text(text)
    with pytest.raises(StepFailed) as caught:
        carry_out([step], Terminal())
    assert caught.value.message == (
        f"Step 1 of 1 (Kubeconfig) failed: {step.file} has the address https://other.example.org of another cluster "
        f"under the name {NAME}"
    )
    assert step.file.read_text() == text


@pytest.mark.parametrize("text", ["- a list\n", "{"])
def test_a_file_that_is_no_kubeconfig_is_left_alone(account: AwsStandIn, tmp_path: Path, text: str) -> None:
    step = kubeconfig_step(tmp_path)
    step.file.parent.mkdir()
    step.file.write_text(text)
    with pytest.raises(StepFailed, match="is no kubeconfig"):
        carry_out([step], Terminal())
    assert step.file.read_text() == text


def test_a_cluster_on_eks_needs_a_file_that_describes_it(account: AwsStandIn, tmp_path: Path) -> None:
    step = cluster.EksStep(context=context(tmp_path, read_outputs=lambda _: None), make=lambda *_: None)
    found = step.check()
    assert (found.state, found.fix) == ("blocked", f"Write {tmp_path / 'aphex-cluster.yaml'} first.")


def test_a_cluster_without_kubeconfig_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    found = cluster.ExistingStep(context=context(tmp_path, target="existing")).check()
    assert (found.state, found.why) == ("blocked", f"there is no kubeconfig at {tmp_path / 'none'}")


def test_a_cluster_that_does_not_answer_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "config"
    file.write_text(MINE.replace("https://other.example.org", "http://127.0.0.1:1"))
    monkeypatch.setenv("KUBECONFIG", str(file))
    found = cluster.ExistingStep(context=context(tmp_path, target="existing")).check()
    assert found.state == "blocked"
    assert found.why.startswith("The cluster of the current context does not answer:")


# The pipeline.


def test_a_pipeline_is_done_when_its_last_deployment_was_made_from_the_same(
    account: AwsStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from automation.last_update import made_from, memory

    here = context(tmp_path)
    step = pipeline.PipelineStep(context=here)
    s3 = account.client("s3")
    state.StateStep(context=here).do()
    assert step.check() == to_do("it is not deployed")
    s3.put_object(Bucket=BUCKET, Key=".pulumi/stacks/aphex/pipeline-shop.json", Body=b"{}")
    target = target_of(here)
    monkeypatch.setattr(here, "_target", target)
    changed = to_do("it is deployed, and something of it has changed since, or its last deployment failed")
    assert step.check() == changed
    remembered = memory(target)
    assert remembered is not None
    remembered.remember(made_from(target, here.config), {})
    assert step.check() == done("shop is as configured")
    s3.put_object(Bucket=BUCKET, Key=".pulumi/stacks/aphex/pipeline-shop.json", Body=b'{"other": 1}')
    assert step.check() == changed


def test_the_webhook_s_secret_is_read_where_the_settings_say(account: AwsStandIn, tmp_path: Path) -> None:
    account.client("secretsmanager").create_secret(Name="team/webhook", SecretString="theirs")
    target = target_of(context(tmp_path))

    def kept(**where: Any) -> Target:
        settings = target.settings.model_copy(update={"webhook": WebhookSettings(**where)})
        return dataclasses.replace(target, settings=settings)

    found = webhook_secret(kept(secret_name="team/webhook"))
    assert (found.value, found.place) == ("theirs", "the secret team/webhook of AWS's Secrets Manager")
    assert "theirs" not in repr(found)
    with pytest.raises(AphexError, match="The webhook's secret none cannot be read from Secrets Manager"):
        webhook_secret(kept(secret_name="none"))
    assert webhook_secret(target).value == "signs"
