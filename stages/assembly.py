"""Reads a cloud assembly: which stacks a CDK app made, how they are called, and what depends on what.

Format: https://github.com/aws/aws-cdk-cli/tree/main/packages/%40aws-cdk/cloud-assembly-schema
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aphex.config import Stack
from stages.errors import StageError

MANIFEST = "manifest.json"
_STACK = "aws:cloudformation:stack"
_NESTED = "cdk:cloud-assembly"
_STACK_TAGS = "aws:cdk:stack-tags"
_UNKNOWN = ("unknown-account", "unknown-region")


@dataclass(frozen=True)
class StackArtifact:
    """A synthesized stack.

    Attributes:
        path: its path in the app, by which the CDK CLI selects it: `Stack`, or `Stage/Stack`.
        name: its name in CloudFormation.
        account: the account it is bound to; empty when it takes the deployment's.
        region: the region likewise.
        template: its template.
        id: its name in the manifest.
        directory: the folder of its manifest: the assembly's own, or that of a CDK Stage within.
        depends_on: ids of the stacks of the same manifest that have to be there before it.
        deploy_role: the bootstrap role that the CDK CLI deploys it with; empty when it uses the caller's rights.
        deploy_role_external_id: the external id that the role asks for, if any.
        tags: its tags as the app has them.
    """

    path: str
    name: str
    account: str
    region: str
    template: Path
    id: str = ""
    directory: Path = Path()
    depends_on: tuple[str, ...] = ()
    deploy_role: str = ""
    deploy_role_external_id: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """What the CDK CLI calls it in its output: the path, with the name in CloudFormation when that is another."""
        return self.path if self.name == self.id else f"{self.path} ({self.name})"


@dataclass(frozen=True)
class CloudAssembly:
    """What one synthesis made.

    Attributes:
        directory: the assembly's folder.
        app: the CDK app's folder, relative to the repository.
        stacks: all stacks, those of nested assemblies too.
    """

    directory: Path
    app: str
    stacks: tuple[StackArtifact, ...]

    def find(self, name: str) -> StackArtifact | None:
        """The stack of a configured name: its path in the app, or its name in CloudFormation."""
        by_path = [stack for stack in self.stacks if stack.path == name]
        return next(iter(by_path or [stack for stack in self.stacks if stack.name == name]), None)


@dataclass(frozen=True)
class StackDeployment:
    """One stack to deploy: as it is configured, and as it was synthesized."""

    stack: Stack
    artifact: StackArtifact
    assembly: CloudAssembly


def read_assembly(directory: Path, app: str) -> CloudAssembly:
    """Read an assembly that `cdk synth` wrote.

    Raises:
        StageError: there is no manifest.
    """
    return CloudAssembly(directory=directory, app=app, stacks=tuple(_stacks(directory)))


def read_manifest(directory: Path) -> dict[str, Any]:
    """The manifest of an assembly's folder.

    Raises:
        StageError: there is none.
    """
    file = directory / MANIFEST
    if not file.is_file():
        raise StageError(f"The synthesis wrote no cloud assembly: {file} is missing.")
    manifest: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return manifest


def _stacks(directory: Path) -> list[StackArtifact]:
    artifacts: dict[str, dict[str, Any]] = read_manifest(directory).get("artifacts", {})
    found: list[StackArtifact] = []
    for identifier, artifact in artifacts.items():
        if artifact["type"] == _NESTED:
            found += _stacks(directory / artifact["properties"]["directoryName"])
        elif artifact["type"] == _STACK:
            found.append(_stack(directory, identifier, artifact, artifacts))
    return found


def _stack(
    directory: Path, identifier: str, artifact: dict[str, Any], artifacts: dict[str, dict[str, Any]]
) -> StackArtifact:
    properties = artifact.get("properties", {})
    account, region = _bound_to(artifact.get("environment", ""))
    others = (name for name in artifact.get("dependencies", []) if artifacts.get(name, {}).get("type") == _STACK)
    return StackArtifact(
        path=artifact.get("displayName", identifier),
        name=properties.get("stackName", identifier),
        account=account,
        region=region,
        template=directory / properties["templateFile"],
        id=identifier,
        directory=directory,
        depends_on=tuple(others),
        deploy_role=properties.get("assumeRoleArn", ""),
        deploy_role_external_id=properties.get("assumeRoleExternalId", ""),
        tags=properties["tags"] if "tags" in properties else _tags_of_metadata(artifact),
    )


def _tags_of_metadata(artifact: dict[str, Any]) -> dict[str, str]:
    """Tags where CDK had them before they were a property."""
    entries = [each for group in artifact.get("metadata", {}).values() for each in group]
    return {tag["Key"]: tag["Value"] for each in entries if each["type"] == _STACK_TAGS for tag in each["data"]}


def _bound_to(environment: str) -> tuple[str, str]:
    account, _, region = environment.removeprefix("aws://").partition("/")
    return ("" if account in _UNKNOWN else account), ("" if region in _UNKNOWN else region)
