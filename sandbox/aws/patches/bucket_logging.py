"""A bucket's access logs go where its bucket policies let them, under keys of the format asked for.

moto lets logs into a bucket only when a statement names exactly one resource and one principal, fails on a statement
for everybody, and forgets the format of the keys.
"""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from typing import Any

from moto.core.responses import ActionResult
from moto.s3.models import FakeBucket
from moto.s3.responses import S3Response

_read_original = S3Response._logging_from_body
_LOGGER = "logging.s3.amazonaws.com"
_FORMAT = "TargetObjectKeyFormat"


def _allowed(target_bucket: FakeBucket, target_prefix: str | None) -> bool:
    if not target_bucket.policy:
        return False
    statements = _list(json.loads(target_bucket.policy.decode())["Statement"])
    prefix = f"arn:{target_bucket.partition}:s3:::{target_bucket.name}/{target_prefix or ''}"
    return any(_allows(statement, prefix) for statement in statements)


def _allows(statement: dict[str, Any], prefix: str) -> bool:
    principal = statement.get("Principal", {})
    return (
        statement.get("Effect") == "Allow"
        and isinstance(principal, dict)
        and _LOGGER in _list(principal.get("Service", []))
        and any(fnmatchcase("s3:PutObject", action) for action in _list(statement.get("Action", [])))
        and any(fnmatchcase(f"{prefix}log", resource) for resource in _list(statement.get("Resource", [])))
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _read(self: S3Response) -> dict[str, Any]:
    # moto's own reading keeps the elements that it does not know, empty ones as None.
    wanted: dict[str, Any] = _read_original(self)
    if _FORMAT in wanted:
        wanted[_FORMAT] = {key: value or {} for key, value in wanted[_FORMAT].items()}
    return wanted


def _answer(self: S3Response) -> Any:
    found = dict(self.backend.get_bucket_logging(self.bucket_name) or {})
    grants = [
        {
            "Grantee": {"Type": each.type, "URI": each.uri, "ID": each.id, "DisplayName": each.display_name},
            "Permission": grant.permissions[0],
        }
        for grant in found.pop("TargetGrants", None) or []
        for each in grant.grantees[:1]
    ]
    if grants:
        found["TargetGrants"] = grants
    self.data["Action"] = "GetBucketLogging"
    return self.serialized(ActionResult({"LoggingEnabled": found} if found else {}))


def apply() -> None:
    """Put these in the place of moto's own."""
    setattr(FakeBucket, "_log_permissions_enabled_policy", staticmethod(_allowed))  # noqa: B010 - mypy refuses else
    setattr(S3Response, "_logging_from_body", _read)  # noqa: B010
    setattr(S3Response, "get_bucket_logging", _answer)  # noqa: B010
