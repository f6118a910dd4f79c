"""One pipeline as one component: everything that is its own, on AWS and in its namespace."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

from aphex.config import PipelineConfig
from aphex.names import PipelineNames
from aphex_platform.components.access import NamespaceAccess, NamespaceAccessArgs
from aphex_platform.components.argo import ArgoArgs, Events, Templates
from aphex_platform.components.identity import StageIdentities, StageIdentitiesArgs
from aphex_platform.components.storage import ArtifactStore, ArtifactStoreArgs, RunTable, RunTableArgs
from aphex_platform.identities import Identity
from aphex_platform.manifests.common import REPOSITORY_ANNOTATION, labels
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
    bucket: pulumi.Output[str]
    table: pulumi.Output[str]
    role_arns: dict[Identity, pulumi.Output[str]]
    workflow_template: pulumi.Output[str]
    pull_request_template: pulumi.Output[str]

    def __init__(self, name: str, args: PipelineArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("aphex:pipeline:Pipeline", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        namespace = kubernetes.core.v1.Namespace(
            name,
            metadata=kubernetes.meta.v1.ObjectMetaArgs(
                name=args.settings.namespace,
                labels=labels(args.settings),
                annotations={REPOSITORY_ANNOTATION: args.settings.repository_full_name},
            ),
            opts=child,
        )
        self.namespace = namespace.metadata["name"]
        self._store(name, args, child)
        identities = self._identities(name, args, child)
        access = NamespaceAccess(name, NamespaceAccessArgs(namespace=self.namespace), child)
        # Pods may start as soon as templates and Sensors are there: who they are has to be there before.
        after = pulumi.ResourceOptions(parent=self, depends_on=[identities, access])
        argo = ArgoArgs(config=args.config, settings=args.settings, secrets=args.secrets, namespace=self.namespace)
        templates = Templates(name, argo, after)
        Events(name, argo, pulumi.ResourceOptions(parent=self, depends_on=[access, templates]))
        self.role_arns = identities.role_arns
        self.workflow_template = templates.workflow_template
        self.pull_request_template = templates.pull_request_template
        self.register_outputs({"namespace": self.namespace, "bucket": self.bucket, "table": self.table})

    def _store(self, name: str, args: PipelineArgs, child: pulumi.ResourceOptions) -> None:
        settings, names = args.settings, PipelineNames(args.settings.pipeline)
        disposable = settings.aws.kind == "sandbox"
        store = ArtifactStore(
            f"{name}-artifacts",
            ArtifactStoreArgs(
                bucket=names.bucket(settings.aws.account, settings.aws.region),
                retention=args.config.pipeline.retention,
                disposable=disposable,
                tags=tags(settings),
            ),
            child,
        )
        table = RunTable(
            f"{name}-runs",
            RunTableArgs(table=names.table, disposable=disposable, tags=tags(settings)),
            child,
        )
        self.bucket, self.table = store.bucket, table.table

    def _identities(self, name: str, args: PipelineArgs, child: pulumi.ResourceOptions) -> StageIdentities:
        return StageIdentities(
            name,
            StageIdentitiesArgs(
                config=args.config,
                settings=args.settings,
                namespace=self.namespace,
                tags=tags(args.settings),
            ),
            child,
        )


def tags(settings: PlatformSettings) -> dict[str, str]:
    """Tags of the pipeline's AWS resources."""
    return {"aphex:pipeline": settings.pipeline}
