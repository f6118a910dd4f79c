"""The bootstrap's steps, each on the world it is about: moto, a GitHub, a git repository, a kubeconfig."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from aphex.errors import AphexError, UsageError
from aphex.loader import load_cluster_config, load_config, parse_config
from automation import doctor
from automation.access import KubernetesAccess
from automation.bootstrap import command, costs
from automation.bootstrap.context import Account, Context
from automation.bootstrap.plan import plan, steps_of
from automation.bootstrap.runner import GOES_ON, StepFailed, carry_out, look
from automation.bootstrap.step import Finding, Step, blocked, by_hand, done, to_do
from automation.bootstrap.steps import accounts, cluster, first_run, images, pipeline, prerequisites, state, webhook
from automation.console import Terminal
from automation.github.commands import Webhook
from automation.github.hooks import WantedHook
from automation.options import TargetOptions
from automation.runs import RunView
from automation.target import Target, choose, subject_of
from tests.support.aws_stand_in import ACCOUNT, REGION, AwsStandIn, aws_stand_in
from tests.support.example import example_settings
from tests.support.github_host import GitHubHost, event_source, github_host

CLUSTERS = sorted((Path(__file__).parents[2] / "docs" / "examples" / "cluster").glob("*.yaml"))
NAME = "aphex-main"
BUCKET = f"aphex-state-{ACCOUNT}-{REGION}"
MEDIA_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = f"""
version: "1.0"
pipeline: {{name: shop, repository: "https://github.com/acme/shop.git"}}
build: {{commands: [make]}}
environments:
  - name: dev
    region: {REGION}
    account: "{ACCOUNT}"
    role: arn:aws:iam::{ACCOUNT}:role/aphex-deployer
    stacks: [{{name: App, path: app.py}}]
