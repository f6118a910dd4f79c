"""Running the host's network and mount programs, which a user's PATH may lack."""

from __future__ import annotations

import os
from pathlib import Path

from aphex.process import Completed, run

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def system(*words: str | Path, check: bool = True) -> Completed:
    """Run a program of the system to its end.

    Raises:
        ProgramNotFound: it is not installed.
        ProcessError: it failed, and `check` is set.
    """
    path = f"{os.environ.get('PATH', os.defpath)}:{SYSTEM_PATH}"
    return run(words, env={**os.environ, "PATH": path}, check=check)
