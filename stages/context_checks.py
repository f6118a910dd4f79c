"""Checks the CDK apps before any synthesis: that each stack has one, and that required context values are given."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aphex.config import Environment, PipelineConfig
from stages import cdk
from stages.findings import Finding

CONTEXT_FILE = "cdk.context.json"
USER_FILE = ".cdk.json"


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


def apps(environment: Environment, source: Path) -> list[str]:
    """The CDK apps of an environment, each once; stacks without one are `app_findings`."""
    found: dict[str, None] = {}
    for stack in environment.stacks:
        try:
            found[cdk.app_folder(source, stack)] = None
        except cdk.AppNotFound:
            continue
    return list(found)


def app_context(source: Path, app: str, home: Path) -> dict[str, Any]:
    """The context that the CDK CLI gives an app besides what the command line says.

    As the CLI merges it: cdk.json over cdk.context.json over ~/.cdk.json.
    https://docs.aws.amazon.com/cdk/v2/guide/context.html

    Raises:
        ValueError: names the file that is not a JSON object.
    """
    folder, prefix = source / app, _prefix(app)
    return {
        **_section(home / USER_FILE, f"~/{USER_FILE}"),
        **_read(folder / CONTEXT_FILE, prefix + CONTEXT_FILE),
        **_section(folder / cdk.APP_FILE, prefix + cdk.APP_FILE),
    }


def _prefix(app: str) -> str:
    return "" if app == "." else f"{app}/"


def context_findings(config: PipelineConfig, source: Path, home: Path) -> list[Finding]:
    """Required context values that an environment lacks, and files with context that cannot be read.

    Args:
        config: the configuration.
        source: the commit's files.
        home: the folder of ~/.cdk.json.
    """
    findings: dict[Finding, None] = {}
    for index, environment in enumerate(config.environments):
        for app in apps(environment, source):
            for finding in _app_findings(config, index, environment, source, app, home):
                findings[finding] = None
    return list(findings)


def _app_findings(
    config: PipelineConfig, index: int, environment: Environment, source: Path, app: str, home: Path
) -> Iterator[Finding]:
    try:
        given = {**app_context(source, app, home), **environment.context}
    except ValueError as error:
        yield Finding(field=f"environments[{index}].stacks", cause=str(error), fix="Correct the file.")
        return
    prefix = _prefix(app)
    for key in config.cdk.required_context:
        if given.get(key) is None:
            yield Finding(
                field=f"environments[{index}].context",
                cause=f'The environment {environment.name} lacks the context value "{key}", which '
                "cdk.required_context names.",
                fix=f'Give "{key}" in environments[{index}].context, in "context" of {prefix}{cdk.APP_FILE}, '
                f'in {prefix}{CONTEXT_FILE}, or in "context" of ~/{USER_FILE} in the deployer\'s image.',
            )


def _section(file: Path, shown: str) -> dict[str, Any]:
    section = _read(file, shown).get("context", {})
    if not isinstance(section, dict):
        raise ValueError(f'"context" in {shown} is not a JSON object.')
    return section


def _read(file: Path, shown: str) -> dict[str, Any]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{shown} is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise ValueError(f"{shown} is not a JSON object.")
    return document
