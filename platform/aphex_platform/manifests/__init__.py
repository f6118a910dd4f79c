"""The objects of a pipeline's namespace as plain dictionaries, computed from configuration and settings alone."""

from __future__ import annotations

from aphex.config import PipelineConfig
from aphex_platform.manifests.common import Manifest
from aphex_platform.manifests.events import event_bus, event_source
from aphex_platform.manifests.isolation import disruption_budgets, network_policies
from aphex_platform.manifests.sensors import pull_request_sensor, push_sensor
from aphex_platform.manifests.webhook import ingresses
from aphex_platform.manifests.workflow_templates import pull_request_template, workflow_template
from aphex_platform.settings import PlatformSettings


def render(config: PipelineConfig, settings: PlatformSettings) -> list[Manifest]:
    """All of them, in the order in which they are made."""
    return [
        *network_policies(settings),
        *disruption_budgets(settings),
        event_bus(settings),
        workflow_template(config, settings),
        pull_request_template(config, settings),
        event_source(settings),
        *ingresses(settings),
        push_sensor(settings),
        pull_request_sensor(settings),
    ]
