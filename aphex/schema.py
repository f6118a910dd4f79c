"""The published JSON Schema of aphex-config.yaml, generated from the models."""

from __future__ import annotations

import json
from typing import Any

from aphex.config import PipelineConfig


def json_schema() -> dict[str, Any]:
    """The schema as JSON Schema 2020-12, for editors and other tools."""
    schema = PipelineConfig.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "aphex-config.yaml", **schema}


def schema_text() -> str:
    """The schema as the file that is published."""
    return json.dumps(json_schema(), indent=2) + "\n"


if __name__ == "__main__":
    print(schema_text(), end="")
