"""What an installed Pulumi runs: the program that the stack's configuration describes."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pulumi.runtime import set_all_config

from aphex.errors import UsageError
from tests.support.declared_cluster import ClusterRecorder, declare
from tests.support.example import CONFIG_PATH, example_secrets, example_settings

pytestmark = pytest.mark.filterwarnings("ignore:.*has been deprecated in favor of:DeprecationWarning")

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run() -> Iterator[Callable[..., ClusterRecorder]]:
    """Run the program with a stack's configuration."""
    specification = importlib.util.spec_from_file_location("platform_main", ROOT / "platform" / "__main__.py")
    assert specification is not None
    assert specification.loader is not None
    module: Any = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)

    def with_configuration(secret: tuple[str, ...] = (), **values: str) -> ClusterRecorder:
        set_all_config({f"aphex:{key}": value for key, value in values.items()}, [f"aphex:{key}" for key in secret])
        return declare(module.main)

    yield with_configuration
    set_all_config({})


def test_a_stack_with_a_clusters_file_is_that_cluster(run: Callable[..., ClusterRecorder]) -> None:
    declared = run(cluster=str(ROOT / "docs" / "examples" / "cluster" / "smallest.yaml"))
    assert declared.one("eks:index:Cluster")["name"] == "aphex-main"
    assert declared.outputs["cluster_name"] == "aphex-main"


def test_any_other_stack_is_a_pipeline(run: Callable[..., ClusterRecorder], tmp_path: Path) -> None:
    settings = tmp_path / "settings.json"
    settings.write_text(example_settings().model_dump_json(), encoding="utf-8")
    secrets = json.dumps(example_secrets().revealed())
    given = {"settings": str(settings), "configuration": str(CONFIG_PATH), "secrets": secrets}
    declared = run(secret=("secrets",), cluster="", **given)
    assert "aphex-shop" in declared.named("kubernetes:core/v1:Namespace")
    with pytest.raises(UsageError, match="no aphex:secrets, or has it in the clear"):
        run(**given)


def test_a_stack_that_is_neither_is_told_what_it_lacks(run: Callable[..., ClusterRecorder]) -> None:
    with pytest.raises(UsageError) as caught:
        run()
    assert str(caught.value) == (
        "The stack's configuration has no aphex:settings.\n"
        "pulumi config set aphex:settings FILE; or, for the stack of a cluster, aphex:cluster."
    )
