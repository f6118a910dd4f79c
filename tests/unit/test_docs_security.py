"""Each claim of the security model names a test, and the test is there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)
CLAIMS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for section in PAGE.split("| claim | shown by |")[1:]
    for line in section.partition("\n\n")[0].splitlines()
    if line.startswith("| ") and not line.startswith("| ---")
]


@cache
def functions_of(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize(("file", "name"), NAMED, ids=str)
def test_a_test_that_the_security_model_names_is_there(file: str, name: str) -> None:
    assert (ROOT / file).exists()
    assert name in functions_of(file)


def test_every_claim_names_a_test() -> None:
    assert len(CLAIMS) > 30
    assert [claim for claim, shown in CLAIMS if not re.fullmatch(r"`tests/[\w/]+\.py::test_\w+`", shown)] == []
