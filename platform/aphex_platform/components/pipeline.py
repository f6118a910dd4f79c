"""One pipeline as one component: everything that is its own, on AWS and in its namespace."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

from aphex.config import PipelineConfig
from aphex.names import PipelineNames
from aphex_platform.components.access import NamespaceAccess, NamespaceAccessArgs
from aphex_platform.components.argo import ArgoArgs, Events, Templates
from aphex_platform.components.data_key import DataKey, DataKeyArgs
from aphex_platform.components.identity import StageIdentities, StageIdentitiesArgs
from aphex_platform.components.isolation import NamespaceIsolation, NamespaceIsolationArgs
from aphex_platform.components.monitoring import Monitoring, MonitoringArgs
from aphex_platform.components.storage import ArtifactStore, ArtifactStoreArgs, RunTable, RunTableArgs
from aphex_platform.identities import Identity
from aphex_platform.manifests.common import REPOSITORY_ANNOTATION, namespace_labels
from aphex_platform.settings import PlatformSecrets, PlatformSettings


@dataclass(frozen=True, kw_only=True)
class PipelineArgs:
    """What a pipeline is made from.

    Attributes:
        config: aphex-config.yaml of the application.
        settings: where the pipeline runs.
        secrets: what must not be seen.
    """

    config: PipelineConfig
    settings: PlatformSettings
    secrets: PlatformSecrets


class Pipeline(pulumi.ComponentResource):
    """All of one pipeline's own resources; destroying it leaves the cluster and other pipelines as they are."""

    namespace: pulumi.Output[str]
    key_arn: pulumi.Output[str]
    bucket: pulumi.Output[str]
    log_bucket: pulumi.Output[str]
    table: pulumi.Output[str]
    role_arns: dict[Identity, pulumi.Output[str]]
    workflow_template: pulumi.Output[str]
    pull_request_template: pulumi.Output[str]
    dashboard: pulumi.Output[str]

    def __init__(self, name: str, args: PipelineArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("aphex:pipeline:Pipeline", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        namespace = kubernetes.core.v1.Namespace(
            name,
            metadata=kubernetes.meta.v1.ObjectMetaArgs(
                name=args.settings.namespace,
                labels=namespace_labels(args.settings),
                annotations={REPOSITORY_ANNOTATION: args.settings.repository_full_name},
            ),
            opts=child,
        )
        self.namespace = namespace.metadata["name"]
        self._store(name, args, child)
        self._run(name, args)
        watched = MonitoringArgs(settings=args.settings, tags=tags(args.settings))
        self.dashboard = Monitoring(name, watched, child).dashboard
        self.register_outputs({"namespace": self.namespace, "bucket": self.bucket, "table": self.table})

    def _store(self, name: str, args: PipelineArgs, child: pulumi.ResourceOptions) -> None:
        """Make what keeps things: the key, and what is encrypted with it."""
        settings, names = args.settings, PipelineNames(args.settings.pipeline)
        disposable = settings.aws.kind == "sandbox"
        self.key_arn = DataKey(f"{name}-data", DataKeyArgs(settings=settings, tags=tags(settings)), child).arn
        store = ArtifactStore(
            f"{name}-artifacts",
            ArtifactStoreArgs(
                bucket=names.bucket(settings.aws.account, settings.aws.region),
                log_bucket=names.log_bucket(settings.aws.account, settings.aws.region),
                key_arn=self.key_arn,
                aws=settings.aws,
                retention=args.config.pipeline.retention,
                disposable=disposable,
                tags=tags(settings),
            ),
            child,
        )
        table = RunTable(
            f"{name}-runs",
            RunTableArgs(table=names.table, key_arn=self.key_arn, disposable=disposable, tags=tags(settings)),
            child,
        )
        self.bucket, self.log_bucket, self.table = store.bucket, store.log_bucket, table.table

    def _run(self, name: str, args: PipelineArgs) -> None:
        """Make what runs things: who the pods are, what they may reach, and Argo's objects."""
        settings, child = args.settings, pulumi.ResourceOptions(parent=self)
        identities = StageIdentities(
            name,
            StageIdentitiesArgs(
                config=args.config,
                settings=settings,
                key_arn=self.key_arn,
                namespace=self.namespace,
                tags=tags(settings),
            ),
            child,
        )
        access = NamespaceAccess(name, NamespaceAccessArgs(namespace=self.namespace), child)
        isolation = NamespaceIsolation(name, NamespaceIsolationArgs(settings=settings, namespace=self.namespace), child)
        # Pods may start as soon as templates and Sensors are there: who they are has to be there before.
        after = pulumi.ResourceOptions(parent=self, depends_on=[identities, access, isolation])
        argo = ArgoArgs(config=args.config, settings=settings, secrets=args.secrets, namespace=self.namespace)
        templates = Templates(name, argo, after)
        Events(name, argo, pulumi.ResourceOptions(parent=self, depends_on=[access, isolation, templates]))
        self.role_arns = identities.role_arns
        self.workflow_template = templates.workflow_template
        self.pull_request_template = templates.pull_request_template


def tags(settings: PlatformSettings) -> dict[str, str]:
    """Tags of the pipeline's AWS resources."""
    return {"aphex:pipeline": settings.pipeline}
