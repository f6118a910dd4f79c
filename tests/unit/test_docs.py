"""The documentation: complete, current, and without a broken link."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from aphex.loader import load_config
from aphex.reference import anchor, read_examples, reference, rules, settings

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
EXAMPLES = sorted((DOCS / "examples").glob("*.yaml"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]


def used(value: Any, path: str = "") -> Iterator[str]:
    """The paths of all keys in a document, as the reference writes them."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            here = f"{path}.{key}" if path else str(key)
            yield here
            yield from used(each, here)
    elif isinstance(value, list):
        for each in value:
            yield from used(each, f"{path}[]")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_annotated_example_can_be_used(path: Path) -> None:
    load_config(path)


def test_the_examples_together_use_every_setting() -> None:
    present = {path for document in read_examples(EXAMPLES) for path in used(document)}
    assert [setting.path for setting in settings() if setting.path not in present] == []


def test_every_setting_and_every_rule_is_described() -> None:
    listed = settings()
    assert [setting.path for setting in listed if not setting.description.endswith(".")] == []
    assert all(rule.endswith(".") for rule in [*rules(), *(rule for setting in listed for rule in setting.rules)])


def test_every_setting_has_a_place_of_its_own_in_the_reference() -> None:
    anchors = [anchor(setting.path) for setting in settings()]
    assert len(set(anchors)) == len(anchors)


def test_the_reference_is_current() -> None:
    published = (DOCS / "configuration.md").read_text(encoding="utf-8")
    assert published == reference(read_examples(EXAMPLES)), "renew it: make golden"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_a_link_to_a_file_of_the_repository_leads_somewhere(page: Path) -> None:
    prose = re.sub(r"`[^`\n]*`", "", page.read_text(encoding="utf-8"))
    targets = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", prose)
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_modules_that_the_architecture_names_are_there() -> None:
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    section = text[text.index("### Inside the stages") :].partition("\n## ")[0]
    named = re.findall(r"`([a-z_]+)`", section.partition("\n\n")[2].replace("`run`", ""))
    stages = ROOT / "stages"
    assert named
    assert [name for name in named if not (stages / f"{name}.py").exists() and not (stages / name).is_dir()] == []


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    done = subprocess.run(
        [*command, "-d", tmp_path / "doctrees", DOCS, tmp_path / "html"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert 'id="environmentsdeployment"' in (tmp_path / "html" / "configuration.html").read_text(encoding="utf-8")
