"""Argo's kinds on an API server: their definitions, as the toolchain's Argo has them, and nothing that acts on them."""

from __future__ import annotations

from pathlib import Path

from lightkube import Client, KubeConfig, codecs
from lightkube.resources.apiextensions_v1 import CustomResourceDefinition

from sandbox import toolchain


def api_client(kubeconfig: Path) -> Client:
    """A client of the API server; it is closed by `with`."""
    return Client(config=KubeConfig.from_file(kubeconfig), field_manager="test")


def install_argo_kinds(kubeconfig: Path) -> None:
    """Define Argo's kinds and wait until the API server knows them."""
    manifests = toolchain.ensure("argo-events").manifests
    kinds = [
        each
        for path in sorted(manifests.glob("*.yaml"))
        for each in codecs.load_all_yaml(path.read_text(encoding="utf-8"), create_resources_for_crds=False)
        if isinstance(each, CustomResourceDefinition)
    ]
    with api_client(kubeconfig) as client:
        for kind in kinds:
            client.apply(kind, field_manager="test", force=True)
        for kind in kinds:
            assert kind.metadata is not None
            client.wait(CustomResourceDefinition, str(kind.metadata.name), for_conditions=["Established"])