"""


@pytest.fixture(scope="module")
def aws() -> Iterator[AwsStandIn]:
    with aws_stand_in() as started:
        yield started


@pytest.fixture
def account(aws: AwsStandIn, monkeypatch: pytest.MonkeyPatch) -> AwsStandIn:
    """The caller's credentials and account."""
    for name, value in {
        "AWS_ENDPOINT_URL": aws.endpoint,
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_DEFAULT_REGION": REGION,
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    return aws


def context(tmp_path: Path, *, target: str | None = "eks", text: str = CONFIG, **more: Any) -> Context:
    file = tmp_path / "aphex-config.yaml"
    file.write_text(text)
    options = TargetOptions(config=file, target=target)
    config = load_config(file)
    values: dict[str, Any] = {
        "options": options,
        "config": config,
        "choice": choose(target, None, None, "default"),
        "subject": subject_of(config, file),
        "terminal": Terminal(json_output=True),
        "cluster_file": tmp_path / "aphex-cluster.yaml",
        "account": Account(number=ACCOUNT, region=REGION, caller="arn:aws:iam::123456789012:user/ada"),
    }
    return Context(**(values | more))


# How steps are gone through.


@dataclass(kw_only=True)
class Brick:
    """A step whose world is a file."""

    name: str
    folder: Path
    fails: list[str] = field(default_factory=list)
    title: str = "A brick"
    makes: str = "a brick"

    def check(self) -> Finding:
        there = (self.folder / self.name).exists()
        return done(f"{self.name} is there") if there else to_do(f"{self.name} is not there")

    def do(self) -> None:
        if self.name in self.fails:
            raise AphexError("the crane is broken", hint="Mend the crane.")
        assert not (self.folder / self.name).exists()
        (self.folder / self.name).touch()


@dataclass(kw_only=True)
class Fixed:
    """A step that always finds the same."""

    finding: Finding
    name: str = "fixed"
    title: str = "Something fixed"
    makes: str = ""

    def check(self) -> Finding:
        return self.finding

    def do(self) -> None:
        """It does nothing."""


@pytest.mark.parametrize("broken", ["one", "two", "three"])
def test_after_a_failure_at_any_step_the_same_command_goes_on(tmp_path: Path, broken: str) -> None:
    names = ["one", "two", "three"]
    number = names.index(broken) + 1
    with pytest.raises(StepFailed) as caught:
        carry_out([Brick(name=each, folder=tmp_path, fails=[broken]) for each in names], Terminal())
    assert str(caught.value) == (
        f"Step {number} of 3 (A brick) failed: the crane is broken\nMend the crane.\n{GOES_ON}"
    )
    assert [each.step for each in caught.value.outcomes] == names[: number - 1]
    outcomes = carry_out([Brick(name=each, folder=tmp_path) for each in names], Terminal())
    assert [each.changed for each in outcomes] == [each not in names[: number - 1] for each in names]


def test_what_a_person_has_to_do_stops_nothing(tmp_path: Path) -> None:
    steps: list[Step] = [Fixed(finding=by_hand("no token", "Set one.")), Brick(name="one", folder=tmp_path)]
    assert [each.finding.state for each in carry_out(steps, Terminal())] == ["by-hand", "done"]


def test_a_step_that_is_blocked_stops_with_all_that_it_found() -> None:
    with pytest.raises(StepFailed) as caught:
        carry_out(
            [Fixed(finding=blocked("2 of 3 are not met", "Mend them.", "git: missing", "go: missing"))], Terminal()
        )
    assert str(caught.value) == (
        "Step 1 of 1 (Something fixed) failed: 2 of 3 are not met\n  git: missing\n  go: missing\n"
        f"Mend them.\n{GOES_ON}"
    )


def test_a_step_that_was_done_and_is_not_done_is_a_failure() -> None:
    with pytest.raises(StepFailed, match="It was done, and yet: the bucket is not there"):
        carry_out([Fixed(finding=to_do("the bucket is not there"))], Terminal())


def test_looking_does_nothing_and_takes_an_error_for_an_obstacle(tmp_path: Path) -> None:
    class Blind(Brick):
        def check(self) -> Finding:
            raise AphexError("the account cannot be seen", hint="Log in.")

    found = look([Brick(name="one", folder=tmp_path), Blind(name="two", folder=tmp_path)])
    assert [each.finding.state for each in found] == ["to-do", "blocked"]
    assert (found[1].finding.why, found[1].finding.fix) == ("the account cannot be seen", "Log in.")
    assert list(tmp_path.iterdir()) == []


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


# Cluster and kubeconfig.


def outputs() -> dict[str, Any]:
    server = {"server": "https://main.eks.example.org", "certificate-authority-data": "Q0E="}
    kubeconfig = {"clusters": [{"name": "it", "cluster": server}]}
    host = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{NAME}"
    return {
        "cluster_name": NAME,
        "region": REGION,
        "account": ACCOUNT,
        "kubernetes_version": "1.35",
        "kubeconfig": json.dumps(kubeconfig),
        "builder_repository": f"{host}/aphex-builder",
        "deployer_repository": f"{host}/aphex-deployer",
    }


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


# Images and accounts.


def test_a_cluster_elsewhere_needs_images_that_are_named(tmp_path: Path) -> None:
    assert images.ConfiguredStep(context=context(tmp_path, target="existing")).check().state == "blocked"
    named = CONFIG.replace("name: shop,", "name: shop, images: {builder: 'r/b:1', deployer: 'r/d:1'},")
    assert images.ConfiguredStep(context=context(tmp_path, target="existing", text=named)).check().state == "done"


def place(**changes: Any) -> accounts.Place:
    values: dict[str, Any] = {"account": "222222222222", "region": "eu-west-1", "environments": ("prod",)}
    return accounts.Place(**(values | changes))


def test_an_account_whose_credentials_nobody_has_is_the_owner_s_to_make_ready() -> None:
    roles = ("arn:aws:iam::222222222222:role/deploy", "arn:aws:iam::222222222222:role/test")
    found = accounts.judged([accounts.Known(place=place(roles=roles, external_id="acme"))], "shop", ACCOUNT)
    assert (found.state, found.why) == ("by-hand", "1 of 1 cannot be seen with these credentials")
    assert found.details == (
        "222222222222 in eu-west-1 (prod): python -m automation bootstrap account 222222222222 --region eu-west-1 "
        f"--profile PROFILE --pipeline shop --pipeline-account {ACCOUNT} --role-name deploy --test-role "
        "--test-role-name test --external-id acme --execution-policy ARN",
    )


def test_an_account_that_is_known_to_lack_something_blocks() -> None:
    lacking = accounts.Known(
        place=place(account=ACCOUNT), bootstrapped=False, missing_roles=(f"arn:aws:iam::{ACCOUNT}:role/deploy",)
    )
    found = accounts.judged([lacking], "shop", ACCOUNT)
    assert found.state == "blocked"
    assert found.details == (
        f"{ACCOUNT} in eu-west-1 (prod) lacks the role arn:aws:iam::{ACCOUNT}:role/deploy and CDK's bootstrap: "
        f"python -m automation bootstrap account {ACCOUNT} --region eu-west-1 --pipeline shop --pipeline-account "
        f"{ACCOUNT} --direct --execution-policy ARN",
    )


def test_places_are_each_account_and_region_once() -> None:
    text = (
        CONFIG
        + f"""  - name: also
    region: {REGION}
    account: "{ACCOUNT}"
    stacks: [{{name: Other, path: app.py}}]
"""
    )
    (found,) = accounts.places(parse_config(text))
    assert (found.environments, found.roles) == (("dev", "also"), (f"arn:aws:iam::{ACCOUNT}:role/aphex-deployer",))


# The pipeline, its webhook and its first run.


def target_of(here: Context) -> Target:
    from aphex_platform.settings import PlatformSecrets
    from pydantic import SecretStr

    settings = example_settings(
        state_backend=f"s3://{BUCKET}?region={REGION}",
        repository="https://github.com/acme/shop.git",
        repository_full_name="acme/shop",
    )
    return Target(
        settings=settings,
        secrets=PlatformSecrets(webhook_secret=SecretStr("signs")),
        aws=here.aws(),
        kubernetes=KubernetesAccess(),
    )


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


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitHubHost]:
    with github_host(tmp_path_factory.mktemp("github")) as started:
        yield started


