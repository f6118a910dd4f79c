"""The pipeline stack's program, for the Automation API and for `pulumi up` alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pulumi
import pulumi_aws as aws

from aphex.config import PipelineConfig
from aphex_platform.components.pipeline import Pipeline, PipelineArgs
from aphex_platform.monitoring import dashboard_url
from aphex_platform.policy_sizes import check_sizes
from aphex_platform.settings import PlatformSecrets, PlatformSettings


def pipeline_program(
    config: PipelineConfig, settings: PlatformSettings, secrets: PlatformSecrets
) -> Callable[[], None]:
    """The inline program of one pipeline's stack, whose outputs are listed in docs/pipeline.md.

    Raises:
        TooManyRoles: IAM has no room for the configured roles. Said here, before an engine is started.
    """
    check_sizes(config, settings)

    def program() -> None:
        provider = aws.Provider("aws", region=settings.aws.region, allowed_account_ids=[settings.aws.account])
        pipeline = Pipeline(
            settings.pipeline,
            PipelineArgs(config=config, settings=settings, secrets=secrets),
            pulumi.ResourceOptions(providers=[provider]),
        )
        pulumi.export("argo_url", settings.argo_url)
        pulumi.export("webhook_url", settings.webhook_url)
        pulumi.export("bucket", pipeline.bucket)
        pulumi.export("log_bucket", pipeline.log_bucket)
        pulumi.export("table", pipeline.table)
        pulumi.export("key_arn", pipeline.key_arn)
        pulumi.export("role_arns", {each.value: arn for each, arn in pipeline.role_arns.items()})
        pulumi.export("namespace", pipeline.namespace)
        pulumi.export("workflow_template", pipeline.workflow_template)
        pulumi.export("pull_request_template", pipeline.pull_request_template)
        pulumi.export("environments", deployed_environments(config))
        pulumi.export("token_issuer", settings.aws.oidc_issuer)
        pulumi.export("dashboard", pipeline.dashboard)
        for name, known in (("cluster", settings.aws.cluster), ("dashboard_url", dashboard_url(settings))):
            if known is not None:
                pulumi.export(name, known)

    return program


def deployed_environments(config: PipelineConfig) -> list[dict[str, Any]]:
    """What a pipeline deploys and where: name, account, region and stacks of each environment."""
    return [
        {
            "name": each.name,
            "account": each.account,
            "region": each.region,
            "stacks": [stack.name for stack in each.stacks],
        }
        for each in config.environments
    ]
