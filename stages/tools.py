"""Which programs shell commands call, so that a missing one is found before anything runs.

This reads shell as far as it can be sure: what depends on variables, substitutions or here-documents is left to
bash. A command that may install programs makes every later call uncertain, and uncertain calls are not findings.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_ENDS = frozenset({";", ";;", "&", "&&", "|", "||", "|&", "(", ")", "\n"})
_KEYWORDS = frozenset({"if", "then", "elif", "else", "fi", "while", "until", "do", "done", "!", "{", "}", "time"})
_OPAQUE = frozenset({"case", "for", "select", "function", "[[", "coproc"})
_WRAPPERS = frozenset({"sudo", "env", "exec", "command", "nohup", "nice", "builtin", "xargs"})
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*(\[[^]]*\])?\+?=")
_REDIRECTION = re.compile(r"\d*[<>]+[&|]?\d*-?")
_PLAIN = re.compile(r"[A-Za-z0-9_+.-]+")

# What may put programs on the PATH, or define functions.
_INSTALLERS = re.compile(
    r"\b(install|ci|add|sync|setup|curl|wget|apt|apt-get|apk|dnf|yum|brew|npx|uv|pip|poetry|mise|asdf|nvm|source|eval)\b"
    r"|(^|[\s;&|])\.\s|\bPATH=|\bmake\b|\(\)\s*\{|\balias\b"
)


@dataclass(frozen=True)
class Call:
    """A program that a command calls.

    Attributes:
        command: position of the command in its list.
        program: the program's name; a path is not looked for, since the build may make it.
    """

    command: int
    program: str


def certain_calls(commands: Sequence[str]) -> list[Call]:
    """The programs that must be there before the first command runs, each once, in the order of their first call."""
    found: list[Call] = []
    seen: set[str] = set()
    for index, command in enumerate(commands):
        for program in called_programs(command):
            if program not in seen:
                seen.add(program)
                found.append(Call(index, program))
        if _INSTALLERS.search(command):
            break
    return found


def called_programs(command: str) -> Iterator[str]:
    """The programs of a command line, in their order, as far as they are certain.

    After what may install something within the line nothing is certain any more.
    """
    if "<<" in command:
        return
    for words in _simple_commands(command):
        program = _program(words)
        if program is not None:
            yield program
        if any(word in _OPAQUE for word in words) or _INSTALLERS.search(" ".join(words)):
            return


def _simple_commands(command: str) -> Iterator[list[str]]:
    lexer = shlex.shlex(command.replace("\\\n", " ").replace("\n", " ; "), posix=True, punctuation_chars=";&|()")
    lexer.whitespace_split = True
    lexer.commenters = ""
    words: list[str] = []
    try:
        for token in lexer:
            if token in _ENDS or set(token) <= set(";&|()"):
                if words:
                    yield words
                words = []
            else:
                words.append(token)
    except ValueError:
        # A quote that is not closed: bash itself says what is wrong with it.
        return
    if words:
        yield words


def _program(words: Sequence[str]) -> str | None:
    """The program of a simple command; None when it is a path, depends on a variable, or is only an assignment."""
    position = 0
    while position < len(words):
        word = words[position]
        if word.startswith("#") or word in _OPAQUE:
            return None
        if _REDIRECTION.fullmatch(word):
            position += 2
        elif word in _KEYWORDS or _ASSIGNMENT.match(word) or _REDIRECTION.match(word):
            position += 1
        elif word in _WRAPPERS:
            position += 1
            if position < len(words) and words[position].startswith("-"):
                return word
        else:
            return word if _PLAIN.fullmatch(word) else None
    return None
