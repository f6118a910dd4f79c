"""The log of a running stage is kept, at a cost that stays in proportion to it."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stages import keeper
from stages.console import Console
from stages.context import StageContext
from tests.support.moto_endpoint import MotoEndpoint, moto_endpoint
from tests.support.pod import RUN, Pod, make_stores
from tests.support.repository import Repository


@pytest.fixture(scope="module")
def aws() -> Iterator[MotoEndpoint]:
    with moto_endpoint() as endpoint:
        make_stores(endpoint)
        yield endpoint


def uploaded(rate: int, seconds: int) -> tuple[int, int]:
    """Bytes of a log that grows steadily, and bytes that were stored of it, by the keeper's own decision."""
    stored = size = 0
    last = float("-inf")
    for now in range(20, seconds, 20):
        size = rate * now
        if keeper.whole_is_due(size, now - last, 20.0):
            stored += size
            last = now
        else:
            stored += keeper.TAIL
    return size, stored


@pytest.mark.parametrize("rate", [1_000, 100_000, 1_000_000])
def test_what_is_uploaded_stays_in_proportion_to_a_large_log(rate: int) -> None:
    size, stored = uploaded(rate, 3600)
    assert stored < max(3 * size + 180 * keeper.TAIL, 180 * keeper.SMALL)


def test_the_end_of_a_large_log_is_stored_between_whole_ones(
    aws: MotoEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws.url)
    monkeypatch.setattr(keeper, "SMALL", 1000)
    monkeypatch.setattr(keeper, "TAIL", 100)
    pod = Pod(aws, Repository(tmp_path), tmp_path)
    context = StageContext.from_environment(pod.variables("build", "a" * 40))
    whole, tail = f"runs/{RUN}/logs/build.log", f"runs/{RUN}/logs/build.tail.log"
    with Console(tmp_path / "log", io.StringIO()) as console:
        for number in range(5000):
            console.line(f"line {number}")
        with keeper.kept_log(context, tmp_path / "log", console, interval=0.1):
            wait_for(pod, whole)
            console.line("the last one")
            wait_for(pod, tail)
    assert pod.text(whole).endswith("line 4999\n")
    assert pod.text(tail).splitlines()[-2:] == ["line 4999", "the last one"]
    assert len(pod.text(tail)) <= 100


def wait_for(pod: Pod, key: str) -> None:
    deadline = time.monotonic() + 30
    while key not in pod.stored() and time.monotonic() < deadline:
        time.sleep(0.05)
