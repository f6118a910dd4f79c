"""Pushed commits are delivered: real Kubernetes, Argo, Pulumi and CDK, with only AWS standing in."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from aphex.run import RunKeys, Status
from sandbox import git_host
from sandbox.git_host.delivery import deliver_to
from sandbox.state import SandboxState
from tests.support.delivery import ROOT, Team, environment_yaml, mini_application, period

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def shop(sandbox: SandboxState, tmp_path_factory: pytest.TempPathFactory) -> Team:
    """The example's team, whose pipeline is up."""
    folder = tmp_path_factory.mktemp("shop") / "clone"
    shutil.copytree(ROOT / "examples" / "shop", folder, ignore=shutil.ignore_patterns("__pycache__", "dist"))
    team = Team(sandbox=sandbox, name="shop", folder=folder)
    team.up()
    return team


@pytest.fixture(scope="module")
def mini(sandbox: SandboxState, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """A team with a small application, whose pipeline is up and has delivered once."""
    team = Team(sandbox=sandbox, name="mini", folder=tmp_path_factory.mktemp("mini"))
    team.write(mini_application("mini"))
    assert team.up()["changed"]
    yield team
    team.automation("destroy", "--pipeline", "mini", "--yes", check=False)


def test_a_push_deploys_every_environment(shop: Team) -> None:
    commit = shop.push("Open the shop")
    view, record = shop.delivered(commit)
    assert [stage.name for stage in view.stages if stage.status == "succeeded"] == [
        *("validate", "build", "self-update", "deploy-dev", "test-dev", "deploy-prod", "test-prod", "exit")
    ]
    assert (record.commit, record.branch, record.status, record.trigger) == (commit, "main", "succeeded", "push")
    assert record.started_at < record.ended_at

    for name, account, region in (("dev", "222222222222", "us-east-1"), ("prod", "333333333333", "eu-west-1")):
        outputs = record.outputs[name]
        assert json.loads(shop.stored(RunKeys(view.name).outputs(name))) == outputs
        tables = shop.aws("dynamodb", account, region).list_tables()["TableNames"]
        assert outputs["ShopData"]["OrdersTable"] in tables
        stacks = shop.aws("cloudformation", account, region).describe_stacks()["Stacks"]
        assert {each["StackName"]: each["StackStatus"] for each in stacks}["ShopService"] == "CREATE_COMPLETE"
    elsewhere = shop.aws("dynamodb", "222222222222", "eu-west-1").list_tables()["TableNames"]
    assert elsewhere == []
    assert shop.aws("dynamodb").list_tables()["TableNames"] == ["aphex-shop-runs"]


def test_the_artifact_is_kept_under_its_commit_with_checksums(shop: Team) -> None:
    commit = shop.git("rev-parse", "HEAD")
    view, _record = shop.delivered(commit)
    manifest = json.loads(shop.stored(RunKeys(view.name).manifest(commit)))
    assert manifest["commit"] == commit
    assert "dist/catalog.json" in json.dumps(manifest["files"])
    assert "OK" in shop.stored(RunKeys(view.name).log("build"))


def test_a_ping_of_the_webhook_arrives(shop: Team) -> None:
    found = shop.document("webhook", "verify", "--config", str(shop.folder / "aphex-config.yaml"))
    assert (found["repository"], found["arrived"]) == (shop.repository.full_name, True)
    assert shop.deliveries()[-1].event == "ping"


def test_a_bootstrap_of_what_was_delivered_has_nothing_to_do(shop: Team) -> None:
    config = str(shop.folder / "aphex-config.yaml")
    steps = shop.document("bootstrap", "--plan-only", "--config", config)["steps"]
    # Whether the machine would be good for a first start is not what this is about.
    left = {each["step"]: each for each in steps if each["state"] != "done" and each["step"] != "prerequisites"}
    assert left == {}


def test_a_second_up_changes_nothing(shop: Team) -> None:
    again = shop.up()
    assert again["changed"] is False
    assert again["changes"] == []
    config = str(shop.folder / "aphex-config.yaml")
    assert shop.automation("preview", "--config", config, "--expect-no-changes").exit_code == 0


def test_a_changed_bucket_setting_is_previewed_and_applied(shop: Team, tmp_path: Path) -> None:
    config = shop.folder / "aphex-config.yaml"
    text = config.read_text(encoding="utf-8")
    plan = tmp_path / "plan.json"
    bucket = "aphex-shop-123456789012-us-east-1"

    def days() -> dict[str, int]:
        rules = shop.aws("s3").get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
        return {rule["ID"]: rule["Expiration"]["Days"] for rule in rules if "Days" in rule.get("Expiration", {})}

    assert days()["artifacts"] == 90
    config.write_text(text.replace("  name: shop\n", "  name: shop\n  retention: {artifact_days: 30}\n"))
    try:
        found = shop.document("preview", "--config", str(config), "--save", str(plan))
        assert [change["operation"] for change in found["changes"]] == ["update"]
        assert "BucketLifecycleConfiguration" in found["changes"][0]["type"]
        assert days()["artifacts"] == 90
        shop.document("up", "--config", str(config), "--plan", str(plan))
        assert days()["artifacts"] == 30
    finally:
        config.write_text(text)
    shop.up()
    assert days()["artifacts"] == 90


def test_a_push_that_adds_an_environment_has_it_in_the_next_run(mini: Team) -> None:
    from sandbox.aws import accounts

    first, _record = mini.delivered(mini.push("Begin"))
    assert mini.word("222222222222", "us-east-1") == "hello"
    accounts.prepare(mini.sandbox, "333333333333", "eu-west-1", print)
    config = (mini.folder / "aphex-config.yaml").read_text(encoding="utf-8")
    wider = config + environment_yaml("extra", "333333333333", "eu-west-1")

    view, _record = mini.delivered(mini.push("Add an environment", {"aphex-config.yaml": wider}))
    assert [stage.name for stage in view.stages] == [stage.name for stage in first.stages]
    assert mini.word("333333333333", "eu-west-1") is None

    view, record = mini.delivered(mini.push("Go on", {"word.txt": "everywhere\n"}))
    assert "deploy-extra" in [stage.name for stage in view.stages]
    assert record.stages["deploy-extra"].status is Status.SUCCEEDED
    assert mini.word("222222222222", "us-east-1") == "everywhere"
    assert mini.word("333333333333", "eu-west-1") == "everywhere"

    view, _record = mini.delivered(mini.push("Take it back", {"aphex-config.yaml": config}))
    assert mini.word("333333333333", "eu-west-1") == "everywhere", "what was deployed stays"


def test_a_failing_build_command_halts_the_run(mini: Team) -> None:
    config = (mini.folder / "aphex-config.yaml").read_text(encoding="utf-8")
    before = mini.word("222222222222", "us-east-1")
    broken = config.replace("- test -s word.txt", "- echo about to fail; false\n    - echo never printed")
    commit = mini.push("Break the build", {"aphex-config.yaml": broken, "word.txt": "broken\n"})
    view, record = mini.finished(mini.run_of(commit).name)
    assert view.status == "failed"
    assert {stage.name: stage.status for stage in view.stages} == {
        "validate": "succeeded",
        "build": "failed",
        "self-update": "skipped",
        "deploy-dev": "skipped",
        "exit": "succeeded",
    }
    assert mini.word("222222222222", "us-east-1") == before
    log = mini.stored(RunKeys(view.name).log("build"))
    assert "about to fail" in log
    assert "never printed" not in log.replace("echo never printed", "")
    assert record.status is Status.FAILED
    assert record.stages["build"].status is Status.FAILED
    assert record.stages["build"].error is not None
    assert json.loads(mini.stored(RunKeys(view.name).error("build")))["stage"] == "build"
    mini.commit("Mend the build", {"aphex-config.yaml": config})


def test_commits_pushed_at_once_run_one_after_another(mini: Team) -> None:
    commits = [mini.push(f"Commit {number}", {"word.txt": f"word {number}\n"}) for number in range(3)]
    views = [mini.delivered(commit)[0] for commit in commits]
    periods = sorted(period(view) for view in views)
    for (_, ended), (begun, _) in itertools.pairwise(periods):
        assert ended <= begun
    assert [period(view) for view in views] == periods, "first come, first served"
    assert mini.word("222222222222", "us-east-1") == "word 2"


def test_a_push_that_is_delivered_again_starts_no_second_run(mini: Team) -> None:
    commit = mini.push("Deliver me twice", {"word.txt": "twice\n"})
    view, _record = mini.delivered(commit)
    delivery = mini.deliveries()[-1]
    (hook,) = [each for each in mini.repository.hooks.all() if each.id == delivery.hook]
    again = deliver_to(mini.repository, hook, delivery.event, delivery.payload, identifier=delivery.id)
    assert again.ok
    # Events are taken one after another: this one's run says that the one before it is done with.
    mini.delivered(mini.push("Go on after that", {"word.txt": "once\n"}))
    assert [each.name for each in mini.runs(commit)] == [view.name]


def test_a_pull_request_is_validated_and_built_and_deploys_nothing(mini: Team) -> None:
    before = mini.word("222222222222", "us-east-1")
    main = mini.git("rev-parse", "HEAD")
    mini.git("checkout", "--quiet", "-b", "proposal")
    commit = mini.push("Propose a word", {"word.txt": "proposed\n"}, branch="proposal")
    git_host.open_pull_request(mini.repository, "proposal", "Propose a word")
    mini.git("checkout", "--quiet", "main")
    view, record = mini.finished(mini.run_of(commit).name)
    assert view.status == "succeeded", mini.told(view)
    assert [stage.name for stage in view.stages] == ["validate", "build", "exit"]
    assert (record.trigger, record.commit, record.branch) == ("pull_request", commit, "proposal")
    assert mini.word("222222222222", "us-east-1") == before
    assert len(mini.runs(commit)) == 1, "the push to another branch starts no run of its own"
    assert mini.git("rev-parse", "HEAD") == main


def test_destroy_leaves_nothing_of_the_pipeline_and_all_of_the_others(mini: Team, shop: Team) -> None:
    mini.automation("destroy", "--pipeline", "mini", "--yes")
    own = sorted(bucket["Name"] for bucket in mini.aws("s3").list_buckets()["Buckets"])
    assert [name for name in own if "mini" in name] == []
    bucket = "aphex-shop-123456789012-us-east-1"
    assert [name for name in own if "shop" in name] == [bucket, f"{bucket}-logs"]
    assert [role for role in _roles(mini) if "aphex-mini" in role] == []
    assert len([role for role in _roles(mini) if "aphex-shop" in role]) == 7
    assert mini.aws("dynamodb").list_tables()["TableNames"] == ["aphex-shop-runs"]
    namespaces = _namespaces(mini)
    assert "aphex-mini" not in namespaces
    assert "aphex-shop" in namespaces
    assert shop.up()["changed"] is False


def _roles(team: Team) -> list[str]:
    return [role["RoleName"] for role in team.aws("iam").list_roles(MaxItems=1000)["Roles"]]


def _namespaces(team: Team) -> list[str]:
    from lightkube.resources.core_v1 import Namespace

    with team.target.kubernetes.client() as client:
        return [str(each.metadata.name) for each in client.list(Namespace) if each.metadata]
