"""The run's objects in the artifact bucket: logs, results, errors, outputs and the artifact."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from stages.absent import is_absent
from stages.clients import PipelineClients


class RunStore:
    """Puts and gets objects of the artifact bucket. Raises botocore's errors as they are."""

    def __init__(self, clients: PipelineClients, bucket: str) -> None:
        self._clients = clients
        self.bucket = bucket

    def put_json(self, key: str, value: Any) -> None:
        """Store a value as JSON."""
        body = json.dumps(value, indent=2, sort_keys=True, default=str).encode()
        self._clients.s3.put_object(Bucket=self.bucket, Key=key, Body=body, ContentType="application/json")

    def get_json(self, key: str) -> Any:
        """Read a JSON object; None when there is none."""
        from botocore.exceptions import ClientError

        try:
            answer = self._clients.s3.get_object(Bucket=self.bucket, Key=key)
        except ClientError as error:
            if is_absent(self._clients.s3, self.bucket, key, error):
                return None
            raise
        return json.loads(answer["Body"].read())

    def put_file(
        self, key: str, path: Path, *, content_type: str, metadata: Mapping[str, str], tags: Mapping[str, str]
    ) -> None:
        """Store a file, in parts when it is large."""
        extra: dict[str, Any] = {"ContentType": content_type, "Metadata": dict(metadata)}
        if tags:
            extra["Tagging"] = urlencode(tags)
        self._clients.s3.upload_file(str(path), self.bucket, key, ExtraArgs=extra)

    def put_log(self, key: str, path: Path) -> None:
        """Store a stage's log, readable in a browser."""
        self.put_file(key, path, content_type="text/plain; charset=utf-8", metadata={}, tags={})

    def get_file(self, key: str, path: Path) -> None:
        """Fetch an object into a file."""
        self._clients.s3.download_file(self.bucket, key, str(path))

    def keys(self, prefix: str) -> list[str]:
        """All keys below a prefix, sorted."""
        pages = self._clients.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return sorted(item["Key"] for page in pages for item in page.get("Contents", []))
