"""What is set on an S3 bucket after it is made: each setting is one pair of S3 calls over data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from typing import Any

from sandbox.providers.aws.resource import ResourceType, Scope
from sandbox.providers.aws.schema import Schema
from sandbox.providers.aws.shapes import from_aws, pairs, pruned, tag_map, to_aws
from sandbox.providers.base import Properties


@dataclass(frozen=True, kw_only=True)
class Calls:
    """The S3 calls of one setting.

    Attributes:
        put: the client's method that sets it; `get` reads it; `delete`, when there is one, unsets it.
        argument: the name of `put`'s argument.
        body: that argument, from the inputs.
        found: the outputs, from the answer of `get`; empty when the setting is not there.
        unset: the inputs to put where S3 has no call to delete the setting.
    """

    put: str
    get: str
    argument: str
    body: Callable[[Properties], Any]
    found: Callable[[Mapping[str, Any]], Properties]
    delete: str = ""
    unset: Properties = field(default_factory=dict)


class BucketSetting(ResourceType):
    """One setting of one bucket; its id is the bucket's name."""

    def __init__(self, schema: Schema, calls: Calls, missing: Set[str] = frozenset()) -> None:
        self.schema = schema
        self.created_with = schema.known
        self.missing = frozenset({"NoSuchBucket", "404", *missing})
        self._calls = calls

    def create(self, scope: Scope, inputs: Properties) -> str:
        """Set it."""
        self._put(scope, inputs["bucket"], inputs)
        return str(inputs["bucket"])

    def read(self, scope: Scope, id: str) -> Properties | None:
        """Read it; None when the bucket or the setting is gone."""
        found = self._calls.found(getattr(scope.client("s3"), self._calls.get)(Bucket=id))
        return {"bucket": id, **found} if found else None

    def apply(self, scope: Scope, id: str, inputs: Properties, changed: Set[str]) -> None:
        """Set it anew: S3 knows no partial changes."""
        if changed:
            self._put(scope, id, inputs)

    def delete(self, scope: Scope, id: str, outputs: Properties) -> None:
        """Take it back."""
        if outputs.get("skipDestroy"):
            return
        if self._calls.delete:
            getattr(scope.client("s3"), self._calls.delete)(Bucket=id)
        elif self._calls.unset:
            self._put(scope, id, self._calls.unset)

    def _put(self, scope: Scope, bucket: str, inputs: Properties) -> None:
        body = {self._calls.argument: self._calls.body(inputs)}
        getattr(scope.client("s3"), self._calls.put)(Bucket=bucket, **body)


_ENCRYPTION_NAMES = {"sseAlgorithm": "SSEAlgorithm", "kmsMasterKeyId": "KMSMasterKeyID"}
_LIFECYCLE_NAMES = {"id": "ID"}
_ACCESS_BLOCKS = frozenset({"blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets"})


def _versioning(answer: Mapping[str, Any]) -> Properties:
    status = {"status": answer.get("Status", "Disabled"), "mfaDelete": answer.get("MFADelete")}
    return {"versioningConfiguration": pruned(status)}


def _logging(inputs: Properties) -> dict[str, Any]:
    # S3 wants the prefix also when it is empty.
    asked = {key: value for key, value in inputs.items() if key in ("targetBucket", "targetObjectKeyFormat")}
    return {**to_aws(asked), "TargetPrefix": inputs["targetPrefix"]}


def _lifecycle_rule(rule: Properties) -> dict[str, Any]:
    renamed: dict[str, Any] = to_aws(rule, _LIFECYCLE_NAMES)
    both = (rule.get("filter") or {}).get("and")
    if both:
        renamed["Filter"]["And"]["Tags"] = pairs(both.get("tags"))
    if not renamed.get("Filter") and "Prefix" not in renamed:
        renamed["Filter"] = {"Prefix": ""}
    return renamed


def _found_rule(rule: Mapping[str, Any]) -> Properties:
    found: Properties = from_aws(rule, _LIFECYCLE_NAMES)
    both = rule.get("Filter", {}).get("And")
    if both:
        found["filter"]["and"]["tags"] = tag_map(both.get("Tags"))
    rule_found: Properties = pruned(found)
    return rule_found


VERSIONING = BucketSetting(
    Schema(
        token="aws:s3/bucketVersioning:BucketVersioning",
        inputs=frozenset({"bucket", "versioningConfiguration"}),
        required=frozenset({"bucket", "versioningConfiguration"}),
        replaces=frozenset({"bucket"}),
    ),
    Calls(
        put="put_bucket_versioning",
        get="get_bucket_versioning",
        argument="VersioningConfiguration",
        body=lambda inputs: to_aws(inputs["versioningConfiguration"], {"mfaDelete": "MFADelete"}),
        found=_versioning,
        unset={"versioningConfiguration": {"status": "Suspended"}},
    ),
)

