"""The kinds that EKS and the load balancer's controller bring along, on an API server that is neither of theirs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lightkube.models.apiextensions_v1 import (
    CustomResourceDefinitionNames,
    CustomResourceDefinitionSpec,
    CustomResourceDefinitionVersion,
    CustomResourceValidation,
    JSONSchemaProps,
)
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apiextensions_v1 import CustomResourceDefinition

from tests.support.argo_kinds import api_client

# Group, version, kind and plural; all are of the whole cluster. Their specifications are not checked.
AUTO_MODE = (
    ("eks.amazonaws.com", "v1", "IngressClassParams", "ingressclassparams"),
    ("karpenter.sh", "v1", "NodePool", "nodepools"),
)
LOAD_BALANCERS = (("elbv2.k8s.aws", "v1beta1", "IngressClassParams", "ingressclassparams"),)


def install_kinds(kubeconfig: Path, kinds: Sequence[tuple[str, str, str, str]]) -> None:
    """Define the kinds and wait until the API server knows them."""
    with api_client(kubeconfig) as client:
        for group, version, kind, plural in kinds:
            client.apply(_definition(group, version, kind, plural), field_manager="test", force=True)
        for group, _, _, plural in kinds:
            client.wait(CustomResourceDefinition, f"{plural}.{group}", for_conditions=["Established"])


def _definition(group: str, version: str, kind: str, plural: str) -> CustomResourceDefinition:
    anything = JSONSchemaProps(type="object", x_kubernetes_preserve_unknown_fields=True)
    served = CustomResourceDefinitionVersion(
        name=version, served=True, storage=True, schema=CustomResourceValidation(openAPIV3Schema=anything)
    )
    return CustomResourceDefinition(
        apiVersion="apiextensions.k8s.io/v1",
        kind="CustomResourceDefinition",
        metadata=ObjectMeta(name=f"{plural}.{group}"),
        spec=CustomResourceDefinitionSpec(
            group=group,
            names=CustomResourceDefinitionNames(kind=kind, plural=plural),
            scope="Cluster",
            versions=[served],
        ),
    )
