"""The shared cluster's stack: where it lives, and how it is brought up, compared, read and removed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aphex.errors import AphexError, UsageError
from aphex.names import ClusterNames
from automation import changes
from automation.access import AwsAccess
from automation.changes import ResourceChange
from automation.cluster_upgrade import Versions, plan_upgrades, refusals, versions_of, wanted_versions
from automation.data_loss import Consent, Loss, losses, protected_urns
from automation.guard import guard, look_ahead
from automation.home import StackHome
from automation.operation import operate
from automation.stack import StackMissing, open_home, stack_outputs
from automation.state_bucket import ensure_state_bucket, secure, stacks
from automation.state_key import ensure_state_key, secrets_provider
from automation.target import state_backend, state_bucket

if TYPE_CHECKING:
    from aphex.cluster_config import ClusterConfig
    from automation.cluster_upgrade import Upgrade
    from automation.console import Terminal

Program = Callable[[], None]


@dataclass(frozen=True, kw_only=True)
class ClusterResult:
    """What an `up` of a cluster did, or would do.

    Attributes:
        cluster: its name.
        changes: each resource that was, or would be, changed.
        outputs: of its stack; after a preview those from before.
        upgrades: versions that change.
        losses: changes by which data would be lost.
    """

    cluster: str
    changes: tuple[ResourceChange, ...]
    outputs: dict[str, Any]
    upgrades: tuple[Upgrade, ...] = ()
    losses: tuple[Loss, ...] = ()

    def document(self) -> dict[str, Any]:
        """The result as JSON has it."""
        return {
            "cluster": self.cluster,
            "changed": bool(self.changes),
            "changes": changes.as_json(self.changes),
            "upgrades": [each.document() for each in self.upgrades],
            "losses": [str(each) for each in self.losses],
            "outputs": self.outputs,
        }


def cluster_home(name: str, account: str, region: str, aws: AwsAccess | None = None) -> StackHome:
    """Where the stack of a cluster of an account and region lives. Makes nothing.

    Args:
        name: of the cluster.
        account: that holds it.
        region: likewise.
        aws: AWS as this process reaches it; by default the caller's own credentials.
    """
    return StackHome(
        name=ClusterNames(name).stack,
        noun="cluster",
        owner=name,
        options=f"--name {name} --region {region}",
        backend=state_backend(state_bucket(account, region), region, None),
        aws=aws or AwsAccess(region=region),
        secrets_key=secrets_provider(region),
    )


def home_of(config: ClusterConfig) -> StackHome:
    """Where the stack that a cluster's file describes lives.

    Raises:
        UsageError: the caller's credentials are for another account than the file's.
    """
    home = cluster_home(config.name, config.account, config.region)
    account = caller_account(home.aws)
    if account != config.account:
        raise UsageError(
            f"The cluster {config.name} belongs to account {config.account}, but your credentials are for {account}.",
            hint="Set AWS_PROFILE, or correct account in the cluster's file.",
        )
    return home


def caller_account(aws: AwsAccess) -> str:
    """The account of the caller's credentials.

    Raises:
        UsageError: there are none, or AWS does not know them.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return str(aws.client("sts").get_caller_identity()["Account"])
    except (BotoCoreError, ClientError) as error:
        raise UsageError(f"AWS does not know the caller: {error}", hint="Set credentials or AWS_PROFILE.") from error


def prepare_state(home: StackHome) -> None:
    """Make what holds the state, where it is not there: its bucket and its key.

    Raises:
        AphexError: AWS refuses.
    """
    if home.bucket is not None and not ensure_state_bucket(home.aws, home.bucket):
        secure(home.aws.client("s3"), home.bucket, home.aws.region)
    if home.secrets_key is not None:
        ensure_state_key(home.aws)


