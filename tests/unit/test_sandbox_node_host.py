"""Where a node cannot run it is refused with the other way named, and only the right process is ever ended."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from aphex.errors import UsageError
from sandbox import lifecycle
from sandbox.node import cgroups, host
from sandbox.node.layout import Layout
from sandbox.state import Phase, SandboxNotRunning, SandboxSecrets, state_directory


def quiet(_what: str, _phase: Phase, _seconds: float) -> None:
    """Tell nobody."""


@pytest.mark.parametrize(
    ("platform", "user", "missing", "reason"),
    [("darwin", 0, False, "Linux"), ("linux", 1000, False, "root"), ("linux", 0, True, "control groups")],
)
def test_a_machine_that_cannot_hold_a_node_is_refused(
    platform: str, user: int, missing: bool, reason: str, tmp_path: Path
) -> None:
    if not missing:
        (tmp_path / "memory").mkdir()
    with pytest.raises(host.CannotRunHere, match=reason) as refusal:
        host.check_platform(platform, user, tmp_path)
    assert "--cluster context:NAME" in refusal.value.hint


def test_a_process_that_has_the_id_of_an_earlier_one_is_not_taken_for_it(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    mine = host.identify(os.getpid())
    assert mine is not None
    layout.process.write_text(mine.model_dump_json())
    assert host.running(layout) == mine
    layout.process.write_text(mine.model_copy(update={"started": mine.started - 1}).model_dump_json())
    assert host.running(layout) is None
    host.end(layout)
    assert host.identify(os.getpid()) == mine


def test_an_ended_process_is_gone_even_while_nobody_has_collected_it() -> None:
    with subprocess.Popen(["true"]) as process:
        while host.identify(process.pid) is not None:
            pass
        assert process.poll() == 0


@pytest.mark.parametrize("name", ["", "../x", "Upper", "a" * 41, "x/y"])
def test_a_name_that_is_no_kubernetes_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        state_directory(name)


def test_a_sandbox_that_was_never_started_is_not_running_and_can_be_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APHEX_STATE", str(tmp_path))
    assert not lifecycle.status("nobody").running
    with pytest.raises(SandboxNotRunning, match="nobody"):
        lifecycle.load("nobody")
    lifecycle.stop("nobody", quiet)
    assert list(tmp_path.iterdir()) == []


def test_secrets_are_not_shown_and_never_the_same() -> None:
    one, other = SandboxSecrets.generate(), SandboxSecrets.generate()
    assert one.webhook_secret != other.webhook_secret
    assert not any(value in repr(one) for value in (one.nats_password, one.passphrase, one.admin_token))


def test_hierarchies_of_version_one_are_folders_and_not_their_aliases(tmp_path: Path) -> None:
    for name in ("memory", "cpu"):
        (tmp_path / name).mkdir()
    (tmp_path / "cpuacct").symlink_to("cpu")
    assert [path.name for path in cgroups.hierarchies(tmp_path)] == ["cpu", "memory"]
    (tmp_path / "cgroup.controllers").touch()
    assert cgroups.hierarchies(tmp_path) == [tmp_path]
