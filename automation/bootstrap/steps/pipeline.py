"""The pipeline's stack: deployed, and left alone when nothing of it would change."""

from __future__ import annotations

from dataclasses import dataclass

from aphex.names import PipelineNames
from automation.bootstrap.context import Context, NotThereYet
from automation.bootstrap.step import Finding, done, to_do
from automation.bootstrap.steps.images import SandboxImagesStep


@dataclass(frozen=True, kw_only=True)
class PipelineStep:
    """The pipeline's own resources, as `up` makes them."""

    context: Context
    name: str = "pipeline"
    title: str = "Pipeline"

    @property
    def makes(self) -> str:
        """What is made."""
        subject = self.context.subject
        return (
            f"the pipeline {subject.pipeline}: bucket, run table, roles, and in the namespace {self.context.namespace} "
            "what receives events and runs stages"
        )

    def check(self) -> Finding:
        """Whether the last deployment was made from this configuration, these settings and this program."""
        from automation.cluster import known_stacks
        from automation.last_update import made_from, memory

        try:
            known = known_stacks(self.context.aws(), self.context.state_bucket())
        except NotThereYet as error:
            return to_do(error.message)
        if PipelineNames(self.context.subject.pipeline).stack not in known:
            return to_do("it is not deployed")
        if self.context.choice.cluster == "sandbox" and SandboxImagesStep(context=self.context).check().state != "done":
            return to_do("its images are not built yet")
        target = self.context.settled()
        remembered = memory(target)
        outputs = remembered.recall(made_from(target, self.context.configured())) if remembered is not None else None
        if outputs is None:
            return to_do("it is deployed, and something of it has changed since, or its last deployment failed")
        return done(f"{self.context.subject.pipeline} is as configured")

    def do(self) -> None:
        """Deploy it."""
        from automation.data_loss import Consent
        from automation.up import bring_up

        config = self.context.configured()
        # A plan that was agreed to says nothing of data that would be lost: that is asked on its own.
        bring_up(self.context.prepared(), config, self.context.terminal, consent=Consent.ASK)
