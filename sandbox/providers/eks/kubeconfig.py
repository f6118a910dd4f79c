"""How a program reaches the cluster that it made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from sandbox.providers.base import ProviderError


def of_eks(name: str, endpoint: str, arn: str, certificate: str, credentials: Mapping[str, Any]) -> dict[str, Any]:
    """A kubeconfig that asks the AWS command line for a token, as pulumi-eks makes it; it holds no credential."""
    arguments = ["--region", arn.split(":")[3], "eks", "get-token", "--cluster-name", name, "--output", "json"]
    if credentials.get("roleArn"):
        arguments += ["--role", credentials["roleArn"]]
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "command": "aws",
        "args": arguments,
        "env": [
            {
                "name": "KUBERNETES_EXEC_INFO",
                "value": '{"apiVersion": "client.authentication.k8s.io/v1beta1"}',
            }
        ],
    }
    cluster = {"server": endpoint, "certificate-authority-data": certificate}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "kubernetes", "cluster": cluster}],
        "contexts": [{"name": "aws", "context": {"cluster": "kubernetes", "user": "aws"}}],
        "current-context": "aws",
        "users": [{"name": "aws", "user": {"exec": plugin}}],
    }


def of_target(path: Path, context: str | None) -> dict[str, Any]:
    """The kubeconfig of the API server that stands in for that of EKS, without its other contexts.

    Raises:
        ProviderError: it has no such context.
    """
    document = YAML(typ="safe").load(path.read_text())
    wanted = context or document.get("current-context")
    found = next((entry for entry in document.get("contexts") or [] if entry["name"] == wanted), None)
    if found is None:
        raise ProviderError(f"{path} has no context {wanted}")
    cluster, user = found["context"]["cluster"], found["context"]["user"]
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [entry for entry in document["clusters"] if entry["name"] == cluster],
        "contexts": [found],
        "current-context": wanted,
        "users": [entry for entry in document["users"] if entry["name"] == user],
    }
