"""What keeps a pipeline's namespace to itself: its network policies, and the budget of its event bus."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from aphex_platform.components.objects import custom_resource
from aphex_platform.manifests.isolation import disruption_budgets, network_policies
from aphex_platform.settings import PlatformSettings


@dataclass(frozen=True, kw_only=True)
class NamespaceIsolationArgs:
    """What the isolation needs to know.

    Attributes:
        settings: says who may reach the webhook, and whether the event bus is the namespace's own.
        namespace: the pipeline's namespace.
    """

    settings: PlatformSettings
    namespace: pulumi.Input[str]


class NamespaceIsolation(pulumi.ComponentResource):
    """Network policies and disruption budgets. They are there before any pod that they are for."""

    def __init__(self, name: str, args: NamespaceIsolationArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("aphex:network:NamespaceIsolation", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        for manifest in (*network_policies(args.settings), *disruption_budgets(args.settings)):
            custom_resource(f"{name}-{manifest['metadata']['name']}", manifest, args.namespace, child)
        self.register_outputs({})
