"""The pipeline stack as the Automation API sees it: opened with its backend, its providers and its inline program."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aphex.errors import AphexError
from aphex.names import PULUMI_PROJECT, PipelineNames
from automation.changes import Complaint, EventLog, complaint_of, plain

if TYPE_CHECKING:
    from pulumi import automation as auto

    from aphex.config import PipelineConfig
    from automation.target import Target

PROJECT = PULUMI_PROJECT
_HINTS = (
    (
        ("accessdenied", "access denied", "not authorized", "unauthorizedoperation", "forbidden"),
        "The caller may not do that. A self-update has fewer rights than the person who set the pipeline up: when the "
        "change needs more, run it with their rights: python -m automation up",
    ),
    (
        ("could not connect", "connection refused", "timed out", "timeout", "no such host", "endpoint url"),
        "AWS or Kubernetes could not be reached. What was done is kept; the same command goes on from there.",
    ),
    (
        ("incorrect passphrase", "passphrase"),
        "The state is encrypted with another passphrase than this target's secrets have.",
    ),
)


class DeploymentError(AphexError):
    """The engine or a provider could not do what was asked; the message has every complaint.

    Attributes:
        complaints: what was said, and of which resource.
    """

    def __init__(self, message: str, *, hint: str = "", complaints: Sequence[Complaint] = ()) -> None:
        super().__init__(message, hint=hint)
        self.complaints = tuple(complaints)


@dataclass(frozen=True, kw_only=True)
class OpenStack:
    """A stack that is ready for operations.

    Attributes:
        stack: the Automation API's stack.
        pulumi: the Pulumi program that it uses.
        environment: what that program's environment has besides this process's own.
    """

    stack: auto.Stack
    pulumi: auto.PulumiCommand
    environment: dict[str, str]

    def salt(self) -> str | None:
        """The salt by which the passphrase encrypts: the state's, or before there is one that of the workspace.

        The workspace forgets it when it closes, and whatever is encrypted in a plan can be read with it alone.
        """
        providers = (self.stack.export_stack().deployment or {}).get("secrets_providers") or {}
        found = (providers.get("state") or {}).get("salt")
        return found or self.stack.workspace.stack_settings(self.stack.name).encryption_salt

    def use_salt(self, salt: str | None) -> None:
        """Encrypt and decrypt with this salt from now on."""
        from pulumi.automation import StackSettings

        if salt is not None:
            self.stack.workspace.save_stack_settings(self.stack.name, StackSettings(encryption_salt=salt))

    def command(self, *arguments: str) -> str:
        """Run a Pulumi command that the Automation API has no method for; its standard output.

        Raises:
            DeploymentError: it failed.
        """
        from pulumi.automation import CommandError

        words = [*arguments, "--stack", self.stack.name]
        try:
            return self.pulumi.run(words, self.stack.workspace.work_dir, self.environment).stdout
        except CommandError as error:
            raise failure(f"pulumi {arguments[0]}", error, EventLog()) from error


def stack_name(pipeline: str) -> str:
    """The stack of a pipeline; the prefix keeps it apart from the cluster's stack."""
    return PipelineNames(pipeline).stack


@contextmanager
def open_stack(target: Target, config: PipelineConfig | None, *, create: bool = True) -> Iterator[OpenStack]:
    """Open a pipeline's stack; its providers are attached as long as the context lasts.

    Args:
        target: where the pipeline is.
        config: what it is made from; None for operations that do not run the program.
        create: whether a stack that does not exist yet is made.

    Raises:
        StackMissing: there is none and `create` is not set.
    """
    from pulumi import automation as auto

    program = _program(target, config) if config is not None else None
    # When an operation fails, the program's server complains at length that the engine is gone; the engine's own
    # events have said what failed.
    logging.getLogger("grpc._server").setLevel(logging.CRITICAL)
    with ExitStack() as resources:
        folder = resources.enter_context(tempfile.TemporaryDirectory(prefix="aphex-pulumi-"))
        environment = {**backend_environment(target), **_kubeconfig(target, Path(folder))}
        environment |= resources.enter_context(attached_providers(target))
        command = auto.PulumiCommand(root=pulumi_root())
        options = auto.LocalWorkspaceOptions(
            work_dir=folder,
            program=program,
            env_vars=environment,
            pulumi_command=command,
            project_settings=auto.ProjectSettings(
                name=PROJECT, runtime="python", backend=auto.ProjectBackend(target.settings.state_backend)
            ),
        )
        name = stack_name(target.settings.pipeline)
        stack = _select(name, options, create=create)
        yield OpenStack(stack=stack, pulumi=command, environment=environment)


