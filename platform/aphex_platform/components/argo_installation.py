"""Argo Workflows and Argo Events, by their charts, in namespaces where only harmless pods may run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as kubernetes

from aphex.cluster_config import ClusterConfig
from aphex_platform.argo_manifests import EVENTS_NAMESPACE, WORKFLOWS_NAMESPACE
from aphex_platform.charts import (
    CLIENT_ID_KEY,
    CLIENT_SECRET_KEY,
    SSO_SECRET,
    Values,
    events_values,
    workflows_values,
)
from aphex_platform.components.ui_access import UiAccess, UiAccessArgs

# Nodes may have to start first.
_TIMEOUT_SECONDS = 900
_QUOTA = {"pods": "20", "requests.cpu": "8", "requests.memory": "16Gi", "services.loadbalancers": "0"}


@dataclass(frozen=True, kw_only=True)
class ArgoInstallationArgs:
    """What the installation needs to know: the cluster."""

    config: ClusterConfig


class ArgoInstallation(pulumi.ComponentResource):
    """Both controllers and the server, who may use it, and the limits of their namespaces."""

    def __init__(self, name: str, args: ArgoInstallationArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("aphex:cluster:Argo", name, None, opts)
        self._name, self._config = name, args.config
        workflows, events = (self._namespace(namespace) for namespace in (WORKFLOWS_NAMESPACE, EVENTS_NAMESPACE))
        access = UiAccess(
            f"{name}-ui",
            UiAccessArgs(namespace=WORKFLOWS_NAMESPACE, login=args.config.ui.login),
            pulumi.ResourceOptions(parent=self, depends_on=workflows),
        )
        before: list[pulumi.Resource] = [*workflows, access, *self._login(workflows)]
        argo = args.config.argo
        installed = self._release(
            "argo-workflows",
            argo.workflows.chart_version,
            WORKFLOWS_NAMESPACE,
            workflows_values(args.config),
            before,
        )
        # One after the other: what fails is told by its own name, and nodes start for one of them only.
        self._release(
            "argo-events",
            argo.events.chart_version,
            EVENTS_NAMESPACE,
            events_values(args.config),
            [*events, installed],
        )
        self.register_outputs({})

    def _namespace(self, namespace: str) -> list[pulumi.Resource]:
        """A namespace with its limits."""
        name = f"{self._name}-{namespace}"
        made = kubernetes.core.v1.Namespace(
            name,
            metadata=kubernetes.meta.v1.ObjectMetaArgs(
                name=namespace,
                labels={
                    "app.kubernetes.io/managed-by": "aphex",
                    "pod-security.kubernetes.io/enforce": "restricted",
                    "pod-security.kubernetes.io/warn": "restricted",
                },
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        inside = pulumi.ResourceOptions(parent=self, depends_on=[made])
        metadata = kubernetes.meta.v1.ObjectMetaArgs(name="aphex", namespace=namespace)
        limits = kubernetes.core.v1.LimitRange(
            name,
            metadata=metadata,
            # For containers that say nothing themselves, without which the quota would refuse them.
            spec=kubernetes.core.v1.LimitRangeSpecArgs(
                limits=[
                    kubernetes.core.v1.LimitRangeItemArgs(
                        type="Container",
                        default={"memory": "512Mi"},
                        default_request={"cpu": "50m", "memory": "128Mi"},
                    )
                ]
            ),
            opts=inside,
        )
        quota = kubernetes.core.v1.ResourceQuota(
            name, metadata=metadata, spec=kubernetes.core.v1.ResourceQuotaSpecArgs(hard=_QUOTA), opts=inside
        )
        return [made, limits, quota]

    def _login(self, after: Sequence[pulumi.Resource]) -> list[pulumi.Resource]:
        """The Secret that the server reads the OpenID Connect client from."""
        login = self._config.ui.login
        if login.mode != "sso":
            return []
        found = aws.secretsmanager.get_secret_version_output(
            secret_id=login.client_secret, opts=pulumi.InvokeOutputOptions(parent=self)
        )
        secret = kubernetes.core.v1.Secret(
            f"{self._name}-login",
            metadata=kubernetes.meta.v1.ObjectMetaArgs(name=SSO_SECRET, namespace=WORKFLOWS_NAMESPACE),
            string_data={
                CLIENT_ID_KEY: login.client_id,
                CLIENT_SECRET_KEY: pulumi.Output.secret(found.secret_string),
            },
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(after)),
        )
        return [secret]

    def _release(
        self, chart: str, version: str, namespace: str, values: Values, after: Sequence[pulumi.Resource]
    ) -> kubernetes.helm.v3.Release:
        repository = self._config.argo.chart_repository
        # Of a registry the chart's whole address is its name.
        oci = repository.startswith("oci://")
        return kubernetes.helm.v3.Release(
            f"{self._name}-{chart}",
            name=chart,
            chart=f"{repository.rstrip('/')}/{chart}" if oci else chart,
            version=version,
            namespace=namespace,
            repository_opts=None if oci else kubernetes.helm.v3.RepositoryOptsArgs(repo=repository),
            values=values,
            timeout=_TIMEOUT_SECONDS,
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(after)),
        )
