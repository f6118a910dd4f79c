"""Argo's objects of a pipeline as plain dictionaries, computed from configuration and settings alone."""

from __future__ import annotations

from aphex.config import PipelineConfig
from aphex_platform.manifests.common import Manifest
from aphex_platform.manifests.events import event_bus, event_source
from aphex_platform.manifests.sensors import pull_request_sensor, push_sensor
from aphex_platform.manifests.workflow_templates import pull_request_template, workflow_template
from aphex_platform.settings import PlatformSettings


def render(config: PipelineConfig, settings: PlatformSettings) -> list[Manifest]:
    """All of the pipeline's Argo objects, in the order in which they are made."""
    return [
        event_bus(settings),
        workflow_template(config, settings),
        pull_request_template(config, settings),
        event_source(settings),
        push_sensor(settings),
        pull_request_sensor(settings),
    ]
