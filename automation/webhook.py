"""Connects the git host with the pipeline: where GitHub, or the sandbox's git host, sends its events."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aphex.errors import AphexError

if TYPE_CHECKING:
    from automation.console import Terminal
    from automation.target import Target

READY_SECONDS = 180.0
_POLL_SECONDS = 0.5


class EventsNotReady(AphexError):
    """The pods that receive events did not become ready in time."""


def register_webhook(target: Target, terminal: Terminal) -> str | None:
    """Wait until events can be received, and tell the sandbox's git host where to send them.

    Returns:
        The address that was registered; None when the git host is not the sandbox's, so that a person has to.

    Raises:
        EventsNotReady: the EventSource or a Sensor did not become ready in time.
    """
    if target.sandbox is None or target.kubernetes.in_cluster:
        return None
    from sandbox import git_host

    through, address = _through_api(target), webhook_address(target, terminal)
    repository = git_host.create_repository(target.sandbox, target.settings.repository_full_name)
    repository.set_webhook(address, target.kubernetes.kubeconfig if through else None, target.kubernetes.context)
    return address


def webhook_address(target: Target, terminal: Terminal, *, patience: float = READY_SECONDS) -> str:
    """Where the sandbox's git host sends events, once they can be received.

    Args:
        target: where the pipeline is.
        terminal: where it is told that this is waited for.
        patience: seconds to wait at most.

    Raises:
        EventsNotReady: the EventSource or a Sensor did not become ready in time.
    """
    with terminal.patience("Waiting until events can be received"):
        return service_address(target, through_api=_through_api(target), patience=patience)


def _through_api(target: Target) -> bool:
    """Whether events go through the API server: from this machine only the sandbox's own services can be reached."""
    return getattr(target.sandbox, "kubeconfig", None) != target.kubernetes.kubeconfig


def service_address(target: Target, *, through_api: bool = False, patience: float = READY_SECONDS) -> str:
    """The webhook's address for programs outside the cluster, once its pods are ready.

    It is that of the service, or with `through_api` the API server's proxy of it, which needs its credentials.
    """
    from lightkube.core.exceptions import ApiError
    from lightkube.resources.apps_v1 import Deployment
    from lightkube.resources.core_v1 import Service

    url = urlsplit(target.settings.service_url)
    name = str(url.hostname).split(".", 1)[0]
    deadline = time.monotonic() + patience
    waiting = "the EventSource's service"
    with target.kubernetes.client(target.settings.namespace) as api:
        while True:
            try:
                service: Any = api.get(Service, name)
                deployments: list[Any] = list(api.list(Deployment))
            except ApiError as error:
                if error.status.code != 404:
                    raise
            else:
                unready = [str(each.metadata.name) for each in deployments if not is_ready(each)]
                waiting = ", ".join(unready) or waiting
                if deployments and not unready:
                    if through_api:
                        server = str(api.config.cluster.server).rstrip("/")
                        service_path = f"namespaces/{target.settings.namespace}/services/{name}:{url.port}"
                        return f"{server}/api/v1/{service_path}/proxy{url.path}"
                    return f"{url.scheme}://{service.spec.clusterIP}:{url.port}{url.path}"
            if time.monotonic() >= deadline:
                break
            time.sleep(_POLL_SECONDS)
    raise EventsNotReady(
        f"Events cannot be received after {patience:g} s: {waiting} is not ready in {target.settings.namespace}.",
        hint=f"Look at it with: kubectl -n {target.settings.namespace} describe pods",
    )


def is_ready(deployment: Any) -> bool:
    """Whether all replicas of a Deployment are ready in its current generation."""
    status = deployment.status
    wanted = deployment.spec.replicas if deployment.spec.replicas is not None else 1
    return (
        status is not None
        and (status.observedGeneration or 0) >= (deployment.metadata.generation or 0)
        and (status.readyReplicas or 0) >= wanted
    )
