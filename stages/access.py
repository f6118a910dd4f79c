"""Access to an environment's account: AWS profiles that SDKs and the CDK CLI refresh by themselves.

The profiles are in a file that lasts as long as the stage. It names roles and where the pod's own identity comes
from, never a credential. Format: https://docs.aws.amazon.com/sdkref/latest/guide/feature-assume-role-credentials.html
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from aphex.names import limited
from stages.errors import StageError

if TYPE_CHECKING:
    from boto3.session import Session

BASE_PROFILE = "base"
TARGET_PROFILE = "target"
_MAX_SESSION_NAME = 64

# Variables of the pod's own identity. With a profile in their place commands must not see them,
# because most SDKs prefer them.
_IDENTITY_VARIABLES = frozenset(
    {
        "AWS_ROLE_ARN",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_ROLE_SESSION_NAME",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
    }
)
_CONTAINER_VARIABLES = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")


class IdentityMissing(StageError):
    """The pod has no identity from which a role could be assumed."""


def profiles(role: str, region: str, session: str, pod: Mapping[str, str]) -> str:
    """The AWS configuration file that leads from the pod's identity to a role.

    Args:
        role: ARN of the role to assume.
        region: the target's region.
        session: name of the session, which CloudTrail shows.
        pod: the pod's variables.

    Raises:
        IdentityMissing: the pod has neither a web identity nor container credentials.
    """
    target = {"role_arn": role, "role_session_name": session, "region": region}
    if pod.get("AWS_WEB_IDENTITY_TOKEN_FILE") and pod.get("AWS_ROLE_ARN"):
        base = {
            "role_arn": pod["AWS_ROLE_ARN"],
            "web_identity_token_file": pod["AWS_WEB_IDENTITY_TOKEN_FILE"],
            "role_session_name": session,
            "region": region,
        }
        return _section(BASE_PROFILE, base) + _section(TARGET_PROFILE, {**target, "source_profile": BASE_PROFILE})
    if any(pod.get(name) for name in _CONTAINER_VARIABLES):
        return _section(TARGET_PROFILE, {**target, "credential_source": "EcsContainer"})
    raise IdentityMissing(
        "The stage has no AWS identity: neither a web identity (IRSA) nor container credentials (EKS Pod Identity).",
        hint="Check the service account of the stage's pod.",
    )


def _section(name: str, values: Mapping[str, str]) -> str:
    return f"[profile {name}]\n" + "".join(f"{key} = {value}\n" for key, value in values.items()) + "\n"


def session_name(run: str, stage: str) -> str:
    """The session's name in CloudTrail: the run and the stage, as long as AWS allows."""
    return limited(f"{run}.{stage}", _MAX_SESSION_NAME)


@dataclass(frozen=True)
class AccountAccess:
    """Access to one account and region.

    Attributes:
        region: the target's region.
        config: the AWS configuration file with the profile; None to act with the pod's own identity.
    """

    region: str
    config: Path | None = None

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """The variables of a program that is to act in the account."""
        regions = {"AWS_REGION": self.region, "AWS_DEFAULT_REGION": self.region}
        if self.config is None:
            return {**base, **regions}
        kept = {key: value for key, value in base.items() if key not in _IDENTITY_VARIABLES}
        return {**kept, **regions, "AWS_CONFIG_FILE": str(self.config), "AWS_PROFILE": TARGET_PROFILE}

    @cached_property
    def session(self) -> Session:
        """A session in the account; botocore assumes the role when it is first used, and again before it expires."""
        import boto3
        import botocore.session

        if self.config is None:
            return boto3.Session(region_name=self.region)
        core = botocore.session.Session(profile=TARGET_PROFILE)
        core.set_config_variable("config_file", str(self.config))
        return boto3.Session(botocore_session=core, region_name=self.region)


@contextmanager
def account_access(
    config: Path, role: str | None, region: str, session: str, pod: Mapping[str, str] | None = None
) -> Iterator[AccountAccess]:
    """Write the profile file, readable by its owner alone, and remove it at the end.

    Args:
        config: where the file goes.
        role: ARN of the role to assume; None to act with the pod's own identity, which needs no file.
        region: the target's region.
        session: name of the session.
        pod: the pod's variables; those of this process when None.

    Raises:
        IdentityMissing: see `profiles`.
    """
    if role is None:
        yield AccountAccess(region=region)
        return
    text = profiles(role, region, session, os.environ if pod is None else pod)
    config.unlink(missing_ok=True)
    descriptor = os.open(config, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    try:
        yield AccountAccess(region=region, config=config)
    finally:
        config.unlink(missing_ok=True)
