"""Artifacts in the bucket: packed into it, and taken out of it after they were verified, both as streams."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from pydantic import ValidationError

from stages.archive import pack, unpack
from stages.artifact import ArtifactError, ArtifactManifest, ArtifactPlan
from stages.staging import Staging
from stages.transfer import Download, ObjectMissing, Upload

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_MEANING = "Start a new run. If it says so again, look for who else writes to the artifact bucket."


@dataclass(frozen=True)
class ArtifactStore:
    """The bucket that artifacts are kept in."""

    s3: S3Client
    bucket: str

    def store(
        self, source: Path, plan: ArtifactPlan, manifest_key: str, manifest: ArtifactManifest
    ) -> tuple[ArtifactManifest, bool]:
        """Pack files and store them, then the manifest: one that is there stands for an archive that is whole.

        The archive is never on disk: its parts are on their way while later files are packed.

        Args:
            source: the folder that the files are in.
            plan: which files.
            manifest_key: the manifest's key.
            manifest: what is known before.

        Returns:
            The manifest as it is stored, and whether an earlier attempt of the same run was replaced.

        Raises:
            ArtifactError: a file cannot be packed, or the bucket does not take the artifact; nothing is left in it.
        """
        tags = {"commit": manifest.commit, "timestamp": manifest.created_at, "pipeline": manifest.pipeline}
        extra = {
            "ContentType": "application/zstd",
            "Metadata": {**tags, "run": manifest.run},
            "Tagging": urlencode(tags),
        }
        with Upload(self.s3, self.bucket, manifest.key, extra) as upload:
            files = pack(source, plan.files, manifest.commit_timestamp, upload.write)
            upload.finish()
        stored = manifest.model_copy(
            update={"sha256": upload.sha256, "size": upload.size, "files": files, "deleted": list(plan.deleted)}
        )
        self._put_manifest(manifest_key, stored, {**extra, "ContentType": "application/json"})
        return stored, upload.replaced

    def _put_manifest(self, key: str, manifest: ArtifactManifest, extra: Mapping[str, Any]) -> None:
        with Upload(self.s3, self.bucket, key, extra) as upload:
            upload.write(manifest.model_dump_json().encode())
            upload.finish()

    def manifest(self, key: str, run: str, commit: str) -> ArtifactManifest:
        """Read a run's manifest.

        Raises:
            ArtifactError: there is none, it cannot be understood, or it is another run's.
        """
        try:
            with Download(self.s3, self.bucket, key) as download:
                content = b"".join(iter(lambda: download.read(1 << 20), b""))
        except ObjectMissing as error:
            raise ArtifactError(
                f"The run has no artifact: {error.message}",
                hint="The build stage makes it. Was it removed by a lifecycle rule? Then start a new run.",
                details=error.details,
            ) from error
        try:
            found = ArtifactManifest.model_validate(json.loads(content))
        except (ValueError, ValidationError) as error:
            reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
            raise ArtifactError(
                f"The artifact's manifest {key} cannot be understood: {reason}.", hint=_MEANING, details={"key": key}
            ) from error
        if (found.run, found.commit) != (run, commit):
            raise ArtifactError(
                f"The artifact's manifest {key} is that of the run {found.run} at the commit {found.commit}, "
                f"not of the run {run} at {commit}.",
                hint=_MEANING,
                details={"key": key},
            )
        return found

    def fetch(self, manifest: ArtifactManifest, staging: Path, target: Path) -> int:
        """Unpack an artifact over a folder, once all of it is verified: before that nothing of it is in the folder.

        It is unpacked beside the folder while it comes, and moved into it by renaming.

        Args:
            manifest: what it must be.
            staging: a folder for this alone, on the target's volume; it is gone afterwards.
            target: the folder to unpack over.

        Returns:
            How many entries were unpacked.

        Raises:
            ArtifactError: it is not the archive that the build stored, or it holds what is not allowed.
        """
        with Download(self.s3, self.bucket, manifest.key) as download, Staging(staging) as stage:
            self._check_before(manifest, download)
            try:
                count = unpack(download, stage)
            except ArtifactError:
                # An archive that is not the right one is not blamed for what is in it.
                self._check_after(manifest, download)
                raise
            self._check_after(manifest, download)
            stage.land(target, manifest.deleted)
        return count

    def _check_before(self, manifest: ArtifactManifest, download: Download) -> None:
        written = {key: download.metadata.get(key) for key in ("run", "commit")}
        if written != {"run": manifest.run, "commit": manifest.commit}:
            raise ArtifactError(
                f"The artifact {manifest.key} was exchanged: it is that of the run {written['run']} at the commit "
                f"{written['commit']}.",
                hint=_MEANING,
                details={"key": manifest.key},
            )
        if download.size != manifest.size:
            how = "truncated" if download.size < manifest.size else "longer than it was"
            raise ArtifactError(
                f"The artifact {manifest.key} is {how}: {download.size} bytes, not {manifest.size}.",
                hint=_MEANING,
                details={"expected": manifest.size, "found": download.size, "key": manifest.key},
            )

    def _check_after(self, manifest: ArtifactManifest, download: Download) -> None:
        download.drain()
        if download.sha256 != manifest.sha256:
            raise ArtifactError(
                f"The artifact {manifest.key} is not what the build stored: SHA-256 {download.sha256}, "
                f"not {manifest.sha256}.",
                hint=_MEANING,
                details={"expected": manifest.sha256, "found": download.sha256, "key": manifest.key},
            )
