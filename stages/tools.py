"""Which programs shell commands certainly call, so that a missing one is found before anything runs.

Commands are read by tree-sitter's grammar of bash. What depends on a variable, on how another program ends, or on what
an earlier command may have installed is uncertain, and not told.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, ClassVar

from stages.words import QUIET, TESTS, Line, literal, opens_shell, opens_tools, unwrapped

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

_ENDS = frozenset({"exit", "return"})
_SPLIT_WORD = re.compile(r"\S\\\n\S")  # goes on in the next line, which the grammar takes for two words
_GLOB = re.compile(r"[*?\[~{]")


@dataclass(frozen=True)
class Call:
    """A program that a command certainly calls.

    Attributes:
        command: position of the command in its list.
        program: its name, or its path relative to the repository's root, or its absolute path.
    """

    command: int
    program: str


@cache
def _parser() -> Parser:
    import tree_sitter
    import tree_sitter_bash

    return tree_sitter.Parser(tree_sitter.Language(tree_sitter_bash.language()))


def certain_calls(commands: Sequence[str], *, after_build: bool = False) -> list[Call]:
    """The programs that must be there before the first command runs, each once, in the order of their first call.

    Paths are given only as long as no earlier call could have made the file.

    Args:
        commands: commands that run one after another in one pod.
        after_build: whether files may be there that the commit does not have.
    """
    found: list[Call] = []
    seen: set[str] = set()
    reader = _Reader(files_open=after_build)
    for index, command in enumerate(commands):
        for program in reader.read(command):
            if program not in seen:
                seen.add(program)
                found.append(Call(index, program))
    return found


class _Stop(Exception):
    """The rest of the command is not reached, or cannot be known."""


class _Reader:
    """Follows commands as bash would run them, and keeps what they may have changed."""

    def __init__(self, *, files_open: bool) -> None:
        self._tools_open = False  # an earlier call may have put programs on the PATH
        self._files_open = files_open  # an earlier call may have made files
        self._found: list[str] = []
        self._functions: dict[str, Node] = {}
        self._entered: set[str] = set()
        self._folder: str | None = "."

    def read(self, command: str) -> list[str]:
        """The certain calls of the next command."""
        self._found, self._functions, self._entered, self._folder = [], {}, set(), "."
        shell_open = self._tools_open
        root = _parser().parse(command.encode()).root_node
        if root.has_error or _SPLIT_WORD.search(command):
            # bash itself says what is wrong with it, or understands what this grammar does not.
            self._tools_open = self._files_open = True
            return []
        try:
            self._sequence(root.children, certain=True)
        except _Stop:
            self._tools_open = shell_open or any(opens_tools(line) for line in _lines(root))
            self._files_open = True
        return self._found

    def _sequence(self, nodes: Sequence[Node], *, certain: bool) -> None:
        for position, node in enumerate(nodes):
            after = nodes[position + 1].type if position + 1 < len(nodes) else ""
            self._visit(node, certain=certain and after != "&")

    def _visit(self, node: Node, *, certain: bool) -> None:
        handler = self._handlers.get(node.type)
        if handler is not None:
            handler(self, node, certain)
        elif node.is_named:
            self._sequence(node.children, certain=certain)

    def _list(self, node: Node, certain: bool) -> None:
        left, right = node.named_children[0], node.named_children[-1]
        operator = next((each.type for each in node.children if each.type in ("&&", "||")), "")
        if operator == "||":
            gives_up = any(line.name in _ENDS or line.name == "false" for line in _lines(right))
            self._visit(left, certain=certain and gives_up)
            self._visit(right, certain=False)
            return
        self._visit(left, certain=certain)
        conditional = left.type in ("test_command", "negated_command") or any(
            line.name in TESTS for line in _lines(left)
        )
        self._visit(right, certain=certain and not conditional)

    def _uncertain(self, node: Node, _certain: bool) -> None:
        self._sequence(node.children, certain=False)

    def _loop(self, node: Node, certain: bool) -> None:
        values = node.children_by_field_name("value")
        literals = bool(values) and all(literal(value) is not None for value in values)
        for each in node.named_children:
            self._visit(each, certain=certain and (literals or each in values))

    def _function(self, node: Node, _certain: bool) -> None:
        name, body = node.child_by_field_name("name"), node.child_by_field_name("body")
        if name is not None and name.text is not None and body is not None:
            self._functions[name.text.decode()] = body

    def _subshell(self, node: Node, certain: bool) -> None:
        folder = self._folder
        self._sequence(node.children, certain=certain)
        self._folder = folder

    def _redirect(self, node: Node, certain: bool) -> None:
        self._sequence(node.children, certain=certain)
        if any(each.type in (">", ">>", ">|", "&>", "&>>") for each in node.children):
            target = node.child_by_field_name("destination")
            text = literal(target) if target is not None else None
            if text != "/dev/null" and not (text or "").isdigit():
                self._files_open = True
            if text is None or "bin/" in text:
                self._tools_open = True

    def _assignment(self, node: Node, certain: bool) -> None:
        self._sequence(node.children, certain=certain)
        name = node.child_by_field_name("name")
        if name is not None and name.text == b"PATH":
            raise _Stop

    def _command(self, node: Node, certain: bool) -> None:
        for each in node.children:
            if each.type != "variable_assignment" or b"PATH=" in (each.text or b"")[:5]:
                self._visit(each, certain=certain)
            else:
                self._sequence(each.children, certain=certain)
        line = _line(node)
        if line is None:
            self._files_open = self._tools_open = True
            return
        for part in unwrapped(line):
            self._call(part, certain)
        if line.name == "exec" and certain:
            raise _Stop

    def _call(self, line: Line, certain: bool) -> None:
        name = line.name
        if name is None:
            self._files_open = self._tools_open = True
            return
        if name in self._functions:
            if name not in self._entered:
                self._entered.add(name)
                self._visit(self._functions[name], certain=certain)
            return
        if certain:
            self._tell(name)
        self._effects(line, certain)

    def _tell(self, name: str) -> None:
        if "/" not in name:
            if not self._tools_open:
                self._found.append(name)
        elif not self._files_open and self._folder is not None and not _GLOB.search(name):
            self._found.append(name if name.startswith("/") else _relative(self._folder, name))

    def _effects(self, line: Line, certain: bool) -> None:
        if line.name == "cd":
            target = line.arguments[0] if len(line.arguments) == 1 else None
            usable = target is not None and not _GLOB.search(target) and not target.startswith(("/", "-"))
            self._folder = f"{self._folder}/{target}" if usable and certain and self._folder is not None else None
        if opens_tools(line):
            self._tools_open = True
        if line.name not in QUIET and not (line.arguments and set(line.arguments) <= {"--version", "-v", "version"}):
            self._files_open = True
        if opens_shell(line) or (line.name in _ENDS and certain):
            raise _Stop

    _handlers: ClassVar[dict[str, Callable[[_Reader, Node, bool], None]]] = {
        "list": _list,
        "if_statement": _uncertain,
        "elif_clause": _uncertain,
        "else_clause": _uncertain,
        "while_statement": _uncertain,
        "case_statement": _uncertain,
        "negated_command": _uncertain,
        "for_statement": _loop,
        "function_definition": _function,
        "subshell": _subshell,
        "command_substitution": _subshell,
        "process_substitution": _subshell,
        "file_redirect": _redirect,
        "variable_assignment": _assignment,
        "command": _command,
        "comment": lambda _reader, _node, _certain: None,
    }


def _relative(folder: str, path: str) -> str:
    """A path from the repository's root, always with a slash, by which bash tells paths from names."""
    joined = posixpath.normpath(f"{folder}/{path}")
    return joined if "/" in joined else f"./{joined}"


def _lines(node: Node) -> Iterator[Line]:
    """All simple commands at or below a node, without what is around them."""
    if node.type == "command":
        line = _line(node)
        if line is not None:
            yield from unwrapped(line)
    elif node.type == "test_command":
        yield Line("test", ())
    for each in node.named_children:
        yield from _lines(each)


def _line(node: Node) -> Line | None:
    """A simple command's words; None when it has no program, as in `> file`."""
    name = node.child_by_field_name("name")
    if name is None:
        return Line(":", ())
    arguments = tuple(literal(each) for each in node.children_by_field_name("argument"))
    return Line(literal(name), arguments)
