"""The sandbox as a target: found or started, and made ready for one pipeline."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aphex.errors import AphexError
from automation.access import AwsAccess, KubernetesAccess
from automation.options import DEFAULT_NAME
from automation.target import Subject, Target, TargetChoice, state_backend, state_bucket

if TYPE_CHECKING:
    from aphex_platform.settings import ImageSettings

    from aphex.config import PipelineConfig
    from automation.console import Terminal
    from sandbox.state import Phase, SandboxState, StandIns

_OWNER = "aphex"
_TELL_SECONDS = 3.0
_WORTH_TELLING_SECONDS = 1.0
_KEYS = ("aphex-sandbox", "aphex-sandbox")


def running_sandbox(name: str, terminal: Terminal, *, start: bool) -> SandboxState:
    """The running sandbox of that name; with `start` it is started, or mended, when it is not as it should be.

    Raises:
        SandboxNotRunning: it does not run.
    """
    from sandbox import lifecycle

    return lifecycle.start(name, SandboxReporter(terminal)) if start else lifecycle.load(name)


def running_stand_ins(choice: TargetChoice, terminal: Terminal, *, start: bool) -> StandIns:
    """The AWS stand-in and git host for a cluster elsewhere; with `start` services that had ended are started again.

    Raises:
        AphexError: nothing of that name stands in; the hint says how to begin.
    """
    from sandbox import lifecycle, services
    from sandbox.state import SandboxNotRunning

    if start and services.exists(choice.name):
        return services.resume(choice.name, SandboxReporter(terminal))
    try:
        return lifecycle.stand_ins(choice.name)
    except SandboxNotRunning as error:
        words = f" --name {choice.name}" if choice.name != DEFAULT_NAME else ""
        raise AphexError(
            f'Nothing stands in for AWS under the name "{choice.name}".',
            hint=f"Start it with: python -m automation sandbox start --beside {choice.cluster}{words}",
        ) from error


class SandboxReporter:
    """Tells of the sandbox's progress: what took its time, and now and then what is waited for."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._told = 0.0

    def __call__(self, what: str, phase: Phase, seconds: float) -> None:
        """Tell of one part."""
        from automation.console import duration
        from sandbox.state import Phase

        if phase is Phase.waiting:
            self.line(what)
        elif seconds >= _WORTH_TELLING_SECONDS:
            self._terminal.say(f"  ready    {what} ({duration(seconds)})")

    def line(self, what: str) -> None:
        """Tell what is waited for, unless something was told a moment ago: builds report every line they print."""
        now = time.monotonic()
        if now - self._told >= _TELL_SECONDS:
            self._told = now
            self._terminal.say(f"  waiting  {what}", style="dim")


def sandbox_images(state: SandboxState, subject: Subject, terminal: Terminal) -> ImageSettings:
    """The images of the stages: the configuration's own, else those in the sandbox's registry, built when missing."""
    from aphex_platform.settings import ImageSettings

    from sandbox import images, toolchain

    builder, deployer = subject.images
    if builder and deployer:
        return ImageSettings(builder=builder, deployer=deployer)
    report = SandboxReporter(terminal).line
    made = images.ensure(state, toolchain.ensure(progress=report), report)
    return ImageSettings(builder=builder or made.builder, deployer=deployer or made.deployer)


def sandbox_access(state: SandboxState) -> tuple[AwsAccess, KubernetesAccess]:
    """How this process reaches the sandbox's AWS and Kubernetes."""
    return stand_in_access(state), KubernetesAccess(kubeconfig=state.kubeconfig, context=state.context)


def stand_in_access(state: StandIns) -> AwsAccess:
    """How this process reaches the AWS stand-in."""
    return AwsAccess(region=state.region, endpoint=state.aws_endpoint, static_keys=_KEYS)


def sandbox_target(state: SandboxState, images: ImageSettings, subject: Subject) -> Target:
    """The target that a running sandbox is for one pipeline. Makes nothing."""
    _aws, kubernetes = sandbox_access(state)
    place = Place(
        kubernetes=kubernetes,
        aws_endpoint=state.aws_endpoint_in_pods,
        oidc_issuer=state.oidc_issuer,
        argo_url=state.argo_server_url,
    )
    return stand_in_target(state, images, subject, place)


@dataclass(frozen=True, kw_only=True)
class Place:
    """A cluster whose pipelines use the AWS stand-in.

    Attributes:
        kubernetes: the cluster, as this process reaches it.
        aws_endpoint: the AWS stand-in, as its pods reach it.
        oidc_issuer: of its service-account tokens.
        argo_url: Argo's address for links.
    """

    kubernetes: KubernetesAccess
    aws_endpoint: str
    oidc_issuer: str
    argo_url: str


def stand_in_target(state: StandIns, images: ImageSettings, subject: Subject, place: Place) -> Target:
    """The target that a cluster with the AWS stand-in and its git host is for one pipeline. Makes nothing."""
    from aphex_platform.settings import AwsSettings, EventBusSettings, PlatformSecrets, PlatformSettings

    from aphex.names import PipelineNames

    full_name = subject.repository or f"{_OWNER}/{subject.pipeline}"
    secrets = state.secrets()
    bus = EventBusSettings(kind="exotic", url=state.nats_url) if state.nats_url else EventBusSettings()
    settings = PlatformSettings(
        pipeline=subject.pipeline,
        namespace=PipelineNames(subject.pipeline).namespace,
        repository=f"{state.git_url}/{full_name}.git",
        repository_full_name=full_name,
        branch=subject.branch,
        aws=AwsSettings(
            kind="sandbox",
            account=state.account,
            region=state.region,
            endpoint=place.aws_endpoint,
            s3_endpoint=state.aws_s3_endpoint_in_pods,
            oidc_issuer=place.oidc_issuer,
        ),
        event_bus=bus,
        images=images,
        state_backend=state_backend(
            state_bucket(state.account, state.region), state.region, state.aws_s3_endpoint_in_pods
        ),
        argo_url=place.argo_url,
        cdk_method="change-set",
    )
    platform_secrets = PlatformSecrets(
        webhook_secret=secrets.webhook_secret,
        nats_username=secrets.nats_username if state.nats_url else None,
        nats_password=secrets.nats_password if state.nats_url else None,
        passphrase=secrets.passphrase,
    )
    words = "" if state.name == DEFAULT_NAME else f"--name {state.name}"
    return Target(
        settings=settings,
        secrets=platform_secrets,
        aws=stand_in_access(state),
        kubernetes=place.kubernetes,
        sandbox=state,
        words=words,
    )


def prepare_sandbox(state: StandIns, target: Target, config: PipelineConfig, terminal: Terminal) -> None:
    """Make what a real target has before its pipeline: target accounts, and the repository on the git host."""
    from sandbox import git_host
    from sandbox.aws import accounts

    for account, region in sorted({(each.account, each.region) for each in config.environments}):
        accounts.prepare(state, account, region, terminal.say)
    git_host.create_repository(state, target.settings.repository_full_name)
