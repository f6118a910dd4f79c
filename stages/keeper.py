"""Keeps the log of a running stage in the bucket, so that it is there even when the pod is killed.

An object cannot be appended to, and the bucket keeps versions: storing a large log anew each time would cost its
square. So the whole log is stored the more seldom the larger it is, which adds up to a small multiple of its size, and
between that only its end, which says what the stage was doing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stages.clients import PipelineClients
from stages.console import Console
from stages.context import StageContext
from stages.store import RunStore

INTERVAL = 20.0
_FIRST = 1.0
TAIL = 256 * 1024
# Up to this size the whole log is stored after every interval, at twice the size after every second one, and so on.
SMALL = 4 * 1024 * 1024


@contextmanager
def kept_log(context: StageContext, log: Path, console: Console, interval: float = INTERVAL) -> Iterator[None]:
    """Store the log after every `interval` seconds in which it grew, as long as the block lasts.

    At first sooner, after 1, 2, 4 seconds and so on: a pod that is killed early leaves its log too.
    """
    over = threading.Event()
    keeper = threading.Thread(target=_keep, args=(context, log, console, interval, over), daemon=True)
    keeper.start()
    try:
        yield
    finally:
        # Waited for, so that an older log never replaces the last one.
        over.set()
        keeper.join()


def whole_is_due(size: int, waited: float, interval: float) -> bool:
    """Whether the whole log is stored again.

    Args:
        size: of the log, in bytes.
        waited: seconds since it was stored whole.
        interval: seconds between two looks at it.
    """
    return waited >= interval * max(1.0, size / SMALL) - interval / 2


def tail_key(log_key: str) -> str:
    """Where the end of a large log is until the whole is stored: `build.log` has `build.tail.log`."""
    return f"{log_key.removesuffix('.log')}.tail.log"


def _keep(context: StageContext, log: Path, console: Console, interval: float, over: threading.Event) -> None:
    # Clients of its own: boto3's sessions are not made for two threads.
    store = RunStore(PipelineClients(context.region, context.store_endpoint), context.bucket)
    key = context.keys.log(context.stage)
    stored, whole_at = 0, float("-inf")
    wait = min(_FIRST, interval)
    while not over.wait(wait):
        passed, wait = wait, min(2 * wait, interval)
        size = log.stat().st_size
        if size == stored:
            continue
        try:
            if whole_is_due(size, time.monotonic() - whole_at, passed):
                store.put_log(key, log)
                whole_at = time.monotonic()
            else:
                _store_tail(store, key, log)
        except Exception as error:  # noqa: BLE001  # it is tried again, and once more at the end
            console.log_only(f"The log was not stored yet: {type(error).__name__}: {error}")
        stored = size


def _store_tail(store: RunStore, log_key: str, log: Path) -> None:
    tail = log.with_suffix(".tail")
    with log.open("rb") as whole:
        whole.seek(max(0, log.stat().st_size - TAIL))
        text = whole.read()
    tail.write_bytes(text[text.find(b"\n") + 1 :])
    store.put_log(tail_key(log_key), tail)
