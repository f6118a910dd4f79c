"""The WorkflowTemplates: the shape of a run, and that of a pull request's validation.

The shape itself is decided by `aphex.run`; here it becomes a DAG whose tasks follow one another.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from hera.workflows import models as m

from aphex.config import PipelineConfig
from aphex.names import PipelineNames
from aphex.run import StageKind, StageSpec, Trigger, pull_request_stages, run_stages
from aphex_platform.identities import EXECUTOR, Identity
from aphex_platform.manifests.common import (
    COMMIT_LABEL,
    CONTAINER_SECURITY,
    PIPELINE_LABEL,
    SECCOMP,
    TRIGGER_LABEL,
    Manifest,
    manifest,
)
from aphex_platform.manifests.stages import USER_ID, stage_template, volumes
from aphex_platform.settings import PlatformSettings

ENTRYPOINT = "run"

# Argo's own two containers of each pod get what the stage's has; what they have otherwise is the controller's to say.
_HARMLESS_HELPERS = json.dumps(
    {
        kind: [{"name": name, "securityContext": CONTAINER_SECURITY}]
        for kind, name in (("initContainers", "init"), ("containers", "wait"))
    }
)


def workflow_template(config: PipelineConfig, settings: PlatformSettings) -> Manifest:
    """The WorkflowTemplate of a run: every stage in order, one run at a time."""
    stages = run_stages(config)
    kinds = dict.fromkeys(stage.kind for stage in stages)
    spec = _spec(settings, Trigger.MANUAL)
    spec.templates = [
        _dag(stages),
        *(stage_template(kind, config, settings) for kind in kinds),
        stage_template(StageKind.EXIT, config, settings),
    ]
    names = PipelineNames(settings.pipeline)
    spec.synchronization = m.Synchronization(mutexes=[m.Mutex(name=names.mutex)])
    return manifest("WorkflowTemplate", names.template, spec, settings)


def pull_request_template(config: PipelineConfig, settings: PlatformSettings) -> Manifest:
    """The WorkflowTemplate of a pull request: it builds, deploys nothing and waits for no other run."""
    stages = pull_request_stages()
    spec = _spec(settings, Trigger.PULL_REQUEST)
    spec.templates = [
        _dag(stages),
        *(stage_template(stage.kind, config, settings, Identity.PULL_REQUEST) for stage in stages),
        stage_template(StageKind.EXIT, config, settings),
    ]
    name = PipelineNames(settings.pipeline).pull_request_template
    return manifest("WorkflowTemplate", name, spec, settings)


def _dag(stages: Sequence[StageSpec]) -> m.Template:
    tasks = []
    for before, stage in zip([None, *stages], stages, strict=False):
        environment = stage.environment
        arguments = [m.Parameter(name="environment", value=environment)] if environment is not None else None
        tasks.append(
            m.DAGTask(
                name=stage.name,
                template=stage.kind.value,
                depends=_after(before) if before is not None else None,
                arguments=m.Arguments(parameters=arguments) if arguments else None,
            )
        )
    return m.Template(name=ENTRYPOINT, dag=m.DAGTemplate(tasks=tasks))


def _after(before: StageSpec) -> str:
    if before.kind is StageKind.SELF_UPDATE:
        # A failed self-update leaves the shape as it is; the application is delivered all the same.
        return f"{before.name}.Succeeded || {before.name}.Failed || {before.name}.Errored"
    return f"{before.name}.Succeeded"


def _spec(settings: PlatformSettings, trigger: Trigger) -> m.WorkflowSpec:
    run = settings.run
    return m.WorkflowSpec(
        entrypoint=ENTRYPOINT,
        on_exit=StageKind.EXIT.value,
        arguments=m.Arguments(parameters=_parameters(settings, trigger)),
        service_account_name=EXECUTOR,
        automount_service_account_token=False,
        executor=m.ExecutorConfig(service_account_name=EXECUTOR),
        security_context=m.PodSecurityContext(
            run_as_non_root=True,
            run_as_user=USER_ID,
            run_as_group=USER_ID,
            fs_group=USER_ID,
            seccomp_profile=m.SeccompProfile(**SECCOMP),
        ),
        pod_spec_patch=_HARMLESS_HELPERS,
        volumes=volumes(settings),
        active_deadline_seconds=run.deadline_seconds,
        ttl_strategy=m.TTLStrategy(
            seconds_after_success=run.ttl_success_seconds, seconds_after_failure=run.ttl_failure_seconds
        ),
        pod_gc=m.PodGC(strategy="OnWorkflowCompletion", delete_delay_duration=f"{run.pod_ttl_seconds}s"),
        workflow_metadata=m.WorkflowMetadata(
            labels={PIPELINE_LABEL: settings.pipeline},
            labels_from={
                COMMIT_LABEL: m.LabelValueFrom(expression="workflow.parameters.commit"),
                TRIGGER_LABEL: m.LabelValueFrom(expression="workflow.parameters.trigger"),
            },
        ),
    )


def _parameters(settings: PlatformSettings, trigger: Trigger) -> list[m.Parameter]:
    return [
        m.Parameter(name="commit", description="Full SHA of the commit to run for."),
        m.Parameter(name="branch", value=settings.branch),
        m.Parameter(name="repository", value=settings.repository),
        m.Parameter(name="author", value=""),
        m.Parameter(name="message", value=""),
        m.Parameter(name="trigger", value=trigger.value),
        m.Parameter(name="pull_request", value=""),
    ]
