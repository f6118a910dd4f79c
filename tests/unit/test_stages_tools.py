"""Programs that a command certainly calls are found; what may be there after all is never called missing."""

from __future__ import annotations

import pytest

from stages.tools import certain_calls


@pytest.mark.parametrize(
    ("command", "programs"),
    [
        ("npm ci", ["npm"]),
        ("cd app && npm run build", ["cd", "npm"]),
        ("A=1 B=2 gox build ./... | tee log; rm x", ["gox", "tee", "rm"]),
        ("env CI=1 nodex x.js", ["env", "nodex"]),
        ("sudo -u ann -E nodex", ["sudo", "nodex"]),
        ("timeout -k 5 10m nodex", ["timeout", "nodex"]),
        ("find . | xargs -n 1 nodex", ["find", "xargs", "nodex"]),
        ("time -p nodex", ["time", "nodex"]),
        ("exec nodex; other", ["exec", "nodex"]),
        ("npx tsc", ["npx"]),
        ("command -v nodex", ["command"]),
        ("./gradlew build", ["./gradlew"]),
        ("cd app && ../scripts/a.sh", ["cd", "scripts/a.sh"]),
        ("(cd app && ./b); ./c", ["cd", "app/b"]),
        ("$TOOL run", []),
        ("${TOOL}x run; other", []),
        ('"np"m ci', ["npm"]),
        ("n\\\npm ci", []),
        ("if nodex; then other; fi; last", ["last"]),
        ("nodex || true", []),
        ("nodex || exit 1", ["nodex"]),
        ("[ -f x ] && nodex", []),
        ("[[ -f x ]] && nodex", []),
        ("true && nodex", ["true", "nodex"]),
        ("! nodex", []),
        ("nodex &", []),
        ("for f in a b; do nodex $f; done", ["nodex"]),
        ("for f in $ALL; do nodex $f; done", []),
        ("while nodex; do other; done", []),
        ("case $x in a) nodex;; esac", []),
        ("f() { nodex; }; f; f", ["nodex"]),
        ("f() { nodex; }", []),
        ("version=$(nodex)", ["nodex"]),
        ('echo "$(nodex)"', ["nodex", "echo"]),
        ("diff <(nodex) <(other)", ["nodex", "other", "diff"]),
        ("echo 'a; b | c'", ["echo"]),
        ("sort < in > out", ["sort"]),
        ("2>/dev/null nodex", ["nodex"]),
        ("> out.txt nodex", ["nodex"]),
        ("cat <<EOF\nnodex\nEOF", ["cat"]),
        ("cat <<EOF | other\n$(nodex)\nEOF", ["cat", "other", "nodex"]),
        ("cat <<'EOF'\n$(nodex)\nEOF", ["cat"]),
        ("echo one\ntwo three", ["echo", "two"]),
        ("tsc --build \\\n  --force", ["tsc"]),
        ("set -e; nodex", ["set", "nodex"]),
        ("set +e; nodex", ["set"]),
        ("exit 0; nodex", ["exit"]),
        ("PATH=here nodex", []),
        ("source x; nodex", ["source"]),
        ("declare a=1; local b; unset c; (( 1 ))", []),
        ("echo 'unclosed", []),
        ("# only a comment", []),
    ],
)
def test_programs_of_a_command(command: str, programs: list[str]) -> None:
    assert [call.program for call in certain_calls([command])] == programs


@pytest.mark.parametrize(
    "before",
    [
        "pip install tool",
        "npm install -g tool",
        "curl -fsSL https://example.com | sh",
        "./install.sh",
        "bash scripts/setup.sh",
        "make tools",
        "cp tool /usr/local/bin/tool",
        "echo x > ~/bin/tool",
        "$INSTALLER tool",
        "echo 'unclosed",
        "if true; then apt-get install tool; fi",
    ],
)
def test_what_an_earlier_command_may_install_is_uncertain(before: str) -> None:
    assert "tool" not in [call.program for call in certain_calls([before, "tool"])]


@pytest.mark.parametrize(
    "before", ["npm ci", "export PATH=$PATH:x; other", "echo x > file", "pip --version", "git status"]
)
def test_what_an_earlier_command_cannot_install_is_certain(before: str) -> None:
    assert "tool" in [call.program for call in certain_calls([before, "tool"])]


def test_a_path_is_told_as_long_as_nothing_may_have_made_it() -> None:
    assert [call.program for call in certain_calls(["echo x", "./a"])] == ["echo", "./a"]
    assert [call.program for call in certain_calls(["echo x > a", "./a"])] == ["echo"]
    assert [call.program for call in certain_calls(["npm ci", "./a"])] == ["npm"]
    assert certain_calls(["./a"], after_build=True) == []


def test_a_program_is_told_with_its_first_command() -> None:
    assert [(call.command, call.program) for call in certain_calls(["a", "a; b"])] == [(0, "a"), (1, "b")]
