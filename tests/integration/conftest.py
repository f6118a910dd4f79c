"""The sandbox that integration tests share: started once a session under a name of its own, gone without a trace."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import lifecycle
from sandbox.node import host
from sandbox.providers.kubernetes.api import KubernetesApi
from sandbox.providers.kubernetes.connection import connect
from sandbox.state import Phase, SandboxState
from tests.support.traces import Traces


def report(what: str, phase: Phase, seconds: float) -> None:
    """Print progress, which pytest shows when a test fails."""
    print(f"{phase.value}: {what} ({seconds:.1f} s)", flush=True)


@pytest.fixture(scope="session")
def sandbox_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A state folder of this session's own, so that a user's sandboxes are not touched."""
    try:
        host.check_platform()
    except host.CannotRunHere as reason:
        pytest.skip(reason.message)
    folder = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("APHEX_STATE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def sandbox(sandbox_home: Path) -> Iterator[SandboxState]:
    """A running sandbox. At the end of the session it is stopped, and nothing of it may be left."""
    name = f"test-{secrets.token_hex(3)}"
    state = None
    try:
        state = lifecycle.start(name, report)
        yield state
        state = lifecycle.load(name)
    finally:
        lifecycle.stop(name, report, remove=True)
    assert Traces.of(state) == Traces()
    assert not state.directory.exists()


@pytest.fixture
def api(sandbox: SandboxState) -> Iterator[KubernetesApi]:
    """The sandbox's API server, as its administrator."""
    api = KubernetesApi(connect(str(sandbox.kubeconfig)))
    yield api
    api.close()
