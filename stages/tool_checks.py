"""Checks what commands call: that bash can read them, and that the programs are there."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aphex.config import Command, PipelineConfig
from aphex.process import run
from stages.findings import Finding
from stages.tools import certain_calls

_BASH = ("bash", "--noprofile", "--norc")
_MISSING = 'for program; do type -- "$program" >/dev/null 2>&1 || printf "%s\\n" "$program"; done'

# What the deployer's image has besides all that the builder's has, from which it is made.
_DEPLOYER_ONLY = frozenset({"cdk", "pulumi"})


@dataclass(frozen=True, kw_only=True)
class CommandList:
    """Commands that run one after another in one pod.

    Attributes:
        field: where they are in the configuration.
        commands: the commands.
        image: the setting of the image that runs them.
        after_build: whether the build's files are there.
        extra: programs that are in their image, but not in the one that checks.
        checked: whether the programs that are here tell which are in their image.
    """

    field: str
    commands: Sequence[Command]
    image: str
    after_build: bool = True
    extra: frozenset[str] = frozenset()
    checked: bool = True


def command_lists(config: PipelineConfig) -> Iterator[CommandList]:
    """All commands of a configuration."""
    builder, deployer = "pipeline.images.builder", "pipeline.images.deployer"
    yield CommandList(field="build.commands", commands=config.build.commands, image=builder, after_build=False)
    images = config.pipeline.images
    # The platform's own deployer image is made from its builder image; of others nothing is known.
    related = images.builder is None and images.deployer is None
    for index, environment in enumerate(config.environments):
        for name, commands in (("pre", environment.hooks.pre), ("post", environment.hooks.post)):
            yield CommandList(
                field=f"environments[{index}].hooks.{name}",
                commands=commands,
                image=deployer,
                extra=_DEPLOYER_ONLY,
                checked=related,
            )
        if environment.tests is not None:
            tests = environment.tests.commands
            yield CommandList(field=f"environments[{index}].tests.commands", commands=tests, image=builder)


def tool_findings(config: PipelineConfig, source: Path, env: Mapping[str, str], *, here: bool = False) -> list[Finding]:
    """Commands that are not shell, and programs that are certainly called and are not there.

    Args:
        config: the configuration.
        source: the commit's files.
        env: the environment of the commands, whose PATH counts.
        here: whether this is somebody's machine instead of the image; missing programs are warnings then.
    """
    findings: list[Finding] = []
    for each in command_lists(config):
        findings += _syntax(each, env)
        if each.checked:
            findings += _programs(each, source, env, here)
    return findings


def _syntax(listed: CommandList, env: Mapping[str, str]) -> list[Finding]:
    findings = []
    for index, command in enumerate(listed.commands):
        checked = run([*_BASH, "-n", "-c", command.run], env=env, timeout=30, check=False)
        if not checked.ok:
            reason = checked.output.strip().splitlines()
            cause = f"bash cannot read this command: {reason[0] if reason else 'no reason given'}"
            findings.append(Finding(field=f"{listed.field}[{index}]", cause=cause, fix="Correct the command."))
    return findings


def _programs(listed: CommandList, source: Path, env: Mapping[str, str], here: bool) -> list[Finding]:
    texts = [command.run for command in listed.commands]
    calls = [call for call in certain_calls(texts, after_build=listed.after_build) if call.program not in listed.extra]
    missing = _missing([call.program for call in calls if "/" not in call.program], env)
    if listed.after_build and _in_source(source, env):
        missing = set()  # what the build made in the working tree is on the PATH
    findings = []
    for call in calls:
        position = f"{listed.field}[{call.command}]"
        if "/" in call.program:
            found = _path_finding(position, call.program, source, here)
            findings += [found] if found is not None else []
        elif call.program in missing:
            findings.append(_missing_program(position, call.program, listed, here))
    return findings


def _missing(programs: Sequence[str], env: Mapping[str, str]) -> set[str]:
    """The programs that bash does not find: no builtin, no keyword, no file on the PATH."""
    if not programs:
        return set()
    asked = run([*_BASH, "-c", _MISSING, "bash", *programs], env=env, timeout=30, check=False)
    return set(asked.output.splitlines())


def _in_source(source: Path, env: Mapping[str, str]) -> bool:
    return any(Path(part).is_relative_to(source) for part in env.get("PATH", "").split(os.pathsep) if part)


def _missing_program(position: str, program: str, listed: CommandList, here: bool) -> Finding:
    if here:
        return Finding(
            field=position,
            cause=f"{program} is not on this machine's PATH.",
            fix=f"The image that runs this command must have it ({listed.image}); it is checked again in the run.",
            warning=True,
        )
    pod = " What the build installs outside of the working tree stays in the build's pod." if listed.after_build else ""
    return Finding(
        field=position,
        cause=f"{program} is not in the image that runs this command.",
        fix=f"Install {program} in an earlier command of {listed.field}, or use an image that has it "
        f"({listed.image}).{pod}",
    )


def _path_finding(position: str, program: str, source: Path, here: bool) -> Finding | None:
    absolute = program.startswith("/")
    file = source / program
    if not file.is_file():
        where = "in the image that runs this command" if absolute else "in the repository at this commit"
        fix = (
            "Correct the path." if absolute else "Commit the file, make it in an earlier command, or correct the path."
        )
        return Finding(field=position, cause=f"There is no file {program} {where}.", fix=fix, warning=here and absolute)
    if not absolute and not os.access(file, os.X_OK):
        return Finding(
            field=position,
            cause=f"{program} is not executable.",
            fix=f"Run `git update-index --chmod=+x {program.removeprefix('./')}` and commit, or call it with its "
            "interpreter, such as bash.",
        )
    return None
