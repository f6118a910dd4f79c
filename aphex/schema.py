"""The published JSON Schemas of aphex-config.yaml and aphex-cluster.yaml, generated from the models."""

from __future__ import annotations

import json
import sys
from typing import Any

from aphex.cluster_config import CLUSTER_FILE, ClusterConfig
from aphex.config import CONFIG_FILE, PipelineConfig
from aphex.values import Model

FILES: dict[str, type[Model]] = {CONFIG_FILE: PipelineConfig, CLUSTER_FILE: ClusterConfig}


def json_schema(file: str = CONFIG_FILE) -> dict[str, Any]:
    """The schema of a file as JSON Schema 2020-12, for editors and other tools."""
    schema = FILES[file].model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": file, **schema}


def schema_text(file: str = CONFIG_FILE) -> str:
    """The schema as the file that is published."""
    return json.dumps(json_schema(file), indent=2) + "\n"


if __name__ == "__main__":
    print(schema_text(*sys.argv[1:]), end="")
