"""What is checked before anything runs. Each check gives findings: the field, what is wrong, and how to mend it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from aphex.config import Command, Environment, PipelineConfig
from aphex.loader import ConfigError
from aphex.process import run
from stages import cdk
from stages.tools import certain_calls

_BASH = ("bash", "--noprofile", "--norc")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One reason not to run.

    Attributes:
        field: where in the configuration, such as `environments[1].role`; empty when it is none field's fault.
        cause: what is wrong.
        fix: what to do about it.
        line: line of the configuration, from 1; 0 when unknown.
    """

    field: str
    cause: str
    fix: str
    line: int = 0

    def as_json(self) -> dict[str, object]:
        """For the result and the error record."""
        return asdict(self)


def configuration_findings(error: ConfigError) -> list[Finding]:
    """Every problem of the configuration."""
    fix = "Correct aphex-config.yaml and push again."
    return [
        Finding(field=problem.field, cause=problem.message, fix=fix, line=problem.line) for problem in error.problems
    ]


def command_lists(config: PipelineConfig) -> Iterator[tuple[str, list[Command]]]:
    """The lists of commands that run in the builder's image, with their fields."""
    yield "build.commands", config.build.commands
    for index, environment in enumerate(config.environments):
        if environment.tests is not None:
            yield f"environments[{index}].tests.commands", environment.tests.commands


def tool_findings(config: PipelineConfig, env: Mapping[str, str]) -> list[Finding]:
    """Programs that commands call and that this image lacks, and commands that are not shell at all."""
    findings: list[Finding] = []
    previous: list[str] = []
    for field, commands in command_lists(config):
        texts = [command.run for command in commands]
        findings += _syntax_findings(field, texts, env)
        # Tests see what the build installed: their calls come after all of the build's.
        calls = certain_calls([*previous, *texts])
        for call in calls:
            if call.command >= len(previous) and not _known(call.program, env):
                position = f"{field}[{call.command - len(previous)}]"
                findings.append(
                    Finding(
                        field=position,
                        cause=f"{call.program} is not in the image that runs this command.",
                        fix=f"Install {call.program} in an earlier command, or use an image that has it "
                        "(pipeline.images.builder).",
                    )
                )
        if field == "build.commands":
            previous = texts
    return findings


def _syntax_findings(field: str, commands: Sequence[str], env: Mapping[str, str]) -> list[Finding]:
    findings = []
    for index, command in enumerate(commands):
        checked = run([*_BASH, "-n", "-c", command], env=env, timeout=30, check=False)
        if not checked.ok:
            reason = checked.output.strip().splitlines()
            cause = f"bash cannot read this command: {reason[0] if reason else 'no reason given'}"
            findings.append(Finding(field=f"{field}[{index}]", cause=cause, fix="Correct the command."))
    return findings


def _known(program: str, env: Mapping[str, str]) -> bool:
    """Whether bash finds a program: a builtin, a keyword, or a file on the PATH."""
    return run([*_BASH, "-c", 'type -- "$1"', "bash", program], env=env, timeout=30, check=False).ok


def app_findings(config: PipelineConfig, source: Path) -> list[Finding]:
    """Stacks whose path leads to no CDK app at this commit."""
    findings = []
    for index, environment in enumerate(config.environments):
        for number, stack in enumerate(environment.stacks):
            try:
                cdk.app_folder(source, stack)
            except cdk.AppNotFound as error:
                field = f"environments[{index}].stacks[{number}].path"
                findings.append(Finding(field=field, cause=error.message, fix=error.hint))
    return findings


def account_finding(
    field: str, environment: Environment, role: str | None, caller: Callable[[], str], pipeline_account: str
) -> Finding | None:
    """Whether the account of an environment is reached.

    Args:
        field: the field of the role.
        environment: whose account it is.
        role: the role to assume; None when the pipeline's own role is used.
        caller: asks AWS which account the credentials are of.
        pipeline_account: the account of the pipeline itself.
    """
    account = environment.account
    if role is None and account != pipeline_account:
        return None  # CDK's bootstrap roles of the account are assumed, by the deployment's own role only
    try:
        found = caller()
    except Exception as error:  # noqa: BLE001  # whatever keeps the account from being reached is the finding
        identity = f"the role {role}" if role else "the pipeline's own identity"
        return Finding(
            field=field,
            cause=f"Account {account} cannot be reached with {identity}: {error}",
            fix="Check that the role exists and that its trust policy names the roles of the pipeline.",
        )
    if found != account:
        return Finding(
            field=field,
            cause=f"The credentials are of account {found}, but the environment {environment.name} is {account}.",
            fix="Configure a role in the environment's account.",
        )
    return None
