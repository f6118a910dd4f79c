"""The templates of the stages: one for each kind, so that an environment adds only its task to the manifest.

Every value from outside reaches the pod as an environment variable; the command never varies.
"""

from __future__ import annotations

import json

from hera.workflows import models as m

from aphex.config import PipelineConfig
from aphex.names import GIT_SECRET, NOTIFICATIONS_SECRET, PipelineNames
from aphex.run import StageKind, deploy_name, test_name
from aphex_platform.identities import IDENTITY_OF_KIND, TOKEN_AUDIENCE, Identity, role_arn
from aphex_platform.manifests.common import CONTAINER_SECURITY
from aphex_platform.policies import environment_roles, test_roles
from aphex_platform.settings import PlatformSettings

PYTHON = "/opt/aphex/bin/python"
USER_ID = 10001
WORKSPACE = "/workspace"
RESULT_FILE = "/tmp/aphex/result.json"  # noqa: S108  a path in the pod, which has its own
TOKEN_FOLDER = "/var/run/secrets/aphex.aws"
SETTINGS_FOLDER = "/etc/aphex/settings"
SECRETS_FOLDER = "/etc/aphex/secrets"
SETTINGS_MAP = "aphex-settings"
SECRETS_NAME = "aphex-secrets"
GIT_FOLDER = "/etc/aphex/git"
NOTIFICATIONS_FOLDER = "/etc/aphex/notifications"
OUTPUTS_FILE = "/tmp/aphex/outputs.json"  # noqa: S108  a path in the pod, which has its own

_ENVIRONMENT_INPUT = "{{inputs.parameters.environment}}"
_EXIT_DEADLINE_SECONDS = 600
_DEPLOYER_KINDS = frozenset({StageKind.SELF_UPDATE, StageKind.ENVIRONMENT})
_ENVIRONMENT_KINDS = {StageKind.ENVIRONMENT: deploy_name, StageKind.TEST: test_name}


def volumes(settings: PlatformSettings) -> list[m.Volume]:
    """The volumes of a run; a pod gets only those that its template mounts."""
    return [
        m.Volume(name="workspace", empty_dir=m.EmptyDirVolumeSource()),
        *([_token()] if settings.aws.identity == "irsa" else []),
        m.Volume(name="settings", config_map=m.ConfigMapVolumeSource(name=SETTINGS_MAP)),
        m.Volume(name="secrets", secret=m.SecretVolumeSource(secret_name=SECRETS_NAME, default_mode=0o440)),
        _optional_secret("git", GIT_SECRET),
        _optional_secret("notifications", NOTIFICATIONS_SECRET),
    ]


def _token() -> m.Volume:
    """The token that STS takes for the role. With pod identity EKS puts its own into the pod, and the way to use it."""
    token = m.ServiceAccountTokenProjection(audience=TOKEN_AUDIENCE, expiration_seconds=3600, path="token")
    sources = [m.VolumeProjection(service_account_token=token)]
    return m.Volume(name="aws-token", projected=m.ProjectedVolumeSource(sources=sources))


def _optional_secret(volume: str, secret: str) -> m.Volume:
    """A Secret that people make when they need it; without it the folder is empty."""
    return m.Volume(name=volume, secret=m.SecretVolumeSource(secret_name=secret, default_mode=0o440, optional=True))


