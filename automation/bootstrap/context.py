"""What the steps share: what was asked for, and the target once there is one."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from aphex.errors import AphexError
from automation.access import AwsAccess
from automation.target import Subject, Target, TargetChoice, state_bucket

if TYPE_CHECKING:
    from aphex_platform.settings import ImageSettings

    from aphex.config import PipelineConfig
    from automation.console import Terminal
    from automation.options import TargetOptions
    from sandbox.state import StandIns


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
    """

    options: TargetOptions
    config: PipelineConfig
    choice: TargetChoice
    subject: Subject
    terminal: Terminal
    cluster_file: Path = Path("aphex-cluster.yaml")
    account: Account | None = None
    images: ImageSettings | None = None
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

    def found(self) -> Target:
        """The target as far as it is there, with nothing made.

        Raises:
            AphexError: it is not there.
        """
        if self._target is not None:
            return self._target
        from automation.resolve import find

        return find(self.options, self.terminal)
