"""What known complaints of the CDK CLI mean, and what to do about them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_ERROR = re.compile(r"^\s*(❌|‣|Error:|[A-Za-z]*Error:)")
_MAX_LINES = 6
_LAST_LINES = 3


@dataclass(frozen=True)
class Hint:
    """A complaint that is known.

    Attributes:
        pattern: how it is recognised.
        text: what to do.
    """

    pattern: re.Pattern[str]
    text: str


def _hint(pattern: str, text: str) -> Hint:
    return Hint(re.compile(pattern), text)


_BOOTSTRAP = (
    "The account and region are not bootstrapped for the CDK, or with another qualifier. With an administrator's "
    "credentials: cdk bootstrap aws://ACCOUNT/REGION"
)

HINTS: tuple[Hint, ...] = (
    _hint(
        r"Maximum schema version supported is [\d.x]+, but found",
        "The CDK CLI is older than the app's aws-cdk-lib. Update aws-cdk in the application's package.json to the "
        "newest 2.x; without one there, use a newer release of the platform's images.",
    ),
    _hint(r"No bucket named '[^']*'\. Is account \d* ?bootstrapped", _BOOTSTRAP),
    _hint(r"No ECR repository named '[^']*' in account", _BOOTSTRAP),
    _hint(r"SSM parameter \S+ not found", _BOOTSTRAP),
    _hint(
        r"requires bootstrap stack version",
        "The account's CDK bootstrap stack is too old for the app. With an administrator's credentials, and a current "
        "CDK CLI: cdk bootstrap aws://ACCOUNT/REGION",
    ),
    _hint(
        r"ExpiredToken|token (included in the request )?(is|has) expired|RequestExpired",
        "The credentials expired and could not be renewed. Start a new run: it goes on from where this one ended, and "
        "waits for stacks that CloudFormation is still working on.",
    ),
    _hint(
        r"Need to perform AWS calls for account \d+, but no credentials have been configured",
        "The CDK CLI got no credentials, or STS did not tell whose they are. What the program that gives them said is "
        "above; if it said nothing, look whether the pod reaches STS.",
    ),
    _hint(
        r"Need to perform AWS calls for account \d+, but the current credentials",
        "The credentials are for another account than the stack's. Configure the environment's role in that account.",
    ),
    _hint(
        r"spawn docker ENOENT|Cannot connect to the Docker daemon",
        "The app builds a container image or bundles code with Docker, and the image of the stage has none. Build it "
        "in the build stage, bundle locally, or set CDK_DOCKER to a builder that the image has, in an image of your "
        "own.",
    ),
    _hint(
        r"\b(ECONNREFUSED|ECONNRESET|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN|ETIMEDOUT)\b",
        "An address could not be reached for a minute and longer. Check the network of the pod: proxy, DNS and VPC "
        "endpoints; then start a new run, which goes on from where this one ended.",
    ),
    _hint(
        r"is in [A-Z_]+_IN_PROGRESS state and can not be updated",
        "Something else is deploying this stack. The next run waits for it.",
    ),
    _hint(
        r"No stacks match the name",
        "The CDK CLI finds stacks by their path in the app; compare with cdk list.",
    ),
    _hint(
        r"Parameters: \[[^\]]*\] must have values|CloudFormation Parameters are missing a value",
        "Give the values in the stack's parameters in aphex-config.yaml, or defaults in the app.",
    ),
)


def hints_for(output: str) -> list[str]:
    """What is known about the complaints in the CLI's output; each once."""
    return list(dict.fromkeys(hint.text for hint in HINTS if hint.pattern.search(output)))


def complaint(output: str) -> str:
    """The CLI's own words for its failure: the lines from its last error sign on, or else its last lines."""
    lines: Sequence[str] = [line for line in output.splitlines() if line.strip()]
    signs = [index for index, line in enumerate(lines) if _ERROR.match(line)]
    if not signs:
        return "\n".join(line.strip() for line in lines[-_LAST_LINES:])
    first = signs[-2] if len(signs) > 1 and signs[-2] == signs[-1] - 1 else signs[-1]
    return "\n".join(line.strip() for line in lines[first : first + _MAX_LINES])
