"""Properties of the user's commands: a real bash for each, and whole test stages against a moto endpoint."""

from __future__ import annotations

import io
import itertools
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aphex.config import Command
from aphex.run import RunKeys
from stages.commands import CommandFailed, run_commands
from stages.console import Console
from stages.context import StageContext
from stages.runner import run_stage
from tests.support.moto_endpoint import moto_endpoint
from tests.support.pod import RUN, Pod, make_stores
from tests.support.repository import new_repository

EXAMPLES = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
_EXECUTIONS = itertools.count()
SLOTS = 3
# How commands end, with their exit status; what is after a failure within one of them must not run either.
ENDS = {
    "true": 0,
    "false || true": 0,
    "if false; then exit 1; fi": 0,
    "exit 0; false": 0,
    "(exit 4) || echo recovered": 0,
    "false": 1,
    "exit 7": 7,
    "false | cat": 1,
    "(exit 9)\necho never >> order": 9,
    "x=$(exit 5); echo never >> order": 5,
    "no-such-program-4711": 127,
    "kill -9 $$": -9,
}
good = st.sampled_from([end for end, status in ENDS.items() if status == 0])
ends = st.lists(st.one_of(good, good, st.sampled_from(list(ENDS))), min_size=1, max_size=5)
CONFIG = """\
version: "1.0"
build:
  commands: ["true"]
environments:
  - name: dev
    region: us-east-1
    account: "123456789012"
    stacks:
      - name: App
        path: app
    tests:
      commands:
        - eval "$TEST_0"
        - eval "$TEST_1"
        - eval "$TEST_2"
"""


# Property 3: build commands all run in the order given, up to the first failure
# Property 12: test commands all run in order
@EXAMPLES
@given(chosen=ends, field=st.sampled_from(["build.commands", "environments[0].tests.commands"]))
def test_commands_run_in_order_up_to_the_first_failure(chosen: list[str], field: str) -> None:
    failing = [position for position, end in enumerate(chosen) if ENDS[end] != 0]
    expected = failing[0] if failing else None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        commands = [Command(run=f"echo {position} >> order\n{end}") for position, end in enumerate(chosen)]
        told: object = None
        with Console(path / "log", io.StringIO()) as console:
            try:
                done = run_commands(commands, field=field, cwd=path, env={"PATH": "/usr/bin:/bin"}, console=console)
                assert [each["command"] for each in done] == [command.run for command in commands]
            except CommandFailed as error:
                told = (error.details["field"], error.details["exit_code"])
        ran = [int(line) for line in (path / "order").read_text().split()]
    assert ran == list(range(len(chosen) if expected is None else expected + 1))
    assert told == (None if expected is None else (f"{field}[{expected}]", ENDS[chosen[expected]]))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Pod, str]]:
    """A run whose artifact is stored, and its commit, whose test commands are variables of the pod."""
    folder = tmp_path_factory.mktemp("pod")
    with moto_endpoint() as aws:
        make_stores(aws)
        pod = Pod(aws, new_repository(folder / "repository"), folder)
        commit = pod.repository.commit({"aphex-config.yaml": CONFIG})
        assert pod.run("build", commit).exit_code == 0
        yield pod, commit


def stage_in_process(pod: Pod, commit: str, name: str, tests: dict[str, str]) -> int:
    """Run a test stage as its pod does, but without the start of Python; returns its exit status."""
    variables = pod.variables(name, commit, APHEX_ENVIRONMENT="dev", **tests)
    with pytest.MonkeyPatch.context() as patch:
        for key, value in variables.items():
            patch.setenv(key, value)
        return run_stage("stages.test", StageContext.from_environment(variables))


# Property 13: the status and the logs of every execution of tests are stored
@EXAMPLES
@given(
    chosen=st.lists(st.one_of(good, good, st.sampled_from(list(ENDS))), min_size=SLOTS, max_size=SLOTS),
    texts=st.lists(st.text("aZ9 é$'\"\\*漢", max_size=20), min_size=SLOTS, max_size=SLOTS),
)
def test_status_and_log_of_tests_are_stored(built: tuple[Pod, str], chosen: list[str], texts: list[str]) -> None:
    pod, commit = built
    name, mark = "test-dev", f"execution-{next(_EXECUTIONS)}"
    tests = {f"TEST_{slot}": f"printf '%s\\n' \"${{TEXT_{slot}}}\"; {chosen[slot]}" for slot in range(SLOTS)}
    tests |= {f"TEXT_{slot}": f"{mark} {slot} {texts[slot]}" for slot in range(SLOTS)}
    failing = [slot for slot in range(SLOTS) if ENDS[chosen[slot]] != 0]
    shown = io.StringIO()
    with redirect_stdout(shown):
        status = stage_in_process(pod, commit, name, tests)
    log, record, keys = pod.text(f"runs/{RUN}/logs/{name}.log"), pod.item()["stages"][name], RunKeys(RUN)
    assert status == (1 if failing else 0), log
    assert log.startswith(shown.getvalue())
    printed = [line for line in log.splitlines() if line.startswith(f"{mark} ")]
    assert printed == [tests[f"TEXT_{slot}"] for slot in range(failing[0] + 1 if failing else SLOTS)]
    assert (record["status"], record["log"]) == ("failed" if failing else "succeeded", keys.log(name))
    assert record["started_at"] <= record["ended_at"]
    if failing:
        error = pod.json(keys.error(name))
        field = f"environments[0].tests.commands[{failing[0]}]"
        assert (error["field"], error["exit_code"]) == (field, ENDS[chosen[failing[0]]])
        assert tests[f"TEXT_{failing[0]}"] in error["output"].splitlines()
    else:
        result = pod.json(keys.result(name))
        assert (result["status"], result["commands"]) == ("succeeded", result["commands"])
        assert len(result["commands"]) == SLOTS
