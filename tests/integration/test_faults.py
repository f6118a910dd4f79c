"""What a team loses, and what it sees, when parts of its pipeline are killed in the middle of a run.

`docs/faults.md` tells the same as a table.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from functools import partial

import pytest

from aphex.run import RunKeys, RunRecord, Status
from automation.argo import get_run
from automation.locks import Lock, read_locks
from automation.runs import RunView
from automation.stack import stack_name
from sandbox.state import SandboxState
from tests.support.delivery import Team, mini_application
from tests.support.faults import awaited, delete_pod, process_of, restart_controller, running, silent_aws

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1500)]

ACCOUNT, REGION = "222222222222", "us-east-1"
STAGES = ("validate", "build", "self-update", "deploy-dev", "test-dev", "exit")
TESTS = """\
    tests:
      commands:
        - echo testing; sleep 5; echo tested
"""


def application(word: str, days: int = 90, build: str = "echo building; sleep 5; echo built") -> dict[str, str]:
    """The small application, whose stages take long enough to be killed in their middle."""
    files = mini_application("faults", word)
    config = files["aphex-config.yaml"].replace("- test -s word.txt", f"- {build}") + TESTS
    files["aphex-config.yaml"] = config.replace(
        "  name: faults\n", f"  name: faults\n  retention: {{artifact_days: {days}}}\n"
    )
    return files


@pytest.fixture(scope="module")
def team(sandbox: SandboxState, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """A team whose pipeline is up."""
    found = Team(sandbox=sandbox, name="faults", folder=tmp_path_factory.mktemp("faults"))
    found.write(application("hello"))
    assert found.up()["changed"]
    yield found
    found.automation("destroy", "--pipeline", "faults", "--yes", check=False)


def locks(team: Team) -> list[Lock]:
    bucket = team.target.settings.state_bucket
    assert bucket is not None
    return read_locks(team.target.aws.client("s3"), bucket, stack_name("faults"))


def nothing_is_lost(team: Team, view: RunView, record: RunRecord, word: str) -> None:
    """The run's record is complete, each stage's log is whole, the word is deployed, and no lock is left."""
    assert (view.status, record.status) == ("succeeded", Status.SUCCEEDED), team.told(view)
    assert {name: stage.status for name, stage in record.stages.items()} == dict.fromkeys(STAGES, Status.SUCCEEDED)
    assert record.ended_at >= record.started_at
    for name, stage in record.stages.items():
        assert stage.ended_at >= stage.started_at, name
        log = team.stored(RunKeys(view.name).log(name))
        assert log.splitlines()[-1] == f"Stage {name} succeeded."
    assert team.word(ACCOUNT, REGION) == word
    assert locks(team) == []


def test_a_run_survives_the_loss_of_the_pod_of_each_of_its_stages(team: Team) -> None:
    commit = team.push("Lose every pod", application("survived", days=30))
    run = team.run_of(commit).name
    killed: dict[str, tuple[str, int | None]] = {}
    held: Lock | None = None
    for stage in STAGES:
        pod = running(team, run, stage).pod
        if stage == "self-update":
            held = awaited("the self-update's lock", lambda: next(iter(locks(team)), None))
        killed[stage] = (pod, process_of(run, stage))
        delete_pod(team, pod)
        awaited(f"another {stage}", partial(another_process, run, stage, killed[stage][1]))

    view, record = team.finished(run)
    nothing_is_lost(team, view, record, "survived")
    for stage in STAGES:
        again = view.stage(stage)
        assert again is not None
        assert record.stages[stage].pod == again.pod, stage
    # What a person reads of the lock that the killed self-update left behind. Argo makes a pod that was lost early anew
    # under its old name, and one that was lost later under another.
    assert held is not None
    pod = killed["self-update"][0]
    assert held.host == pod[:63]
    renamed = record.stages["self-update"].pod != pod
    gone = f"its pod {held.host} does not exist any more"
    ended = f"no Pulumi with the process id {held.pid} runs on this machine, {held.host}"
    log = team.stored(RunKeys(run).log("self-update"))
    told = (
        f"Warning: a lock was left behind ({held}). Its holder is gone: {gone if renamed else ended}. "
        "The lock is removed."
    )
    assert told in log.splitlines()


def test_a_restarted_controller_and_half_a_minute_without_aws_cost_nothing_but_time(team: Team) -> None:
    commit = team.push("Be patient", application("patient"))
    run = team.run_of(commit).name
    running(team, run, "build")
    restart_controller(team)
    running(team, run, "deploy-dev")
    with silent_aws(team):
        time.sleep(30)
    view, record = team.finished(run)
    nothing_is_lost(team, view, record, "patient")
    assert [stage.message for stage in view.stages] == [""] * len(STAGES)


def test_a_stage_whose_process_is_killed_is_told_of_and_the_queue_goes_on(team: Team) -> None:
    first = team.push("Be killed", application("never", build="echo building; sleep 60; echo built"))
    run = team.run_of(first).name
    second = team.push("Go on", application("went on"))
    running(team, run, "build")
    kept = awaited("the log of the build", lambda: kept_log(team, run, "build", "building\n"))
    process = process_of(run, "build")
    assert process is not None
    os.kill(process, signal.SIGKILL)

    view, record = team.finished(run)
    assert {stage.name: stage.status for stage in view.stages} == {
        "validate": "succeeded",
        "build": "failed",
        "self-update": "skipped",
        "deploy-dev": "skipped",
        "test-dev": "skipped",
        "exit": "succeeded",
    }
    assert record.status is Status.FAILED
    assert record.stages["build"].status is Status.FAILED
    error = record.stages["build"].error
    assert error is not None
    assert (error["type"], error["message"], error["hint"]) == (
        "Killed",
        "The stage's process was killed (exit code 137).\nmain: Error (exit code 137)",
        "Usually it used more memory than its limit: see run.resources in the platform's settings.",
    )
    assert team.stored(RunKeys(run).log("build")).startswith(kept)
    assert team.word(ACCOUNT, REGION) == "patient"

    after = team.run_of(second).name
    assert get_run(team.target, after).created is not None
    view, record = team.finished(after)
    nothing_is_lost(team, view, record, "went on")


def another_process(run: str, stage: str, killed: int | None) -> int | None:
    """The process that does a stage again, once it is at work in the killed one's place."""
    found = process_of(run, stage)
    return found if found != killed else None


def kept_log(team: Team, run: str, stage: str, marker: str) -> str | None:
    """The log of a stage as it is kept while the stage runs, as soon as it has the marker."""
    from botocore.exceptions import ClientError

    try:
        log = team.stored(RunKeys(run).log(stage))
    except ClientError:
        return None
    return log if re.search(rf"^{marker}", log, re.MULTILINE) else None
