"""The cluster stack's program, for the Automation API and for `pulumi up` alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pulumi
import pulumi_aws as aws

from aphex.cluster_config import ClusterConfig
from aphex_platform.argo_manifests import EVENTS_NAMESPACE, WORKFLOWS_NAMESPACE
from aphex_platform.charts import OPERATOR, VIEWER, balancer_annotations
from aphex_platform.components.cluster import Cluster, ClusterArgs
from aphex_platform.components.ingress import WEBHOOK_CLASS
from aphex_platform.manifests.webhook import HEALTH_PATH


def cluster_program(config: ClusterConfig) -> Callable[[], None]:
    """The inline program of a shared cluster's stack.

    Its outputs are those of `configured_outputs`, and: cluster_name, kubeconfig, oidc_issuer, oidc_provider_arn,
    vpc_id, builder_repository, deployer_repository and storage_class.
    """

    def program() -> None:
        provider = aws.Provider("aws", region=config.region, allowed_account_ids=[config.account])
        cluster = Cluster(config.name, ClusterArgs(config=config), pulumi.ResourceOptions(providers=[provider]))
        made = {
            "cluster_name": cluster.cluster_name,
            "kubeconfig": cluster.kubeconfig,
            "oidc_issuer": cluster.oidc_issuer,
            "oidc_provider_arn": cluster.oidc_provider_arn,
            "vpc_id": cluster.vpc_id,
            "storage_class": cluster.storage_class,
            **{f"{image}_repository": url for image, url in cluster.repositories.items()},
        }
        for name, value in {**configured_outputs(config), **made}.items():
            pulumi.export(name, value)

    return program


def configured_outputs(config: ClusterConfig) -> dict[str, Any]:
    """The outputs that follow from the configuration alone; those of webhooks only where there are some."""
    outputs: dict[str, Any] = {
        "region": config.region,
        "account": config.account,
        "kubernetes_version": config.kubernetes.version,
        "argo_url": config.argo_url,
        "argo_version": config.argo.workflows.version,
        "argo_events_version": config.argo.events.version,
        "argo_namespace": WORKFLOWS_NAMESPACE,
        "argo_events_namespace": EVENTS_NAMESPACE,
        "ui_service_accounts": [VIEWER, OPERATOR],
        "identity": config.identity,
        "vpc_cidr": config.network.cidr,
    }
    if config.webhooks is not None:
        outputs["webhook_url"] = config.webhook_url
        outputs["webhook_ingress_class"] = WEBHOOK_CLASS
        outputs["webhook_ingress_annotations"] = balancer_annotations(config.webhooks.cidrs, HEALTH_PATH)
    return outputs
