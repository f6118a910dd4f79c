"""One command at a time on one sandbox, and one at a time that looks for free addresses."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sandbox.state import Phase, Report

NETWORK_LOCK = Path("/run/lock/aphex-sandbox-network.lock")
_POLL_SECONDS = 0.2


@contextmanager
def locked(path: Path, report: Report) -> Iterator[None]:
    """Hold a lock file; wait, and say so, while another process holds it.

    The kernel releases it when its holder ends, however it ends.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with path.open("a+") as file:
        waited = ""
        while not _take(file.fileno()):
            if not waited:
                file.seek(0)
                waited = f"process {file.read().strip() or '?'}, which works on the same sandbox"
                report(waited, Phase.waiting, 0.0)
            time.sleep(_POLL_SECONDS)
        if waited:
            report(waited, Phase.ready, time.monotonic() - started)
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
