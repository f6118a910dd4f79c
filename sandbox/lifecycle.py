"""Starting, stopping and looking at a sandbox: what everything else calls."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from aphex.errors import AphexError, UsageError
from sandbox import argo, images, prefetch, services, toolchain
from sandbox.node import cgroups, cluster, host, prepare, trust
from sandbox.node.layout import Layout
from sandbox.node.lock import NETWORK_LOCK, locked
from sandbox.node.network import Network, attach, choose_block, detach, device_names, used_networks
from sandbox.state import (
    DEFAULT_NAME,
    Phase,
    Report,
    SandboxNotRunning,
    SandboxState,
    SandboxStatus,
    StandIns,
    read_model,
    sandboxes_directory,
    state_directory,
    write_private,
)

_FOLLOW_SECONDS = 0.3


def start(name: str, report: Report) -> SandboxState:
    """Bring a sandbox up, or do nothing but look when it is up already.

    After a crash or a reboot its leftovers are removed and it goes on with what etcd, containerd and the AWS stand-in
    kept. So it does when it runs other code, or with other settings, than it would be started with now.

    Args:
        name: of the sandbox.
        report: told what is waited for.

    Raises:
        CannotRunHere: this machine lacks what a node needs.
        UsageError: the name is taken by services beside another cluster.
        AphexError: something did not become ready in time.
    """
    host.check_platform()
    layout = Layout(state_directory(name))
    if services.exists(name):
        raise UsageError(
            f'"{name}" is services beside the cluster of another context.',
            hint=f"Choose another --name, or start those: sandbox start --beside context:NAME --name {name}",
        )

    def say(text: str) -> None:
        report(text, Phase.waiting, 0.0)

    with locked(_lock_file(name), report):
        layout.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        tools = toolchain.ensure(progress=say)
        trust.share(layout)
        if not _is_up(layout, tools):
            toolchain.host_packages(say)
            if host.running(layout) is not None:
                say("the node: it is not as it is to be now, so it is started anew")
            _start_node(layout, tools, report)
        state = read_model(layout.state, SandboxState)
        references = images.ensure(state, tools, say)
        prefetch.start(state, references)
        argo.ensure(state, tools.manifests, references, report)
        return state


def stop(name: str, report: Report, *, remove: bool = False) -> None:
    """Stop a sandbox and remove everything of it from the system but its state folder.

    Args:
        name: of the sandbox; one that does not run is cleaned up after.
        report: told what is waited for.
        remove: whether the state folder goes too.

    Raises:
        AphexError: something of it could not be removed.
    """
    layout = Layout(state_directory(name))
    if not layout.directory.is_dir():
        return
    if services.exists(name):
        services.stop(name, report, remove=remove)
        return
    with locked(_lock_file(name), report):
        started = time.monotonic()
        report("stop", Phase.waiting, 0.0)
        _remove_node(layout)
        if remove:
            shutil.rmtree(layout.directory)
        report("stop", Phase.ready, time.monotonic() - started)
    if remove:
        _lock_file(name).unlink(missing_ok=True)


def status(name: str) -> SandboxStatus:
    """Whether a sandbox runs, and how its components are."""
    layout = Layout(state_directory(name))
    if services.exists(name):
        return services.status(name)
    if host.running(layout) is None:
        return SandboxStatus(name=name, running=False)
    if not layout.status.exists():
        return SandboxStatus(name=name, running=True)
    return read_model(layout.status, SandboxStatus)


def load(name: str = DEFAULT_NAME) -> SandboxState:
    """The state of a sandbox that runs.

    Raises:
        SandboxNotRunning: it does not.
    """
    layout = Layout(state_directory(name))
    if host.running(layout) is None or not layout.state.exists():
        raise SandboxNotRunning(name)
    return read_model(layout.state, SandboxState)


def stand_ins(name: str = DEFAULT_NAME) -> StandIns:
    """The AWS stand-in and the git host of that name, whether a whole sandbox or services beside a cluster.

    Raises:
        SandboxNotRunning: they do not run.
    """
    return services.load(name) if services.exists(name) else load(name)


def logs(name: str, component: str, follow: bool = False) -> Iterator[str]:
    """The lines of a component's log; `events` is what the supervisor did.

    Args:
        name: of the sandbox.
        component: whose log.
        follow: whether to go on as lines are written, until the caller stops.

    Raises:
        AphexError: there is no such log; names those that there are.
    """
    folder = Layout(state_directory(name)).logs
    path = folder / f"{component}.log"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in folder.glob("*.log"))) or "none"
        raise AphexError(f'The sandbox "{name}" has no log of "{component}".', hint=f"There are: {known}.")
    with path.open(errors="replace") as file:
        while True:
            if line := file.readline():
                yield line.rstrip("\n")
            elif follow:
                time.sleep(_FOLLOW_SECONDS)
            else:
                return


def _is_up(layout: Layout, tools: toolchain.Toolchain) -> bool:
    """Whether the node runs, as it would be started now, and is ready."""
    process = host.running(layout)
    if process is None or not layout.state.exists():
        return False
    network = read_model(layout.network, Network)
    state = prepare.describe(layout, network, process.pid)
    if layout.state.read_text() != state.text() or not _preparation(layout, network, tools).is_in_place():
        return False
    return status(layout.directory.name).ready


def _preparation(layout: Layout, network: Network, tools: toolchain.Toolchain) -> prepare.Preparation:
    containerd = toolchain.program("containerd")
    if containerd is None:
        raise AphexError("containerd is not installed.", hint="Install the package containerd.")
    secrets = prepare.ensure_secrets(layout)
    return prepare.prepare(layout, network, secrets, tools, _registry(), containerd)


def _registry() -> Path:
    return toolchain.cache_root() / "registry"


def _start_node(layout: Layout, tools: toolchain.Toolchain, report: Report) -> None:
    _remove_node(layout)
    with locked(NETWORK_LOCK, report):
        network = _network(layout)
        prepare.make_folders(layout, _registry())
        prepare.issue_certificates(layout, network)
        preparation = _preparation(layout, network, tools)
        preparation.put_in_place()
        cgroups.prepare(cgroups.root(layout.directory))
        process = host.launch(layout)
        cgroups.join(cgroups.root(layout.directory), process.pid)
        attach(network, process.pid)
    state = prepare.describe(layout, network, process.pid)
    names = [component.name for component in preparation.plan.components]
    cluster.wait_for_node(layout, state, names, preparation.plan.hostname, report)
    state.save(layout.state)


def _remove_node(layout: Layout) -> None:
    layout.state.unlink(missing_ok=True)
    host.end(layout)
    layout.status.unlink(missing_ok=True)
    if layout.network.exists():
        detach(read_model(layout.network, Network))
    cgroups.remove(cgroups.root(layout.directory))


def _network(layout: Layout) -> Network:
    """The addresses the sandbox had before, or free ones at its first start."""
    host_device, node_device = device_names(layout.directory)
    used = used_networks(own_device=host_device)
    if layout.network.exists():
        network = read_model(layout.network, Network)
        if taken := [str(other) for other in used if other.overlaps(network.block)]:
            raise AphexError(
                f"The sandbox's addresses {network.block} are used by something else now: {', '.join(taken)}.",
                hint="Give it new ones, and a new cluster with them: "
                f"python -m automation sandbox stop --remove --name {layout.directory.name}, then start it.",
            )
        return network
    others = [read_model(path, Network).block for path in sandboxes_directory().glob("*/network.json")]
    network = Network(block=choose_block([*used, *others]), host_device=host_device, node_device=node_device)
    write_private(layout.network, network.model_dump_json() + "\n")
    return network


def _lock_file(name: str) -> Path:
    return sandboxes_directory() / f"{name}.lock"
