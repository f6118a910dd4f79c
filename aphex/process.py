"""The one way to run a program and wait for it: streamed, timed, and with its whole process group ended."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from aphex.errors import AphexError
from aphex.process_output import Reader
from aphex.process_start import start_program
from aphex.process_tree import GRACE_SECONDS, MARK, end_group

__all__ = ["Completed", "ProcessError", "ProcessTimeout", "ProgramNotFound", "end_group", "run"]

TAIL_LINES = 50


@dataclass(frozen=True, kw_only=True)
class Completed:
    """A program that ended.

    Attributes:
        argv: what was run.
        exit_code: its status; negative is the signal that ended it.
        output: standard output, and standard error with it unless they were asked for apart.
        error_output: standard error, when it was asked for apart.
        seconds: how long it took.
    """

    argv: tuple[str, ...]
    exit_code: int
    output: str
    error_output: str
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether the program said that it succeeded."""
        return self.exit_code == 0


class ProcessError(AphexError):
    """A program ended with a failure; the last lines of what it printed are in the message."""

    def __init__(self, completed: Completed, *, label: str = "", hint: str = "") -> None:
        self.completed = completed
        name = label or completed.argv[0]
        tail = "\n".join((completed.error_output or completed.output).splitlines()[-TAIL_LINES:])
        super().__init__(f"{name} ended with exit status {completed.exit_code}.\n{tail}".rstrip(), hint=hint)


class ProcessTimeout(AphexError):
    """A program did not end in time; its process group was ended."""

    def __init__(self, argv: Sequence[str], seconds: float, *, label: str = "") -> None:
        self.seconds = seconds
        super().__init__(f"{label or argv[0]} did not end within {seconds:g} s and was stopped.")


class ProgramNotFound(AphexError):
    """The program to run is not on this machine."""

    def __init__(self, program: str) -> None:
        super().__init__(f"{program} was not found.", hint=f"Install {program}, or put it on the PATH.")


def run(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    input: str | None = None,
    timeout: float | None = None,
    on_line: Callable[[str], None] | None = None,
    check: bool = True,
    separate_errors: bool = False,
    keep_lines: int | None = None,
    label: str = "",
    grace: float = GRACE_SECONDS,
    errors: str = "replace",
) -> Completed:
    """Run a program to its end in a process group of its own.

    What it leaves in the background goes on; its output is no longer handed on.

    Args:
        argv: the program and its arguments; no shell is between.
        cwd: where it runs.
        env: its whole environment; the caller's when None.
        input: what it reads on standard input; nothing when None.
        timeout: seconds after which the group is ended.
        on_line: called with each line as it comes (of both outputs), without its line end.
        check: whether a failure raises.
        separate_errors: whether standard error is kept apart from standard output.
        keep_lines: how many last lines are kept; all when None.
        label: what to call it in errors, when argv says too much or too little.
        grace: seconds that the group has to end by itself before it is forced. What left the group is ended with it,
            as far as it is found (`aphex.process_tree`).
        errors: what to do with output that is not UTF-8, as in `bytes.decode`.

    Raises:
        ProgramNotFound: there is no such program.
        ProcessTimeout: it did not end in time.
        ProcessError: it failed, and `check` is set.
    """
    words = [str(word) for word in argv]
    mark = (env or {}).get(MARK, "")
    started = time.monotonic()
    spawn = partial(_spawn, words, cwd, env, separate_errors, reads=input is not None)
    process = start_program(spawn, grace, mark)
    try:
        streams = [stream for stream in (process.stdout, process.stderr) if stream is not None]
        readers = [Reader(stream, on_line, keep_lines, errors) for stream in streams]
        _feed(process, input)
        process.wait(timeout)
        for reader in readers:
            reader.finish()
    except subprocess.TimeoutExpired as expired:
        end_group(process, grace, mark)
        for reader in readers:
            reader.settle()
        raise ProcessTimeout(words, expired.timeout, label=label) from None
    except BaseException:
        end_group(process, grace, mark)
        raise
    completed = Completed(
        argv=tuple(words),
        exit_code=process.returncode,
        output="".join(readers[0].lines),
        error_output="".join(readers[1].lines) if len(readers) > 1 else "",
        seconds=time.monotonic() - started,
    )
    if check and not completed.ok:
        raise ProcessError(completed, label=label)
    return completed


def _spawn(
    words: list[str], cwd: Path | None, env: Mapping[str, str] | None, separate: bool, *, reads: bool
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            words,
            cwd=cwd,
            env=dict(env) if env is not None else None,
            stdin=subprocess.PIPE if reads else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if separate else subprocess.STDOUT,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        if cwd is not None and not cwd.is_dir():
            raise AphexError(f"{words[0]} cannot run in {cwd}: there is no such folder.") from error
        raise ProgramNotFound(words[0]) from error


def _feed(process: subprocess.Popen[bytes], text: str | None) -> None:
    if text is None or process.stdin is None:
        return
    try:
        process.stdin.write(text.encode())
        process.stdin.close()
    except BrokenPipeError:
        # The program ended without reading all of it; its exit status says whether that is a failure.
        return
