"""The build stage: the configured commands, and what they made stored as the run's artifact."""

from __future__ import annotations

import os
import time

from aphex.config import PipelineConfig
from stages.artifact import ArtifactManifest, plan_artifact
from stages.artifact_store import ArtifactStore
from stages.commands import run_commands
from stages.console import elapsed
from stages.context import without_credentials
from stages.prepare import clone, configuration
from stages.runner import Stage, StageResult
from stages.table import now
from stages.variables import command_environment


def run(stage: Stage) -> StageResult:
    """Build the commit and store the artifact.

    Raises:
        CommandFailed: a command failed; nothing is stored but its log.
    """
    timestamp = clone(stage)
    config = configuration(stage)
    commands = run_commands(
        config.build.commands,
        field="build.commands",
        cwd=stage.workspace.source,
        env=command_environment(os.environ, timestamp),
        console=stage.console,
    )
    manifest = store_artifact(stage, config, timestamp)
    summary = artifact_summary(manifest)
    stage.table.set_artifact(summary)
    return StageResult(summary={"status": "succeeded", "artifact": summary}, details={"commands": commands})


def store_artifact(stage: Stage, config: PipelineConfig, timestamp: int) -> ArtifactManifest:
    """Pack what the build made and store it, its manifest last.

    Raises:
        ArtifactError: a glob of `build.artifacts` means nothing, or the artifact cannot be packed or stored.
    """
    context, started = stage.context, time.monotonic()
    plan = plan_artifact(stage.workspace.source, context.commit, config.build.artifacts)
    known = ArtifactManifest(
        pipeline=context.pipeline,
        run=context.run,
        commit=context.commit,
        branch=context.branch,
        repository=without_credentials(context.repository),
        created_at=now(),
        commit_timestamp=timestamp,
        builder=context.image,
        key=context.keys.artifact(context.commit),
        sha256="",
        size=0,
        files=[],
    )
    artifacts = ArtifactStore(stage.clients.s3, context.bucket)
    manifest, replaced = artifacts.store(stage.workspace.source, plan, context.keys.manifest(context.commit), known)
    if replaced:
        stage.console.line(f"An earlier attempt of this run had stored {manifest.key}: it is replaced.")
    stage.console.line(
        f"Artifact {manifest.key}: {len(manifest.files)} entries, {manifest.size} bytes, SHA-256 {manifest.sha256}, "
        f"stored in {elapsed(time.monotonic() - started)}"
    )
    return manifest


def artifact_summary(manifest: ArtifactManifest) -> dict[str, object]:
    """What the run's item says of the artifact."""
    return {
        "key": manifest.key,
        "sha256": manifest.sha256,
        "size": manifest.size,
        "files": len(manifest.files),
        "commit": manifest.commit,
        "timestamp": manifest.created_at,
    }
