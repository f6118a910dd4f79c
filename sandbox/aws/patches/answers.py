"""Requests that moto cannot serve are refused in a way that clients understand, and objects have checksums.

An action that moto lacks raises an error there, which becomes an HTML page with status 500: SDKs try again several
times, and then say that they cannot parse XML. S3 gives every object a checksum, also when the client sent none;
moto does not, and the Go SDK warns about that at each download.
"""

from __future__ import annotations

import base64
import zlib
from typing import Any

from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult, BaseResponse
from moto.s3.models import FakeKey, S3Backend

_call_original = BaseResponse.call_action
_put_original = S3Backend.put_object
CHECKSUM = "CRC32"


class ActionNotServed(ServiceException):
    """moto has no such action."""

    code = "InvalidAction"


def _call_action(self: BaseResponse) -> Any:
    try:
        return _call_original(self)
    except NotImplementedError as error:
        message = f"The AWS stand-in does not serve {self.service_name}: {error}"
        status, headers, body = self.serialized(ActionResult(ActionNotServed(message)))
        return status, headers, body


def _put_object(self: S3Backend, *arguments: Any, **options: Any) -> FakeKey:
    key = _put_original(self, *arguments, **options)
    if key.checksum_value is None and options.get("multipart") is None:
        # Of the algorithms that every SDK knows this is the cheapest.
        key.checksum_algorithm = CHECKSUM
        key.checksum_type = "FULL_OBJECT"
        key.checksum_value = base64.b64encode(zlib.crc32(key.value).to_bytes(4, "big")).decode()
    return key


def apply() -> None:
    """Put these in the place of moto's own."""
    setattr(BaseResponse, "call_action", _call_action)  # noqa: B010 - mypy refuses the plain form
    setattr(S3Backend, "put_object", _put_object)  # noqa: B010