ENCRYPTION = BucketSetting(
    Schema(
        token="aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
        inputs=frozenset({"bucket", "rules"}),
        required=frozenset({"bucket", "rules"}),
        replaces=frozenset({"bucket"}),
    ),
    Calls(
        put="put_bucket_encryption",
        get="get_bucket_encryption",
        argument="ServerSideEncryptionConfiguration",
        body=lambda inputs: {"Rules": to_aws(inputs["rules"], _ENCRYPTION_NAMES)},
        found=lambda answer: {
            "rules": from_aws(answer["ServerSideEncryptionConfiguration"]["Rules"], _ENCRYPTION_NAMES)
        },
        delete="delete_bucket_encryption",
    ),
    {"ServerSideEncryptionConfigurationNotFoundError"},
)

LIFECYCLE = BucketSetting(
    Schema(
        token="aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
        inputs=frozenset({"bucket", "rules"}),
        required=frozenset({"bucket", "rules"}),
        replaces=frozenset({"bucket"}),
    ),
    Calls(
        put="put_bucket_lifecycle_configuration",
        get="get_bucket_lifecycle_configuration",
        argument="LifecycleConfiguration",
        body=lambda inputs: {"Rules": [_lifecycle_rule(rule) for rule in inputs["rules"]]},
        found=lambda answer: {"rules": [_found_rule(rule) for rule in answer["Rules"]]},
        delete="delete_bucket_lifecycle",
    ),
    {"NoSuchLifecycleConfiguration"},
)

PUBLIC_ACCESS_BLOCK = BucketSetting(
    Schema(
        token="aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
        inputs=_ACCESS_BLOCKS | {"bucket", "skipDestroy"},
        required=frozenset({"bucket"}),
        replaces=frozenset({"bucket"}),
        defaults=dict.fromkeys(sorted(_ACCESS_BLOCKS), False),
        local=frozenset({"skipDestroy"}),
    ),
    Calls(
        put="put_public_access_block",
        get="get_public_access_block",
        argument="PublicAccessBlockConfiguration",
        body=lambda inputs: to_aws({key: inputs[key] for key in _ACCESS_BLOCKS}),
        found=lambda answer: from_aws(answer["PublicAccessBlockConfiguration"]),
        delete="delete_public_access_block",
    ),
    {"NoSuchPublicAccessBlockConfiguration"},
)

POLICY = BucketSetting(
    Schema(
        token="aws:s3/bucketPolicy:BucketPolicy",
        inputs=frozenset({"bucket", "policy"}),
        required=frozenset({"bucket", "policy"}),
        replaces=frozenset({"bucket"}),
        documents=frozenset({"policy"}),
    ),
    Calls(
        put="put_bucket_policy",
        get="get_bucket_policy",
        argument="Policy",
        body=lambda inputs: inputs["policy"],
        found=lambda answer: {"policy": answer["Policy"]},
        delete="delete_bucket_policy",
    ),
    {"NoSuchBucketPolicy"},
)

OWNERSHIP = BucketSetting(
    Schema(
        token="aws:s3/bucketOwnershipControls:BucketOwnershipControls",
        inputs=frozenset({"bucket", "rule"}),
        required=frozenset({"bucket", "rule"}),
        replaces=frozenset({"bucket"}),
    ),
    Calls(
        put="put_bucket_ownership_controls",
        get="get_bucket_ownership_controls",
        argument="OwnershipControls",
        body=lambda inputs: {"Rules": [to_aws(inputs["rule"])]},
        found=lambda answer: {"rule": from_aws(answer["OwnershipControls"]["Rules"][0])},
        delete="delete_bucket_ownership_controls",
    ),
    {"OwnershipControlsNotFoundError"},
)

LOGGING = BucketSetting(
    Schema(
        token="aws:s3/bucketLogging:BucketLogging",
        inputs=frozenset({"bucket", "targetBucket", "targetObjectKeyFormat", "targetPrefix"}),
        required=frozenset({"bucket", "targetBucket", "targetPrefix"}),
        replaces=frozenset({"bucket"}),
    ),
    Calls(
        put="put_bucket_logging",
        get="get_bucket_logging",
        argument="BucketLoggingStatus",
        body=lambda inputs: {"LoggingEnabled": _logging(inputs)} if inputs.get("targetBucket") else {},
        found=lambda answer: from_aws(answer.get("LoggingEnabled", {})),
        unset={"targetBucket": ""},
    ),
)

SETTINGS = (VERSIONING, ENCRYPTION, LIFECYCLE, PUBLIC_ACCESS_BLOCK, POLICY, OWNERSHIP, LOGGING)
