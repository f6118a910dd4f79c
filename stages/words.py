"""The words of simple shell commands: what they say literally, which are wrappers, and what they may change."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Node

_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=")

# Programs that run the command after them: which of their options take a value, and how many words come first.
_WRAPPERS: dict[str, tuple[frozenset[str], int]] = {
    "env": (frozenset({"-u", "--unset", "-C", "--chdir"}), 0),
    "sudo": (frozenset({"-u", "-g", "-h", "-p", "-C", "-D", "-R", "-T", "-U"}), 0),
    "exec": (frozenset({"-a"}), 0),
    "time": (frozenset({"-f", "-o"}), 0),
    "command": (frozenset(), 0),
    "builtin": (frozenset(), 0),
    "nohup": (frozenset(), 0),
    "setsid": (frozenset(), 0),
    "nice": (frozenset({"-n"}), 0),
    "ionice": (frozenset({"-c", "-n"}), 0),
    "stdbuf": (frozenset({"-i", "-o", "-e"}), 0),
    "timeout": (frozenset({"-k", "-s"}), 1),
    "xargs": (frozenset({"-a", "-d", "-E", "-I", "-L", "-n", "-P", "-s"}), 0),
}
_ASKS = frozenset({"-v", "-V", "--version", "--help", "-l", "-k", "-e"})  # with these a wrapper runs nothing

# How these end says something; what comes after `&&` depends on it.
TESTS = frozenset(
    {
        "test",
        "[",
        "[[",
        "false",
        "grep",
        "egrep",
        "fgrep",
        "rg",
        "command",
        "which",
        "type",
        "hash",
        "diff",
        "cmp",
        "let",
    }
) | {"git", "ls"}

# What makes no files.
QUIET = frozenset(
    {"cd", "echo", "printf", "test", "[", "true", "false", ":", "set", "shopt", "export", "ls", "cat", "pwd", "env"}
    | {"date", "head", "tail", "grep", "which", "type", "command", "hash", "uname", "id", "sort", "wc", "cut", "tr"}
    | {"diff", "whoami", "hostname", "sleep", "exit", "return", "time", "sudo", "nice", "nohup", "timeout", "exec"}
    | {"umask", "ulimit", "wait", "trap", "read", "unset", "builtin", "xargs", "stdbuf", "setsid"}
)

# What may put programs on the PATH. Package managers that install into the project's own folder do not.
_INSTALLERS = frozenset(
    {
        "apt",
        "apt-get",
        "apk",
        "dnf",
        "yum",
        "microdnf",
        "zypper",
        "pacman",
        "brew",
        "dpkg",
        "rpm",
        "snap",
        "curl",
        "wget",
    }
    | {"pip", "pip3", "pipx", "uv", "poetry", "pdm", "conda", "mamba", "mise", "asdf", "nvm", "sdk", "rustup", "cargo"}
    | {"gem", "go", "dotnet", "corepack", "volta", "fnm", "nix", "nix-env", "make", "just", "task", "rake", "ansible"}
    | {
        "source",
        ".",
        "eval",
        "sh",
        "bash",
        "dash",
        "zsh",
        "ksh",
        "python",
        "python3",
        "node",
        "perl",
        "ruby",
        "tar",
        "unzip",
        "aws",
    }
)
_LOCAL = frozenset({"npm", "yarn", "pnpm", "bun"})
_GLOBAL_WORDS = frozenset({"-g", "--global", "global", "link", "--location=global"})
_SHELL_CHANGERS = frozenset({"source", ".", "eval", "alias", "enable"})


@dataclass(frozen=True)
class Line:
    """A simple command: its program and arguments; None for a word that depends on something."""

    name: str | None
    arguments: tuple[str | None, ...]


def literal(node: Node) -> str | None:
    """The text of a word with its quotes removed; None when a part of it depends on something."""
    text = (node.text or b"").decode()
    if node.type in ("word", "number", "file_descriptor"):
        # A number with a base may hold an expansion.
        return None if node.named_children else _ESCAPE.sub(_unescaped, text)
    if node.type == "raw_string":
        return text[1:-1]
    if node.type == "string":
        if any(each.type != "string_content" for each in node.named_children):
            return None
        return re.sub(r'\\([$`"\\\n])', _unescaped, text[1:-1])
    if node.type in ("concatenation", "command_name"):
        parts = [literal(each) for each in node.children]
        return "".join(part for part in parts if part is not None) if None not in parts else None
    return None


def _unescaped(match: re.Match[str]) -> str:
    return "" if match[1] == "\n" else match[1]


def unwrapped(line: Line) -> Iterator[Line]:
    """The command itself, and what it runs as a wrapper: `sudo env A=1 node` calls three programs."""
    while line.name in _WRAPPERS:
        yield line
        options, first = _WRAPPERS[line.name]
        words = list(line.arguments)
        while words and (words[0] is None or words[0].startswith("-") or _ASSIGNMENT.match(words[0])):
            word = words.pop(0)
            if word is None or (word in _ASKS and line.name in ("command", "sudo", "exec", "builtin")):
                return
            if word in options and words:
                words.pop(0)
            if word == "--":
                break
        words = words[first:]
        if not words:
            return
        line = Line(words[0], tuple(words[1:]))
    yield line


def opens_tools(line: Line) -> bool:
    """Whether a call may put programs on the PATH."""
    name = line.name
    if name is None or "/" in name or name in _INSTALLERS:
        return not (line.arguments and set(line.arguments) <= {"--version", "-V", "-v", "version"})
    if name in _LOCAL:
        return any(word is None or word in _GLOBAL_WORDS for word in line.arguments)
    return (
        any(word is not None and re.search(r"(^|/)s?bin(/|$)", word) for word in line.arguments) and name not in QUIET
    )


def opens_shell(line: Line) -> bool:
    """Whether a call changes the shell itself, so that nothing after it in the same command is certain."""
    return line.name in _SHELL_CHANGERS or (line.name == "set" and "+e" in line.arguments)