def stage_template(
    kind: StageKind, config: PipelineConfig, settings: PlatformSettings, identity: Identity | None = None
) -> m.Template:
    """The pod of a kind of stage.

    Args:
        kind: what the stage does.
        config: the pipeline's configuration; its images win over the platform's.
        settings: where the pipeline runs.
        identity: who the pod acts as, when it is not the kind's own identity.
    """
    acts_as = identity or IDENTITY_OF_KIND[kind]
    per_environment = kind in _ENVIRONMENT_KINDS
    updates = kind is StageKind.SELF_UPDATE
    return m.Template(
        name=kind.value,
        inputs=m.Inputs(parameters=[m.Parameter(name="environment")]) if per_environment else None,
        service_account_name=acts_as.value,
        # Only the self-update talks to the API server; Argo's own container has the executor's token.
        automount_service_account_token=True if updates else None,
        active_deadline_seconds=m.IntOrString(root=_deadline(kind, settings)),
        retry_strategy=_retry(settings),
        container=m.Container(
            image=_image(kind, config, settings),
            image_pull_policy=settings.images.pull_policy,
            command=[PYTHON, "-m", "stages", kind.value],
            working_dir=WORKSPACE,
            env=[
                *(m.EnvVar(name=name, value=value) for name, value in _variables(kind, acts_as, config, settings)),
                m.EnvVar(
                    name="APHEX_POD",
                    value_from=m.EnvVarSource(field_ref=m.ObjectFieldSelector(field_path="metadata.name")),
                ),
            ],
            volume_mounts=_mounts(kind, settings),
            resources=_resources(settings),
            security_context=m.SecurityContext(
                **CONTAINER_SECURITY,
                # Commands write to their home and to /tmp; a controller may have the opposite as its default.
                read_only_root_filesystem=False,
            ),
        ),
        outputs=m.Outputs(parameters=_output_parameters(kind)),
    )


def _output_parameters(kind: StageKind) -> list[m.Parameter]:
    parameters = [m.Parameter(name="result", value_from=m.ValueFrom(path=RESULT_FILE, default="{}"))]
    if kind is StageKind.ENVIRONMENT:
        parameters.append(m.Parameter(name="outputs", value_from=m.ValueFrom(path=OUTPUTS_FILE, default="{}")))
    return parameters


def _image(kind: StageKind, config: PipelineConfig, settings: PlatformSettings) -> str:
    if kind in _DEPLOYER_KINDS:
        return config.pipeline.images.deployer or settings.images.deployer
    return config.pipeline.images.builder or settings.images.builder


def _deadline(kind: StageKind, settings: PlatformSettings) -> int:
    if kind is StageKind.EXIT:
        return _EXIT_DEADLINE_SECONDS
    return settings.run.stage_deadline_seconds


def _retry(settings: PlatformSettings) -> m.RetryStrategy:
    # A command that failed would fail again, and a deployment must not be repeated unasked: only a pod that could
    # not be run or observed, which Argo tells apart as an error, is tried again.
    return m.RetryStrategy(limit=m.IntOrString(root=settings.run.infrastructure_retries), retry_policy="OnError")


def _resources(settings: PlatformSettings) -> m.ResourceRequirements:
    asked = settings.run.resources
    limits = {"memory": asked.memory_limit}
    if asked.ephemeral_storage_limit:
        limits["ephemeral-storage"] = asked.ephemeral_storage_limit
    return m.ResourceRequirements.model_validate(
        {"requests": {"cpu": asked.cpu_request, "memory": asked.memory_request}, "limits": limits}
    )


def _mounts(kind: StageKind, settings: PlatformSettings) -> list[m.VolumeMount]:
    folders = {"workspace": WORKSPACE}
    if settings.aws.identity == "irsa":
        folders["aws-token"] = TOKEN_FOLDER
    if kind is StageKind.EXIT:
        folders["notifications"] = NOTIFICATIONS_FOLDER
    else:
        folders["git"] = GIT_FOLDER
    if kind is StageKind.SELF_UPDATE:
        folders.update(settings=SETTINGS_FOLDER, secrets=SECRETS_FOLDER)
    return [
        m.VolumeMount(name=name, mount_path=path, read_only=None if name == "workspace" else True)
        for name, path in folders.items()
    ]


def _variables(
    kind: StageKind, identity: Identity, config: PipelineConfig, settings: PlatformSettings
) -> list[tuple[str, str]]:
    return [
        *_stage_variables(kind),
        *_run_variables(),
        *_platform_variables(settings),
        *_aws_variables(identity, settings),
        *(_exit_variables(config) if kind is StageKind.EXIT else []),
        *(_validate_variables(config, settings) if identity is Identity.VALIDATE else []),
    ]


