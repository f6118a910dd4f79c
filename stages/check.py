"""`python -m stages check FILE`: the validation's checks of a working tree, on a machine that is no pod.

Programs are looked for on this machine, so a missing one is a warning: the image may have it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from aphex.config import PipelineConfig
from aphex.errors import AphexError
from aphex.loader import ConfigError, load_config
from aphex.run import run_stages
from stages.access import AccountAccess, account_access
from stages.access_errors import AccessProblem
from stages.account_checks import AccountCheck, account_checks, account_findings
from stages.assume import own_session
from stages.context_checks import app_findings, context_findings
from stages.findings import Finding, configuration_findings, with_lines
from stages.tool_checks import tool_findings

FOUND, UNUSABLE = 1, 2


def main(arguments: list[str]) -> int:
    """Check, and print what was found; returns 0, 1 when something was found, 2 when the file cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m stages check", description=__doc__)
    parser.add_argument("file", type=Path, help="the configuration, at the root of the repository")
    parser.add_argument("--accounts", action="store_true", help="assume the roles too, and look for the CDK bootstrap")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    options = parser.parse_args(arguments)
    try:
        config = load_config(options.file)
    except ConfigError as error:
        return _told(configuration_findings(error), [], UNUSABLE, as_json=options.json)
    try:
        findings = check(config, options.file, accounts=options.accounts)
    except AphexError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    status = FOUND if any(not finding.warning for finding in findings) else 0
    return _told(findings, [stage.name for stage in run_stages(config)], status, as_json=options.json)


def check(config: PipelineConfig, file: Path, *, accounts: bool) -> list[Finding]:
    """All that can be checked of the working tree around a configuration file.

    Raises:
        AccessProblem: accounts are to be checked, and there are no AWS credentials.
    """
    source = file.resolve().parent
    findings = [
        *app_findings(config, source),
        *context_findings(config, source, Path.home()),
        *tool_findings(config, source, os.environ, here=True),
    ]
    if accounts:
        findings += _accounts(config, source)
    return with_lines(findings, file)


def _accounts(config: PipelineConfig, source: Path) -> list[Finding]:
    try:
        sts: Any = own_session().create_client("sts", region_name=config.environments[0].region)
        caller = sts.get_caller_identity()
    except AccessProblem as error:
        raise AccessProblem(
            "There are no AWS credentials on this machine, so that accounts cannot be checked.",
            hint="Log in first, for example with `aws sso login`, or leave out --accounts.",
        ) from error
    except Exception as error:
        raise AccessProblem(f"AWS did not accept the credentials of this machine: {error}", hint="Log in again.") from (
            error
        )
    numbers = count()
    with tempfile.TemporaryDirectory() as folder:

        @contextmanager
        def connect(check: AccountCheck) -> Iterator[AccountAccess]:
            with account_access(
                Path(folder) / f"aws-config-{next(numbers)}",
                check.role,
                check.environment.region,
                "aphex-validate",
                external_id=check.environment.external_id,
            ) as access:
                yield access

        return account_findings(
            account_checks(config, source),
            connect,
            pipeline_account=str(caller["Account"]),
            assumable=None,
            report=lambda line: print(line, file=sys.stderr),
        )


def _told(findings: list[Finding], stages: list[str], status: int, *, as_json: bool) -> int:
    ordered = sorted(findings, key=lambda each: (each.warning, each.line))
    if as_json:
        document = {
            "valid": status == 0,
            "stages": stages,
            "findings": [finding.as_json() for finding in ordered],
        }
        json.dump(document, sys.stdout, indent=2)
        print()
        return status
    for finding in ordered:
        print("\n".join(finding.lines()))
    return status
