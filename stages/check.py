"""`python -m stages check FILE`: the validation's checks of a working tree, on a machine that is no pod.

Programs are looked for on this machine, so a missing one is a warning: the image may have it. With the package's base
dependencies alone, as in a pre-commit hook, whatever needs more is left out, which is said.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aphex.config import PipelineConfig
from aphex.loader import ConfigError, Problem, load_config
from aphex.run import run_stages
from stages.context_checks import app_findings, context_findings
from stages.findings import Finding, configuration_findings, with_lines

if TYPE_CHECKING:
    from stages.access import AccountAccess
    from stages.account_checks import AccountCheck

FOUND, UNUSABLE = 1, 2
_PARSER = ("tree_sitter", "tree_sitter_bash")
_AWS = ("boto3", "botocore")


@dataclass(kw_only=True)
class Report:
    """What was checked of a configuration, and what was found.

    Attributes:
        file: the configuration, as the user named it.
        status: of the process.
        stages: of a run, in their order.
        checked: names of the checks that were made.
        left_out: checks that could not be made, with the reason.
        findings: what was found.
    """

    file: Path
    status: int = 0
    stages: list[str] = field(default_factory=list)
    checked: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def as_json(self) -> dict[str, object]:
        """For programs."""
        return {
            "valid": self.status == 0,
            "stages": self.stages,
            "checked": self.checked,
            "left_out": self.left_out,
            "findings": [finding.as_json() for finding in self._ordered()],
        }

    def lines(self) -> list[str]:
        """For people: findings, then warnings, then what it comes to."""
        ordered = self._ordered()
        warnings = [each for each in ordered if each.warning]
        lines = [line for each in ordered if not each.warning for line in each.lines(str(self.file))]
        if lines and warnings:
            lines.append("")
        lines += [line for each in warnings for line in each.lines(str(self.file))]
        number = len(ordered) - len(warnings)
        if number:
            counts = [_counted(number, "finding"), *([_counted(len(warnings), "warning")] if warnings else [])]
            return [*lines, f"{', '.join(counts)}."]
        tail = f", with {_counted(len(warnings), 'warning')}" if warnings else ""
        return [*lines, f"{self.file} is valid{tail}. A run has the stages: {', '.join(self.stages)}."]

    def _ordered(self) -> list[Finding]:
        return sorted(self.findings, key=lambda each: (each.warning, each.line))


def main(arguments: list[str]) -> int:
    """Check, and print what was found; returns 0, 1 when something was found, 2 when the file cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m stages check", description="Checks a configuration.")
    parser.add_argument("file", type=Path, help="the configuration, at the root of the repository")
    parser.add_argument("--accounts", action="store_true", help="assume the roles too, and look for the CDK bootstrap")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    options = parser.parse_args(arguments)
    report = check(options.file, accounts=options.accounts)
    for name, reason in report.left_out.items():
        print(f"The {name} were not checked: {reason}", file=sys.stderr)
    print(json.dumps(report.as_json(), indent=2) if options.json else "\n".join(report.lines()))
    return report.status


def check(file: Path, *, accounts: bool) -> Report:
    """Check a configuration and the working tree around it.

    Args:
        file: the configuration, at the root of the repository.
        accounts: whether to assume the roles too, which needs AWS credentials.
    """
    report = Report(file=file, checked=["schema"])
    try:
        config = _load(file)
    except ConfigError as error:
        report.findings = [replace(finding, fix="") for finding in configuration_findings(error)]
        report.status = UNUSABLE
        return report
    source = file.resolve().parent
    report.stages = [stage.name for stage in run_stages(config)]
    report.checked += ["apps", "context"]
    findings = [*app_findings(config, source), *context_findings(config, source, Path.home())]
    if _installed(report, "programs that commands call", _PARSER):
        from stages.tool_checks import tool_findings

        report.checked.append("tools")
        findings += tool_findings(config, source, os.environ, here=True)
    if accounts and _installed(report, "accounts", _AWS):
        report.checked.append("accounts")
        findings += _accounts(config, source)
    report.findings = with_lines(findings, file)
    unchecked = accounts and "accounts" not in report.checked
    report.status = FOUND if unchecked or any(not finding.warning for finding in findings) else 0
    return report


def _load(file: Path) -> PipelineConfig:
    try:
        return load_config(file)
    except OSError as error:
        problem = Problem(source=str(file), line=0, field="", message=f"cannot be read: {error.strerror}.")
        raise ConfigError([problem]) from None


def _installed(report: Report, what: str, packages: Sequence[str]) -> bool:
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        report.left_out[what] = f"{', '.join(missing)} not installed; the package's extra `stages` has it."
    return not missing


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"


def _accounts(config: PipelineConfig, source: Path) -> list[Finding]:
    from stages.access import account_access
    from stages.access_errors import AccessProblem
    from stages.account_checks import account_checks, account_findings

    try:
        own = _own_account(config.environments[0].region)
    except AccessProblem as error:
        return [Finding(field="", cause=error.message, fix=error.hint)]
    numbers = count()
    with tempfile.TemporaryDirectory() as folder:

        @contextmanager
        def connect(check: AccountCheck) -> Iterator[AccountAccess]:
            file = Path(folder) / f"aws-config-{next(numbers)}"
            region, external_id = check.environment.region, check.environment.external_id
            with account_access(file, check.role, region, "aphex-validate", external_id=external_id) as access:
                yield access

        return account_findings(
            account_checks(config, source),
            connect,
            pipeline_account=own,
            assumable=None,
            report=lambda line: print(line, file=sys.stderr, flush=True),
        )


def _own_account(region: str) -> str:
    """The account of this machine's credentials.

    Raises:
        AccessProblem: there are none, or AWS does not take them.
    """
    from botocore.exceptions import ClientError

    from stages.access_errors import AccessProblem, Attempt, IdentityMissing, explain
    from stages.assume import own_session
    from stages.clients import client_config

    try:
        sts: Any = own_session().create_client("sts", region_name=region, config=client_config())
        return str(sts.get_caller_identity()["Account"])
    except IdentityMissing as error:
        raise AccessProblem(
            "There are no AWS credentials on this machine, so that accounts were not checked.",
            hint="Log in first, for example with `aws sso login`, or leave out --accounts.",
        ) from error
    except ClientError as error:
        raise AccessProblem(
            f"AWS does not accept the credentials of this machine, so that accounts were not checked: {error}",
            hint="Log in again, or leave out --accounts.",
        ) from error
    except Exception as error:
        raise explain(error, Attempt(role=None, region=region)) from error
