"""The pipeline stack's program, for the Automation API and for `pulumi up` alike."""

from __future__ import annotations

from collections.abc import Callable

import pulumi
import pulumi_aws as aws

from aphex.config import PipelineConfig
from aphex_platform.components.pipeline import Pipeline, PipelineArgs
from aphex_platform.settings import PlatformSecrets, PlatformSettings


def pipeline_program(
    config: PipelineConfig, settings: PlatformSettings, secrets: PlatformSecrets
) -> Callable[[], None]:
    """The inline program of one pipeline's stack.

    Its outputs: argo_url, webhook_url, bucket, table, role_arns by identity, namespace, workflow_template and
    pull_request_template.
    """

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
        pulumi.export("table", pipeline.table)
        pulumi.export("role_arns", {each.value: arn for each, arn in pipeline.role_arns.items()})
        pulumi.export("namespace", pipeline.namespace)
        pulumi.export("workflow_template", pipeline.workflow_template)
        pulumi.export("pull_request_template", pipeline.pull_request_template)

    return program
