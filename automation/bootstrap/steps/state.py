"""The bucket of the Pulumi state, and the key of the secrets in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aphex.names import STATE_KEY_ALIAS
from automation.bootstrap.context import Context, NotThereYet
from automation.bootstrap.step import Finding, done, to_do
from automation.state_bucket import ensure_state_bucket, secure
from automation.state_key import ensure_state_key

if TYPE_CHECKING:
    from automation.access import AwsAccess

LOCKING = (
    "One at a time: each operation locks its stack with an object in the bucket, and waits for another's. "
    "A lock whose holder is gone is found and cleared; `python -m automation unlock` removes any."
)


@dataclass(frozen=True, kw_only=True)
class BucketFacts:
    """What guards a state bucket.

    Attributes:
        versioning: whether former states can be had back.
        encryption: its default, `aws:kms` or `AES256`; empty when there is none.
        private: whether public access is blocked in all four ways.
        tls_only: whether requests without TLS are denied.
    """

    versioning: bool
    encryption: str
    private: bool
    tls_only: bool


def missing(facts: BucketFacts) -> list[str]:
    """What a state bucket lacks, for a person."""
    lacks = []
    if not facts.versioning:
        lacks.append("versioning")
    if facts.encryption != "aws:kms":
        lacks.append(f"encryption by KMS (it has {facts.encryption or 'none'})")
    if not facts.private:
        lacks.append("the block of public access")
    if not facts.tls_only:
        lacks.append("a policy that denies requests without TLS")
    return lacks


def read_bucket(aws: AwsAccess, bucket: str) -> BucketFacts | None:
    """What guards the bucket; None when there is no such bucket.

    Raises:
        botocore.exceptions.ClientError: the caller may not look.
    """
    from botocore.exceptions import ClientError

    s3 = aws.client("s3")
    try:
        versioning = s3.get_bucket_versioning(Bucket=bucket).get("Status") == "Enabled"
    except ClientError as error:
        if error.response["Error"]["Code"] in ("NoSuchBucket", "404"):
            return None
        raise
    rules = _setting(s3.get_bucket_encryption, bucket, "ServerSideEncryptionConfiguration").get("Rules", [])
    default = rules[0].get("ApplyServerSideEncryptionByDefault", {}) if rules else {}
    block = _setting(s3.get_public_access_block, bucket, "PublicAccessBlockConfiguration")
    policy = _setting(s3.get_bucket_policy, bucket, "Policy")
    return BucketFacts(
        versioning=versioning,
        encryption=str(default.get("SSEAlgorithm", "")),
        private=len(block) == 4 and all(block.values()),
        tls_only=denies_plain_http(policy),
    )


def state_of_key(aws: AwsAccess) -> str | None:
    """KMS's word for the state of the key; None when there is none."""
    kms = aws.client("kms")
    try:
        return str(kms.describe_key(KeyId=STATE_KEY_ALIAS)["KeyMetadata"]["KeyState"])
    except kms.exceptions.NotFoundException:
        return None


def denies_plain_http(policy: Mapping[str, Any]) -> bool:
    """Whether a bucket policy denies everybody every request without TLS."""
    return any(
        each.get("Effect") == "Deny"
        and each.get("Principal") in ("*", {"AWS": "*"})
        and each.get("Action") in ("s3:*", ["s3:*"])
        and str(each.get("Condition", {}).get("Bool", {}).get("aws:SecureTransport", "")).lower() == "false"
        for each in policy.get("Statement", [])
    )


def _setting(call: Any, bucket: str, key: str) -> dict[str, Any]:
    """A setting of the bucket; empty when it was never made."""
    from botocore.exceptions import ClientError

    try:
        value = call(Bucket=bucket)[key]
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code.startswith("NoSuch") or code.endswith("NotFoundError"):
            return {}
        raise
    found: dict[str, Any] = json.loads(value) if isinstance(value, str) else value
    return found


@dataclass(frozen=True, kw_only=True)
class StateStep:
    """The state: in the account a bucket and a key, in the sandbox a bucket of its AWS."""

    context: Context
    name: str = "state"
    title: str = "Pulumi state"

    @property
    def makes(self) -> str:
        """What is made."""
        if self.context.in_sandbox:
            return "an S3 bucket, in the sandbox's AWS"
        bucket = self.context.state_bucket()
        return f"the S3 bucket {bucket} (versioned, encrypted, private, TLS only) and the KMS key {STATE_KEY_ALIAS}"

    def check(self) -> Finding:
        """Whether bucket and key are there and guarded."""
        try:
            bucket, aws = self.context.state_bucket(), self.context.aws()
        except NotThereYet as error:
            return to_do(error.message)
        facts = read_bucket(aws, bucket)
        if facts is None:
            return to_do(f"there is no bucket {bucket}")
        if lacks := missing(facts):
            return to_do(f"the bucket {bucket} lacks {', '.join(lacks)}")
        if not self.context.in_sandbox and (state := state_of_key(aws)) != "Enabled":
            return to_do(f"the key {STATE_KEY_ALIAS} is {state or 'not there'}")
        return done(f"s3://{bucket}", LOCKING)

    def do(self) -> None:
        """Make bucket and key, or give the bucket what it lacks."""
        bucket, aws = self.context.state_bucket(), self.context.aws()
        if not ensure_state_bucket(aws, bucket):
            secure(aws.client("s3"), bucket, aws.region)
        if not self.context.in_sandbox:
            ensure_state_key(aws)
