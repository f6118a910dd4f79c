"""docs/architecture.md names every module and shows every kind of resource that the programs declare, and no other.

The tables of modules are written by hand; `python -m tests.golden.test_architecture` draws the diagrams anew.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aphex_platform.cluster_program import cluster_program

from tests.support.cluster_examples import EXAMPLES, cluster
from tests.support.declared import declare
from tests.support.declared_cluster import declare as declare_program
from tests.support.diagram import declared_chains, diagram, with_diagram
from tests.support.example import everything, example_settings, with_roles

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "architecture.md"
PACKAGES = ("aphex", "platform/aphex_platform", "automation", "stages", "sandbox")
SECTION = re.compile(r"^#+ `([a-z_/]+)/`$", re.MULTILINE)


def modules(folder: str) -> set[str]:
    """The modules below a folder by their dotted names; what starts a package is named by the package."""
    paths = (path.relative_to(ROOT / folder).with_suffix("") for path in (ROOT / folder).rglob("*.py"))
    return {".".join(path.parts) for path in paths if not path.name.startswith("__")}


def sections() -> dict[str, set[str]]:
    """The folders that have a section of their own, each with the modules that its table names."""
    parts = SECTION.split(DOCUMENT.read_text(encoding="utf-8"))
    found = {}
    for folder, text in zip(parts[1::2], parts[2::2], strict=True):
        rows = [line for line in re.split(r"^#", text, flags=re.MULTILINE)[0].splitlines() if line.startswith("|")]
        cells = [cell for row in rows for cell in row.split("|")[2:]]
        found[folder] = {name for cell in cells for name in re.findall(r"`([a-z0-9_.]+)`", cell)}
    return found


def there(folder: str, all_sections: list[str]) -> set[str]:
    """The modules that belong into a folder's table: not those of a folder with a table of its own."""
    deeper = [
        name.removeprefix(f"{folder}/").replace("/", ".") for name in all_sections if name.startswith(f"{folder}/")
    ]
    return {name for name in modules(folder) if not any(name.startswith(f"{each}.") for each in deeper)}


@pytest.mark.parametrize("package", PACKAGES)
def test_the_architecture_names_every_module_and_no_other(package: str) -> None:
    named = sections()
    assert package in named, f"docs/architecture.md has no section `{package}/`"
    for folder in [name for name in named if name == package or name.startswith(f"{package}/")]:
        expected = there(folder, list(named))
        missing, gone = sorted(expected - named[folder]), sorted(named[folder] - expected)
        assert not missing, (
            f"docs/architecture.md, section `{folder}/`: add {', '.join(missing)} to the row that it is about"
        )
        assert not gone, f"docs/architecture.md, section `{folder}/`: remove {', '.join(gone)}, which is not there"


def pipeline() -> set[tuple[str, ...]]:
    """What a pipeline has with few options, and with every one and more roles than a policy has room for."""
    declare(example_settings())
    few = declared_chains()
    declare(everything(), config=with_roles(100))
    return few | declared_chains()


def clusters() -> set[tuple[str, ...]]:
    """What the example clusters have among them: together they choose everything that there is to choose."""
    found: set[tuple[str, ...]] = set()
    for example in EXAMPLES:
        # Not the shared recording of it: the chains are those of the program that ran last.
        declare_program(cluster_program(cluster(example)))
        found |= declared_chains()
    return found


PROGRAMS: dict[str, Callable[[], set[tuple[str, ...]]]] = {
    "The pipeline's program": pipeline,
    "The cluster's program": clusters,
}


def redrawn(heading: str, document: str) -> str:
    return with_diagram(document, heading, diagram(PROGRAMS[heading]()))


@pytest.mark.filterwarnings("ignore:.*has been deprecated in favor of:DeprecationWarning")
@pytest.mark.parametrize("heading", PROGRAMS)
def test_the_diagrams_show_every_kind_of_resource_that_a_program_declares(heading: str) -> None:
    document = DOCUMENT.read_text(encoding="utf-8")
    assert redrawn(heading, document) == document, "draw it anew: make golden"


def renewed() -> Iterator[str]:
    document = DOCUMENT.read_text(encoding="utf-8")
    for heading in PROGRAMS:
        document = redrawn(heading, document)
        yield heading
    DOCUMENT.write_text(document, encoding="utf-8")


if __name__ == "__main__":
    list(renewed())
