"""CDK's bootstrap of an account and region: whether it is there, and new enough.

Names and version: https://docs.aws.amazon.com/cdk/v2/guide/bootstrapping-env.html
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from aphex.regions import partition_of
from stages import cdk
from stages.access_errors import AccessProblem, is_denied
from stages.findings import Finding

if TYPE_CHECKING:
    from boto3.session import Session

DEFAULT_QUALIFIER = "hnb659fds"
MINIMUM_VERSION = 6  # what aws-cdk-lib 2 asks for: MIN_BOOTSTRAP_STACK_VERSION of its DefaultStackSynthesizer
_QUALIFIER_KEY = "@aws-cdk/core:bootstrapQualifier"


def qualifier(source: Path, app: str, context: dict[str, object]) -> str:
    """The qualifier of an app's bootstrap: of the environment's context, of cdk.json, or CDK's own."""
    found = context.get(_QUALIFIER_KEY)
    if found is None:
        try:
            document = json.loads((source / app / cdk.APP_FILE).read_text(encoding="utf-8"))
            found = document.get("context", {}).get(_QUALIFIER_KEY)
        except (OSError, ValueError, AttributeError):
            found = None  # that the file cannot be read is a finding of its own
    return found if isinstance(found, str) and found else DEFAULT_QUALIFIER


def parameter(name: str) -> str:
    """The SSM parameter with the version of a qualifier's bootstrap."""
    return f"/cdk-bootstrap/{name}/version"


def deploy_role(account: str, region: str, name: str) -> str:
    """ARN of the bootstrap role with which the CDK CLI deploys."""
    return f"arn:{partition_of(region)}:iam::{account}:role/cdk-{name}-deploy-role-{account}-{region}"


def command(account: str, region: str, name: str, trusted: str | None) -> str:
    """The command that bootstraps an account and region."""
    words = ["cdk", "bootstrap", f"aws://{account}/{region}"]
    if name != DEFAULT_QUALIFIER:
        words += ["--qualifier", name, "--toolkit-stack-name", f"CDKToolkit-{name}"]
    if trusted is not None and trusted != account:
        words += ["--trust", trusted, "--cloudformation-execution-policies", "POLICY_ARN"]
    return " ".join(words)


def bootstrap_finding(
    session: Session, field: str, account: str, region: str, name: str, trusted: str | None
) -> Finding | None:
    """What is wrong with the bootstrap of an account and region; None when nothing is.

    Args:
        session: with credentials of the account.
        field: the field that leads there.
        account: the account.
        region: the region.
        name: the app's qualifier.
        trusted: the pipeline's account when CDK's roles must trust it; None when the environment's role uses them.
    """
    run = f"`{command(account, region, name, trusted)}` with credentials of the account"
    key = parameter(name)
    client = session.client("ssm", region_name=region)
    try:
        value = client.get_parameter(Name=key)["Parameter"]["Value"]
    except AccessProblem:
        raise
    except client.exceptions.ParameterNotFound:
        return Finding(
            field=field,
            cause=f"{region} of account {account} is not bootstrapped for CDK: it has no SSM parameter {key}.",
            fix=f"Run {run}. If the app has another qualifier, put it in cdk.json's context as {_QUALIFIER_KEY}; "
            "if its stacks need no bootstrap, set cdk.bootstrap to false.",
        )
    except Exception as error:  # noqa: BLE001  # told: the deployment will show whether it matters
        denied = is_denied(error)
        what = "may not be read" if denied else "could not be read"
        arn = f"arn:{partition_of(region)}:ssm:{region}:{account}:parameter{key}"
        return Finding(
            field=field,
            cause=f"The bootstrap version of {region} in account {account} is unknown: {key} {what}: {error}",
            fix=f"Allow the role ssm:GetParameter on {arn}, so that the validation can check it."
            if denied
            else "Nothing, if the account is bootstrapped: the CDK CLI asks again when it deploys.",
            warning=True,
        )
    if not value.isdigit() or int(value) < MINIMUM_VERSION:
        return Finding(
            field=field,
            cause=f"The CDK bootstrap of {region} in account {account} has version {value}, and aws-cdk-lib 2 needs "
            f"{MINIMUM_VERSION} or newer.",
            fix=f"Bring it up to date: {run}.",
        )
    return None
