"""Whose credentials: those of the target account, and those of the pipeline's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aphex.errors import UsageError

if TYPE_CHECKING:
    import boto3


def target_session(profile: str | None, region: str) -> boto3.Session:
    """A session with credentials of the target account.

    Raises:
        UsageError: there is no such profile.
    """
    import boto3
    from botocore.exceptions import ProfileNotFound

    try:
        return boto3.Session(profile_name=profile, region_name=region)
    except ProfileNotFound as error:
        raise UsageError(f"{error}.", hint="`aws configure list-profiles` lists those that there are.") from error


def pipeline_account(profile: str | None, region: str) -> str:
    """The pipeline's account: that of the caller's own credentials, when a profile has those of the target account.

    Raises:
        UsageError: it cannot be known.
    """
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    hint = "Name it with --pipeline-account."
    if profile is None:
        raise UsageError("Which account is the pipeline's? Your credentials are taken for the target's.", hint=hint)
    try:
        return str(boto3.Session(region_name=region).client("sts").get_caller_identity()["Account"])
    except (BotoCoreError, ClientError) as error:
        raise UsageError(
            f"Which account is the pipeline's? Your own credentials do not say: {error}", hint=hint
        ) from error
