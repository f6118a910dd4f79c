"""What aphex-cluster.yaml says of Argo: its versions, how much runs at the same time, and how long runs are kept."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field, model_validator

from aphex.values import Duration, Model, Region, duration_seconds

# The newest chart of https://github.com/argoproj/argo-helm for each minor version.
WORKFLOWS_CHARTS = {"3.7": "0.47.5", "4.0": "1.0.18"}
EVENTS_CHARTS = {"1.9": "2.4.22"}
_VERSION = r"^\d+\.\d+\.\d+$"


class Workflows(Model):
    """The version of Argo Workflows."""

    version: str = Field(default="3.7.18", pattern=_VERSION, description="Version of Argo Workflows.")
    chart: str | None = Field(
        default=None,
        pattern=_VERSION,
        description="Version of the argo-workflows chart. Without it: the newest that is known for this version.",
    )

    @model_validator(mode="after")
    def _installable(self) -> Workflows:
        """A minor version whose chart is not known needs `chart`."""
        _chart(self.version, self.chart, WORKFLOWS_CHARTS)
        return self

    @property
    def chart_version(self) -> str:
        """The chart to install."""
        return _chart(self.version, self.chart, WORKFLOWS_CHARTS)


class Events(Model):
    """The version of Argo Events."""

    version: str = Field(default="1.9.11", pattern=_VERSION, description="Version of Argo Events.")
    chart: str | None = Field(
        default=None,
        pattern=_VERSION,
        description="Version of the argo-events chart. Without it: the newest that is known for this version.",
    )

    @model_validator(mode="after")
    def _installable(self) -> Events:
        """A minor version whose chart is not known needs `chart`."""
        _chart(self.version, self.chart, EVENTS_CHARTS)
        return self

    @property
    def chart_version(self) -> str:
        """The chart to install."""
        return _chart(self.version, self.chart, EVENTS_CHARTS)


class ArtifactRepository(Model):
    """Where Argo itself keeps artifacts and logs of workflows that name no place of their own."""

    bucket: str = Field(
        pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
        description="An S3 bucket that exists. The roles of the pods that write to it need the right to.",
    )
    region: Region | None = Field(default=None, description="The bucket's region. Without it: the cluster's.")
    key_format: str = Field(
        default="argo/{{workflow.namespace}}/{{workflow.name}}/{{pod.name}}",
        min_length=1,
        description="Keys of artifacts, with Argo's variables.",
    )
    archive_logs: bool = Field(default=True, description="Also keep the logs of pods there, for the UI to show later.")


class Argo(Model):
    """Argo Workflows and Argo Events."""

    workflows: Workflows = Field(default_factory=Workflows, description="The version of Argo Workflows.")
    events: Events = Field(default_factory=Events, description="The version of Argo Events.")
    chart_repository: str = Field(
        default="https://argoproj.github.io/argo-helm",
        pattern=r"^(https|oci)://\S+$",
        description="Where the charts come from: their repository, or a mirror of it.",
    )
    parallelism: int = Field(
        default=20, ge=1, description="Most workflows that run at the same time in the whole cluster."
    )
    namespace_parallelism: int = Field(
        default=10,
        ge=1,
        description="Most workflows that run at the same time in one namespace, and so of one pipeline.",
    )
    requeue: str = Field(
        default="500ms",
        pattern=r"^[1-9]\d*(ms|s)$",
        description="How long the controller waits before it looks at a workflow again, such as 500ms or 2s. Argo's "
        "own default makes each step wait for up to ten seconds; less asks more of the API server.",
    )
    keep_succeeded: Duration = Field(
        default="168h", description="How long workflows that succeeded stay in the cluster."
    )
    keep_failed: Duration = Field(default="336h", description="How long workflows that failed stay in the cluster.")
    keep_pods: Duration = Field(default="24h", description="How long the pods of finished workflows stay.")
    artifact_repository: ArtifactRepository | None = Field(
        default=None,
        description="Where Argo keeps artifacts and logs. The stages of pipelines do not need it: they keep theirs "
        "in the pipeline's own bucket.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Argo:
        """`namespace_parallelism` is not above `parallelism`."""
        if self.namespace_parallelism > self.parallelism:
            raise ValueError(
                f"namespace_parallelism ({self.namespace_parallelism}) is above parallelism ({self.parallelism})."
            )
        return self

    @property
    def keep_succeeded_seconds(self) -> int:
        """How long workflows that succeeded stay, in seconds."""
        return duration_seconds(self.keep_succeeded)

    @property
    def keep_failed_seconds(self) -> int:
        """How long workflows that failed stay, in seconds."""
        return duration_seconds(self.keep_failed)

    @property
    def keep_pods_seconds(self) -> int:
        """How long the pods of finished workflows stay, in seconds."""
        return duration_seconds(self.keep_pods)


def _chart(version: str, chart: str | None, known: Mapping[str, str]) -> str:
    minor = version.rpartition(".")[0]
    if chart is None and minor not in known:
        raise ValueError(
            f"version {version} needs chart, because only those of {' and '.join(known)} are known. Name the version "
            "of the chart that installs it."
        )
    return chart or known[minor]
