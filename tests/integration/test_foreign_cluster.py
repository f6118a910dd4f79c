"""A cluster of the kubeconfig delivers with AWS and the git host beside it: the way without root or Linux."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from lightkube import Client, KubeConfig
from lightkube.resources.core_v1 import Namespace

from aphex.process import Completed, run
from sandbox import images, lifecycle, toolchain
from sandbox.services import NATS_PASSWORD, NATS_USERNAME
from sandbox.state import SandboxNotRunning, SandboxState, ServicesState
from tests.integration.conftest import report
from tests.support.delivery import ROOT, Team, mini_application
from tests.support.traces import command_lines

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1500)]

CONTEXT = "elsewhere"
PIPELINE = "far"


@pytest.fixture(scope="module")
def kubeconfig(sandbox: SandboxState, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The sandbox's cluster as one of a user's kubeconfig, which knows nothing of the sandbox."""
    path = tmp_path_factory.mktemp("home") / "kubeconfig"
    path.touch(mode=0o600)
    path.write_text(sandbox.kubeconfig.read_text().replace(sandbox.context, CONTEXT))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(path))
        yield path


def command(*words: str, **environment: str) -> Completed:
    """Type a command of `python -m automation sandbox`."""
    return run(
        [sys.executable, "-m", "automation", "sandbox", *words],
        cwd=ROOT,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "200", **environment},
        separate_errors=True,
    )


@pytest.fixture(scope="module")
def beside(sandbox: SandboxState, kubeconfig: Path) -> Iterator[ServicesState]:
    """What stands in beside that cluster; its events go by the NATS that there is."""
    name = f"beside-{secrets.token_hex(3)}"
    given = sandbox.secrets()
    try:
        started = command(
            *("start", "--name", name, "--beside", f"context:{CONTEXT}", "--address", sandbox.host_ip),
            *("--nats", str(sandbox.nats_url)),
            **{NATS_USERNAME: given.nats_username, NATS_PASSWORD: given.nats_password},
        )
        assert f"up --cluster context:{CONTEXT} --aws sandbox --name {name}" in started.output
        assert given.nats_password not in started.output + started.error_output
        state = lifecycle.stand_ins(name)
        assert isinstance(state, ServicesState)
        yield state
    finally:
        lifecycle.stop(name, report, remove=True)


@pytest.fixture(scope="module")
def team(sandbox: SandboxState, beside: ServicesState, tmp_path_factory: pytest.TempPathFactory) -> Team:
    """A team with a small application, whose configuration names images that the cluster can pull."""
    made = images.ensure(sandbox, toolchain.ensure(), print)
    files = mini_application(PIPELINE)
    named = f"  name: {PIPELINE}\n  images: {{builder: '{made.builder}', deployer: '{made.deployer}'}}\n"
    files["aphex-config.yaml"] = files["aphex-config.yaml"].replace(f"  name: {PIPELINE}\n", named)
    team = Team(sandbox=beside, name=PIPELINE, folder=tmp_path_factory.mktemp("far"), context=CONTEXT)
    team.write(files)
    assert team.up()["changed"]
    return team


def test_a_push_is_delivered_through_the_api_server(team: Team, sandbox: SandboxState, beside: ServicesState) -> None:
    commit = team.push("Say hello from afar")
    _view, record = team.delivered(commit)
    assert (record.commit, record.trigger, record.status) == (commit, "push", "succeeded")
    assert team.word("222222222222", "us-east-1") == "hello"
    [delivery] = team.deliveries()
    assert delivery.ok
    assert f"/namespaces/aphex-{PIPELINE}/services/" in delivery.url
    assert delivery.url.endswith(f":12000/proxy/{PIPELINE}")
    assert record.repository.startswith(beside.git_url)
    own = Team(sandbox=sandbox, name=PIPELINE, folder=team.folder)
    names = [bucket["Name"] for bucket in own.aws("s3").list_buckets()["Buckets"]]
    assert f"aphex-{PIPELINE}-{sandbox.account}-{sandbox.region}" not in names


def test_a_second_up_changes_nothing(team: Team) -> None:
    assert team.up()["changes"] == []


def test_up_starts_again_what_had_ended(team: Team, beside: ServicesState) -> None:
    lifecycle.stop(beside.name, report)
    with pytest.raises(SandboxNotRunning):
        lifecycle.stand_ins(beside.name)
    assert team.up()["changes"] == [], "what was deployed is kept, at the same addresses"
    assert lifecycle.stand_ins(beside.name) == beside


def test_destroy_and_stop_leave_nothing(team: Team, beside: ServicesState, kubeconfig: Path) -> None:
    team.automation("destroy", "--pipeline", PIPELINE, "--yes")
    assert team.aws("dynamodb").list_tables()["TableNames"] == []
    assert team.aws("s3").list_buckets()["Buckets"] == []
    with Client(config=KubeConfig.from_file(kubeconfig).get(), trust_env=False) as api:
        assert f"aphex-{PIPELINE}" not in {getattr(each.metadata, "name", None) for each in api.list(Namespace)}
    assert command("status", "--name", beside.name).exit_code == 0
    command("stop", "--name", beside.name, "--remove")
    assert not beside.directory.exists()
    assert not [line for line in command_lines() if str(beside.directory) in line]
