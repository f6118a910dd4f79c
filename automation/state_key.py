"""The key of the secrets in Pulumi states on AWS: one an account and region, made once, found by its alias."""

from __future__ import annotations

from typing import Any

from aphex.errors import AphexError
from aphex.names import STATE_KEY_ALIAS
from automation.access import AwsAccess


def secrets_provider(region: str) -> str:
    """Pulumi's name of the key, see https://www.pulumi.com/docs/iac/concepts/secrets/#aws-key-management-service-kms."""
    return f"awskms://{STATE_KEY_ALIAS}?region={region}"


def ensure_state_key(aws: AwsAccess) -> bool:
    """Make the key when it is not there, with yearly rotation. Whether it was made.

    Raises:
        AphexError: KMS refuses, or the key is about to be deleted.
    """
    from botocore.exceptions import ClientError

    kms = aws.client("kms")
    try:
        state = _state(kms)
        if state is None:
            _create(kms)
            return True
    except ClientError as error:
        raise AphexError(
            f"The key {STATE_KEY_ALIAS} of the Pulumi states cannot be found or made: {error}",
            hint="Use credentials that may describe, create and use KMS keys and aliases.",
        ) from error
    if state != "Enabled":
        raise AphexError(
            f"The key {STATE_KEY_ALIAS}, which encrypts the secrets in the Pulumi states, is {state}.",
            hint="Enable it again, or cancel its deletion: without it no state of this account and region can be read.",
        )
    return False


def _state(kms: Any) -> str | None:
    """The key's state; None when there is no such key."""
    try:
        return str(kms.describe_key(KeyId=STATE_KEY_ALIAS)["KeyMetadata"]["KeyState"])
    except kms.exceptions.NotFoundException:
        return None


def _create(kms: Any) -> None:
    tags = [{"TagKey": "aphex", "TagValue": "state"}]
    key = kms.create_key(Description="Encrypts secrets in the Pulumi states of AphexPipeline", Tags=tags)
    identity = key["KeyMetadata"]["KeyId"]
    kms.enable_key_rotation(KeyId=identity)
    kms.create_alias(AliasName=STATE_KEY_ALIAS, TargetKeyId=identity)
