"""Runs the real `cdk bootstrap` of the pinned CDK CLI, in an account of AWS or of a stand-in."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

from aphex import process
from sandbox.aws import cdk_cli

BOOTSTRAP_SECONDS = 900.0
_QUIET = ("--ci", "--no-color", "--no-notices")
# An address of the caller's and the certificates for it are not credentials.
_KEPT = ("AWS_ENDPOINT_URL", "AWS_CA_BUNDLE", "AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT")


def run(
    account: str,
    region: str,
    credentials: Mapping[str, str],
    report: Callable[[str], None],
    arguments: Sequence[str] = (),
) -> None:
    """Bootstrap an account and region.

    Args:
        account: twelve digits.
        region: where.
        credentials: AWS variables for the CLI, in the place of all those that this process has.
        report: told what takes time.
        arguments: further ones of `cdk bootstrap`.

    Raises:
        ProcessError: it failed.
        ProcessTimeout: it did not end in time.
    """
    cli = cdk_cli.ensure(report)
    environment = f"aws://{account}/{region}"
    report(f"Bootstrapping {environment} for CDK")
    variables = {name: value for name, value in os.environ.items() if name in _KEPT or not name.startswith("AWS_")}
    variables |= {"AWS_REGION": region, **credentials}
    argv = cli.argv("bootstrap", environment, *_QUIET, *arguments)
    # The CLI would take an app from the current folder, and bootstrap that app's environments.
    process.run(argv, cwd=cli.folder, env=cli.environment(variables), timeout=BOOTSTRAP_SECONDS, label="cdk bootstrap")
