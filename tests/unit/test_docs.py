"""The documentation: complete, current, and without a broken link."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from aphex.loader import load_cluster_config, load_config
from aphex.reference import anchor, read_examples, reference, rules, settings
from aphex.reference_pages import CLUSTER, PIPELINE, Page

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
EXAMPLES = sorted((DOCS / "examples").glob("*.yaml"))
CLUSTERS = sorted((DOCS / "examples" / "cluster").glob("*.yaml"))
REFERENCES = [(PIPELINE, EXAMPLES, "configuration.md"), (CLUSTER, CLUSTERS, "cluster-configuration.md")]
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


@pytest.mark.parametrize("path", CLUSTERS, ids=lambda path: path.stem)
def test_an_annotated_example_of_a_cluster_can_be_used(path: Path) -> None:
    load_cluster_config(path)


@pytest.mark.parametrize(("page", "examples", "_file"), REFERENCES)
def test_the_examples_together_use_every_setting(page: Page, examples: list[Path], _file: str) -> None:
    present = {path for document in read_examples(examples) for path in used(document)}
    assert [setting.path for setting in settings(page) if setting.path not in present] == []


@pytest.mark.parametrize("page", [PIPELINE, CLUSTER], ids=lambda page: page.file)
def test_every_setting_and_every_rule_is_described(page: Page) -> None:
    listed = settings(page)
    assert [setting.path for setting in listed if not setting.description.endswith(".")] == []
    rules_below = [rule for setting in listed for rule in setting.rules]
    assert all(rule.endswith(".") for rule in [*rules(page), *rules_below])


@pytest.mark.parametrize("page", [PIPELINE, CLUSTER], ids=lambda page: page.file)
def test_every_setting_has_a_place_of_its_own_in_the_reference(page: Page) -> None:
    anchors = [anchor(setting.path) for setting in settings(page)]
    assert len(set(anchors)) == len(anchors)


@pytest.mark.parametrize("page", [PIPELINE, CLUSTER], ids=lambda page: page.file)
def test_every_kind_of_value_is_explained(page: Page) -> None:
    explained = set(re.findall(r"^\| ([\w ]+) \|", page.introduction, re.MULTILINE))
    kinds = {kind for setting in settings(page) for kind in named_kinds(setting.kind)}
    assert kinds - explained == set()


def named_kinds(kind: str) -> set[str]:
    """The kinds that a setting's kind names and that are more than YAML's own."""
    words = kind.removeprefix("list; each entry is ").removeprefix("mapping of names to ")
    own = ("mapping", "whole number", "list of", "one of", "always", "`true`", "a text or")
    return set() if words.startswith(own) else {words.removesuffix("s")}


@pytest.mark.parametrize(("page", "examples", "file"), REFERENCES)
def test_the_reference_is_current(page: Page, examples: list[Path], file: str) -> None:
    published = (DOCS / file).read_text(encoding="utf-8")
    assert published == reference(read_examples(examples), page), "renew it: make golden"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_a_link_to_a_file_of_the_repository_leads_somewhere(page: Path) -> None:
    prose = re.sub(r"`[^`\n]*`", "", page.read_text(encoding="utf-8"))
    targets = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", prose)
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_first_page_leads_to_every_other_one() -> None:
    table = (DOCS / "index.md").read_text(encoding="utf-8").partition("```{toctree}")[0]
    linked = set(re.findall(r"\]\(([^)#]+\.md)", table))
    pages = {path.name for path in DOCS.glob("*.md")} - {"index.md"}
    assert pages - linked == set(), "say in the table of docs/index.md when to read them"


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
