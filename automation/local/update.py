"""The self-update of a local run: the pipeline's objects are rendered, which finds what is wrong, and not applied."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from aphex.names import PipelineNames
from aphex.run import run_stages
from automation.local.plan import NO_CLUSTER

if TYPE_CHECKING:
    from aphex.config import PipelineConfig

_NOWHERE = "https://example.invalid"


def render_update(config: PipelineConfig, pipeline: str, account: str, region: str, say: Callable[[str], None]) -> None:
    """Render what a self-update would bring to a cluster, and tell of it.

    Raises:
        AphexError: it cannot be rendered.
    """
    from aphex_platform import manifests
    from aphex_platform.settings import AwsSettings, ImageSettings, PlatformSettings

    from automation.target import repository_full_name

    images = config.pipeline.images
    settings = PlatformSettings(
        pipeline=pipeline,
        namespace=PipelineNames(pipeline).namespace,
        repository=config.pipeline.repository or f"{_NOWHERE}/local/{pipeline}.git",
        repository_full_name=repository_full_name(config.pipeline.repository or "") or f"local/{pipeline}",
        branch=config.pipeline.branch,
        aws=AwsSettings(kind="account", account=account, region=region, oidc_issuer=_NOWHERE),
        images=ImageSettings(builder=images.builder or "builder", deployer=images.deployer or "deployer"),
        state_backend=f"s3://aphex-state-{account}-{region}",
        argo_url=_NOWHERE,
    )
    kinds = Counter(str(each["kind"]) for each in manifests.render(config, settings))
    say(f"Rendered: {', '.join(f'{count} {kind}' for kind, count in sorted(kinds.items()))}.")
    say(f"A run's stages: {', '.join(each.name for each in run_stages(config))}, and the exit handler.")
    say(f"{NO_CLUSTER[0].upper()}{NO_CLUSTER[1:]}.")
