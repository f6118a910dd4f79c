"""What is deployed in which order, decided before anything is deployed: all that can be wrong is found here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aphex.config import Environment, Stack
from stages.assembly import MANIFEST, CloudAssembly, StackArtifact, StackDeployment, read_manifest
from stages.errors import StageError


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
    """A stack would not go to its environment's account."""


class WrongOrder(StageError):
    """The configured order is not one in which the stacks can be deployed."""


@dataclass(frozen=True)
class UnconfiguredDependency:
    """A stack of the app that a configured one depends on, and that the environment does not configure.

    Attributes:
        dependent: the configured stack.
        needed: the other one.
    """

    dependent: StackDeployment
    needed: StackArtifact

    @property
    def text(self) -> str:
        """What is so, and what to do about it."""
        return (
            f"{self.dependent.stack.name} depends on {self.needed.path}, which is not among the environment's stacks "
            f"and is not deployed by it. Add it before {self.dependent.stack.name}, or deploy it otherwise."
        )


def deployment_plan(
    environment: Environment, own_account: str, assemblies: Sequence[tuple[Stack, CloudAssembly]]
) -> list[StackDeployment]:
    """Pair each configured stack with its artifact, in the configured order.

    Args:
        environment: whose stacks they are.
        own_account: that of the stage's own identity, which deploys where the environment has no role.
        assemblies: each configured stack, in order, with the assembly of its app.

    Raises:
        StackNotFound: names every configured stack that its assembly lacks, and those that there are.
        WrongAccount: a stack would not go to the environment's account.
        WrongOrder: a stack comes before one that it depends on, or twice.
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
        _check_account(environment, own_account, deployment)
    _check_order(environment, plan)
    return plan


def _check_account(environment: Environment, own_account: str, deployment: StackDeployment) -> None:
    bound = deployment.artifact.account
    # The CDK CLI deploys a stack that names no account to that of its credentials, and CDK_DEFAULT_ACCOUNT is the same.
    acting = environment.account if environment.role else own_account
    if (bound or acting) == environment.account:
        return
    is_so = f"is bound to account {bound}" if bound else f"names no account and would go to the pipeline's, {acting}"
    hint = "Let the app take CDK_DEFAULT_ACCOUNT, or the account from its context."
    if acting != environment.account:
        hint = (
            "Set environments[].role to a role of the environment's account, or let the app name that account itself: "
            f"CDK_DEFAULT_ACCOUNT is {acting} without the role."
        )
    raise WrongAccount(
        f"The stack {deployment.stack.name} {is_so}, but the environment {environment.name} is account "
        f"{environment.account}.",
        hint=f"{hint} Nothing was deployed.",
        details={"stack": deployment.stack.name, "account": bound or acting},
    )


def _check_order(environment: Environment, plan: Sequence[StackDeployment]) -> None:
    problems: list[str] = []
    for index, deployment in enumerate(plan):
        needed = needed_by(deployment)
        for later in plan[index + 1 :]:
            if later.artifact == deployment.artifact:
                problems.append(f"{deployment.stack.name} and {later.stack.name} are the same stack.")
            elif later.artifact in needed:
                problems.append(f"{deployment.stack.name} depends on {later.stack.name}, which comes after it.")
    if problems:
        raise WrongOrder(
            f"The stacks of the environment {environment.name} cannot be deployed in their order:\n"
            + "\n".join(problems),
            hint="Change the order of stacks in aphex-config.yaml. Nothing was deployed.",
            details={"problems": problems},
        )


def needed_by(deployment: StackDeployment) -> list[StackArtifact]:
    """All stacks that have to be there before one, directly or because others need them; the nearest first."""
    siblings = {each.id: each for each in deployment.assembly.stacks if each.directory == deployment.artifact.directory}
    found: dict[str, StackArtifact] = {}
    waiting = list(deployment.artifact.depends_on)
    while waiting:
        identifier = waiting.pop(0)
        if identifier not in found and identifier in siblings:
            found[identifier] = siblings[identifier]
            waiting += siblings[identifier].depends_on
    return list(found.values())


def unconfigured_dependencies(plan: Sequence[StackDeployment]) -> list[UnconfiguredDependency]:
    """The direct dependencies that are outside the plan, in its order."""
    inside = [deployment.artifact for deployment in plan]
    return [
        UnconfiguredDependency(deployment, needed)
        for deployment in plan
        for needed in needed_by(deployment)
        if needed.id in deployment.artifact.depends_on and needed not in inside
    ]


def deployment_runs(plan: Sequence[StackDeployment]) -> list[list[StackDeployment]]:
    """Cut the plan into runs of stacks that one call of the CDK CLI deploys: neighbours of the same manifest."""
    runs: list[list[StackDeployment]] = []
    for deployment in plan:
        if runs and runs[-1][-1].artifact.directory == deployment.artifact.directory:
            runs[-1].append(deployment)
        else:
            runs.append([deployment])
    return runs


def fix_order(plan: Sequence[StackDeployment], tags: Mapping[str, str]) -> None:
    """Write the configured order and tags into the assemblies' manifests.

    Every stack gets its predecessor as a dependency. So the CDK CLI itself, which may otherwise deploy independent
    stacks in any order, keeps the configured one. Tags given to the CLI would replace the app's; here they join them.

    Args:
        plan: what is deployed, in order.
        tags: tags of every stack.
    """
    chains: dict[Path, list[StackArtifact]] = {}
    for deployment in plan:
        chains.setdefault(deployment.artifact.directory, []).append(deployment.artifact)
    for directory, chain in chains.items():
        manifest = read_manifest(directory)
        for before, artifact in zip([None, *chain], chain, strict=False):
            entry = manifest["artifacts"][artifact.id]
            if before is not None:
                entry["dependencies"] = sorted({*entry.get("dependencies", []), before.id})
            if tags:
                entry.setdefault("properties", {})["tags"] = {**artifact.tags, **tags}
        (directory / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
