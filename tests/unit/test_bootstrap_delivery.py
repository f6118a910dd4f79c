"""The bootstrap's steps from images to the first run, and all of it on moto with a failure at each step."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aphex.errors import AphexError
from aphex.loader import load_cluster_config, parse_config
from automation.bootstrap.context import Context
from automation.bootstrap.runner import GOES_ON, StepFailed, carry_out
from automation.bootstrap.step import Finding, Step, done, to_do
from automation.bootstrap.steps import accounts, cluster, first_run, images, state, webhook
from automation.console import Terminal
from automation.github.commands import Webhook
from automation.github.hooks import WantedHook
from automation.runs import RunView
from tests.support.aws_stand_in import ACCOUNT, REGION, AwsStandIn, aws_stand_in
from tests.support.bootstrap import (
    CLUSTERS,
    CONFIG,
    NAME,
    caller_of,
    context,
    outputs,
    target_of,
)
from tests.support.github_host import GitHubHost, event_source, github_host


@pytest.fixture(scope="module")
def aws() -> Iterator[AwsStandIn]:
    with aws_stand_in() as started:
        yield started


@pytest.fixture
def account(aws: AwsStandIn) -> Iterator[AwsStandIn]:
    with caller_of(aws) as caller:
        yield caller


# Images and accounts.


def test_a_cluster_elsewhere_needs_images_that_are_named(tmp_path: Path) -> None:
    assert images.ConfiguredStep(context=context(tmp_path, target="existing")).check().state == "blocked"
    named = CONFIG.replace("name: shop,", "name: shop, images: {builder: 'r/b:1', deployer: 'r/d:1'},")
    assert images.ConfiguredStep(context=context(tmp_path, target="existing", text=named)).check().state == "done"


def test_images_are_built_for_the_nodes_that_the_cluster_s_file_describes() -> None:
    built = {file.stem: images.platforms_of(load_cluster_config(file)) for file in CLUSTERS}
    assert built["smallest"] == ("linux/amd64",)
    assert set(built["node-groups"]) <= {"linux/amd64", "linux/arm64"}
    assert built["node-groups"] != ()
    assert images.platforms_of(None) == ()


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


# The webhook and the first run.


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


# All of it that moto and a GitHub can play.


def eks_world(here: Context, aws: AwsStandIn, file: Path, hook: Step, fail: Callable[[str], None]) -> list[Step]:
    """The steps to a cluster on EKS, whose makers make what they can on moto, and fail when they are told to."""

    def make(_config: Any, _terminal: Terminal) -> None:
        fail("cluster")
        role = f"arn:aws:iam::{ACCOUNT}:role/cluster"
        aws.client("eks").create_cluster(name=NAME, roleArn=role, resourcesVpcConfig={"subnetIds": []})
        for image in ("builder", "deployer"):
            aws.client("ecr").create_repository(repositoryName=f"{NAME}/aphex-{image}")

    def publish(registry: str, platforms: tuple[str, ...], _report: Callable[[str], None]) -> None:
        fail("images")
        assert platforms == images.platforms_of(here.cluster())
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
