"""A missing program is found before the build, and nothing that may be there is called missing."""

from __future__ import annotations

import pytest

from stages.tools import called_programs, certain_calls


@pytest.mark.parametrize(
    ("command", "programs"),
    [
        ("npm ci", ["npm"]),
        ("cd app && npm run build", ["cd", "npm"]),
        ("A=1 B=2 go build ./... | tee log; rm x", ["go", "tee", "rm"]),
        ("env CI=1 node x.js", ["node"]),
        ("sudo -u x node", ["sudo"]),
        ("./gradlew build", []),
        ("$TOOL run", []),
        ("if test -f x; then cat x; else echo no; fi", ["test", "cat", "echo"]),
        ("for f in a b; do lint $f; done", []),
        ("! grep -q x file", ["grep"]),
        ("(cd a; tsc) && ls", ["cd", "tsc", "ls"]),
        ("echo 'a; b | c'", ["echo"]),
        ("sort < in > out", ["sort"]),
        ("2>/dev/null ls", ["ls"]),
        ("> out.txt date", ["date"]),
        ("cat <<EOF\nfoo\nEOF", []),
        ("echo one\ntwo three", ["echo", "two"]),
        ("tsc --build \\\n  --force", ["tsc"]),
        ("echo 'unclosed", ["echo"]),
        ("# only a comment", []),
    ],
)
def test_programs_of_a_command(command: str, programs: list[str]) -> None:
    found = list(called_programs(command))
    if "unclosed" in command:
        assert set(found) <= set(programs)
    else:
        assert found == programs


def test_after_an_installation_nothing_is_certain() -> None:
    calls = certain_calls(["npm --version", "pip install tool && tool --version", "other"])
    assert [call.program for call in calls] == ["npm", "pip"]


def test_a_program_is_told_with_its_first_command() -> None:
    assert [(call.command, call.program) for call in certain_calls(["a", "a; b"])] == [(0, "a"), (1, "b")]
