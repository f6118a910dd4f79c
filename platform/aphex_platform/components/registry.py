"""Where the images of the stages are kept: an ECR repository each for builder and deployer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from aphex.cluster_config import ClusterConfig, Registry
from aphex.names import ClusterNames

IMAGES = ("builder", "deployer")


@dataclass(frozen=True, kw_only=True)
class ImageRegistryArgs:
    """What the repositories need to know.

    Attributes:
        config: the cluster.
        key_arn: the key that encrypts the images.
        tags: whose they are.
    """

    config: ClusterConfig
    key_arn: pulumi.Input[str]
    tags: dict[str, str]


class ImageRegistry(pulumi.ComponentResource):
    """Repositories that are encrypted and scanned, whose tags stay what they are, and that do not grow for ever."""

    urls: dict[str, pulumi.Output[str]]

    def __init__(self, name: str, args: ImageRegistryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("aphex:cluster:ImageRegistry", name, None, opts)
        self.urls = {image: self._repository(name, image, args) for image in IMAGES}
        self.register_outputs({"urls": self.urls})

    def _repository(self, name: str, image: str, args: ImageRegistryArgs) -> pulumi.Output[str]:
        config = args.config
        repository = aws.ecr.Repository(
            f"{name}-{image}",
            name=ClusterNames(config.name).repository(image),
            image_tag_mutability="IMMUTABLE" if config.registry.immutable_tags else "MUTABLE",
            image_scanning_configuration=aws.ecr.RepositoryImageScanningConfigurationArgs(
                scan_on_push=config.registry.scan_on_push
            ),
            encryption_configurations=[
                aws.ecr.RepositoryEncryptionConfigurationArgs(encryption_type="KMS", kms_key=args.key_arn)
            ],
            force_delete=not config.deletion_protection,
            tags=args.tags,
            opts=pulumi.ResourceOptions(parent=self, protect=config.deletion_protection),
        )
        aws.ecr.LifecyclePolicy(
            f"{name}-{image}",
            repository=repository.name,
            policy=json.dumps(lifecycle_policy(config.registry)),
            opts=pulumi.ResourceOptions(parent=self),
        )
        url: pulumi.Output[str] = repository.repository_url
        return url


def lifecycle_policy(registry: Registry) -> dict[str, Any]:
    """Images without a tag go after some days, and of the others the oldest when there are too many.

    The format is that of the ECR User Guide, "Lifecycle policy properties".
    """
    untagged = {
        "tagStatus": "untagged",
        "countType": "sinceImagePushed",
        "countUnit": "days",
        "countNumber": registry.untagged_days,
    }
    # ECR looks at rules in the order of their priority; one for any image has to be the last.
    newest = {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": registry.keep_images}
    return {
        "rules": [
            {"rulePriority": priority, "selection": selection, "action": {"type": "expire"}}
            for priority, selection in enumerate((untagged, newest), 1)
        ]
    }
