"""How long the stage's own clients try: long enough for an outage that passes, and not for ever."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from stages.assume import own_session
from stages.clients import PipelineClients, client_config

CALLS: dict[str, Callable[[Any], Any]] = {
    "s3": lambda client: client.list_buckets(),
    "dynamodb": lambda client: client.list_tables(),
    "cloudwatch": lambda client: client.list_metrics(),
}
TIMES = 5


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What is waited between attempts, in seconds, without waiting for it; nothing listens where AWS is."""
    found: list[float] = []
    random.seed(4711)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed.getsockname()[1]}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.delenv("AWS_MAX_ATTEMPTS", raising=False)
    monkeypatch.setattr("time.sleep", found.append)
    return found


@pytest.mark.parametrize("service", CALLS)
def test_half_a_minute_of_refused_connections_is_outlasted(service: str, waits: list[float]) -> None:
    for _ in range(TIMES):
        waits.clear()
        with pytest.raises(EndpointConnectionError):
            CALLS[service](getattr(PipelineClients("us-east-1"), service))
        assert 30 < sum(waits) < 240


def test_so_it_is_by_what_asks_for_credentials_and_by_what_reads_stacks(waits: list[float]) -> None:
    session = own_session("us-east-1")
    sts: Any = session.create_client("sts", region_name="us-east-1")
    stacks: Any = session.create_client("cloudformation", region_name="us-east-1", config=client_config())
    for ask in (sts.get_caller_identity, stacks.describe_stacks):
        waits.clear()
        with pytest.raises(EndpointConnectionError):
            ask()
        assert 30 < sum(waits) < 240
