"""Synthesizes and deploys with the CDK CLI, and explains a deployment that failed."""

from __future__ import annotations

import shutil
import time
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from aphex.config import Environment
from aphex.process import Completed, ProcessTimeout
from aphex.process import run as run_program
from aphex.run import Status
from stages import cdk
from stages.access import AccountAccess
from stages.assembly import CloudAssembly, StackDeployment, read_assembly
from stages.clients import client_config
from stages.cloudformation import failure_events, root_cause
from stages.errors import StageError
from stages.metrics import outcome_metrics, put_metrics
from stages.runner import Stage

_SYNTH_TIMEOUT = 1800.0
_DEPLOY_TIMEOUT = 3 * 3600.0
_CLOCK_SKEW = timedelta(seconds=5)
_TAIL = 200


class SynthesisFailed(StageError):
    """`cdk synth` failed; nothing was deployed."""


class DeploymentFailed(StageError):
    """A stack was not deployed; those after it were not begun."""


@dataclass(frozen=True, kw_only=True)
class Deployer:
    """An environment's deployment.

    Attributes:
        stage: the stage it is in.
        environment: what is deployed.
        access: the account it is deployed to.
        variables: what the CDK CLI, the app and the hooks see.
    """

    stage: Stage
    environment: Environment
    access: AccountAccess
    variables: dict[str, str]

    def cdk(self, command: list[str], app: str, timeout: float) -> Completed:
        """Run the CDK CLI in the folder of an app; its output is shown live."""
        return run_program(
            command,
            cwd=self.stage.workspace.source / app,
            env=self.variables,
            timeout=timeout,
            on_line=self.stage.console.line,
            check=False,
            keep_lines=_TAIL,
            label=f"cdk {command[1]}",
        )


def synthesize(deployer: Deployer) -> dict[str, CloudAssembly]:
    """Synthesize each CDK app of the environment once; usually there is one.

    Returns:
        The assembly of each app, by its folder.

    Raises:
        SynthesisFailed: an app failed or took too long.
        AppNotFound: a stack's path belongs to no app.
    """
    workspace = deployer.stage.workspace
    shutil.rmtree(workspace.assemblies, ignore_errors=True)
    assemblies: dict[str, CloudAssembly] = {}
    for app, stacks in cdk.group_by_app(workspace.source, deployer.environment.stacks).items():
        output = cdk.assembly_folder(workspace.assemblies, app)
        command = cdk.synth_command(output, deployer.environment.context)
        title = f"Synthesizing the CDK app in {app} for {', '.join(stack.name for stack in stacks)}"
        context = cdk.context_in_app(workspace.source / app, deployer.environment.context)
        with deployer.stage.console.step(title), context:
            _synthesize_app(deployer, app, command)
        assemblies[app] = read_assembly(output, app)
    return assemblies


def _synthesize_app(deployer: Deployer, app: str, command: list[str]) -> None:
    hint = "Nothing was deployed."
    try:
        completed = deployer.cdk(command, app, _SYNTH_TIMEOUT)
    except ProcessTimeout as error:
        raise SynthesisFailed(error.message, hint=hint, details={"command": command}) from error
    if not completed.ok:
        raise SynthesisFailed(
            f"The synthesis of the CDK app in {app} failed with exit status {completed.exit_code}.",
            hint=hint,
            details={"command": command, "exit_code": completed.exit_code, "output": completed.output},
        )


def deploy_stack(deployer: Deployer, deployment: StackDeployment) -> dict[str, str]:
    """Deploy one stack and wait until it is finished; returns its outputs.

    Raises:
        DeploymentFailed: with CloudFormation's events of the failure.
    """
    stage, artifact = deployer.stage, deployment.artifact
    file = stage.workspace.private / "stack-outputs.json"
    file.unlink(missing_ok=True)
    command = cdk.deploy_command(
        deployment.assembly.directory, artifact.path, method=stage.context.cdk_method, outputs=file
    )
    begun, started = datetime.now(UTC), time.monotonic()
    problem = ""
    details: dict[str, Any] = {"command": command, "stack": deployment.stack.name}
    try:
        completed = deployer.cdk(command, deployment.assembly.app, _DEPLOY_TIMEOUT)
        if not completed.ok:
            problem = f"failed with exit status {completed.exit_code}"
            details.update(exit_code=completed.exit_code, output=completed.output)
    except ProcessTimeout:
        problem = f"did not end within {_DEPLOY_TIMEOUT / 3600:g} hours"
        details["timed_out"] = True
    _measure(deployer, deployment, Status.FAILED if problem else Status.SUCCEEDED, time.monotonic() - started)
    if problem:
        raise _explained(deployer, deployment, problem, details, begun)
    return cdk.read_outputs(file, artifact.name)


def _measure(deployer: Deployer, deployment: StackDeployment, status: Status, seconds: float) -> None:
    """Send the metrics of one deployment; that it cannot be measured does not undo it."""
    stage = deployer.stage
    dimensions = {
        "Pipeline": stage.context.pipeline,
        "Environment": deployer.environment.name,
        "Stack": deployment.stack.name,
    }
    try:
        put_metrics(stage.clients.cloudwatch, outcome_metrics("Deployment", status, seconds, dimensions))
    except Exception as error:  # noqa: BLE001  # any fault of the metrics is said and kept in the log
        stage.console.line(f"warning: the deployment's metrics were not sent: {error}")
        stage.console.log_only(traceback.format_exc())


def _explained(
    deployer: Deployer, deployment: StackDeployment, problem: str, details: dict[str, Any], begun: datetime
) -> DeploymentFailed:
    """The error of a deployment, with CloudFormation's own reasons when they can be had."""
    console, name = deployer.stage.console, deployment.artifact.name
    events: list[dict[str, Any]] = []
    try:
        region = deployment.artifact.region or deployer.environment.region
        client = deployer.access.session.client("cloudformation", region_name=region, config=client_config())
        events = failure_events(client, name, begun - _CLOCK_SKEW)
    except Exception as error:  # noqa: BLE001  # the deployment's own failure must not be hidden by this one
        console.line(f"warning: CloudFormation's events of {name} cannot be read: {error}")
        console.log_only(traceback.format_exc())
    for event in events:
        console.line(f"  {event['time']}  {event['resource']} ({event['type']})  {event['status']}  {event['reason']}")
    cause = root_cause(events)
    return DeploymentFailed(
        f"The deployment of {deployment.stack.name} {problem}." + (f"\n{cause}" if cause else ""),
        hint="Stacks and environments after it were not begun.",
        details={**details, "events": events},
    )
