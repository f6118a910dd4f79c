"""Reads a cloud assembly: which stacks a CDK app made, and how they are called.

Format: https://github.com/aws/aws-cdk-cli/tree/main/packages/%40aws-cdk/cloud-assembly-schema
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aphex.config import Environment, Stack
from stages.errors import StageError

_STACK = "aws:cloudformation:stack"
_NESTED = "cdk:cloud-assembly"
_UNKNOWN = ("unknown-account", "unknown-region")


class StackNotFound(StageError):
    """Configured stacks are not in the assembly."""

    def __init__(self, missing: Sequence[str], available: Sequence[str]) -> None:
        names = ", ".join(missing)
        super().__init__(
            f"The CDK app made no stack {names}.",
            hint=f"It made: {', '.join(available) or 'none'}. Correct the name in aphex-config.yaml, or the app.",
            details={"stack": missing[0], "missing": list(missing), "available": list(available)},
        )


class WrongAccount(StageError):
    """A stack is bound to an account that is not its environment's."""


@dataclass(frozen=True)
class StackArtifact:
    """A synthesized stack.

    Attributes:
        path: its path in the app, by which the CDK CLI selects it: `Stack`, or `Stage/Stack`.
        name: its name in CloudFormation.
        account: the account it is bound to; empty when it takes the deployment's.
        region: the region likewise.
        template: its template.
    """

    path: str
    name: str
    account: str
    region: str
    template: Path


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


def _stacks(directory: Path) -> list[StackArtifact]:
    manifest = directory / "manifest.json"
    if not manifest.is_file():
        raise StageError(f"The synthesis wrote no cloud assembly: {manifest} is missing.")
    found: list[StackArtifact] = []
    artifacts: dict[str, dict[str, Any]] = json.loads(manifest.read_text(encoding="utf-8")).get("artifacts", {})
    for identifier, artifact in artifacts.items():
        properties = artifact.get("properties", {})
        if artifact["type"] == _NESTED:
            found += _stacks(directory / properties["directoryName"])
        elif artifact["type"] == _STACK:
            account, region = _bound_to(artifact.get("environment", ""))
            found.append(
                StackArtifact(
                    path=artifact.get("displayName", identifier),
                    name=properties.get("stackName", identifier),
                    account=account,
                    region=region,
                    template=directory / properties["templateFile"],
                )
            )
    return found


def _bound_to(environment: str) -> tuple[str, str]:
    account, _, region = environment.removeprefix("aws://").partition("/")
    return ("" if account in _UNKNOWN else account), ("" if region in _UNKNOWN else region)


def deployment_plan(
    environment: Environment, assemblies: Sequence[tuple[Stack, CloudAssembly]]
) -> list[StackDeployment]:
    """Pair each configured stack with its artifact, in the configured order.

    Args:
        environment: whose stacks they are.
        assemblies: each configured stack, in order, with the assembly of its app.

    Raises:
        StackNotFound: names every configured stack that its assembly lacks, and those that there are.
        WrongAccount: a stack is bound to another account than the environment's.
    """
    pairs = [(stack, assembly, assembly.find(stack.name)) for stack, assembly in assemblies]
    missing = [stack.name for stack, _, artifact in pairs if artifact is None]
    if missing:
        available = sorted({stack.path for _, assembly in assemblies for stack in assembly.stacks})
        raise StackNotFound(missing, available)
    plan = [
        StackDeployment(stack=stack, artifact=artifact, assembly=assembly)
        for stack, assembly, artifact in pairs
        if artifact is not None
    ]
    for deployment in plan:
        bound = deployment.artifact.account
        if bound and bound != environment.account:
            raise WrongAccount(
                f"The stack {deployment.stack.name} is bound to account {bound}, but the environment "
                f"{environment.name} is account {environment.account}.",
                hint="Let the app take CDK_DEFAULT_ACCOUNT, or the account from its context.",
                details={"stack": deployment.stack.name, "account": bound},
            )
    return plan
