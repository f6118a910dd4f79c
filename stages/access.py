"""Access to an environment's account: credentials that boto3, SDKs and the CDK CLI renew by themselves.

Programs get an AWS profile with a `credential_process` (`stages.assume`), because a profile with `role_arn` knows no
session tags. The profile's file and the one beside it name the role, hold no credential, and last as long as the stage.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from aphex.names import PipelineNames, limited
from aphex.regions import partition_of
from stages.access_errors import IdentityMissing
from stages.assume import Assumption, Report, hidden, own_session, refreshing_session, write_assumption

if TYPE_CHECKING:
    from boto3.session import Session
    from botocore.session import Session as CoreSession

    from aphex.config import Environment
    from stages.context import StageContext
    from stages.runner import Stage

__all__ = [
    "TARGET_PROFILE",
    "AccountAccess",
    "IdentityMissing",
    "account_access",
    "environment_access",
    "profile",
    "session_name",
]

TARGET_PROFILE = "target"
_MAX_SESSION_NAME = 64


def profile(region: str, assumption: Path) -> str:
    """The AWS configuration file whose profile asks this package for credentials.

    Args:
        region: the target's region.
        assumption: the file that says which role is assumed.
    """
    # Isolated, so that nothing in the folder or the environment of the user's command is imported in its place.
    words = [sys.executable, "-I", "-m", "stages", "credentials", str(assumption)]
    command = " ".join(f'"{word}"' if " " in word else word for word in words)
    return f"[profile {TARGET_PROFILE}]\ncredential_process = {command}\nregion = {region}\n"


def session_name(run: str, stage: str) -> str:
    """The session's name in CloudTrail: the run and the stage, as long as AWS allows."""
    return limited(f"{run}.{stage}", _MAX_SESSION_NAME)


@dataclass(frozen=True)
class AccountAccess:
    """Access to one account and region.

    Attributes:
        region: the target's region.
        config: the AWS configuration file with the profile; None to act with the pod's own identity.
        assumption: the role that is assumed; None to act with the pod's own identity.
        own: a session with the stage's own identity, from which it is assumed.
        report: where a warning goes.
    """

    region: str
    config: Path | None = None
    assumption: Assumption | None = None
    own: CoreSession | None = None
    report: Report | None = None

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """The variables of a program that is to act in the account."""
        regions = {"AWS_REGION": self.region, "AWS_DEFAULT_REGION": self.region}
        if self.config is None:
            return {**base, **regions}
        return {**hidden(base), **regions, "AWS_CONFIG_FILE": str(self.config), "AWS_PROFILE": TARGET_PROFILE}

    @cached_property
    def session(self) -> Session:
        """A session in the account; the role is assumed when it is first used, and again before it expires."""
        import boto3

        if self.assumption is None:
            return boto3.Session(botocore_session=own_session(self.region), region_name=self.region)
        own = self.own or own_session(self.assumption.sts_region)
        assumed = refreshing_session(self.assumption, own, self.report)
        return boto3.Session(botocore_session=assumed, region_name=self.region)


@contextmanager
def account_access(
    config: Path,
    role: str | None,
    region: str,
    session: str,
    *,
    external_id: str | None = None,
    tags: Mapping[str, str] | None = None,
    callers: Sequence[str] = (),
    report: Report | None = None,
    own: CoreSession | None = None,
) -> Iterator[AccountAccess]:
    """Write the profile, readable by its owner alone, and remove it at the end.

    Args:
        config: where the profile goes; what it needs goes beside it, with `.json` added.
        role: ARN of the role to assume; None to act with the pod's own identity, which needs no file.
        region: the target's region.
        session: name of the session.
        external_id: what the role's trust policy asks for.
        tags: session tags.
        callers: further roles that will assume it, which errors name.
        report: where warnings go.
        own: a session with the stage's own identity; a new one when None.

    Raises:
        IdentityMissing: there is no identity from which the role could be assumed.
    """
    if role is None:
        yield AccountAccess(region=region)
        return
    sts_region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or region
    own = own or own_session(sts_region)
    assumption = Assumption(
        role=role,
        session=session,
        region=region,
        sts_region=sts_region,
        external_id=external_id,
        tags=dict(tags or {}),
        callers=tuple(callers),
    )
    beside = config.with_name(config.name + ".json")
    for file in (config, beside):
        file.unlink(missing_ok=True)
    try:
        write_assumption(assumption, beside)
        descriptor = os.open(config, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file_:
            file_.write(profile(region, beside))
        yield AccountAccess(region=region, config=config, assumption=assumption, own=own, report=report)
    finally:
        for file in (config, beside):
            file.unlink(missing_ok=True)


def session_tags(context: StageContext, environment: str) -> dict[str, str]:
    """What CloudTrail and policies see of the run, as tags of a session."""
    return {
        "aphex:pipeline": context.pipeline,
        "aphex:run": context.run,
        "aphex:stage": context.stage,
        "aphex:environment": environment,
        "aphex:commit": context.commit,
    }


def pipeline_roles(context: StageContext, *kinds: str) -> tuple[str, ...]:
    """ARNs of the pipeline's own roles for kinds of stage."""
    names, partition = PipelineNames(context.pipeline), partition_of(context.region)
    return tuple(f"arn:{partition}:iam::{context.account}:role/{names.role(kind)}" for kind in kinds)


@contextmanager
def environment_access(
    stage: Stage,
    environment: Environment,
    role: str | None,
    config: Path | None = None,
    own: CoreSession | None = None,
) -> Iterator[AccountAccess]:
    """Access to an environment's account for a stage.

    Args:
        stage: who needs it.
        environment: whose account and region it is.
        role: the environment's role or that of its tests.
        config: where the profile goes; the stage's usual place when None.
        own: see `account_access`.

    Raises:
        IdentityMissing: see `account_access`.
    """
    context = stage.context
    user = "deploy" if role == environment.role else "test"
    with account_access(
        config or stage.workspace.aws_config,
        role,
        environment.region,
        session_name(context.run, context.stage),
        external_id=environment.external_id,
        tags=session_tags(context, environment.name),
        callers=pipeline_roles(context, "validate", user),
        report=stage.console.line,
        own=own,
    ) as access:
        yield access
