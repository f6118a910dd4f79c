"""Where binaries, downloads and images are kept between runs, and how two processes share that place."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

Report = Callable[[str], None]


def silent(_message: str) -> None:
    """A report that nobody reads."""


def cache_root() -> Path:
    """The folder that outlives every sandbox: `$APHEX_CACHE`, else `aphex` in the user's cache folder.

    Works without `HOME`, which minimal environments lack.
    """
    if chosen := os.environ.get("APHEX_CACHE"):
        return Path(chosen).absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache").absolute() / "aphex"


@contextmanager
def locked(path: Path, report: Report, doing: str, *, wait: bool = True) -> Iterator[bool]:
    """Hold the lock file `path`; while another process has it, say so and wait, or yield False when not to `wait`.

    The kernel lets go of it when its holder dies, so a killed process leaves nothing to clean up.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                yield False
                return
            handle.seek(0)
            holder = handle.read().strip() or "unknown"
            report(f"{doing}: waiting for process {holder}, which is at it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        handle.seek(0)
        handle.truncate()
        handle.write(str(os.getpid()))
        handle.flush()
        yield True


@contextmanager
def placed(final: Path) -> Iterator[Path]:
    """A folder to fill, that becomes `final` in one step when the block ends well and vanishes when it does not."""
    partial = final.with_name(f".{final.name}.partial")
    remove(partial)
    partial.mkdir(parents=True)
    try:
        yield partial
        partial.replace(final)
    except BaseException:
        remove(partial)
        raise


def remove(path: Path) -> None:
    """Remove a file or a folder that may not be there, read-only folders (Go's module cache) included."""
    if path.is_symlink() or path.is_file():
        path.unlink()
        return
    if not path.exists():
        return
    for folder, _, _ in os.walk(path):
        Path(folder).chmod(0o700)
    shutil.rmtree(path)