def _stage_variables(kind: StageKind) -> list[tuple[str, str]]:
    if kind in _ENVIRONMENT_KINDS:
        task = _ENVIRONMENT_KINDS[kind](_ENVIRONMENT_INPUT)
        return [("APHEX_STAGE", task), ("APHEX_ENVIRONMENT", _ENVIRONMENT_INPUT)]
    return [("APHEX_STAGE", kind.value)]


def _run_variables() -> list[tuple[str, str]]:
    return [
        ("APHEX_RUN", "{{workflow.name}}"),
        ("APHEX_STARTED", "{{workflow.creationTimestamp.RFC3339}}"),
        ("APHEX_COMMIT", "{{workflow.parameters.commit}}"),
        ("APHEX_BRANCH", "{{workflow.parameters.branch}}"),
        ("APHEX_REPOSITORY", "{{workflow.parameters.repository}}"),
        ("APHEX_AUTHOR", "{{workflow.parameters.author}}"),
        ("APHEX_MESSAGE", "{{workflow.parameters.message}}"),
        ("APHEX_TRIGGER", "{{workflow.parameters.trigger}}"),
        ("APHEX_PULL_REQUEST", "{{workflow.parameters.pull_request}}"),
    ]


def _platform_variables(settings: PlatformSettings) -> list[tuple[str, str]]:
    names = PipelineNames(settings.pipeline)
    return [
        ("APHEX_PIPELINE", settings.pipeline),
        ("APHEX_NAMESPACE", settings.namespace),
        ("APHEX_BUCKET", names.bucket(settings.aws.account, settings.aws.region)),
        ("APHEX_TABLE", names.table),
        ("APHEX_ACCOUNT", settings.aws.account),
        ("APHEX_ARGO_URL", settings.argo_url),
        ("APHEX_CDK_METHOD", settings.cdk_method),
        ("APHEX_WORKSPACE", WORKSPACE),
    ]


def _aws_variables(identity: Identity, settings: PlatformSettings) -> list[tuple[str, str]]:
    aws = settings.aws
    variables = [
        ("AWS_REGION", aws.region),
        ("AWS_DEFAULT_REGION", aws.region),
    ]
    if aws.identity == "irsa":
        variables.append(("AWS_ROLE_ARN", role_arn(aws, settings.pipeline, identity)))
        variables.append(("AWS_WEB_IDENTITY_TOKEN_FILE", f"{TOKEN_FOLDER}/token"))
    if aws.endpoint:
        variables.append(("AWS_ENDPOINT_URL", aws.endpoint))
    if aws.s3_endpoint:
        variables.append(("AWS_ENDPOINT_URL_S3", aws.s3_endpoint))
    return variables


def _exit_variables(config: PipelineConfig) -> list[tuple[str, str]]:
    # The exit handler has the channels even of a run that could not read its own configuration.
    channels = [each.model_dump(mode="json", exclude_defaults=True) for each in config.notifications]
    return [
        *([("APHEX_CHANNELS", json.dumps(channels, sort_keys=True))] if channels else []),
        ("APHEX_WORKFLOW_STATUS", "{{workflow.status}}"),
        ("APHEX_WORKFLOW_FAILURES", "{{workflow.failures}}"),
        ("APHEX_WORKFLOW_DURATION", "{{workflow.duration}}"),
    ]


def _validate_variables(config: PipelineConfig, settings: PlatformSettings) -> list[tuple[str, str]]:
    # The roles of the policies that are deployed with this manifest: of one that a commit adds, the validation of that
    # commit can say little, because the self-update that allows it comes later in the run.
    roles = {*environment_roles(config.environments, settings.aws.partition), *test_roles(config.environments)}
    return [("APHEX_ASSUMABLE", " ".join(sorted(roles)))]
