"""Argo's own linter and the API server accept what is rendered, for configurations small and large."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from aphex_platform.manifests import render
from aphex_platform.settings import PlatformSettings
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Namespace

from aphex import process
from aphex.config import PipelineConfig
from sandbox.providers.kubernetes.api import KubernetesApi
from sandbox.providers.kubernetes.connection import connect
from tests.support.argo_kinds import api_client, install_argo_kinds
from tests.support.control_plane import control_plane, tool
from tests.support.example import everything, example_config, example_settings

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

SIZES = [1, 10, 500]


def config_with(environments: int) -> PipelineConfig:
    document = example_config().model_dump(mode="json", exclude_none=True)
    dev = document["environments"][0]
    document["environments"] = [{**dev, "name": f"environment-{number}"} for number in range(environments)]
    return PipelineConfig.model_validate(document)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubernetesApi]:
    with control_plane(tmp_path_factory.mktemp("control-plane")) as cluster:
        install_argo_kinds(cluster.kubeconfig)
        with api_client(cluster.kubeconfig) as administrator:
            administrator.create(Namespace(metadata=ObjectMeta(name=example_settings().namespace)))
        client = KubernetesApi(connect(str(cluster.kubeconfig)))
        yield client
        client.close()


@pytest.mark.parametrize("environments", SIZES)
def test_argo_accepts_the_workflow_templates(environments: int, tmp_path: Path) -> None:
    manifests = render(config_with(environments), example_settings())
    templates = [each for each in manifests if each["kind"] == "WorkflowTemplate"]
    path = tmp_path / "templates.yaml"
    path.write_text(yaml.safe_dump_all(templates), encoding="utf-8")
    linted = process.run([tool("argo"), "lint", "--offline", "--kinds=workflowtemplates", path], check=False)
    assert linted.ok, linted.output


@pytest.mark.parametrize("environments", SIZES)
@pytest.mark.parametrize("settings", [example_settings(), everything()], ids=["sandbox", "every option"])
def test_the_api_server_accepts_every_manifest(
    environments: int, settings: PlatformSettings, api: KubernetesApi
) -> None:
    for manifest in render(config_with(environments), settings):
        accepted = api.apply(manifest, manager="test", dry_run=True)
        # What the schema does not know is dropped without a word: all that was sent must have come back.
        assert accepted["spec"] == json.loads(json.dumps(manifest["spec"]))
