"""A stack as the Automation API sees it: opened with its backend, its providers and its inline program."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aphex.errors import AphexError
from aphex.names import PULUMI_PROJECT, PipelineNames
from automation.changes import Complaint, EventLog, complaint_of, plain

if TYPE_CHECKING:
    from pulumi import automation as auto

    from aphex.config import PipelineConfig
    from automation.access import KubernetesAccess
    from automation.home import StackHome
    from automation.target import Target

PROJECT = PULUMI_PROJECT
_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"
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
        home: where it lives.
        stack: the Automation API's stack.
        pulumi: the Pulumi program that it uses.
        environment: what that program's environment has besides this process's own.
    """

    home: StackHome
    stack: auto.Stack
    pulumi: auto.PulumiCommand
    environment: dict[str, str]

    def salt(self, deployment: Mapping[str, Any]) -> str | None:
        """What secrets are encrypted with beside passphrase or key: the state's salt or data key, else the workspace's.

        The workspace forgets it when it closes, and whatever is encrypted in a plan can be read with it alone.
        """
        state = (deployment.get("secrets_providers") or {}).get("state") or {}
        found = state.get("salt") or state.get("encryptedkey")
        if found:
            return str(found)
        own = self.stack.workspace.stack_settings(self.stack.name)
        return own.encryption_salt or own.encrypted_key

    def use_salt(self, salt: str | None) -> None:
        """Encrypt and decrypt with this salt or data key from now on."""
        from pulumi.automation import StackSettings

        if salt is None:
            return
        if self.home.secrets_key is not None:
            settings = StackSettings(secrets_provider=self.home.secrets_key, encrypted_key=salt)
        else:
            settings = StackSettings(encryption_salt=salt)
        self.stack.workspace.save_stack_settings(self.stack.name, settings)

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
    program = _program(target, config) if config is not None else None
    with open_home(target.home, program, create=create) as opened:
        yield opened


@contextmanager
def open_home(home: StackHome, program: Callable[[], None] | None, *, create: bool = True) -> Iterator[OpenStack]:
    """Open the stack of a home; its providers are attached as long as the context lasts.

    Args:
        home: where the stack is.
        program: what declares its resources; None for operations that do not run it.
        create: whether a stack that does not exist yet is made.

    Raises:
        StackMissing: there is none and `create` is not set.
    """
    from pulumi import automation as auto

    # When an operation fails, the program's server complains at length that the engine is gone; the engine's own
    # events have said what failed.
    logging.getLogger("grpc._server").setLevel(logging.CRITICAL)
    with ExitStack() as resources:
        folder = resources.enter_context(tempfile.TemporaryDirectory(prefix="aphex-pulumi-"))
        environment = {**backend_environment(home), **_kubeconfig(home.kubernetes, Path(folder))}
        environment |= resources.enter_context(attached_providers(home))
        command = auto.PulumiCommand(root=pulumi_root())
        workspace = auto.LocalWorkspace(
            work_dir=folder,
            program=program,
            env_vars=environment,
            pulumi_command=command,
            secrets_provider=home.secrets_key,
            project_settings=auto.ProjectSettings(
                name=PROJECT, runtime="python", backend=auto.ProjectBackend(home.backend)
            ),
        )
        stack = _select(home, workspace, create=create)
        _choose_key(home, workspace)
        yield OpenStack(home=home, stack=stack, pulumi=command, environment=environment)


def _program(target: Target, config: PipelineConfig) -> Callable[[], None]:
    from aphex_platform.program import pipeline_program

    return pipeline_program(config, target.settings, target.secrets)


def stack_outputs(deployment: Mapping[str, Any]) -> dict[str, Any]:
    """The outputs in a state, without those that are secret. The format is that of `pulumi stack export`."""
    for each in deployment.get("resources") or []:
        if each.get("type") == "pulumi:pulumi:Stack":
            outputs = each.get("outputs") or {}
            return {name: value for name, value in outputs.items() if not _is_secret(value)}
    return {}


def _is_secret(value: Any) -> bool:
    """Whether a value is marked as Pulumi marks secrets (sdk/go/common/resource/properties.go, SecretSig)."""
    return isinstance(value, dict) and value.get(_SIGNATURE) == _SECRET


class StackMissing(AphexError):
    """There is no such pipeline or cluster at the target."""

    def __init__(self, home: StackHome) -> None:
        where = "at this target" if home.noun == "pipeline" else "in this account and region"
        made_by = f"python -m automation {'cluster ' * (home.noun == 'cluster')}up"
        super().__init__(f'There is no {home.noun} "{home.owner}" {where}.', hint=f"`{made_by}` makes it.")


def _select(home: StackHome, workspace: auto.LocalWorkspace, *, create: bool) -> auto.Stack:
    from pulumi import automation as auto

    try:
        if create:
            return auto.Stack.create_or_select(home.name, workspace)
        return auto.Stack.select(home.name, workspace)
    except auto.StackNotFoundError as error:
        raise StackMissing(home) from error
    except auto.CommandError as error:
        if not create and "NoSuchBucket" in str(error):  # the state's bucket goes with the sandbox's last pipeline
            raise StackMissing(home) from error
        raise failure("Opening the Pulumi state", error, EventLog()) from error


def _choose_key(home: StackHome, workspace: auto.LocalWorkspace) -> None:
    """Name the key that encrypts secrets: a stack that was only selected has no settings in this workspace."""
    from pulumi import automation as auto

    if home.secrets_key is None:
        return
    try:
        known = workspace.stack_settings(home.name).secrets_provider
    except FileNotFoundError:
        known = None
    if known is None:
        workspace.save_stack_settings(home.name, auto.StackSettings(secrets_provider=home.secrets_key))


def backend_environment(home: StackHome) -> dict[str, str]:
    """What the Pulumi program needs in its environment to reach its state and to decrypt it."""
    env = {**home.aws.environment(), "PULUMI_SKIP_UPDATE_CHECK": "true"}
    if home.passphrase is not None:
        env["PULUMI_CONFIG_PASSPHRASE"] = home.passphrase.get_secret_value()
    return env


def _kubeconfig(access: KubernetesAccess | None, folder: Path) -> dict[str, str]:
    """The variable by which an installed Kubernetes plugin finds the cluster.

    A file of its own with the context as the current one, because a context in the stack's configuration would become
    part of the state, and the pod of the self-update has none.
    """
    from ruamel.yaml import YAML

    if access is None or access.kubeconfig is None:
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
def attached_providers(home: StackHome) -> Iterator[dict[str, str]]:
    """Run the stand-in providers that this stack needs; the environment by which the engine finds them."""
    from sandbox.providers.server import AwsEndpoint, KubernetesTarget, attach

    aws = kubernetes = None
    if home.stand_ins:
        aws = AwsEndpoint(
            url=home.aws.endpoint,
            region=home.aws.region,
            s3_url=home.aws.s3_endpoint,
            static_keys=home.aws.static_keys,
        )
        if home.kubernetes is not None:
            kubernetes = KubernetesTarget(kubeconfig=home.kubernetes.kubeconfig, context=home.kubernetes.context)
    with attach(aws, kubernetes, eks=home.stand_ins and home.noun == "cluster") as environment:
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
