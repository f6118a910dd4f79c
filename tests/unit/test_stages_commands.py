"""The user's commands: what is shown of them, and each way in which one fails, with its whole message."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from aphex.config import Command
from stages.commands import CommandFailed, run_commands
from stages.console import Console
from stages.masking import Masker

FIELD = "build.commands"
KILLED = "It was killed from outside, mostly because the pod's memory was used up."


class Ran:
    """Some commands that were run, to their end or up to a failure."""

    def __init__(self, folder: Path, *commands: Command | str, masker: Masker | None = None) -> None:
        shown = io.StringIO()
        self.done: list[dict[str, object]] = []
        self.failure: CommandFailed | None = None
        given = [Command(run=each) if isinstance(each, str) else each for each in commands]
        env = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
        with Console(folder / "log", shown, masker) as console:
            try:
                self.done = run_commands(given, field=FIELD, cwd=folder, env=env, console=console)
            except CommandFailed as error:
                self.failure = error
        self.lines = [timeless(line) for line in shown.getvalue().splitlines()]
        self.log = [timeless(line) for line in (folder / "log").read_text(encoding="utf-8").splitlines()]

    @property
    def told(self) -> tuple[str, str, Mapping[str, Any]]:
        """Message, hint and details of the failure; of the seconds only that they are there."""
        assert self.failure is not None
        details = dict(self.failure.details)
        assert details.pop("seconds") >= 0
        return self.failure.message, self.failure.hint, details


def timeless(line: str) -> str:
    """A header or footer without the time, when that has its form."""
    line = re.sub(r"^(==> .*, )([01]\d|2[0-3]):[0-5]\d:[0-5]\d UTC$", r"\1HH:MM:SS UTC", line)
    return re.sub(r"^(    (?:done in|failed after|stopped after) )(?:\d\.\d|\d\d) s$", r"\1N s", line)


def details(command: str, code: int, output: str, position: int = 0) -> dict[str, object]:
    return {"field": f"{FIELD}[{position}]", "command": command, "exit_code": code, "output": output}


def ended(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


def test_commands_run_in_order_each_with_its_head_and_its_end(tmp_path: Path) -> None:
    ran = Ran(tmp_path, "echo one > order; echo out; echo err >&2", "echo two >> order\ncat order", "true")
    assert ran.lines == [
        "==> build.commands[0] (1 of 3), HH:MM:SS UTC",
        "  $ echo one > order; echo out; echo err >&2",
        "out",
        "err",
        "    done in N s",
        "==> build.commands[1] (2 of 3), HH:MM:SS UTC",
        "  $ echo two >> order",
        "  $ cat order",
        "one",
        "two",
        "    done in N s",
        "==> build.commands[2] (3 of 3), HH:MM:SS UTC",
        "  $ true",
        "    done in N s",
    ]
    assert ran.log == ran.lines
    assert [(each["command"], each["exit_code"]) for each in ran.done] == [
        ("echo one > order; echo out; echo err >&2", 0),
        ("echo two >> order\ncat order", 0),
        ("true", 0),
    ]


def test_what_is_for_a_terminal_is_not_shown(tmp_path: Path) -> None:
    progress = r"printf ' 10%%\r 50%%\r100%%\n'"
    colours = r"printf '\033[1;31mred\033[0m and \033[4mplain\033[0m\n\033]0;title\007named\n'"
    windows = r"printf 'one\r\ntwo\r\n'"
    ran = Ran(tmp_path, progress, colours, windows)
    assert ran.lines == [
        "==> build.commands[0] (1 of 3), HH:MM:SS UTC",
        f"  $ {progress}",
        "100%",
        "    done in N s",
        "==> build.commands[1] (2 of 3), HH:MM:SS UTC",
        f"  $ {colours}",
        "red and plain",
        "named",
        "    done in N s",
        "==> build.commands[2] (3 of 3), HH:MM:SS UTC",
        f"  $ {windows}",
        "one",
        "two",
        "    done in N s",
    ]
    assert ran.log == ran.lines


def test_a_failure_has_the_status_and_what_was_printed_and_ends_the_list(tmp_path: Path) -> None:
    command = r"echo before; printf '\033[31mwrong\033[0m\n' >&2; exit 7"
    ran = Ran(tmp_path, "true", command, "echo never > never")
    assert ran.told == (
        f"build.commands[1] failed with exit status 7: {command}",
        "",
        details(command, 7, "before\nwrong\n", position=1),
    )
    assert ran.lines == [
        "==> build.commands[0] (1 of 3), HH:MM:SS UTC",
        "  $ true",
        "    done in N s",
        "==> build.commands[1] (2 of 3), HH:MM:SS UTC",
        f"  $ {command}",
        "before",
        "wrong",
        "    failed after N s",
    ]
    assert not (tmp_path / "never").exists()


def test_a_failure_within_a_pipe_is_one(tmp_path: Path) -> None:
    assert Ran(tmp_path, "false | cat\necho never").told == (
        "build.commands[0] failed with exit status 1: false | cat\necho never",
        "",
        details("false | cat\necho never", 1, ""),
    )


def test_of_much_output_and_long_lines_the_end_and_the_begin_are_kept(tmp_path: Path) -> None:
    command = "seq 100; printf '%03000d\\n' 0; exit 1"
    ran = Ran(tmp_path, command)
    kept = "".join(f"{number}\n" for number in range(52, 101)) + "0" * 2000 + " …\n"
    assert ran.told == (f"build.commands[0] failed with exit status 1: {command}", "", details(command, 1, kept))
    assert ran.log[2:-1] == [*map(str, range(1, 101)), "0" * 3000]


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    assert Ran(tmp_path, "no-such-program-4711 --all").told == (
        "build.commands[0] failed with exit status 127: no-such-program-4711 --all",
        "A program that it calls is not in the image.",
        details("no-such-program-4711 --all", 127, "bash: line 1: no-such-program-4711: command not found\n"),
    )


def test_a_file_that_is_not_executable(tmp_path: Path) -> None:
    (tmp_path / "gradlew").write_text("#!/bin/sh\n", encoding="utf-8")
    (tmp_path / "gradlew").chmod(0o644)
    assert Ran(tmp_path, "./gradlew build").told == (
        "build.commands[0] failed with exit status 126: ./gradlew build",
        "A file that it calls is not executable: git keeps that right, see git update-index --chmod=+x.",
        details("./gradlew build", 126, "bash: line 1: ./gradlew: Permission denied\n"),
    )


@pytest.mark.parametrize(("number", "hint"), [(9, KILLED), (15, "")])
def test_a_shell_that_is_killed(tmp_path: Path, number: int, hint: str) -> None:
    command = f"echo before; kill -{number} $$"
    ran = Ran(tmp_path, command)
    assert ran.told == (
        f"build.commands[0] failed with signal {number}: {command}",
        hint,
        details(command, -number, "before\n"),
    )
    assert ran.lines[-1] == "    failed after N s"


def test_a_program_that_is_killed(tmp_path: Path) -> None:
    command = "sh -c 'kill -9 $$' 2>&1; echo never"
    message, hint, told = Ran(tmp_path, command).told
    said = re.sub(r"line 1: +\d+ Killed +", "line 1: PID Killed ", str(told["output"]))
    assert (message, hint) == (f"build.commands[0] failed with exit status 137: {command}", KILLED)
    assert {**told, "output": said} == details(command, 137, "bash: line 1: PID Killed sh -c 'kill -9 $$' 2>&1\n")


def test_a_command_that_takes_too_long_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    # One in the same group, one in a session of its own, and one that ignores being asked to end.
    command = (
        "sleep 300 & echo $! >> pids\n"
        "setsid bash -c 'echo $$ >> pids; exec sleep 300' &\n"
        "(trap '' TERM; echo $BASHPID >> pids; exec sleep 300) &\n"
        "echo $$ >> pids; seq 60; wait"
    )
    ran = Ran(tmp_path, Command(run=command, timeout="2s"), "echo never > never")
    assert ran.told == (
        f"build.commands[0] did not end within 2s and was stopped: {command}",
        "Give it a longer timeout in aphex-config.yaml if it needs one.",
        {
            "field": "build.commands[0]",
            "command": command,
            "timed_out": True,
            "output": "".join(f"{number}\n" for number in range(11, 61)),
        },
    )
    assert ran.lines == [
        "==> build.commands[0] (1 of 2), HH:MM:SS UTC",
        *(f"  $ {line}" for line in command.splitlines()),
        *map(str, range(1, 61)),
        "    stopped after N s",
    ]
    pids = [int(pid) for pid in (tmp_path / "pids").read_text(encoding="utf-8").split()]
    assert len(pids) == 4
    assert all(map(ended, pids))
    assert not (tmp_path / "never").exists()


def test_a_secret_is_in_none_of_it(tmp_path: Path) -> None:
    secret = "hunter2-4711"
    ran = Ran(tmp_path, f"echo {secret}; exit 3", masker=Masker([secret]))
    assert ran.told == (
        "build.commands[0] failed with exit status 3: echo ***; exit 3",
        "",
        details("echo ***; exit 3", 3, "***\n"),
    )
    assert ran.lines == [
        "==> build.commands[0] (1 of 1), HH:MM:SS UTC",
        "  $ echo ***; exit 3",
        "***",
        "    failed after N s",
    ]
