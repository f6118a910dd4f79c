"""Large objects to and from S3 as streams: several parts at a time, few in memory, each tried again by itself."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from stages.absent import is_absent
from stages.artifact import ArtifactError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

PART = 8 << 20  # bytes; S3 takes no smaller part than 5 MiB, but for the last
_PARTS_OF_A_SIZE = 1000  # S3 takes no more than 10,000 parts: they grow by PART after each 1,000, up to 440 GB in all
_AT_A_TIME = 4
_ATTEMPTS = 5
_T = TypeVar("_T")


class UploadError(ArtifactError):
    """An object cannot be stored."""


class DownloadError(ArtifactError):
    """An object cannot be fetched."""


class ObjectMissing(DownloadError):
    """There is no such object."""


class Upload:
    """Writes one object. What was written reaches S3 while more is written; a failure leaves nothing there.

    Attributes:
        size: bytes written so far.
        replaced: whether the key had an object, after `finish`.
    """

    def __init__(self, s3: S3Client, bucket: str, key: str, extra: Mapping[str, Any]) -> None:
        self._s3, self._bucket, self._key, self._extra = s3, bucket, key, dict(extra)
        self._digest = hashlib.sha256()
        self._waiting = bytearray()
        self._pool = ThreadPoolExecutor(_AT_A_TIME, thread_name_prefix="upload")
        self._pending: deque[Future[CompletedPartTypeDef]] = deque()
        self._parts: list[CompletedPartTypeDef] = []
        self._upload_id = ""
        self._numbered = 0
        self.size = 0
        self.replaced = False

    @property
    def sha256(self) -> str:
        """Of what was written, hexadecimal."""
        return self._digest.hexdigest()

    def write(self, data: bytes) -> None:
        """Take a piece; waits when too much of what came before is still on its way.

        Raises:
            UploadError: S3 does not take it, after several attempts.
        """
        self._digest.update(data)
        self.size += len(data)
        self._waiting += data
        while len(self._waiting) > (size := PART * (1 + self._numbered // _PARTS_OF_A_SIZE)):
            part = bytes(memoryview(self._waiting)[:size])
            del self._waiting[:size]
            self._send(part)

    def finish(self) -> None:
        """Make the object, whole.

        A key that has an object already is of an earlier attempt of the same stage; `replaced` says so.

        Raises:
            UploadError: S3 does not take it, after several attempts.
        """
        if not self._upload_id:
            self._put(self._small)
            return
        self._send(bytes(self._waiting))
        while self._pending:
            self._collect()
        self._put(self._complete)
        self._upload_id = ""

    def _small(self, condition: dict[str, Any]) -> None:
        self._s3.put_object(Bucket=self._bucket, Key=self._key, Body=bytes(self._waiting), **self._extra, **condition)

    def _complete(self, condition: dict[str, Any]) -> None:
        self._s3.complete_multipart_upload(
            Bucket=self._bucket,
            Key=self._key,
            UploadId=self._upload_id,
            MultipartUpload={"Parts": self._parts},
            **condition,
        )

    def _put(self, put: Callable[[dict[str, Any]], None]) -> None:
        from botocore.exceptions import ClientError

        try:
            self._tried(lambda: put({"IfNoneMatch": "*"}))
        except UploadError as error:
            answer = error.__cause__
            if not isinstance(answer, ClientError) or answer.response["Error"]["Code"] != "PreconditionFailed":
                raise
            self.replaced = True
            self._tried(lambda: put({}))

    def _send(self, part: bytes) -> None:
        if not self._upload_id:
            made = self._tried(
                lambda: self._s3.create_multipart_upload(Bucket=self._bucket, Key=self._key, **self._extra)
            )
            self._upload_id = made["UploadId"]
        while len(self._pending) >= _AT_A_TIME:
            self._collect()
        self._numbered += 1
        self._pending.append(self._pool.submit(self._upload_part, self._numbered, part))

    def _upload_part(self, number: int, part: bytes) -> CompletedPartTypeDef:
        answer = self._s3.upload_part(
            Bucket=self._bucket, Key=self._key, UploadId=self._upload_id, PartNumber=number, Body=part
        )
        return {"PartNumber": number, "ETag": answer["ETag"]}

    def _collect(self) -> None:
        self._parts.append(self._tried(self._pending.popleft().result))

    def _tried(self, call: Callable[[], _T]) -> _T:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return call()
        except (BotoCoreError, ClientError) as error:
            raise UploadError(
                f"{self._key} cannot be stored in the bucket {self._bucket}: {error}",
                hint="Start the run again. If it says so again, look at the bucket's policy and key, and the network.",
                details={"key": self._key, "bucket": self._bucket},
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A part that is still on its way would outlive the end of its upload.
        self._pool.shutdown(wait=True, cancel_futures=True)
        if self._upload_id:
            self._abort(error)

    def _abort(self, error: BaseException | None) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self._s3.abort_multipart_upload(Bucket=self._bucket, Key=self._key, UploadId=self._upload_id)
        except (BotoCoreError, ClientError) as second:
            if error is not None:
                error.add_note(f"The parts in S3 are left to the bucket's lifecycle rule: {second}")


class Download:
    """Reads one object from its beginning to its end, ahead of who reads it; a dropped connection is made again.

    Attributes:
        size: bytes of the whole object.
        metadata: what its writer said about it.
    """

    def __init__(self, s3: S3Client, bucket: str, key: str) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        self._s3, self._bucket, self._key = s3, bucket, key
        try:
            head = s3.head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            raise self._missing() if is_absent(s3, bucket, key, error) else self._failed(error) from error
        except BotoCoreError as error:
            raise self._failed(error) from error
        self.size = head["ContentLength"]
        self.metadata = head["Metadata"]
        self._etag = head["ETag"]
        self._digest = hashlib.sha256()
        self._asked = 0
        self._piece = b""
        self._taken = 0
        self._pending: deque[Future[bytes]] = deque()
        self._pool = ThreadPoolExecutor(_AT_A_TIME, thread_name_prefix="download")

    @property
    def sha256(self) -> str:
        """Of what was read, hexadecimal."""
        return self._digest.hexdigest()

    def read(self, size: int, /) -> bytes:
        """At most that many bytes; none at the end.

        Raises:
            DownloadError: S3 does not give them, after several attempts.
        """
        if self._taken == len(self._piece):
            self._piece, self._taken = self._next(), 0
            self._digest.update(self._piece)
        found = self._piece[self._taken : self._taken + size]
        self._taken += len(found)
        return found

    def drain(self) -> None:
        """Read the rest, for the checksum of the whole."""
        while self.read(PART):
            continue

    def _next(self) -> bytes:
        while len(self._pending) < _AT_A_TIME and self._asked < self.size:
            last = min(self._asked + PART, self.size) - 1
            self._pending.append(self._pool.submit(self._fetch, self._asked, last))
            self._asked = last + 1
        return self._pending.popleft().result() if self._pending else b""

    def _fetch(self, first: int, last: int) -> bytes:
        from botocore.exceptions import BotoCoreError, ClientError

        for attempt in range(1, _ATTEMPTS + 1):
            try:
                answer = self._s3.get_object(
                    Bucket=self._bucket, Key=self._key, Range=f"bytes={first}-{last}", IfMatch=self._etag
                )
                # botocore tries again what fails before the answer; a body that breaks off is for its reader.
                return answer["Body"].read()
            except ClientError as error:
                if error.response["Error"]["Code"] in ("PreconditionFailed", "412"):
                    raise self._exchanged() from error
                raise self._failed(error) from error
            except BotoCoreError as error:
                if attempt == _ATTEMPTS:
                    raise self._failed(error) from error
                time.sleep(0.2 * 2**attempt)
        raise AssertionError("unreachable")

    def _missing(self) -> ObjectMissing:
        return ObjectMissing(
            f"{self._key} is not in the bucket {self._bucket}.",
            hint="Was it removed, by hand or by a lifecycle rule? Then start a new run.",
            details={"key": self._key, "bucket": self._bucket},
        )

    def _exchanged(self) -> DownloadError:
        return DownloadError(
            f"{self._key} was exchanged in the bucket {self._bucket} while it was downloaded.",
            hint="Start a new run. If it says so again, look for who else writes to the artifact bucket.",
            details={"key": self._key, "bucket": self._bucket},
        )

    def _failed(self, error: Exception) -> DownloadError:
        return DownloadError(
            f"{self._key} cannot be fetched from the bucket {self._bucket}: {error}",
            hint="Start the run again. If it says so again, look at the bucket's policy and key, and the network.",
            details={"key": self._key, "bucket": self._bucket},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
