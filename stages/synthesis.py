"""Synthesizes an environment's CDK apps, each once, with the CDK CLI."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field

from aphex.config import Cdk, Environment
from aphex.process import Completed, ProcessTimeout
from aphex.process import run as run_program
from stages import cdk
from stages.access import TARGET_PROFILE, AccountAccess
from stages.assembly import CloudAssembly, read_assembly
from stages.cdk_cli import CdkCli, find_cli, require_options
from stages.cdk_hints import complaint, hints_for
from stages.clients import ATTEMPTS
from stages.errors import StageError
from stages.python_environment import activated
from stages.runner import Stage

_TAIL = 200


class SynthesisFailed(StageError):
    """`cdk synth` failed; nothing was deployed."""


@dataclass(frozen=True, kw_only=True)
class Deployer:
    """An environment's deployment.

    Attributes:
        stage: the stage it is in.
        environment: what is deployed.
        access: the account it is deployed to.
        variables: what the CDK CLI, the app and the hooks see.
        settings: what concerns every CDK app of the repository.
    """

    stage: Stage
    environment: Environment
    access: AccountAccess
    variables: dict[str, str]
    settings: Cdk = field(default_factory=Cdk)
    _clis: dict[str, CdkCli] = field(default_factory=dict)

    def cli(self, app: str) -> CdkCli:
        """The CDK CLI of an app; it is said once which one that is.

        Raises:
            stages.cdk_cli.CliMissing: there is none.
        """
        if app not in self._clis:
            source, path = self.stage.workspace.source, self.variables.get("PATH", "")
            self._clis[app] = find_cli(source, app, path, endpoint=bool(self.variables.get("AWS_ENDPOINT_URL")))
            self.stage.console.line(f"    The CDK app in {app} uses {self._clis[app].title}.")
        return self._clis[app]

    def cdk_variables(self, app: str) -> dict[str, str]:
        """What the CLI of an app sees."""
        cache = self.cli(app).compile_cache
        # With the CLI's own 3 attempts, half a second in which STS refuses connections makes it go on without the role.
        variables = {"AWS_MAX_ATTEMPTS": str(ATTEMPTS), "AWS_RETRY_MODE": "standard", **self.variables}
        if cache:
            variables.setdefault("NODE_COMPILE_CACHE", cache)
        return activated(self.stage.workspace.source, app, variables)

    def cdk(self, command: list[str], app: str, timeout: float, on_line: Callable[[str], None]) -> Completed:
        """Run the CDK CLI in the folder of an app; its output is shown live.

        Raises:
            aphex.process.ProcessTimeout: it did not end in time.
        """
        # Otherwise the CLI takes the `profile` that a developer's cdk.json or ~/.cdk.json names before AWS_PROFILE.
        profile = TARGET_PROFILE if self.access.config else ""
        return run_program(
            [*command, "--profile", profile],
            cwd=self.stage.workspace.source / app,
            env=self.cdk_variables(app),
            timeout=timeout,
            on_line=on_line,
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
        stages.cdk.AppNotFound: a stack's path belongs to no app.
        stages.cdk_cli.OptionMissing: the app's CLI lacks what the configuration asks for.
    """
    workspace, environment = deployer.stage.workspace, deployer.environment
    shutil.rmtree(workspace.assemblies, ignore_errors=True)
    groups = cdk.group_by_app(workspace.source, environment.stacks)
    for app in groups:
        variables = deployer.cdk_variables(app)
        require_options(deployer.cli(app), environment.deployment, variables, workspace.source / app)
    assemblies: dict[str, CloudAssembly] = {}
    for app, stacks in groups.items():
        output = cdk.assembly_folder(workspace.assemblies, app)
        command = cdk.synth_command(deployer.cli(app).program, output, environment.context)
        title = f"Synthesizing the CDK app in {app} for {', '.join(stack.name for stack in stacks)}"
        context = cdk.context_in_app(workspace.source / app, environment.context)
        with deployer.stage.console.step(title), context:
            _synthesize_app(deployer, app, command)
        assemblies[app] = read_assembly(output, app)
    return assemblies


def _synthesize_app(deployer: Deployer, app: str, command: list[str]) -> None:
    hint, settings = "Nothing was deployed.", deployer.settings
    try:
        completed = deployer.cdk(command, app, settings.synthesis_timeout_seconds, deployer.stage.console.line)
    except ProcessTimeout as error:
        raise SynthesisFailed(
            f"The synthesis of the CDK app in {app} did not end within {settings.synthesis_timeout} and was stopped.",
            hint=f"Give it a longer cdk.synthesis_timeout in aphex-config.yaml if it needs one. {hint}",
            details={"command": command, "timed_out": True},
        ) from error
    if not completed.ok:
        words = complaint(completed.output)
        raise SynthesisFailed(
            f"The synthesis of the CDK app in {app} failed with exit status {completed.exit_code}."
            + (f"\n{words}" if words else ""),
            hint="\n".join([*hints_for(completed.output), hint]),
            details={"command": command, "exit_code": completed.exit_code, "output": completed.output},
        )
