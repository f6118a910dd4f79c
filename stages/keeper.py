"""Keeps the log of a running stage in the bucket, so that it is there even when the pod is killed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stages.clients import PipelineClients
from stages.console import Console
from stages.context import StageContext
from stages.store import RunStore

INTERVAL = 20.0


@contextmanager
def kept_log(context: StageContext, log: Path, console: Console, interval: float = INTERVAL) -> Iterator[None]:
    """Store the log after every `interval` seconds in which it grew, as long as the block lasts."""
    over = threading.Event()
    keeper = threading.Thread(target=_keep, args=(context, log, console, interval, over), daemon=True)
    keeper.start()
    try:
        yield
    finally:
        # Waited for, so that an older log never replaces the last one.
        over.set()
        keeper.join()


def _keep(context: StageContext, log: Path, console: Console, interval: float, over: threading.Event) -> None:
    # Clients of its own: boto3's sessions are not made for two threads.
    store = RunStore(PipelineClients(context.region, context.store_endpoint), context.bucket)
    stored = 0
    while not over.wait(interval):
        size = log.stat().st_size
        if size == stored:
            continue
        try:
            store.put_log(context.keys.log(context.stage), log)
        except Exception as error:  # noqa: BLE001  # it is tried again, and once more at the end
            console.log_only(f"The log was not stored yet: {type(error).__name__}: {error}")
        stored = size
