"""Clusters that tests of the platform share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from aphex.cluster_config import ClusterConfig

_FOLDER = Path(__file__).parents[2] / "docs" / "examples" / "cluster"


def cluster(example: str = "smallest", **changes: Any) -> ClusterConfig:
    """An annotated example, with some of its sections replaced."""
    document = YAML(typ="safe").load((_FOLDER / f"{example}.yaml").read_text(encoding="utf-8"))
    return ClusterConfig.model_validate({**document, **changes})


EXAMPLES = sorted(path.stem for path in _FOLDER.glob("*.yaml"))
