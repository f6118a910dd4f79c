"""The manifests of the example application, whole. After a wanted change: `python -m tests.golden.test_manifests`."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from aphex_platform.manifests import render
from aphex_platform.manifests.common import Manifest
from ruamel.yaml import YAML

from tests.support.example import example_config, example_settings

FOLDER = Path(__file__).parent / "manifests"


def file_name(manifest: Manifest) -> str:
    return f"{manifest['kind']}-{manifest['metadata']['name']}.yaml"


def as_yaml(manifest: Manifest) -> str:
    stream = StringIO()
    writer = YAML()
    writer.width = 10_000
    writer.dump(manifest, stream)
    return stream.getvalue()


MANIFESTS = {file_name(each): each for each in render(example_config(), example_settings())}


@pytest.mark.parametrize("name", sorted(MANIFESTS))
def test_example_manifest_is_the_golden_one(name: str) -> None:
    assert as_yaml(MANIFESTS[name]) == (FOLDER / name).read_text(encoding="utf-8")


def test_there_is_no_golden_file_without_a_manifest() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(MANIFESTS)


def regenerate() -> None:
    """Write the golden files anew, and remove those that no manifest has any more."""
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.glob("*.yaml"):
        path.unlink()
    for name, manifest in MANIFESTS.items():
        (FOLDER / name).write_text(as_yaml(manifest), encoding="utf-8")


if __name__ == "__main__":
    regenerate()
