"""How the bootstrap goes through its steps, goes on after a failure, and what it shows before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aphex.errors import AphexError, UsageError
from aphex.loader import load_cluster_config
from automation.bootstrap import command, costs
from automation.bootstrap.context import Account
from automation.bootstrap.plan import missing_token, plan, steps_of
from automation.bootstrap.runner import GOES_ON, StepFailed, carry_out, look
from automation.bootstrap.step import Finding, Step, blocked, by_hand, done, to_do
from automation.console import Terminal
from automation.target import choose
from tests.support.aws_stand_in import ACCOUNT, REGION
from tests.support.bootstrap import (
    CLUSTERS,
    Brick,
    Fixed,
    context,
    target_of,
)


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
    beside = context(tmp_path, choice=choose(None, "context:kind-aphex", "sandbox", "default"), account=None)
    found = [each.name for each in steps_of(beside, url=None, kubeconfig=tmp_path / "config", run=True)]
    assert found == ["prerequisites", "stand-ins", "state", "cluster", "images", *after]


def test_a_plan_says_where_what_and_for_how_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_TOKEN", raising=False)
    monkeypatch.delenv("GH_TOKEN", raising=False)
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
    steps[0] = Fixed(finding=blocked("1 of 4 is not met", "Mend it."), name="prerequisites", title="Prerequisites")
    assert "Stops at   Prerequisites, unless that is mended before" in plan(here, steps, look(steps)).lines()


def test_a_token_is_asked_for_only_where_there_is_none() -> None:
    github, own = "https://github.com/acme/shop.git", "https://git.acme.example/acme/shop.git"
    assert missing_token(github, {}) == ("GITHUB_TOKEN", "GH_TOKEN")
    assert missing_token(github, {"GH_TOKEN": "one"}) == ()
    assert missing_token(own, {"GH_TOKEN": ""})[0] == "GH_ENTERPRISE_TOKEN"
    assert missing_token("", {}) == ()


@pytest.mark.parametrize("file", CLUSTERS, ids=lambda path: path.stem)
def test_a_cluster_s_costs_follow_its_file(file: Path) -> None:
    config = load_cluster_config(file)
    found = {each.what: each for each in costs.cluster_costs(config)}
    gateways = 3 if config.network.nat == "per-zone" else 1
    (nat,) = [each for what, each in found.items() if "NAT" in what]
    assert nat.dollars == pytest.approx(gateways * 36.5)
    assert found["EKS control plane"].dollars == pytest.approx(438 if config.kubernetes.extended_support else 73)


def test_a_plan_is_shown_and_nothing_is_done_without_consent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
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


def test_before_the_sandbox_runs_every_step_waits_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APHEX_STATE", str(tmp_path / "state"))
    here = context(tmp_path, target="sandbox", account=None)
    steps = steps_of(here, url=None, kubeconfig=tmp_path / "config", run=True)
    found = {each.step: each.finding for each in look(steps[1:])}
    assert {name: each.state for name, each in found.items()} == dict.fromkeys(found, "to-do")
    assert found["cluster"].why == "it does not run"
    assert found["state"].why == found["images"].why == found["accounts"].why == "the sandbox does not run yet"
    assert found["webhook"].why == 'The sandbox "default" is not running'
    assert not (tmp_path / "state").exists()


def test_at_the_end_it_is_told_how_to_go_on_and_what_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = context(tmp_path)
    monkeypatch.setattr(here, "_target", target_of(here))
    left = Fixed(finding=by_hand("no token", "Enter it at https://example.org.", "one detail"), title="Webhook")
    assert command.next_steps(here, look([Fixed(finding=done("all is well")), left])) == [
        "",
        "The pipeline shop is there. From now on a push starts a run:",
        "  git push, to main of https://github.com/acme/shop.git",
        "  python -m automation follow --pipeline shop",
        "  python -m automation status --pipeline shop",
        "Left for you:",
        "  Webhook: Enter it at https://example.org.",
        "    one detail",
    ]
