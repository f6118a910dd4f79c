"""The environment stage: one synthesis of the run's commit, then its stacks in the configured order."""

from __future__ import annotations

from aphex.config import Command
from stages import cdk
from stages.access import environment_access
from stages.commands import run_commands
from stages.deployment import deploy_stacks
from stages.outputs import write_parameter
from stages.plan import deployment_plan
from stages.prepare import clone, configuration, environment_variables, fetch_artifact, share_outputs, skipped
from stages.runner import Stage, StageResult
from stages.synthesis import Deployer, synthesize


def run(stage: Stage) -> StageResult:
    """Deploy the environment as the run's commit has it.

    An environment that the configuration at this commit lacks is skipped: the run has the shape of the
    configuration before the commit.
    """
    name = stage.context.required_environment()
    write_parameter(stage.context.outputs_parameter, {}, stage.context.keys.outputs(name))
    timestamp = clone(stage)
    config = configuration(stage)
    environment = config.environment(name)
    if environment is None:
        return skipped(stage, name)
    fetch_artifact(stage)
    with environment_access(stage, environment, environment.role) as access:
        variables = {
            **environment_variables(stage, access, environment.account, timestamp),
            **share_outputs(stage),
            "CDK_DISABLE_CLI_TELEMETRY": "true",
            # Which Node runs an application's own, older CLI is the image's affair.
            "JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION": "1",
        }
        deployer = Deployer(
            stage=stage, environment=environment, access=access, variables=variables, settings=config.cdk
        )
        return _deploy(deployer, f"environments[{config.environments.index(environment)}].hooks")


def _deploy(deployer: Deployer, hooks: str) -> StageResult:
    stage, environment = deployer.stage, deployer.environment
    _run_hooks(deployer, environment.hooks.pre, f"{hooks}.pre", {})
    assemblies = synthesize(deployer)
    source = stage.workspace.source
    plan = deployment_plan(
        environment,
        stage.context.account,
        [(stack, assemblies[cdk.app_folder(source, stack)]) for stack in environment.stacks],
    )
    deployed = deploy_stacks(deployer, plan)
    _run_hooks(deployer, environment.hooks.post, f"{hooks}.post", share_outputs(stage))
    outputs = {each.stack: dict(each.outputs) for each in deployed}
    return StageResult(
        summary={"status": "succeeded", "environment": environment.name, "outputs": outputs},
        details={"stacks": [each.document() for each in deployed]},
    )


def _run_hooks(deployer: Deployer, commands: list[Command], field: str, variables: dict[str, str]) -> None:
    run_commands(
        commands,
        field=field,
        cwd=deployer.stage.workspace.source,
        env={**deployer.variables, **variables},
        console=deployer.stage.console,
    )
