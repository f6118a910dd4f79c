"""What the steps share: what was asked for, and the target once there is one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aphex.cluster_config import CLUSTER_FILE
from aphex.errors import AphexError
from aphex.names import PipelineNames
from automation.access import AwsAccess
from automation.stack import DeploymentError
from automation.target import Subject, Target, TargetChoice, state_bucket

if TYPE_CHECKING:
    from aphex_platform.settings import ImageSettings

    from aphex.cluster_config import ClusterConfig
    from aphex.config import PipelineConfig
    from automation.console import Terminal
    from automation.options import TargetOptions
    from sandbox.state import StandIns


Outputs = dict[str, Any]


class NotThereYet(AphexError):
    """Something that an earlier step makes is not there."""


@dataclass(frozen=True, kw_only=True)
class Account:
    """The pipeline's own account, as the caller's credentials say it."""

    number: str
    region: str
    caller: str = ""
    partition: str = "aws"


@dataclass(kw_only=True)
class Context:
    """What was asked for, and what the steps found.

    Attributes:
        options: what the caller said.
        config: the pipeline's configuration.
        choice: the target's two parts.
        subject: the pipeline.
        terminal: where progress is told.
        cluster_file: describes the cluster that is made; used for a cluster on EKS alone.
        account: of the pipeline; None in the sandbox.
        images: made by the images step, where the configuration names none.
        read_outputs: reads the outputs of the cluster's stack; None takes them from its Pulumi state.
    """

    options: TargetOptions
    config: PipelineConfig
    choice: TargetChoice
    subject: Subject
    terminal: Terminal
    cluster_file: Path = Path(CLUSTER_FILE)
    account: Account | None = None
    images: ImageSettings | None = None
    read_outputs: Callable[[Context], Outputs | None] | None = field(default=None, repr=False)
    _outputs: Outputs | None = field(default=None, repr=False)
    _target: Target | None = field(default=None, repr=False)

    @property
    def in_sandbox(self) -> bool:
        """Whether AWS is the stand-in."""
        return self.choice.aws == "sandbox"

    def stand_ins(self) -> StandIns:
        """The sandbox's AWS and git host.

        Raises:
            NotThereYet: they do not run.
        """
        from sandbox import lifecycle
        from sandbox.state import SandboxNotRunning

        try:
            return lifecycle.stand_ins(self.options.name)
        except SandboxNotRunning as error:
            raise NotThereYet("the sandbox does not run yet") from error

    def aws(self) -> AwsAccess:
        """The pipeline's AWS.

        Raises:
            NotThereYet: it is a stand-in that does not run.
        """
        if not self.in_sandbox:
            assert self.account is not None
            return AwsAccess(region=self.account.region)
        from automation.sandbox_target import stand_in_access

        return stand_in_access(self.stand_ins())

    def state_bucket(self) -> str:
        """Name of the bucket with the Pulumi state."""
        if self.account is not None:
            return state_bucket(self.account.number, self.account.region)
        stand_ins = self.stand_ins()
        return state_bucket(stand_ins.account, stand_ins.region)

    @property
    def namespace(self) -> str:
        """Of the pipeline, in the cluster."""
        return PipelineNames(self.subject.pipeline).namespace

    def cluster(self) -> ClusterConfig | None:
        """The file of the cluster that is made; None when there is none.

        Raises:
            UsageError: it is wrong.
        """
        from aphex.loader import load_cluster_config

        return load_cluster_config(self.cluster_file) if self.cluster_file.exists() else None

    def cluster_outputs(self) -> Outputs | None:
        """The outputs of the cluster's stack; None when it is not there or not complete."""
        if self._outputs is None:
            self._outputs = (self.read_outputs or stack_outputs)(self)
        return self._outputs

    def forget_cluster(self) -> None:
        """Read the cluster's outputs again the next time."""
        self._outputs = None

    def configured(self) -> PipelineConfig:
        """The configuration, with the images that were made where it names none itself."""
        own = self.config.pipeline.images
        if self.images is None:
            return self.config
        images = own.model_copy(
            update={"builder": own.builder or self.images.builder, "deployer": own.deployer or self.images.deployer}
        )
        return self.config.model_copy(update={"pipeline": self.config.pipeline.model_copy(update={"images": images})})

    def prepared(self) -> Target:
        """The target, with everything that a pipeline needs and does not own.

        Raises:
            AphexError: it is not there or cannot be made ready.
        """
        if self._target is None:
            from automation.resolve import resolve

            self._target = resolve(self.options, self.configured(), self.terminal, prepare=True)
        return self._target

    def settled(self) -> Target:
        """The target with every setting that the pipeline would be deployed with, and nothing made.

        Raises:
            AphexError: it is not there.
        """
        if self._target is not None:
            return self._target
        from automation.resolve import resolve

        return resolve(self.options, self.configured(), self.terminal, prepare=False)

    def found(self) -> Target:
        """The target as far as it is there, with nothing made.

        Raises:
            AphexError: it is not there.
        """
        if self._target is not None:
            return self._target
        from automation.resolve import find

        return find(self.options, self.terminal)


def stack_outputs(context: Context) -> Outputs | None:
    """The outputs of the cluster's stack on AWS; None when there is none, or it was never brought up to its end."""
    from automation.cluster import cluster_outputs, known_stacks
    from automation.eks_target import eks_home

    if context.cluster() is None and not known_stacks(context.aws(), context.state_bucket()):
        return None
    home = eks_home(context.choice, context.cluster_file)
    if home.name not in known_stacks(home.aws, home.bucket):
        return None
    try:
        with context.terminal.patience("Reading the outputs of the cluster's stack"):
            return cluster_outputs(home)
    except DeploymentError:
        raise
    except AphexError:
        return None  # the first deployment has not come to its end
