"""`python -m benchmarks.artifact_transfer up|down URL FOLDER`: an artifact as the stages store and fetch it."""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import Any

import boto3

from aphex.run import RunKeys
from stages.artifact import ArtifactManifest, ArtifactPlan, walk
from stages.artifact_store import ArtifactStore
from stages.clients import client_config

BUCKET, RUN, COMMIT = "bench", "bench-1", "a" * 40


def main(direction: str, url: str, folder: Path) -> None:
    """Store the folder, or fetch into it; prints the peak of memory in MB."""
    session: Any = boto3.Session("test", "test", region_name="us-east-1")
    store = ArtifactStore(session.client("s3", endpoint_url=url, config=client_config()), BUCKET)
    keys = RunKeys(RUN)
    if direction == "up":
        plan = ArtifactPlan(files=tuple(sorted(walk(folder), key=lambda file: file.path)), deleted=())
        store.store(folder, plan, keys.manifest(COMMIT), _known(keys.artifact(COMMIT)))
    else:
        manifest = store.manifest(keys.manifest(COMMIT), RUN, COMMIT)
        store.fetch(manifest, folder.with_name("staging"), folder)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)


def _known(key: str) -> ArtifactManifest:
    return ArtifactManifest(
        pipeline="bench",
        run=RUN,
        commit=COMMIT,
        branch="main",
        repository="https://git.example.com/acme/bench.git",
        created_at="2026-01-02T03:04:05Z",
        commit_timestamp=1_700_000_000,
        builder="",
        key=key,
        sha256="",
        size=0,
        files=[],
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
