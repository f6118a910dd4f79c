"""Argo's own linter accepts what is rendered, for configurations small and large."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from aphex_platform.manifests import render

from aphex import process
from aphex.config import PipelineConfig
from tests.support.control_plane import tool
from tests.support.example import example_config, example_settings

pytestmark = pytest.mark.engine


def config_with(environments: int) -> PipelineConfig:
    document = example_config().model_dump(mode="json", exclude_none=True)
    dev = document["environments"][0]
    document["environments"] = [{**dev, "name": f"environment-{number}"} for number in range(environments)]
    return PipelineConfig.model_validate(document)


@pytest.mark.parametrize("environments", [1, 10, 200])
def test_argo_accepts_the_workflow_templates(environments: int, tmp_path: Path) -> None:
    manifests = render(config_with(environments), example_settings())
    templates = [each for each in manifests if each["kind"] == "WorkflowTemplate"]
    path = tmp_path / "templates.yaml"
    path.write_text(yaml.safe_dump_all(templates), encoding="utf-8")
    linted = process.run([tool("argo"), "lint", "--offline", "--kinds=workflowtemplates", path], check=False)
    assert linted.ok, linted.output
