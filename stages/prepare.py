"""What several stages begin with: the commit on disk, its configuration, and the build's artifact."""

from __future__ import annotations

import os
import time

from aphex.config import CONFIG_FILE, PipelineConfig
from aphex.loader import load_config
from aphex.run import Status
from stages.access import AccountAccess
from stages.artifact import ArtifactManifest
from stages.artifact_store import ArtifactStore
from stages.console import elapsed
from stages.context import without_credentials
from stages.outputs import read_outputs, write_outputs
from stages.runner import Stage, StageResult
from stages.source import checkout
from stages.variables import command_environment, output_variables


def clone(stage: Stage) -> int:
    """Clone the run's commit; returns its time in seconds since the epoch."""
    context = stage.context
    with stage.console.step(f"Cloning {without_credentials(context.repository)} at {context.commit}"):
        return checkout(
            context.repository,
            context.commit,
            stage.workspace.source,
            stage.console.line,
            credentials=context.git_credentials,
            namespace=context.namespace,
        )


def configuration(stage: Stage) -> PipelineConfig:
    """The configuration at the run's commit.

    Raises:
        aphex.loader.ConfigError: it cannot be used.
    """
    return load_config(stage.workspace.source / CONFIG_FILE, shown_as=CONFIG_FILE)


def fetch_artifact(stage: Stage) -> ArtifactManifest:
    """Fetch the build's artifact, verify it, and unpack it over the clone.

    Raises:
        ArtifactError: there is none, or it is not what the build stored.
    """
    context, workspace, started = stage.context, stage.workspace, time.monotonic()
    artifacts = ArtifactStore(stage.clients.s3, context.bucket)
    manifest = artifacts.manifest(context.keys.manifest(context.commit), context.run, context.commit)
    count = artifacts.fetch(manifest, workspace.private / "artifact", workspace.source)
    stage.console.line(
        f"Artifact {manifest.key}: {count} entries, {manifest.size} bytes, SHA-256 verified, "
        f"unpacked in {elapsed(time.monotonic() - started)}"
    )
    return manifest


def skipped(stage: Stage, environment: str) -> StageResult:
    """The result of a stage whose environment the run's own commit does not have."""
    note = f"The environment {environment} is not in the configuration at this commit: nothing to do."
    stage.console.line(note)
    return StageResult(summary={"status": Status.SKIPPED.value, "note": note}, status=Status.SKIPPED)


def environment_variables(stage: Stage, access: AccountAccess, account: str, timestamp: int) -> dict[str, str]:
    """What commands for an environment see, but for the stack outputs."""
    return {
        **access.environment(command_environment(os.environ, timestamp)),
        "APHEX_ENVIRONMENT": stage.context.environment,
        "CDK_DEFAULT_ACCOUNT": account,
        "CDK_DEFAULT_REGION": access.region,
    }


def share_outputs(stage: Stage) -> dict[str, str]:
    """Put the stack outputs of the run so far where commands find them; returns the variables with them."""
    outputs = read_outputs(stage.store, stage.context.run)
    write_outputs(stage.workspace.outputs, outputs)
    found = output_variables(outputs, stage.context.environment)
    for reason in found.left_out:
        stage.console.line(f"warning: no variable {reason}. It is in the file that APHEX_OUTPUTS names.")
    return {
        **found.variables,
        "APHEX_OUTPUTS": str(stage.workspace.outputs),
    }
