"""The key that encrypts what a cluster keeps: its Kubernetes secrets, its logs and its images."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from aphex.cluster_config import ClusterConfig
from aphex.names import ClusterNames
from aphex_platform.cluster_policies import key_policy

_DELETION_DAYS = 30


@dataclass(frozen=True, kw_only=True)
class ClusterKeyArgs:
    """What the key needs to know.

    Attributes:
        config: the cluster.
        tags: whose it is.
    """

    config: ClusterConfig
    tags: dict[str, str]


class ClusterKey(pulumi.ComponentResource):
    """A key in KMS that is changed every year by itself and can be taken back for thirty days after its deletion."""

    arn: pulumi.Output[str]

    def __init__(self, name: str, args: ClusterKeyArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("aphex:cluster:Key", name, None, opts)
        key = aws.kms.Key(
            name,
            description=f"What the cluster {args.config.name} keeps",
            policy=json.dumps(key_policy(args.config)),
            enable_key_rotation=True,
            deletion_window_in_days=_DELETION_DAYS,
            tags=args.tags,
            opts=pulumi.ResourceOptions(parent=self, protect=args.config.deletion_protection),
        )
        aws.kms.Alias(
            name,
            name=ClusterNames(args.config.name).key_alias,
            target_key_id=key.id,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.arn = key.arn
        self.register_outputs({"arn": self.arn})
