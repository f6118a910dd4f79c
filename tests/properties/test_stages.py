"""Properties of the stages, on a real git repository, real files, real processes and a moto endpoint."""

from __future__ import annotations

import io
import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aphex.config import Command, Environment
from stages.clients import PipelineClients
from stages.commands import CommandFailed, run_commands
from stages.console import Console
from stages.context import StageContext
from stages.source import checkout
from stages.store import RunStore
from tests.support.moto_endpoint import MotoEndpoint, moto_endpoint
from tests.support.pod import BUCKET, Pod, make_stores
from tests.support.repository import Repository, new_repository

EXAMPLES = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
_RUNS = itertools.count()
names = st.from_regex(r"[A-Za-z][A-Za-z0-9]{0,8}", fullmatch=True)
accounts = st.from_regex(r"[0-9]{12}", fullmatch=True)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)


@pytest.fixture(scope="module")
def aws() -> Iterator[MotoEndpoint]:
    with moto_endpoint() as endpoint, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", endpoint.url)
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        make_stores(endpoint)
        yield endpoint


@pytest.fixture(scope="module")
def clients(aws: MotoEndpoint) -> PipelineClients:
    return PipelineClients("us-east-1")


@pytest.fixture(scope="module")
def store(clients: PipelineClients) -> RunStore:
    return RunStore(clients, BUCKET)


def fresh_run() -> str:
    """A run that there was not yet: Hypothesis draws the same values more than once."""
    return f"run-{next(_RUNS)}"


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> tuple[Repository, list[str]]:
    """A repository and its commits; in each, the file `number` has the commit's position."""
    repository = new_repository(tmp_path_factory.mktemp("history") / "repository")
    return repository, [repository.commit({"number": str(number)}) for number in range(12)]


def context(aws: MotoEndpoint, folder: Path, run: str, **more: str) -> StageContext:
    pod = Pod(aws, Repository(folder), folder)
    return StageContext.from_environment({**pod.variables("build", "a" * 40), "APHEX_RUN": run, **more})


# Property 2: for any commit of a repository, the clone is at that commit, not at HEAD
@EXAMPLES
@given(position=st.integers(0, 11))
def test_a_clone_is_at_the_commit(history: tuple[Repository, list[str]], position: int) -> None:
    repository, commits = history
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        checkout(repository.url, commits[position], clone, lambda _line: None)
        assert (clone / "number").read_text() == str(position)
        assert Repository(clone).git("rev-parse", "HEAD") == commits[position]


def run_numbered(outcomes: list[bool]) -> tuple[list[int], int | None]:
    """Run commands that succeed or fail; returns which ran, and which one was told to have failed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        commands = [
            Command(run=f"echo {number} >> order; {'true' if good else 'false'}")
            for number, good in enumerate(outcomes)
        ]
        failed = None
        with Console(path / "log", io.StringIO()) as console:
            try:
                run_commands(commands, field="build.commands", cwd=path, env={"PATH": "/usr/bin:/bin"}, console=console)
            except CommandFailed as error:
                failed = int(error.details["field"].removeprefix("build.commands[").rstrip("]"))
        order = path / "order"
        return ([int(line) for line in order.read_text().split()] if order.exists() else []), failed


# Property 3: build commands all run in the order given, up to the first failure
# Property 12: test commands all run in order
@EXAMPLES
@given(outcomes=st.lists(st.booleans() | st.just(True), min_size=1, max_size=5))
def test_commands_run_in_order_up_to_the_first_failure(outcomes: list[bool]) -> None:
    ran, failed = run_numbered(outcomes)
    expected = outcomes.index(False) if False in outcomes else None
    assert failed == expected
    assert ran == list(range(len(outcomes) if expected is None else expected + 1))


def environment_of(stacks: list[str], account: str = "222222222222") -> Environment:
    return Environment.model_validate(
        {
            "name": "dev",
            "region": "us-east-1",
            "account": account,
            "stacks": [{"name": stack, "path": "app"} for stack in stacks],
        }
    )
