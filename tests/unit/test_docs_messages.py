"""The messages that the guide to failures shows are those that the code prints."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "reading-a-failure.md"
PACKAGES = ("aphex", "stages", "automation")
# A text of the code with fewer letters of its own says too little to recognise a message by it.
LETTERS = 9
ANYTHING = "\0"


def text_of(node: ast.expr) -> str:
    """What an expression writes, with a mark for each part that is only known when it runs."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return text_of(node.left) + text_of(node.right)
    return ANYTHING


def lines_of_the_code() -> Iterator[re.Pattern[str]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp):
                    for line in text_of(node).splitlines():
                        if len(re.findall(r"[A-Za-z]", line)) >= LETTERS:
                            yield re.compile(".*".join(re.escape(part) for part in line.split(ANYTHING)))


def shown_lines() -> list[str]:
    blocks = re.findall(r"^```text\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    lines = [line.removeprefix("error:").strip() for block in blocks for line in block.splitlines()]
    place = re.compile(r"(?:warning: )?aphex-config\.yaml:\d+  \S+")
    return [line for line in lines if line and not place.fullmatch(line)]


CODE = list(lines_of_the_code())


@pytest.mark.parametrize("line", shown_lines())
def test_a_message_of_the_guide_is_one_of_the_code(line: str) -> None:
    # A message may begin with a short sentence that is nearly all name and status.
    starts = [0, *(match.end() for match in re.finditer(r"\. ", line))][:2]
    found = any(pattern.fullmatch(line[start:]) for start in starts for pattern in CODE)
    assert found, f"no message of the code reads: {line}"
