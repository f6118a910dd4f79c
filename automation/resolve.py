"""Turns what the caller said about the target into settings and access, making what is missing when asked to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError

from aphex.errors import UsageError
from automation import sandbox_target
from automation.access import AwsAccess, KubernetesAccess
from automation.options import DEFAULT_CONFIG
from automation.ownership import check_namespace, check_owner
from automation.state_bucket import ensure_state_bucket
from automation.state_key import ensure_state_key
from automation.target import Subject, Target, TargetChoice, choose, subject_of
from automation.target_file import load_overrides, overridden

if TYPE_CHECKING:
    from aphex.config import PipelineConfig
    from automation.console import Terminal
    from automation.options import TargetOptions

Model = TypeVar("Model", bound=BaseModel)


def resolve(options: TargetOptions, config: PipelineConfig, terminal: Terminal, *, prepare: bool) -> Target:
    """The target that the options mean, for a command that renders the pipeline.

    Args:
        options: what the caller said.
        config: the pipeline's configuration.
        terminal: where progress is told.
        prepare: whether to make what the pipeline needs and does not own: the sandbox, target accounts, the
            repository on the sandbox's git host.

    Raises:
        UsageError: the options contradict each other or a file that they name is wrong.
        AphexError: the target is not there or cannot be made ready.
    """
    if options.settings is not None:
        return target_from_files(options.settings, options.secrets)
    choice = choose(options.target, options.cluster, options.aws, options.name)
    choice = replace(choice, overrides=load_overrides(options.target_file))
    subject = subject_of(config, options.config)
    if choice.cluster == "sandbox":
        state = sandbox_target.running_sandbox(options.name, terminal, start=prepare)
        images = sandbox_target.sandbox_images(state, subject, terminal)
        target = sandbox_target.sandbox_target(state, images, subject)
        target = replace(target, settings=overridden(target.settings, choice.overrides))
        check_namespace(target.kubernetes, target.settings)
    else:
        target = _elsewhere(choice, subject, terminal, start=prepare)
    if prepare and target.sandbox is not None:
        sandbox_target.prepare_sandbox(target.sandbox, target, config, terminal)
    if target.settings.state_bucket:
        ensure_state_bucket(target.aws, target.settings.state_bucket)
    if target.home.secrets_key is not None:
        ensure_state_key(target.aws)
    return target


def find(options: TargetOptions, terminal: Terminal) -> Target:
    """The target that the options mean, for a command that renders nothing: it needs no images and makes nothing.

    The pipeline is the one of `--pipeline`, else the one that the configuration file describes.

    Raises:
        UsageError: neither names a pipeline.
        SandboxNotRunning: the sandbox does not run.
        NotOurs: the configuration is for another repository than the pipeline of its name.
    """
    from aphex_platform.settings import ImageSettings

    choice = choose(options.target, options.cluster, options.aws, options.name)
    subject = named_subject(options)
    unused = ImageSettings(builder="unused", deployer="unused")
    if choice.cluster == "sandbox":
        state = sandbox_target.running_sandbox(options.name, terminal, start=False)
        target = sandbox_target.sandbox_target(state, unused, subject)
    elif choice.eks is not None:
        from automation.eks_target import eks_target

        target = eks_target(choice, subject, check=False, images=unused)
    else:
        from automation.context_target import context_target

        stand_ins = sandbox_target.running_stand_ins(choice, terminal, start=False) if choice.aws == "sandbox" else None
        target = context_target(choice, subject, stand_ins, check=False, images=unused)
    if options.pipeline is None:
        check_owner(target.kubernetes, target.settings)
    return target


def _elsewhere(choice: TargetChoice, subject: Subject, terminal: Terminal, *, start: bool) -> Target:
    if choice.eks is not None:
        from automation.eks_target import eks_target

        return eks_target(choice, subject, check=True, images=None)
    from automation.context_target import context_target

    stand_ins = sandbox_target.running_stand_ins(choice, terminal, start=start) if choice.aws == "sandbox" else None
    return context_target(choice, subject, stand_ins, check=True, images=None)


def named_subject(options: TargetOptions) -> Subject:
    """Which pipeline the options name.

    Raises:
        UsageError: none.
    """
    from aphex.loader import load_config

    if options.pipeline:
        return Subject(pipeline=options.pipeline)
    if options.config == DEFAULT_CONFIG and not options.config.exists():
        raise UsageError(
            f"There is no {DEFAULT_CONFIG} here that says which pipeline is meant.",
            hint="Name it with --pipeline, or its configuration with --config.",
        )
    return subject_of(load_config(options.config), options.config)


def target_from_files(settings_file: Path, secrets_file: Path | None) -> Target:
    """The target of a pipeline that is deployed already, as its self-update pod sees it.

    Credentials for AWS come from the pod's own identity, those for Kubernetes from its service account.

    Raises:
        UsageError: a file is missing or is not what the platform program writes.
    """
    from aphex_platform.settings import PlatformSecrets, PlatformSettings

    if secrets_file is None:
        raise UsageError("--settings needs --secrets.", hint="Name the file with the pipeline's secrets too.")
    settings = _read(settings_file, PlatformSettings)
    return Target(
        settings=settings,
        secrets=_read(secrets_file, PlatformSecrets),
        aws=AwsAccess(region=settings.aws.region, endpoint=settings.aws.endpoint, s3_endpoint=settings.aws.s3_endpoint),
        kubernetes=KubernetesAccess(),
    )


def _read(path: Path, model: type[Model]) -> Model:
    try:
        return model.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        fields = ", ".join(".".join(str(part) for part in each["loc"]) or "the document" for each in error.errors())
        raise UsageError(f"{path} is not what the platform writes; wrong: {fields}.") from error