def _program(target: Target, config: PipelineConfig) -> Callable[[], None]:
    from aphex_platform.program import pipeline_program

    return pipeline_program(config, target.settings, target.secrets)


class StackMissing(AphexError):
    """There is no such pipeline at the target."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f'There is no pipeline "{name.removeprefix(stack_name(""))}" at this target.',
            hint="`python -m automation up` makes it.",
        )


def _select(name: str, options: auto.LocalWorkspaceOptions, *, create: bool) -> auto.Stack:
    from pulumi import automation as auto

    workspace = auto.LocalWorkspace(
        work_dir=options.work_dir,
        program=options.program,
        env_vars=options.env_vars,
        pulumi_command=options.pulumi_command,
        project_settings=options.project_settings,
    )
    try:
        return auto.Stack.create_or_select(name, workspace) if create else auto.Stack.select(name, workspace)
    except auto.StackNotFoundError as error:
        raise StackMissing(name) from error
    except auto.CommandError as error:
        if not create and "NoSuchBucket" in str(error):  # the state's bucket goes with the sandbox's last pipeline
            raise StackMissing(name) from error
        raise failure("Opening the Pulumi state", error, EventLog()) from error


def backend_environment(target: Target) -> dict[str, str]:
    """What the Pulumi program needs in its environment to reach its state and to decrypt it."""
    env = {**target.aws.environment(), "PULUMI_SKIP_UPDATE_CHECK": "true"}
    if target.secrets.passphrase is not None:
        env["PULUMI_CONFIG_PASSPHRASE"] = target.secrets.passphrase.get_secret_value()
    return env


def _kubeconfig(target: Target, folder: Path) -> dict[str, str]:
    """The variable by which an installed Kubernetes plugin finds the cluster.

    A file of its own with the context as the current one, because a context in the stack's configuration would become
    part of the state, and the pod of the self-update has none.
    """
    from ruamel.yaml import YAML

    access = target.kubernetes
    if access.kubeconfig is None:
        return {}
    yaml = YAML(typ="safe")
    document = yaml.load(access.kubeconfig)
    if access.context:
        document["current-context"] = access.context
    copy = folder / "kubeconfig"
    copy.touch(mode=0o600)
    yaml.dump(document, copy)
    return {"KUBECONFIG": str(copy)}


def pulumi_root() -> str | None:
    """The folder whose `bin` has the Pulumi program: the toolchain's; None in an image that has it on its PATH."""
    import shutil

    if shutil.which("pulumi"):
        return None
    from sandbox import toolchain

    return str(Path(toolchain.ensure("pulumi", progress=None).path("pulumi")).parent.parent)


@contextmanager
def attached_providers(target: Target) -> Iterator[dict[str, str]]:
    """Run the stand-in providers that this target needs; the environment by which the engine finds them."""
    from sandbox.providers.server import AwsEndpoint, KubernetesTarget, attach

    aws = kubernetes = None
    if target.settings.aws.kind == "sandbox":
        aws = AwsEndpoint(
            url=target.aws.endpoint,
            region=target.aws.region,
            s3_url=target.aws.s3_endpoint,
            static_keys=target.aws.static_keys,
        )
        kubernetes = KubernetesTarget(kubeconfig=target.kubernetes.kubeconfig, context=target.kubernetes.context)
    with attach(aws, kubernetes) as environment:
        yield dict(environment)


def failure(what: str, error: Exception, log: EventLog) -> DeploymentError:
    """The error of a failed engine operation: each resource that failed with what its provider said of it."""
    complaints = log.complaints or [complaint_of("\n".join(_complaints(str(error))))]
    lines = [f"  {line}" for each in complaints for line in str(each).splitlines()]
    return DeploymentError("\n".join([f"{what} failed.", *lines]), hint=_hint("\n".join(lines)), complaints=complaints)


def _hint(text: str) -> str:
    """What to do about a failure, where its words tell what kind it is."""
    lowered = text.lower()
    return next((hint for words, hint in _HINTS if any(word in lowered for word in words)), "")


def _complaints(text: str) -> list[str]:
    """The lines of a Pulumi program's output that say what was wrong; all of it when none is marked."""
    lines = [plain(line) for line in text.splitlines() if line.strip()]
    marked = [line for line in lines if line.lstrip().startswith(("error:", "error "))]
    return marked or lines[-20:]