@pytest.fixture
def hooked(host: GitHubHost, account: AwsStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A webhook step, with the pipeline deployed and GitHub there; and the receiver."""
    host.repository("acme/shop")
    here = context(tmp_path)
    with event_source("signs") as receiver:
        found = Webhook(
            wanted=WantedHook(url=receiver.url, secret="signs", events=("push", "pull_request")),
            repository="acme/shop",
            base=host.base,
            page="https://github.com/acme/shop/settings/hooks",
            namespace="aphex-shop",
            secret_place="somewhere",
            token=host.token,
        )
        monkeypatch.setattr(here, "_target", target_of(here))
        monkeypatch.setattr("automation.github.commands.webhook_of", lambda *_, **__: found)
        yield webhook.WebhookStep(context=here, url=receiver.url), receiver, found


def test_a_webhook_is_done_when_its_ping_has_arrived(hooked: Any) -> None:
    step, receiver, _ = hooked
    assert step.check().why == f"acme/shop has no webhook to {receiver.url}"
    receiver.status = 503
    with pytest.raises(StepFailed, match="The ingress has nothing behind it"):
        carry_out([step], Terminal())
    assert step.check().why.startswith("no ping of the webhook")
    receiver.status = None
    (outcome,) = carry_out([step], Terminal())
    assert outcome.finding.why.endswith(f"of acme/shop, to {receiver.url}")
    assert carry_out([step], Terminal())[0].changed is False


def test_without_a_token_it_is_told_what_to_enter(hooked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import dataclasses

    step, receiver, found = hooked
    for name in ("GITHUB_TOKEN", "GH_TOKEN", "GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    without = dataclasses.replace(found, token=None, base="https://api.github.com")
    monkeypatch.setattr("automation.github.commands.webhook_of", lambda *_, **__: without)
    finding = step.check()
    assert (finding.state, finding.why) == ("by-hand", "There is no token for api.github.com in the environment")
    config = step.context.options.config
    assert finding.fix == (
        f"Enter it at https://github.com/acme/shop/settings/hooks: payload URL {receiver.url}, content type "
        "application/json, events push and pull_request, and the secret that this prints: python -m automation webhook "
        f"--reveal --config {config}. Or set the token, and run: python -m automation webhook create --config {config}"
    )


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false")
    return subprocess.run(
        ["git", "-C", str(folder), *identity, *words], capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A repository with a configuration at its top."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "aphex-config.yaml").write_text(CONFIG)
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "-m", "Begin")
    return folder


def test_what_is_delivered_is_the_commit_that_has_the_configuration_at_its_top(source: Path, tmp_path: Path) -> None:
    config = source / "aphex-config.yaml"
    found = first_run.checkout_of(config)
    assert found == first_run.Checkout(folder=source, commit=git(source, "rev-parse", "HEAD"), clean=True)
    config.write_text(CONFIG + "# changed\n")
    changed = first_run.checkout_of(config)
    assert isinstance(changed, first_run.Checkout)
    assert changed.clean is False
    inner = source / "inner"
    inner.mkdir()
    assert first_run.checkout_of(inner / "aphex-config.yaml") == (
        f"{inner / 'aphex-config.yaml'} is not the aphex-config.yaml at the top of the repository {source}"
    )
    empty = tmp_path / "empty"
    empty.mkdir()
    assert first_run.checkout_of(empty / "aphex-config.yaml") == f"{empty} is no git repository"
    git(empty, "init", "--quiet")
    assert first_run.checkout_of(empty / "aphex-config.yaml") == f"the repository {empty} has no commit"


def test_the_newest_commit_of_a_branch_is_asked_of_the_repository(source: Path, tmp_path: Path) -> None:
    assert first_run.remote_head(str(source), "main") == git(source, "rev-parse", "HEAD")
    assert first_run.remote_head(str(source), "other") is None
    with pytest.raises(AphexError, match="git ls-remote"):
        first_run.remote_head(str(tmp_path / "nothing"), "main")


def test_a_first_run_is_done_when_the_newest_commit_was_delivered(
    account: AwsStandIn, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = context(tmp_path)
    target = target_of(here)
    commit = git(source, "rev-parse", "HEAD")
    monkeypatch.setattr(here, "_target", target)
    monkeypatch.setattr(first_run, "remote_head", lambda _url, branch: commit if branch == "main" else None)
    runs: list[RunView] = []
    monkeypatch.setattr(first_run, "_runs", lambda _target, _commit: runs)
    step = first_run.FirstRunStep(context=here)
    assert step.check() == to_do(f"{commit[:10]} was not delivered yet")
    from datetime import UTC, datetime

    ended = datetime.now(UTC)
    runs.append(RunView(name="shop-1", status="failed", stages=(), commit=commit, ended=ended))
    assert step.check().state == "to-do"
    step.run = runs[0]
    with pytest.raises(first_run.RunFailed) as caught:
        step.check()
    assert str(caught.value) == (
        f"The pipeline is there; its first run shop-1 for {commit[:10]} failed.\n"
        "Why: python -m automation logs shop-1 --pipeline shop"
    )
    runs.append(RunView(name="shop-2", status="succeeded", stages=(), commit=commit, ended=ended))
    step.run = runs[1]
    assert step.check() == done(f"shop-2 delivered {commit[:10]}")
    monkeypatch.setattr(first_run, "remote_head", lambda *_: None)
    assert step.check().why == "the repository acme/shop has no branch main"


# All of it that moto and a GitHub can play, with a failure at each step.


def eks_world(here: Context, aws: AwsStandIn, file: Path, hook: Step, fail: Callable[[str], None]) -> list[Step]:
    """The steps to a cluster on EKS, whose makers make what they can on moto, and fail when they are told to."""

    def make(_config: Any, _terminal: Terminal) -> None:
        fail("cluster")
        role = f"arn:aws:iam::{ACCOUNT}:role/cluster"
        aws.client("eks").create_cluster(name=NAME, roleArn=role, resourcesVpcConfig={"subnetIds": []})
        for image in ("builder", "deployer"):
            aws.client("ecr").create_repository(repositoryName=f"{NAME}/aphex-{image}")

    def publish(registry: str, _report: Callable[[str], None]) -> None:
        fail("images")
        assert registry == f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{NAME}"
        for image in ("builder", "deployer"):
            manifest = json.dumps({"schemaVersion": 2, "config": {"digest": f"sha256:{image}"}, "layers": []})
            aws.client("ecr").put_image(
                repositoryName=f"{NAME}/aphex-{image}",
                imageManifest=manifest,
                imageTag="1",
                imageManifestMediaType="application/vnd.docker.distribution.manifest.v2+json",
            )

    def read(_context: Context) -> dict[str, Any] | None:
        return outputs() if NAME in aws.client("eks").list_clusters()["clusters"] else None

    here.read_outputs = read
    return [
        Failing(state.StateStep(context=here), fail),
        cluster.EksStep(context=here, make=make),
        Failing(cluster.KubeconfigStep(context=here, file=file), fail),
        images.EcrImagesStep(context=here, publish=publish),
        Failing(accounts.AccountsStep(context=here), fail),
        Failing(hook, fail),
    ]


class Failing:
    """A step whose doing fails when it is told to, after it was half done or before it began."""

    def __init__(self, step: Step, fail: Callable[[str], None]) -> None:
        self._step, self._fail = step, fail
        self.name, self.title, self.makes = step.name, step.title, step.makes

    def check(self) -> Finding:
        return self._step.check()

    def do(self) -> None:
        self._fail(self.name)
        self._step.do()


def test_a_bootstrap_on_aws_goes_on_after_a_failure_at_each_step(
    hooked: Any, account: AwsStandIn, tmp_path: Path
) -> None:
    hook, _receiver, _found = hooked
    import httpx

    httpx.post(f"{account.endpoint}/moto-api/reset", trust_env=False).raise_for_status()
    (tmp_path / "aphex-cluster.yaml").write_text(CLUSTERS[0].read_text())
    make_target_account(account)
    here = context(tmp_path)
    names = ("state", "cluster", "kubeconfig", "images", "webhook")
    broken = list(names)
    done_by: list[str] = []

    def fail(name: str) -> None:
        if broken and broken[0] == name:
            broken.pop(0)
            raise AphexError(f"the {name} is out of reach")
        done_by.append(name)

    for expected in names:
        steps = eks_world(here, account, tmp_path / "kubeconfig", hook, fail)
        with pytest.raises(StepFailed) as caught:
            carry_out(steps, Terminal(json_output=True))
        assert (caught.value.step, caught.value.hint) == (expected, GOES_ON)
        here = context(tmp_path)
    outcomes = carry_out(eks_world(here, account, tmp_path / "kubeconfig", hook, fail), Terminal(json_output=True))
    assert {each.finding.state for each in outcomes} == {"done"}
    # Each was done once, however often it was begun again.
    assert tuple(done_by) == names


def make_target_account(aws: AwsStandIn) -> None:
    """What `bootstrap account` leaves behind, in the pipeline's own account."""
    aws.client("ssm").put_parameter(Name="/cdk-bootstrap/hnb659fds/version", Value="27", Type="String")
    aws.client("iam").create_role(RoleName="aphex-deployer", AssumeRolePolicyDocument="{}")


# What is shown.


def test_every_target_has_its_steps_in_their_order(tmp_path: Path) -> None:
    def names(target: str | None, *, run: bool = True) -> list[str]:
        here = context(
            tmp_path,
            target=target,
            account=None if target in (None, "sandbox") else Account(number=ACCOUNT, region=REGION),
        )
        return [each.name for each in steps_of(here, url=None, kubeconfig=tmp_path / "config", run=run)]

    after = ["accounts", "pipeline", "webhook", "run"]
    assert names("eks") == ["prerequisites", "state", "cluster", "kubeconfig", "images", *after]
    assert names("existing") == ["prerequisites", "state", "cluster", "images", *after]
    assert names("sandbox") == names(None) == ["prerequisites", "cluster", "state", "images", *after]
    assert names("sandbox", run=False)[-1] == "webhook"


def test_a_plan_says_where_what_and_for_how_much(tmp_path: Path) -> None:
    (tmp_path / "aphex-cluster.yaml").write_text(CLUSTERS[0].read_text())
    here = context(tmp_path)
    steps: list[Step] = [
        Fixed(finding=done("all 4 are met"), name="prerequisites", title="Prerequisites"),
        Fixed(finding=to_do("there is none"), name="cluster", title="Cluster on EKS", makes="network and EKS"),
        Fixed(finding=by_hand("no token", "Set one."), name="webhook", title="Webhook"),
    ]
    made = plan(here, steps, look(steps))
    lines = made.lines()
    assert lines[:8] == [
        "Pipeline   shop, for https://github.com/acme/shop.git",
        f"Where      a cluster on EKS, in account {ACCOUNT}, {REGION}, as arn:aws:iam::123456789012:user/ada",
        "Steps",
        "  ✓ 1. Prerequisites: all 4 are met",
        "  + 2. Cluster on EKS: makes network and EKS (there is none)",
        "  ! 3. Webhook: no token",
        "       Set one.",
        f"Cost       about ${costs.total(made.costs):.0f} a month while nothing runs (list prices of us-east-1)",
    ]
    assert lines[-3:] == [
        "Asks",
        "  whether to do this, once (--yes answers it)",
        "  a token for the webhook, in GITHUB_TOKEN or GH_TOKEN; without one it says what to enter by hand",
    ]
    assert json.loads(json.dumps(made.document()))["dollars_a_month"] > 0


@pytest.mark.parametrize("file", CLUSTERS, ids=lambda path: path.stem)
def test_a_cluster_s_costs_follow_its_file(file: Path) -> None:
    config = load_cluster_config(file)
    found = {each.what: each for each in costs.cluster_costs(config)}
    gateways = 3 if config.network.nat == "per-zone" else 1
    (nat,) = [each for what, each in found.items() if "NAT" in what]
    assert nat.dollars == pytest.approx(gateways * 32.85)
    assert found["EKS control plane"].dollars == pytest.approx(438 if config.kubernetes.extended_support else 73)


def test_a_plan_is_shown_and_nothing_is_done_without_consent(
    account: AwsStandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = context(tmp_path)
    steps: list[Step] = [Brick(name="one", folder=tmp_path)]
    with pytest.raises(UsageError, match="Nobody is there to confirm this; nothing was done"):
        command.go_through(here, steps, Terminal(), plan_only=False, yes=False)
    assert command.go_through(here, steps, Terminal(), plan_only=True, yes=False) == []
    assert "Nothing was done: this is what would be." in capsys.readouterr().out
    assert not (tmp_path / "one").exists()


def test_json_has_every_step_also_when_one_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here = context(tmp_path, target="sandbox", account=None)
    steps: list[Step] = [Brick(name="one", folder=tmp_path), Brick(name="two", folder=tmp_path, fails=["two"])]
    with pytest.raises(StepFailed):
        command.go_through(here, steps, Terminal(json_output=True), plan_only=False, yes=True)
    document = json.loads(capsys.readouterr().out)
    assert [(each["step"], each["state"], each["changed"]) for each in document["steps"]] == [
        ("one", "done", True),
        ("two", "to-do", False),
    ]
    assert (document["done"], document["error"]["step"]) == (False, "two")


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
