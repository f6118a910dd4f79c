"""Starting, stopping and looking at the services beside a cluster."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from aphex.errors import AphexError, UsageError
from sandbox.aws import HEALTH_PATH as AWS_HEALTH_PATH
from sandbox.git_host.server import HEALTH_PATH as GIT_HEALTH_PATH
from sandbox.node.layout import Layout
from sandbox.node.lock import locked
from sandbox.node.plan import Probe, ProbeKind
from sandbox.node.probes import answers
from sandbox.services import alive
from sandbox.services.address import check_address, default_address, free_ports, is_free
from sandbox.services.layout import lock_file, log_file, state_file
from sandbox.state import (
    ComponentState,
    ComponentStatus,
    Phase,
    Report,
    SandboxNotRunning,
    SandboxSecrets,
    SandboxStatus,
    ServicesState,
    read_model,
    sandboxes_directory,
    state_directory,
)

NATS_USERNAME = "APHEX_NATS_USERNAME"
NATS_PASSWORD = "APHEX_NATS_PASSWORD"
_START_SECONDS = 60.0
_POLL_SECONDS = 0.1
_SOURCES = Path(__file__).resolve().parents[2]


def exists(name: str) -> bool:
    """Whether the sandbox of that name is services alone, running or not."""
    return state_file(state_directory(name)).exists()


def start(
    name: str, context: str, report: Report, *, address: str | None = None, nats_url: str | None = None
) -> ServicesState:
    """Start the services for a cluster, or do nothing but look when they run as wanted.

    Args:
        name: of the sandbox.
        context: the kubeconfig's context whose cluster they are for; it is not changed.
        report: told what is waited for.
        address: of this machine, which the cluster's pods can reach; None takes that of an earlier start, else the
            default route's.
        nats_url: an existing NATS for the EventBus, whose user and password are in the environment or kept from an
            earlier start; None takes that of an earlier start, else leaves the EventBus to the cluster.

    Raises:
        UsageError: an argument cannot be, or a whole sandbox has that name.
        AphexError: the services did not become ready.
    """
    from sandbox.providers.kubernetes.connection import connect

    connect(context=context or None)
    directory = state_directory(name)
    if Layout(directory).network.exists():
        raise UsageError(f'"{name}" is a whole sandbox with a cluster of its own.', hint="Choose another --name.")
    if address is not None:
        check_address(address)
    with locked(_command_lock(name), report):
        for folder in (directory, Layout(directory).logs):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _keep_secrets(directory, nats_url, os.environ)
        saved = read_model(state_file(directory), ServicesState) if exists(name) else None
        nats_url = nats_url or (saved.nats_url if saved else None)
        return _run(_wanted(directory, saved, context, address, nats_url), saved, report)


def resume(name: str, report: Report) -> ServicesState:
    """Start services again as they were, or do nothing but look when they run.

    Raises:
        AphexError: there are none of that name, or they did not become ready.
    """
    with locked(_command_lock(name), report):
        saved = read_model(state_file(state_directory(name)), ServicesState)
        wanted = _wanted(saved.directory, saved, saved.context, None, saved.nats_url)
        return _run(wanted, saved, report)


def stop(name: str, report: Report, *, remove: bool = False) -> None:
    """End the process that serves; with `remove` what it has stored goes too.

    Raises:
        AphexError: it does not end.
    """
    directory = state_directory(name)
    with locked(_command_lock(name), report):
        alive.end(lock_file(directory))
        if remove:
            shutil.rmtree(directory)
    if remove:
        _command_lock(name).unlink(missing_ok=True)


def status(name: str) -> SandboxStatus:
    """Whether the services run, and how they are."""
    directory = state_directory(name)
    if alive.holder(lock_file(directory)) is None:
        return SandboxStatus(name=name, running=False)
    state = read_model(state_file(directory), ServicesState)
    since = lock_file(directory).stat().st_mtime
    components = tuple(
        ComponentStatus(
            name=component,
            state=ComponentState.ready if answers(probe) else ComponentState.starting,
            since=since,
            started=since,
        )
        for component, probe in _probes(state).items()
    )
    return SandboxStatus(name=name, running=True, components=components)


def load(name: str) -> ServicesState:
    """The state of services that run.

    Raises:
        SandboxNotRunning: they do not.
    """
    directory = state_directory(name)
    if not exists(name):
        raise SandboxNotRunning(name)
    state = read_model(state_file(directory), ServicesState)
    if alive.holder(lock_file(directory)) is None:
        raise SandboxNotRunning(name, state.context)
    return state


def _run(wanted: ServicesState, saved: ServicesState | None, report: Report) -> ServicesState:
    if wanted == saved and status(wanted.name).ready:
        return wanted
    alive.end(lock_file(wanted.directory))
    wanted.save(state_file(wanted.directory))
    started = time.monotonic()
    report("the AWS stand-in and the git host", Phase.waiting, 0.0)
    pid = _launch(wanted.directory)
    while not status(wanted.name).ready:
        if os.waitpid(pid, os.WNOHANG)[0] or time.monotonic() - started > _START_SECONDS:
            alive.end(lock_file(wanted.directory))
            raise AphexError(
                f"The AWS stand-in and the git host did not start on {wanted.address}.",
                hint=f"Read {log_file(wanted.directory)}.",
            )
        time.sleep(_POLL_SECONDS)
    report("the AWS stand-in and the git host", Phase.ready, time.monotonic() - started)
    return wanted


def _wanted(
    directory: Path, saved: ServicesState | None, context: str, address: str | None, nats_url: str | None
) -> ServicesState:
    """What is to run: where it ran before as far as that is still possible, because clusters know the address."""
    running = alive.holder(lock_file(directory)) is not None
    if address is None:
        address = saved.address if saved and is_free(saved.address, 0) else default_address()
    ports = free_ports(address, 2)
    if saved and saved.address == address:
        before = (saved.aws_port, saved.git_port)
        ports = [old if running or is_free(address, old) else new for old, new in zip(before, ports, strict=True)]
    aws, git = (f"http://{address}:{port}" for port in ports)
    return ServicesState(
        name=directory.name,
        directory=directory,
        aws_endpoint=aws,
        aws_endpoint_in_pods=aws,
        aws_s3_endpoint_in_pods=aws,
        git_url=git,
        nats_url=nats_url,
        address=address,
        aws_port=ports[0],
        git_port=ports[1],
        context=context,
    )


def _keep_secrets(directory: Path, nats_url: str | None, environment: Mapping[str, str]) -> None:
    """Make the secrets at the first start, and keep those of an existing NATS when they are given."""
    path = Layout(directory).secrets
    secrets = read_model(path, SandboxSecrets) if path.exists() else SandboxSecrets.generate()
    username, password = environment.get(NATS_USERNAME), environment.get(NATS_PASSWORD)
    if nats_url and username and password:
        secrets = secrets.model_copy(update={"nats_username": username, "nats_password": password})
    elif nats_url and not (exists(directory.name) and read_model(state_file(directory), ServicesState).nats_url):
        raise UsageError(
            f"{nats_url} needs a user and a password.",
            hint=f"Set {NATS_USERNAME} and {NATS_PASSWORD} for this command.",
        )
    if not path.exists() or read_model(path, SandboxSecrets) != secrets:
        secrets.save(path)


def _launch(directory: Path) -> int:
    """Start the process that serves, apart from this one's terminal; its id."""
    command = [sys.executable, "-P", "-m", "sandbox.services.server", str(directory)]
    passed = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
    environment = {**passed, "PYTHONPATH": str(_SOURCES), "PYTHONUNBUFFERED": "1"}
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    return os.posix_spawn(
        command[0],
        command,
        environment,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log_file(directory)), append, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )


def _probes(state: ServicesState) -> dict[str, Probe]:
    return {
        "aws": Probe(kind=ProbeKind.http, target=state.aws_endpoint + AWS_HEALTH_PATH),
        "git": Probe(kind=ProbeKind.http, target=state.git_url + GIT_HEALTH_PATH),
    }


def _command_lock(name: str) -> Path:
    return sandboxes_directory() / f"{name}.lock"
