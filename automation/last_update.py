"""What the last update was made from, kept beside the state, so that an update that would change nothing is quick.

An update without a refresh compares the program's wish with the state, and the wish follows from configuration,
settings, secrets and the program itself. So when all of them are those of the last update that succeeded, and the state
is still the very object that it wrote, the engine would find nothing to change, and need not be asked.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from automation.locks import read_locks
from automation.stack import PROJECT, stack_name
from automation.update_plan import digest

if TYPE_CHECKING:
    from aphex.config import PipelineConfig
    from automation.target import Target

_FORMAT = 1
# What a resource becomes is decided by these: our own packages, and the SDKs that the program is written with.
_PACKAGES = ("aphex", "aphex_platform", "automation", "sandbox.providers")
_DISTRIBUTIONS = ("hera", "pulumi", "pulumi-aws", "pulumi-kubernetes", "pydantic")


class LastUpdate(BaseModel):
    """The record of an update that succeeded."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = _FORMAT
    made_from: str
    state: str
    outputs: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Where a pipeline's last update is remembered.

    Attributes:
        s3: a client.
        bucket: of the Pulumi state.
        stack: whose update it was.
    """

    s3: Any
    bucket: str
    stack: str

    @property
    def key(self) -> str:
        """The record's object. Below `.pulumi`, because that is what a self-update may write."""
        return f".pulumi/aphex/{PROJECT}/{self.stack}.json"

    def recall(self, made_from: str) -> dict[str, Any] | None:
        """The outputs of the last update, when one that is made from `made_from` would change nothing; else None.

        Nothing is known either when somebody is at work on the pipeline: the state is about to change.
        """
        if read_locks(self.s3, self.bucket, self.stack):
            return None
        last = self._read()
        if last is None or last.made_from != made_from or last.state != self.state_version():
            return None
        return last.outputs

    def remember(self, made_from: str, outputs: dict[str, Any]) -> None:
        """Keep that an update has just succeeded."""
        state = self.state_version()
        if state is not None:
            record = LastUpdate(made_from=made_from, state=state, outputs=outputs)
            self.s3.put_object(Bucket=self.bucket, Key=self.key, Body=record.model_dump_json().encode())

    def forget(self) -> None:
        """Keep nothing of the last update."""
        self.s3.delete_object(Bucket=self.bucket, Key=self.key)

    def state_version(self) -> str | None:
        """The version of the state's object and its ETag; None when there is no state."""
        from botocore.exceptions import ClientError

        try:
            head = self.s3.head_object(Bucket=self.bucket, Key=f".pulumi/stacks/{PROJECT}/{self.stack}.json")
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("404", "NoSuchKey"):
                raise
            return None
        return f"{head.get('VersionId', '')} {head['ETag']}"

    def _read(self) -> LastUpdate | None:
        from botocore.exceptions import ClientError

        try:
            body = self.s3.get_object(Bucket=self.bucket, Key=self.key)["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("404", "NoSuchKey"):
                raise
            return None
        try:
            last = LastUpdate.model_validate_json(body)
        except ValidationError:
            return None  # another version of this program wrote it
        return last if last.format == _FORMAT else None


def memory(target: Target) -> Memory | None:
    """Where the pipeline's last update is remembered; None when its state is not in S3."""
    bucket = target.settings.state_bucket
    if bucket is None:
        return None
    return Memory(s3=target.aws.client("s3"), bucket=bucket, stack=stack_name(target.settings.pipeline))


def made_from(target: Target, config: PipelineConfig) -> str:
    """Everything that decides what an update makes, as one number.

    The secrets are part of it: among them is a random key of 256 bits, so that nothing can be guessed from the number.
    """
    parts = [digest(config), digest(target.settings), target.secrets.revealed(), program_version()]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@cache
def program_version() -> str:
    """This program as one number: its own sources, and the versions of the SDKs."""
    from importlib.util import find_spec

    total = hashlib.sha256()
    for package in _PACKAGES:
        spec = find_spec(package)
        folders = spec.submodule_search_locations if spec else None
        for folder in sorted(folders or []):
            for file in sorted(Path(folder).rglob("*.py")):
                total.update(str(file.relative_to(folder)).encode() + b"\0" + file.read_bytes() + b"\0")
    for name in _DISTRIBUTIONS:
        total.update(f"{name} {metadata.version(name)}\n".encode())
    return total.hexdigest()
