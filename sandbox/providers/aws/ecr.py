"""ECR repositories and their policies."""
# A type need not use all that it is given.
# ruff: noqa: ARG002

from __future__ import annotations

from collections.abc import Set
from typing import Any

from botocore.exceptions import ClientError

from sandbox.providers.aws.resource import ResourceType, Scope
from sandbox.providers.aws.schema import AutoName, Schema
from sandbox.providers.aws.shapes import pairs, stale, tag_map
from sandbox.providers.base import Properties, ProviderError

_NO_REPOSITORY = frozenset({"RepositoryNotFoundException"})


class Repository(ResourceType):
    """`aws:ecr/repository:Repository`; its id is its name."""

    schema = Schema(
        token="aws:ecr/repository:Repository",
        inputs=frozenset(
            {
                "encryptionConfigurations",
                "forceDelete",
                "imageScanningConfiguration",
                "imageTagMutability",
                "name",
                "tags",
            }
        ),
        replaces=frozenset({"encryptionConfigurations"}),
        computed=frozenset({"arn", "registryId", "repositoryUrl"}),
        defaults={"imageTagMutability": "MUTABLE"},
        sticky=frozenset({"encryptionConfigurations"}),
        local=frozenset({"forceDelete"}),
        name=AutoName(longest=256, prefix_property="", shape=str.lower),
    )
    created_with = schema.known
    missing = _NO_REPOSITORY

    def create(self, scope: Scope, inputs: Properties) -> str:
        """Make the repository."""
        options: dict[str, Any] = {}
        if inputs.get("encryptionConfigurations"):
            options["encryptionConfiguration"] = _plain(inputs["encryptionConfigurations"][0])
        if inputs.get("imageScanningConfiguration"):
            options["imageScanningConfiguration"] = _plain(inputs["imageScanningConfiguration"])
        made = scope.client("ecr").create_repository(
            repositoryName=inputs["name"],
            imageTagMutability=inputs["imageTagMutability"],
            tags=pairs(inputs.get("tags")),
            **options,
        )
        return str(made["repository"]["repositoryName"])

    def read(self, scope: Scope, id: str) -> Properties | None:
        """The repository with its tags."""
        ecr = scope.client("ecr")
        (found,) = ecr.describe_repositories(repositoryNames=[id])["repositories"]
        encryption = found.get("encryptionConfiguration")
        return {
            "name": id,
            "arn": found["repositoryArn"],
            "registryId": found["registryId"],
            "repositoryUrl": found["repositoryUri"],
            "imageTagMutability": found["imageTagMutability"],
            "imageScanningConfiguration": found.get("imageScanningConfiguration", {}),
            "encryptionConfigurations": [encryption] if encryption else [],
            "tags": tag_map(ecr.list_tags_for_resource(resourceArn=found["repositoryArn"])["tags"]),
        }

    def apply(self, scope: Scope, id: str, inputs: Properties, changed: Set[str]) -> None:
        """Change scanning, whether tags may move, or the repository's own tags."""
        ecr = scope.client("ecr")
        if "imageTagMutability" in changed:
            ecr.put_image_tag_mutability(repositoryName=id, imageTagMutability=inputs["imageTagMutability"])
        if "imageScanningConfiguration" in changed:
            wanted = _plain(inputs.get("imageScanningConfiguration") or {"scanOnPush": False})
            ecr.put_image_scanning_configuration(repositoryName=id, imageScanningConfiguration=wanted)
        if "tags" in changed:
            arn = scope.arn("ecr", f"repository/{id}")
            old = stale(tag_map(ecr.list_tags_for_resource(resourceArn=arn)["tags"]), inputs.get("tags"))
            if old:
                ecr.untag_resource(resourceArn=arn, tagKeys=old)
            if inputs.get("tags"):
                ecr.tag_resource(resourceArn=arn, tags=pairs(inputs["tags"]))

    def delete(self, scope: Scope, id: str, outputs: Properties) -> None:
        """Remove the repository, and with `forceDelete` its images."""
        try:
            scope.client("ecr").delete_repository(repositoryName=id, force=bool(outputs.get("forceDelete")))
        except ClientError as error:
            if error.response["Error"]["Code"] != "RepositoryNotEmptyException":
                raise
            raise ProviderError(
                f"deleting repository {id}: it still has images",
                hint="Remove them, or set forceDelete on it and deploy that before it is deleted.",
            ) from error


class RepositoryDocument(ResourceType):
    """A document of one repository; its id is the repository's name.

    Args:
        kind: the document's name in the package, such as `LifecyclePolicy`.
        argument: what ECR calls its text; it calls the calls by `calls`, after a verb.
        replaces: whether a new text is a new resource.
    """

    def __init__(self, kind: str, calls: str, put: str, argument: str, missing: str, *, replaces: bool) -> None:
        self.schema = Schema(
            token=f"aws:ecr/{kind[0].lower()}{kind[1:]}:{kind}",
            inputs=frozenset({"policy", "repository"}),
            required=frozenset({"policy", "repository"}),
            replaces=frozenset({"policy", "repository"} if replaces else {"repository"}),
            computed=frozenset({"registryId"}),
            documents=frozenset({"policy"}),
        )
        self.created_with = self.schema.known
        self.missing = _NO_REPOSITORY | {missing}
        self._calls, self._put, self._argument = calls, put, argument

    def create(self, scope: Scope, inputs: Properties) -> str:
        """Put the document."""
        self._call(scope, self._put, inputs["repository"], **{self._argument: inputs["policy"]})
        return str(inputs["repository"])

    def read(self, scope: Scope, id: str) -> Properties | None:
        """The document."""
        found = self._call(scope, "get", id)
        return {"repository": id, "policy": found[self._argument], "registryId": found["registryId"]}

    def apply(self, scope: Scope, id: str, inputs: Properties, changed: Set[str]) -> None:
        """Put the new document over the old one."""
        if changed:
            self.create(scope, inputs)

    def delete(self, scope: Scope, id: str, outputs: Properties) -> None:
        """Remove the document."""
        self._call(scope, "delete", id)

    def _call(self, scope: Scope, verb: str, repository: str, **more: Any) -> Any:
        return getattr(scope.client("ecr"), f"{verb}_{self._calls}")(repositoryName=repository, **more)


LIFECYCLE_POLICY = RepositoryDocument(
    "LifecyclePolicy",
    "lifecycle_policy",
    "put",
    "lifecyclePolicyText",
    "LifecyclePolicyNotFoundException",
    replaces=True,
)
REPOSITORY_POLICY = RepositoryDocument(
    "RepositoryPolicy", "repository_policy", "set", "policyText", "RepositoryPolicyNotFoundException", replaces=False
)


def _plain(part: Properties) -> dict[str, Any]:
    """ECR's own names are those of the package."""
    return {key: value for key, value in part.items() if value not in (None, "")}
