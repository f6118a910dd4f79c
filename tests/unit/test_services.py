"""What stands in beside a cluster elsewhere: started without root, found again, mended, and ended without a trace."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx
import psutil
import pytest

from aphex.errors import AphexError, UsageError
from sandbox import git_host, lifecycle, services
from sandbox.services import address as addresses
from sandbox.services import alive
from sandbox.services.layout import lock_file
from sandbox.state import Phase, SandboxNotRunning, StandIns

KUBECONFIG = """\
apiVersion: v1
kind: Config
clusters: [{name: kind, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: kind, user: {token: secret}}]
contexts: [{name: kind, context: {cluster: kind, user: kind}}]
"""


def quiet(_what: str, _phase: Phase, _seconds: float) -> None:
    """Tell nobody."""


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> str:
    """An address of this machine that stands for the one that pods reach."""
    monkeypatch.setattr("sandbox.services.lifecycle.default_address", lambda: "127.0.0.1")
    return "127.0.0.1"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "kubeconfig").write_text(KUBECONFIG)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    monkeypatch.setenv("APHEX_STATE", str(tmp_path))
    yield tmp_path
    lifecycle.stop("beside", quiet, remove=True)


def ssm(state: StandIns) -> Any:
    make: Any = boto3.client
    return make(
        "ssm",
        endpoint_url=state.aws_endpoint,
        region_name=state.region,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


def pid_of(name: str) -> int:
    pid = alive.holder(lock_file(lifecycle.stand_ins(name).directory))
    assert pid is not None
    return pid


def test_services_are_started_found_mended_and_ended(home: Path, address: str) -> None:
    state = services.start("beside", "kind", quiet)
    first = pid_of("beside")
    assert services.start("beside", "kind", quiet) == state
    assert pid_of("beside") == first, "a start of what runs only looks"
    assert {each.name: each.state.value for each in lifecycle.status("beside").components} == {
        "aws": "ready",
        "git": "ready",
    }

    git_host.create_repository(state, "acme/shop")
    assert httpx.get(f"{state.git_url}/acme/shop.git/info/refs?service=git-upload-pack").status_code == 200
    ssm(state).put_parameter(Name="/kept", Value="yes", Type="String")
    lifecycle.stop("beside", quiet)
    with pytest.raises(SandboxNotRunning) as refusal:
        lifecycle.stand_ins("beside")
    assert refusal.value.hint.endswith("sandbox start --beside context:kind --name beside")
    assert not lifecycle.status("beside").running

    again = services.resume("beside", quiet)
    assert again == state, "clusters know the addresses, so they stay"
    assert ssm(again).get_parameter(Name="/kept")["Parameter"]["Value"] == "yes"

    killed = pid_of("beside")
    os.kill(killed, signal.SIGKILL)
    os.waitpid(killed, 0)
    assert not lifecycle.status("beside").running
    assert services.resume("beside", quiet) == state
    assert pid_of("beside") != killed

    last = pid_of("beside")
    lifecycle.stop("beside", quiet, remove=True)
    assert not psutil.pid_exists(last)
    assert not state.directory.exists()
    assert addresses.is_free(address, state.aws_port)


def test_only_their_owner_can_read_them(home: Path, address: str) -> None:
    state = services.start("beside", "kind", quiet)
    assert state.directory.stat().st_mode & 0o077 == 0
    for file in ("secrets.json", "services.json", "services.lock"):
        assert (state.directory / file).stat().st_mode & 0o077 == 0, file


def test_an_existing_nats_needs_its_user_and_keeps_it(
    home: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="a user and a password"):
        services.start("beside", "kind", quiet, nats_url="nats://10.0.0.1:4222")
    monkeypatch.setenv(services.NATS_USERNAME, "events")
    monkeypatch.setenv(services.NATS_PASSWORD, "hidden")
    state = services.start("beside", "kind", quiet, nats_url="nats://10.0.0.1:4222")
    monkeypatch.delenv(services.NATS_PASSWORD)
    assert services.start("beside", "kind", quiet) == state
    assert (state.secrets().nats_username, state.secrets().nats_password) == ("events", "hidden")
    assert "hidden" not in repr(state.secrets())


def test_a_port_that_was_taken_meanwhile_is_replaced(home: Path, address: str) -> None:
    state = services.start("beside", "kind", quiet)
    lifecycle.stop("beside", quiet)
    with socket.create_server((address, state.git_port)):
        again = services.resume("beside", quiet)
    assert again.git_port != state.git_port
    assert again.aws_port == state.aws_port


def test_an_unknown_context_is_refused_before_anything_is_made(home: Path) -> None:
    with pytest.raises(AphexError, match="elsewhere"):
        services.start("beside", "elsewhere", quiet)
    assert not services.exists("beside")


def test_a_whole_sandbox_s_name_is_not_taken(home: Path) -> None:
    folder = home / "sandbox" / "whole"
    folder.mkdir(parents=True)
    (folder / "network.json").write_text("{}")
    with pytest.raises(UsageError, match="whole sandbox"):
        services.start("whole", "kind", quiet)


@pytest.mark.parametrize("given", ["host.docker.internal", "127.0.0.1", "0.0.0.0", "203.0.113.77"])
def test_an_address_that_pods_could_not_use_is_refused(given: str) -> None:
    with pytest.raises(UsageError):
        addresses.check_address(given)


def test_a_second_process_does_not_take_a_held_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alive, "_TAKE_SECONDS", 0.1)
    descriptor = alive.hold(tmp_path / "lock")
    assert alive.holder(tmp_path / "lock") == os.getpid()
    with pytest.raises(AphexError, match="Another process"):
        alive.hold(tmp_path / "lock")
    os.close(descriptor)
    assert alive.holder(tmp_path / "lock") is None
