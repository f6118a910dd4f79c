"""What the commands on a cluster do between their options and their output."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aphex.errors import UsageError

if TYPE_CHECKING:
    from aphex.cluster_config import ClusterConfig
    from automation.cluster import ClusterResult
    from automation.console import Terminal
    from automation.home import StackHome


def run_up(file: Path, terminal: Terminal, *, yes: bool, allow_data_loss: bool) -> ClusterResult:
    """Create or update the cluster and tell what came of it."""
    from automation.changes import sentence
    from automation.cluster import bring_up_cluster, home_of
    from automation.commands import outputs_table
    from automation.data_loss import Consent

    config = _config(file)
    require_aws_cli()
    home = home_of(config)
    if not yes:
        _agree(config, home, terminal)
    consent = Consent.GIVEN if allow_data_loss else Consent.ASK
    result = bring_up_cluster(config, terminal, consent=consent, home=home)
    terminal.show(sentence(result.changes))
    terminal.show(outputs_table({name: value for name, value in result.outputs.items() if name != "kubeconfig"}))
    for line in next_steps(config):
        terminal.show(line)
    terminal.result(result.document())
    return result


def require_aws_cli() -> None:
    """Make sure that what makes a cluster is here: it would be missed only after the network was made.

    Raises:
        UsageError: it is not.
    """
    from automation import doctor

    found = doctor.aws_cli()
    if found.verdict == "fail":
        raise UsageError(f"The {found.check} is {found.found}; a cluster cannot be made without it.", hint=found.fix)


def next_steps(config: ClusterConfig) -> list[str]:
    """What a person does after the cluster is there."""
    kubeconfig = f"python -m automation cluster kubeconfig --name {config.name} --region {config.region}"
    return [
        "",
        f"Reach it with kubectl:  {kubeconfig}",
        f"Deploy a pipeline:      python -m automation up --cluster eks:{config.name}",
    ]


def _agree(config: ClusterConfig, home: StackHome, terminal: Terminal) -> None:
    from automation.cluster import preview_cluster
    from automation.destroy import ask

    found = preview_cluster(config, terminal, home=home)
    if found.changes:
        _show(found, terminal, terminal.err.print)
        ask(terminal, f"Deploy this to the account {config.account}?")


def _show(found: ClusterResult, terminal: Terminal, show: Any) -> None:
    from automation.data_loss import FLAG
    from automation.preview import changes_table

    if found.changes:
        show(changes_table(found.changes))
    for upgrade in found.upgrades:
        for line in upgrade.lines():
            terminal.say(line)
    for loss in found.losses:
        terminal.say(f" ! {loss}", style="bold red")
    if found.losses:
        terminal.say(f"`cluster up` asks before it does that; {FLAG} allows it.")


def run_preview(file: Path, terminal: Terminal, *, expect_none: bool) -> int:
    """Show what an `up` would change; the exit status."""
    from automation.changes import sentence
    from automation.cluster import preview_cluster
    from automation.commands import CHANGES_PENDING

    found = preview_cluster(_config(file), terminal)
    _show(found, terminal, terminal.show)
    terminal.show(sentence(found.changes, would=True))
    terminal.result(found.document())
    return CHANGES_PENDING if expect_none and found.changes else 0


def run_destroy(
    file: Path, name: str | None, region: str | None, terminal: Terminal, *, yes: bool, allow_data_loss: bool
) -> None:
    """Remove the cluster and tell what went and what stayed."""
    from automation.cluster_removal import destroy_cluster

    home = _home(file, name, region)
    plan = destroy_cluster(home, terminal, delete_data=allow_data_loss, confirmed=yes)
    terminal.show(f"The cluster {home.owner} is removed." + (" Its data is kept." * bool(plan.kept)))
    terminal.result({"cluster": home.owner, **plan.document()})


def run_status(file: Path, name: str | None, region: str | None, terminal: Terminal) -> int:
    """Show the cluster; the exit status is 0 when all of it is ready."""
    from automation.cluster import cluster_outputs
    from automation.cluster_status import read_status, status_table

    home = _home(file, name, region)
    status = read_status(home, cluster_outputs(home))
    terminal.show(status_table(status))
    terminal.result(status.document())
    return 0 if status.ready else 1


def run_kubeconfig(
    file: Path, name: str | None, region: str | None, terminal: Terminal, *, output: Path | None, switch: bool
) -> None:
    """Add the cluster to a kubeconfig and say how to use it."""
    from automation.access import default_kubeconfig
    from automation.cluster import cluster_outputs
    from automation.eks_access import kubeconfig, write_kubeconfig
    from automation.eks_target import given_kubeconfig

    home = _home(file, name, region)
    outputs = cluster_outputs(home)
    context = str(outputs["cluster_name"])
    path = output or default_kubeconfig()
    made = kubeconfig(given_kubeconfig(outputs), context, str(outputs["region"]), context)
    current = write_kubeconfig(path, made, switch=switch)
    terminal.show(f"{path} has the context {context}. Try it: kubectl --context {context} get nodes")
    terminal.result({"kubeconfig": str(path), "context": context, "current": current == context})


def run_unlock(file: Path, name: str | None, region: str | None, terminal: Terminal, *, yes: bool) -> None:
    """Remove every lock on the cluster, after showing whose they are."""
    from automation.commands import unlock_home

    unlock_home(_home(file, name, region), terminal, yes=yes)


def _config(file: Path) -> ClusterConfig:
    from aphex.loader import load_cluster_config

    return load_cluster_config(file)


def _home(file: Path, name: str | None, region: str | None) -> StackHome:
    """Where the cluster that the options mean lives.

    Raises:
        UsageError: they name none.
    """
    from automation.cluster import home_of
    from automation.eks_target import named_home

    if name is None and file.exists():
        config = _config(file)
        if region not in (None, config.region):
            raise UsageError(f"{file} says {config.region}, but --region says {region}.", hint="Leave one of them out.")
        return home_of(config)
    return named_home(name or "", region)


def pipelines_on(stacks: Sequence[str]) -> list[str]:
    """The pipelines among the stacks of a state bucket."""
    from aphex.names import PipelineNames

    prefix = PipelineNames("").stack
    return sorted(name.removeprefix(prefix) for name in stacks if name.startswith(prefix))
