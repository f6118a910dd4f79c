"""Where a pipeline is deployed: a cluster and an AWS, chosen apart, resolved to settings and access."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote, urlsplit

from aphex.errors import UsageError
from aphex.names import PipelineNames, pipeline_name_problem, slug
from automation.access import AwsAccess, KubernetesAccess
from automation.home import StackHome
from automation.options import CONTEXT_PREFIX
from automation.state_key import secrets_provider

if TYPE_CHECKING:
    from aphex_platform.settings import PlatformSecrets, PlatformSettings

    from aphex.config import PipelineConfig
    from sandbox.state import StandIns

AwsKind = Literal["sandbox", "account"]
EKS = "eks"
EKS_PREFIX = "eks:"
_SHORTHANDS: dict[str, tuple[str, AwsKind]] = {
    "sandbox": ("sandbox", "sandbox"),
    "existing": (CONTEXT_PREFIX, "account"),
    "eks": (EKS, "account"),
}


@dataclass(frozen=True, kw_only=True)
class TargetChoice:
    """What the caller chose.

    Attributes:
        cluster: `sandbox`, `eks`, `eks:NAME` or `context:NAME`; an empty NAME is the kubeconfig's current context.
        aws: `sandbox` or `account`.
        name: of the sandbox, when any part of the target is one.
        overrides: what aphex-target.yaml says.
    """

    cluster: str
    aws: AwsKind
    name: str
    overrides: Mapping[str, Any] = field(default_factory=dict)

    @property
    def context(self) -> str | None:
        """The kubeconfig context, empty for the current one; none for other clusters."""
        if self.cluster.startswith(CONTEXT_PREFIX):
            return self.cluster.removeprefix(CONTEXT_PREFIX)
        return None

    @property
    def eks(self) -> str | None:
        """The name of the cluster stack, empty for the only one that there is; none for other clusters."""
        return self.cluster.removeprefix(EKS).removeprefix(":") if is_eks(self.cluster) else None


@dataclass(frozen=True, kw_only=True)
class Target:
    """Everything that an operation on one pipeline needs to know about where it is.

    Attributes:
        settings: what the programs are made from.
        secrets: what they need besides and must not show.
        aws: the pipeline's own AWS, as this process reaches it.
        kubernetes: the cluster, as this process reaches it.
        sandbox: the running sandbox, when any part of the target is one.
        words: what to add to a command so that it means this target; empty for the usual one.
    """

    settings: PlatformSettings
    secrets: PlatformSecrets
    aws: AwsAccess
    kubernetes: KubernetesAccess
    sandbox: StandIns | None = None
    words: str = ""

    @property
    def options(self) -> str:
        """The options that make a command mean this pipeline at this target."""
        return f"--pipeline {self.settings.pipeline} {self.words}".rstrip()

    @property
    def home(self) -> StackHome:
        """Where the pipeline's stack lives. Its secrets are encrypted by a passphrase where there is one."""
        by_key = self.settings.aws.kind == "account" and self.secrets.passphrase is None
        return StackHome(
            name=PipelineNames(self.settings.pipeline).stack,
            noun="pipeline",
            owner=self.settings.pipeline,
            options=self.options,
            backend=self.settings.state_backend,
            aws=self.aws,
            kubernetes=self.kubernetes,
            passphrase=self.secrets.passphrase,
            secrets_key=secrets_provider(self.settings.aws.region) if by_key else None,
            stand_ins=self.settings.aws.kind == "sandbox",
            namespace=self.settings.namespace,
        )


def is_eks(cluster: str) -> bool:
    """Whether a choice of cluster means one that the cluster stack has made."""
    return cluster == EKS or cluster.startswith(EKS_PREFIX)


