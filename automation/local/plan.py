"""Which stages a local run has, and which of them it leaves out: pure decisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aphex.config import PipelineConfig
from aphex.errors import UsageError
from aphex.run import StageKind, StageSpec, run_stages

NO_CLUSTER = "not applied: there is no cluster"


@dataclass(frozen=True, kw_only=True)
class PlannedStage:
    """A stage of the run.

    Attributes:
        spec: what it is.
        skipped: why it is left out; empty when it runs.
    """

    spec: StageSpec
    skipped: str = ""


def plan_run(
    config: PipelineConfig, *, environments: Sequence[str] = (), until: str | None = None
) -> list[PlannedStage]:
    """The stages of the run in their order, the same as in the cluster.

    Args:
        config: the configuration at the commit.
        environments: the only environments to deploy and test; all when empty.
        until: the last stage, by its name or its kind, of which the first that runs counts; the whole run when None.

    Raises:
        UsageError: an environment or a stage is not in the configuration.
    """
    _check_environments(config, environments)
    planned = [PlannedStage(spec=spec, skipped=_left_out(spec, environments)) for spec in run_stages(config)]
    if until is None:
        return planned
    last = _last(planned, until)
    return [
        each if position <= last or each.skipped else PlannedStage(spec=each.spec, skipped=f"--until {until}")
        for position, each in enumerate(planned)
    ]


def _check_environments(config: PipelineConfig, environments: Sequence[str]) -> None:
    known = [each.name for each in config.environments]
    unknown = [name for name in environments if name not in known]
    if unknown:
        raise UsageError(
            f"The configuration has no environment {', '.join(unknown)}.", hint=f"It has: {', '.join(known)}."
        )


def _left_out(spec: StageSpec, environments: Sequence[str]) -> str:
    if spec.environment is not None and environments and spec.environment not in environments:
        return f"--environment {', '.join(environments)}"
    return ""


def _last(planned: Sequence[PlannedStage], until: str) -> int:
    running = [(position, each.spec) for position, each in enumerate(planned) if not each.skipped]
    named = [position for position, spec in running if spec.name == until]
    of_kind = [position for position, spec in running if spec.kind.value == until]
    if found := named or of_kind:
        return found[0]
    names = [each.spec.name for each in planned if not each.skipped]
    raise UsageError(
        f'The run has no stage "{until}".',
        hint=f"It has: {', '.join(names)}. A kind of stage is understood too: "
        f"{', '.join(kind.value for kind in StageKind if kind is not StageKind.EXIT)}.",
    )


def deployments(config: PipelineConfig, planned: Sequence[PlannedStage]) -> list[str]:
    """What a run would deploy, one line an environment, for a person to agree to."""
    names = [each.spec.environment for each in planned if each.spec.kind is StageKind.ENVIRONMENT and not each.skipped]
    return [
        f"{each.name}: {', '.join(stack.name for stack in each.stacks)} in account {each.account}, {each.region}"
        for each in config.environments
        if each.name in names
    ]