def bring_up_cluster(
    config: ClusterConfig,
    terminal: Terminal,
    *,
    consent: Consent = Consent.ASK,
    home: StackHome | None = None,
    program: Program | None = None,
) -> ClusterResult:
    """Create the cluster, or bring it to what its file says; again changes nothing.

    Args:
        config: the cluster's file.
        terminal: where progress is told.
        consent: whether data may be lost.
        home: where its stack lives; by default in the file's account, with the caller's credentials.
        program: what declares it; by default the cluster program.

    Raises:
        UpgradeRefused: the file asks for a version that cannot be reached from the one that runs.
        DataLossRefused: data would be lost, and that was not allowed.
        DeploymentError: the engine or a provider failed.
    """
    home = home or home_of(config)
    prepare_state(home)
    upgrades: list[Upgrade] = []

    def look(deployment: Mapping[str, Any]) -> None:
        upgrades[:] = _upgrades(config, deployment)
        for each in upgrades:
            for line in each.lines():
                terminal.say(line)
        guard(opened, deployment, terminal, consent)

    with open_home(home, program or _program(config)) as opened:
        log, done = operate(
            opened,
            terminal,
            f"Deploying {home.title}",
            lambda on_event: opened.stack.up(on_event=on_event, suppress_progress=True, color="never"),
            first=look,
        )
    finished = [step for step in log.steps if step.outcome == "done"]
    return ClusterResult(
        cluster=config.name,
        changes=tuple(changes.planned(finished)),
        outputs={name: output.value for name, output in done.outputs.items() if not output.secret},
        upgrades=tuple(upgrades),
    )


def preview_cluster(
    config: ClusterConfig, terminal: Terminal, *, home: StackHome | None = None, program: Program | None = None
) -> ClusterResult:
    """What an `up` would change, and what an upgrade means.

    Raises:
        UpgradeRefused: the file asks for a version that cannot be reached from the one that runs.
        DeploymentError: the program or a provider failed.
    """
    home = home or home_of(config)
    prepare_state(home)
    with open_home(home, program or _program(config)) as opened:
        before = dict(opened.stack.export_stack().deployment or {})
        upgrades = _upgrades(config, before)
        with terminal.step("Comparing the cluster with its file"):
            found = tuple(look_ahead(opened))
    return ClusterResult(
        cluster=config.name,
        changes=found,
        outputs=stack_outputs(before),
        upgrades=tuple(upgrades),
        losses=tuple(losses(found, protected_urns(before))),
    )


def _program(config: ClusterConfig) -> Program:
    from aphex_platform.cluster_program import cluster_program

    return cluster_program(config)


def _upgrades(config: ClusterConfig, deployment: Mapping[str, Any]) -> list[Upgrade]:
    """The versions that change.

    Raises:
        UpgradeRefused: one of them cannot be reached.
    """
    running = versions_of(stack_outputs(deployment))
    if running is None:
        return []
    wanted: Versions = wanted_versions(config)
    refused = refusals(running, wanted)
    if refused is not None:
        raise refused
    return plan_upgrades(running, wanted, config)


def cluster_outputs(home: StackHome) -> dict[str, Any]:
    """The outputs of a cluster's stack.

    Raises:
        StackMissing: there is no such cluster.
    """
    if home.bucket is not None and not _has_stack(home):
        raise StackMissing(home)
    with open_home(home, None, create=False) as opened:
        outputs = stack_outputs(opened.stack.export_stack().deployment or {})
    if "cluster_name" not in outputs:
        raise AphexError(
            f"{home.title[0].upper()}{home.title[1:]} is not complete: it was never brought up to its end.",
            hint=f"Bring it up: {home.command('up')}",
        )
    return outputs


def _has_stack(home: StackHome) -> bool:
    return home.name in known_stacks(home.aws, home.bucket)


def known_stacks(aws: AwsAccess, bucket: str | None) -> list[str]:
    """The stacks of a state bucket; none when there is no bucket.

    Raises:
        AphexError: the bucket cannot be read.
    """
    from botocore.exceptions import ClientError

    try:
        return stacks(aws, bucket) if bucket else []
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchBucket":
            return []
        raise AphexError(f"The state bucket {bucket} cannot be read: {error}") from error


def cluster_names(aws: AwsAccess, account: str) -> list[str]:
    """The clusters whose state is in the account and region."""
    prefix = ClusterNames("").stack
    found = known_stacks(aws, state_bucket(account, aws.region))
    return sorted(name.removeprefix(prefix) for name in found if name.startswith(prefix))