def choose(target: str | None, cluster: str | None, aws: str | None, name: str) -> TargetChoice:
    """Make one choice of the options `--target`, `--cluster`, `--aws` and `--name`.

    The shorthand gives the usual pair, the other two replace its parts.

    Raises:
        UsageError: an option has a value that is none of its own, or the pair makes no sense.
    """
    if target is not None and target not in _SHORTHANDS:
        raise UsageError(f'"{target}" is not a target.', hint=f"--target is one of: {', '.join(sorted(_SHORTHANDS))}.")
    usual_cluster, usual_aws = _SHORTHANDS[target or "sandbox"]
    chosen = cluster or usual_cluster
    if chosen != "sandbox" and not is_eks(chosen) and not chosen.startswith(CONTEXT_PREFIX):
        raise UsageError(
            f'"{chosen}" is not a cluster.',
            hint="--cluster is sandbox, eks[:NAME], or context:NAME of your kubeconfig.",
        )
    if aws not in (None, "sandbox", "account"):
        raise UsageError(f'"{aws}" is not an AWS.', hint="--aws is sandbox or account.")
    if aws is None and target is None:
        usual_aws = "sandbox" if chosen == "sandbox" else "account"
    pair_aws: AwsKind = "sandbox" if (aws or usual_aws) == "sandbox" else "account"
    if is_eks(chosen) and pair_aws == "sandbox":
        raise UsageError(
            "A pipeline on EKS needs an AWS account: its pods get their roles from it.",
            hint="Choose --aws account, or another cluster.",
        )
    return TargetChoice(cluster=chosen, aws=pair_aws, name=name)


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Which pipeline an operation is about, as far as that can be known without its cluster.

    Attributes:
        pipeline: its name.
        repository: `owner/name` of its repository; empty when not configured.
        clone_url: as configured; None when not.
        branch: whose pushes start runs.
        images: the configuration's own images: builder and deployer.
    """

    pipeline: str
    repository: str = ""
    clone_url: str | None = None
    branch: str = "main"
    images: tuple[str | None, str | None] = (None, None)


def subject_of(config: PipelineConfig, config_file: Path) -> Subject:
    """The pipeline that a configuration describes.

    Raises:
        UsageError: it gives the pipeline no name, or one that no pipeline can have.
    """
    settings = config.pipeline
    name = pipeline_name(config, config_file)
    problem = pipeline_name_problem(name)
    if problem:
        raise UsageError(
            f"A pipeline cannot be called {name}: {problem}.", hint=f"Set pipeline.name in {config_file} to another."
        )
    return Subject(
        pipeline=name,
        repository=repository_full_name(settings.repository or ""),
        clone_url=settings.repository,
        branch=settings.branch,
        images=(settings.images.builder, settings.images.deployer),
    )


def pipeline_name(config: PipelineConfig, config_file: Path) -> str:
    """The pipeline's name: as configured, else the repository's, else that of the folder with the configuration.

    Raises:
        UsageError: none of them makes a valid name.
    """
    name = config.pipeline.name or repository_full_name(config.pipeline.repository or "").rpartition("/")[2]
    name = name or slug(config_file.absolute().parent.name)
    if not name:
        raise UsageError(
            f"{config_file} gives the pipeline no name.", hint="Set pipeline.name in it, such as my-service."
        )
    return slug(name)


def repository_full_name(clone_url: str) -> str:
    """`owner/name` of a clone URL: the last two parts of its path, as webhook payloads have it; empty when none.

    Understands https and ssh URLs and the `git@host:owner/name.git` form.
    """
    path = urlsplit(clone_url).path if "://" in clone_url else clone_url.rpartition(":")[2]
    parts = [part for part in path.removesuffix(".git").strip("/").split("/") if part]
    return "/".join(parts[-2:])


def state_bucket(account: str, region: str) -> str:
    """The bucket that holds the Pulumi state of every pipeline of an account and region."""
    return f"aphex-state-{account}-{region}"


def state_backend(bucket: str, region: str, endpoint: str | None) -> str:
    """The Pulumi backend URL of a state bucket. With an endpoint its requests are path-style.

    The parameters are those of https://gocloud.dev/howto/blob/#s3-compatible.
    """
    url = f"s3://{bucket}?region={region}"
    if endpoint:
        url += f"&endpoint={quote(endpoint, safe=':/')}&use_path_style=true"
    return url
