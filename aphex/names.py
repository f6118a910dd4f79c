"""What a pipeline's and a cluster's own resources are called, so that two of them never clash."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

_MAX_BUCKET = 63
_MAX_ROLE = 64
_MAX_LABEL = 63

# What a pipeline may be called: the Service of its webhook is named after it, and there is room for what is added.
PIPELINE_PATTERN = r"^[a-z]([a-z0-9-]*[a-z0-9])?$"
MAX_PIPELINE = 40
# Names that fit and are somebody else's all the same, and why.
_TAKEN = {
    "health": "the path /health, where its webhook would be, is that of Argo Events' own health check",
    "state": "its artifact bucket would be the bucket of the Pulumi state, which all pipelines share",
}

PULUMI_PROJECT = "aphex"
# The key of an account and region that encrypts the secrets in Pulumi states.
STATE_KEY_ALIAS = "alias/aphex-state"

# Kubernetes Secrets in the pipeline's namespace that people may make; a run works without them.
GIT_SECRET = "aphex-git"
NOTIFICATIONS_SECRET = "aphex-notifications"


def limited(name: str, length: int) -> str:
    """Shorten `name` to `length` characters; what is cut off lives on in a hash, so that names stay unique."""
    if len(name) <= length:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: length - 9].rstrip('-.')}-{digest}"


def slug(text: str) -> str:
    """Make a valid Kubernetes label value of any text: lower case, digits and single dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def pipeline_name_problem(name: str) -> str | None:
    """Why no pipeline can be called `name`; None when one can."""
    if not re.search(PIPELINE_PATTERN, name):
        return "a name begins with a letter and has lower-case letters, digits and dashes"
    if len(name) > MAX_PIPELINE:
        return f"it has {len(name)} characters, and {MAX_PIPELINE} is the most"
    return _TAKEN.get(name)


@dataclass(frozen=True)
class PipelineNames:
    """The names that follow from a pipeline's own name."""

    pipeline: str

    @property
    def namespace(self) -> str:
        """The Kubernetes namespace."""
        return limited(f"aphex-{self.pipeline}", _MAX_LABEL)

    @property
    def stack(self) -> str:
        """The Pulumi stack; the prefix keeps it apart from the cluster's."""
        return f"pipeline-{self.pipeline}"

    @property
    def table(self) -> str:
        """The DynamoDB table that holds the runs."""
        return f"aphex-{self.pipeline}-runs"

    @property
    def template(self) -> str:
        """The WorkflowTemplate of a run."""
        return self.pipeline

    @property
    def pull_request_template(self) -> str:
        """The WorkflowTemplate of a pull request's validation."""
        return limited(f"{self.pipeline}-pull-request", _MAX_LABEL)

    @property
    def mutex(self) -> str:
        """The Argo mutex by which runs take turns."""
        return self.pipeline

    @property
    def event_source(self) -> str:
        """The EventSource. Pipelines may share an EventBus, whose subjects are made of EventSources' names alone."""
        return self.pipeline

    def sensor(self, event: str) -> str:
        """The Sensor for a kind of event. On a shared EventBus, consumers of equal names would share the events."""
        return limited(f"{self.pipeline}-{event}", _MAX_LABEL)

    def bucket(self, account: str, region: str) -> str:
        """The artifact bucket; bucket names are global, so account and region are part of it."""
        suffix = f"-{account}-{region}"
        return limited(f"aphex-{self.pipeline}", _MAX_BUCKET - len(suffix)) + suffix

    def log_bucket(self, account: str, region: str) -> str:
        """The bucket of the artifact bucket's access logs. It ends as no pipeline's artifact bucket does."""
        suffix = f"-{account}-{region}-logs"
        return limited(f"aphex-{self.pipeline}", _MAX_BUCKET - len(suffix)) + suffix

    @property
    def key_alias(self) -> str:
        """The alias of the key that the pipeline's data is encrypted with."""
        return f"alias/aphex/{self.pipeline}"

    @property
    def policy_path(self) -> str:
        """The IAM path of the managed policies that its roles have besides their own; no other pipeline's is in it."""
        return f"/aphex/{self.pipeline}/"

    @property
    def boundary(self) -> str:
        """The managed policy that bounds what the pipeline's roles can be given; outside of `policy_path`."""
        return f"aphex-{self.pipeline}-boundary"

    def managed_policy(self, kind: str, number: int) -> str:
        """A managed policy of the role of a kind of stage, counted from one."""
        return f"aphex-{self.pipeline}-{kind}-{number}"

    @property
    def dashboard(self) -> str:
        """The CloudWatch dashboard."""
        return f"aphex-{self.pipeline}"

    def alarm(self, subject: str) -> str:
        """A CloudWatch alarm; the slashes keep pipelines apart whose names begin alike."""
        return f"aphex/{self.pipeline}/{subject}"

    @property
    def secrets_prefix(self) -> str:
        """What the names of the pipeline's own secrets in Secrets Manager begin with."""
        return f"aphex/{self.pipeline}/"

    def role(self, kind: str) -> str:
        """The IAM role of a kind of stage."""
        return limited(f"aphex-{self.pipeline}-{kind}", _MAX_ROLE)


@dataclass(frozen=True)
class ClusterNames:
    """The names that follow from a cluster's own name."""

    cluster: str

    @property
    def stack(self) -> str:
        """The Pulumi stack; the prefix keeps it apart from a pipeline's."""
        return f"cluster-{self.cluster}"

    @property
    def eks(self) -> str:
        """The EKS cluster."""
        return f"aphex-{self.cluster}"

    @property
    def control_plane_logs(self) -> str:
        """The log group that EKS writes to; it makes one of this name itself when there is none."""
        return f"/aws/eks/{self.eks}/cluster"

    @property
    def flow_logs(self) -> str:
        """The log group of the network's flow logs."""
        return f"/aphex/{self.cluster}/flow-logs"

    @property
    def key_alias(self) -> str:
        """The alias of the key that encrypts what the cluster keeps."""
        return f"alias/aphex/cluster/{self.cluster}"

    def repository(self, image: str) -> str:
        """The ECR repository of an image, by the name that the images are built with."""
        return f"{self.eks}/aphex-{image}"

    def role(self, kind: str) -> str:
        """The IAM role of a part of the cluster."""
        return limited(f"aphex-cluster-{self.cluster}-{kind}", _MAX_ROLE)
