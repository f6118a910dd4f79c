"""The key that a pipeline's data is encrypted with."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from aphex.names import PipelineNames
from aphex_platform.resource_policies import key_policy
from aphex_platform.settings import PlatformSettings
from aphex_platform.statements import text

# The longest that KMS has: a key that is gone takes everything with it that was encrypted with it.
_DELETION_DAYS = 30


@dataclass(frozen=True, kw_only=True)
class DataKeyArgs:
    """What a key needs to know.

    Attributes:
        settings: name the pipeline and the account that manages the key.
        tags: whose it is.
    """

    settings: PlatformSettings
    tags: dict[str, str]


class DataKey(pulumi.ComponentResource):
    """A key of the pipeline's own, changed every year, with an alias that people find it by."""

    arn: pulumi.Output[str]

    def __init__(self, name: str, args: DataKeyArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("aphex:encryption:DataKey", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        key = aws.kms.Key(
            name,
            description=f"Artifacts, logs and records of the pipeline {args.settings.pipeline}",
            policy=text(key_policy(args.settings.aws)),
            enable_key_rotation=True,
            deletion_window_in_days=_DELETION_DAYS,
            tags=args.tags,
            opts=pulumi.ResourceOptions(parent=self, protect=args.settings.aws.kind == "account"),
        )
        aws.kms.Alias(name, name=PipelineNames(args.settings.pipeline).key_alias, target_key_id=key.key_id, opts=child)
        self.arn = key.arn
        self.register_outputs({"arn": self.arn})
