"""Argo Workflows and Argo Events in the sandbox's cluster, from the manifests of the versions that were built."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from aphex_platform.argo_manifests import EVENTS_NAMESPACE, WORKFLOWS_NAMESPACE, Manifest, placed

from aphex.errors import AphexError
from sandbox.node.layout import Layout
from sandbox.providers.kubernetes.api import ApiError, KubernetesApi
from sandbox.providers.kubernetes.connection import connect
from sandbox.state import Phase, Report, SandboxState

_FIELD_MANAGER = "aphex-sandbox"
_DIGEST = "aphex.dev/installed"
_READY_SECONDS = 240.0
_POLL_SECONDS = 0.3
_ESTABLISHED_SECONDS = 30.0
_USER = 8737
_DEPLOYMENTS = (
    (WORKFLOWS_NAMESPACE, "workflow-controller"),
    (WORKFLOWS_NAMESPACE, "argo-server"),
    (EVENTS_NAMESPACE, "controller-manager"),
)


class ArgoImages(Protocol):
    """The images that Argo's pods run."""

    @property
    def argo_controller(self) -> str:
        """Of the workflow-controller."""

    @property
    def argoexec(self) -> str:
        """Of the init and wait containers of every pod of a workflow."""

    @property
    def argo_server(self) -> str:
        """Of Argo's user interface and API."""

    @property
    def argo_events(self) -> str:
        """Of the controller, the EventSources and the Sensors."""


@dataclass(frozen=True, kw_only=True)
class ArgoSettings:
    """What the sandbox sets differently from the installation manifests.

    Attributes:
        controller: image of the workflow-controller.
        executor: image of the executor.
        server: image of argo-server.
        events: image of Argo Events.
        server_ip: cluster IP of argo-server, known beforehand so that links to it can be made.
        requeue: how long the controller waits before it looks at a changed workflow again; Argo's default of 10 s
            would be added to each step.
        parallelism: how many workflows run at once in the whole cluster.
    """

    controller: str
    executor: str
    server: str
    events: str
    server_ip: str
    requeue: str = "200ms"
    parallelism: int = 20


def ensure(state: SandboxState, manifests: Path, images: ArgoImages, report: Report) -> None:
    """Install Argo Workflows and Argo Events, or see that they are installed as they should be.

    Args:
        state: of the sandbox whose cluster is meant.
        manifests: the folder with `argo-workflows.yaml` and `argo-events.yaml`.
        images: what the pods run.
        report: told what is waited for.

    Raises:
        ApiError: the API server refused an object.
        AphexError: a controller did not become ready in time.
    """
    settings = ArgoSettings(
        controller=images.argo_controller,
        executor=images.argoexec,
        server=images.argo_server,
        events=images.argo_events,
        server_ip=str(ip_address(urlsplit(state.argo_server_url).hostname or "")),
    )
    texts = [(manifests / name).read_text() for name in ("argo-workflows.yaml", "argo-events.yaml")]
    digest = settings_digest(settings, texts)
    # What the API server says of pods is from before the node was started until its kubelet has looked.
    since = Layout(state.directory).process.stat().st_mtime
    api = KubernetesApi(connect(str(state.kubeconfig)))
    try:
        if installed_digest(api) != digest:
            started = time.monotonic()
            report("Argo's objects", Phase.waiting, 0.0)
            _apply(api, namespaces())
            _apply(api, customised(texts[0], settings, WORKFLOWS_NAMESPACE))
            _apply(api, customised(texts[1], settings, EVENTS_NAMESPACE))
            report("Argo's objects", Phase.ready, time.monotonic() - started)
        for namespace, name in _DEPLOYMENTS:
            _wait_for_deployment(api, namespace, name, since, report)
        _apply(api, namespaces(digest)[:1])
    finally:
        api.close()


def settings_digest(settings: ArgoSettings, texts: Iterable[str]) -> str:
    """What changes when anything of the installation changes, this module's own rules included."""
    whole = hashlib.sha256(json.dumps(asdict(settings), sort_keys=True).encode())
    for text in (*texts, Path(__file__).read_text()):
        whole.update(hashlib.sha256(text.encode()).digest())
    return whole.hexdigest()


def installed_digest(api: KubernetesApi) -> str:
    """The digest of what was installed last, empty when nothing was."""
    try:
        live = api.get({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": WORKFLOWS_NAMESPACE}})
    except ApiError as error:
        if error.not_found:
            return ""
        raise
    annotations: dict[str, str] = live["metadata"].get("annotations") or {}
    return annotations.get(_DIGEST, "")


def namespaces(digest: str = "") -> list[Manifest]:
    """The two namespaces; the first remembers what was installed."""
    made: list[Manifest] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        for name in (WORKFLOWS_NAMESPACE, EVENTS_NAMESPACE)
    ]
    if digest:
        made[0]["metadata"]["annotations"] = {_DIGEST: digest}
    return made


def customised(text: str, settings: ArgoSettings, namespace: str) -> list[Manifest]:
    """The objects of an installation manifest as the sandbox wants them, in the order in which to apply them."""
    documents = placed(text, namespace)
    for document in documents:
        if document["kind"] == "Deployment":
            _customise_deployment(document, settings)
        elif document["kind"] == "Service" and document["metadata"]["name"] == "argo-server":
            document["spec"]["clusterIP"] = settings.server_ip
        elif document["kind"] == "ConfigMap":
            _customise_configuration(document, settings)
    return documents


def _customise_deployment(document: Manifest, settings: ArgoSettings) -> None:
    name = document["metadata"]["name"]
    pod = document["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    container["imagePullPolicy"] = "IfNotPresent"
    pod["securityContext"] = {**pod.get("securityContext", {}), "runAsNonRoot": True, "runAsUser": _USER}
    # One replica each: the old pod may go before the new one is there.
    document["spec"]["strategy"] = {"type": "Recreate"}
    if name == "workflow-controller":
        _customise_controller(container, settings)
    elif name == "argo-server":
        _customise_server(container, settings)
    else:
        _customise_events(container, settings)


def _customise_controller(container: Manifest, settings: ArgoSettings) -> None:
    container["image"] = settings.controller
    container.pop("command", None)
    container["args"] = ["--executor-image", settings.executor, "--executor-image-pull-policy", "IfNotPresent"]
    # The API server is the sandbox's own; Argo's defaults spare one that many share.
    container["args"] += ["--qps", "100", "--burst", "200"]
    container["env"] = [*container["env"], {"name": "DEFAULT_REQUEUE_TIME", "value": settings.requeue}]
    probe = {"httpGet": {"port": 6060, "path": "/healthz"}}
    container["readinessProbe"] = {**probe, "periodSeconds": 2, "failureThreshold": 30}


def _customise_server(container: Manifest, settings: ArgoSettings) -> None:
    container["image"] = settings.server
    # "client": who looks at a workflow needs a token of the cluster, and sees what that token may see.
    container["args"] = ["server", "--auth-mode=client", "--secure=false"]
    probe = {"httpGet": {"port": 2746, "scheme": "HTTP", "path": "/"}}
    container["readinessProbe"] = {**probe, "periodSeconds": 2, "failureThreshold": 30}


def _customise_events(container: Manifest, settings: ArgoSettings) -> None:
    container["image"] = settings.events
    for variable in container["env"]:
        if variable["name"] == "ARGO_EVENTS_IMAGE":
            variable["value"] = settings.events
    for probe in ("livenessProbe", "readinessProbe"):
        container[probe] = {**container[probe], "initialDelaySeconds": 1, "periodSeconds": 2, "failureThreshold": 30}


def _customise_configuration(document: Manifest, settings: ArgoSettings) -> None:
    name = document["metadata"]["name"]
    if name == "workflow-controller-configmap":
        document["data"] = {**(document.get("data") or {}), "parallelism": str(settings.parallelism)}
    elif name == "argo-events-controller-config":
        # The sandbox's NATS is one server, which refuses streams of three replicas.
        text = document["data"]["controller-config.yaml"]
        document["data"]["controller-config.yaml"] = text.replace("replicas: 3", "replicas: 1")


def _apply(api: KubernetesApi, documents: Iterable[Manifest]) -> None:
    definitions: list[Manifest] = []
    for document in documents:
        if definitions and document["kind"] != "CustomResourceDefinition":
            _wait_until_established(api, definitions)
            definitions = []
        api.apply(document, manager=_FIELD_MANAGER, force=True)
        if document["kind"] == "CustomResourceDefinition":
            definitions.append(document)


def _wait_until_established(api: KubernetesApi, definitions: list[Manifest]) -> None:
    deadline = time.monotonic() + _ESTABLISHED_SECONDS
    for definition in definitions:
        while not _condition(api.get(definition), "Established"):
            if time.monotonic() > deadline:
                name = definition["metadata"]["name"]
                raise AphexError(f"The API server does not serve {name} after {_ESTABLISHED_SECONDS:g} s.")
            time.sleep(_POLL_SECONDS)


def _wait_for_deployment(api: KubernetesApi, namespace: str, name: str, since: float, report: Report) -> None:
    wanted = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": namespace}}
    started = time.monotonic()
    announced = False

    def ready() -> bool:
        live = api.get(wanted)
        pods = api.find_all("v1", "Pod", namespace, live["spec"]["selector"]["matchLabels"])
        return deployment_ready(live) and any(pod_started(pod, since) for pod in pods)

    while not ready():
        if not announced:
            report(name, Phase.waiting, 0.0)
            announced = True
        if time.monotonic() - started > _READY_SECONDS:
            raise AphexError(
                f"{name} did not become ready within {_READY_SECONDS:g} s.",
                hint=f"Look at its pods: kubectl --namespace {namespace} describe pods",
            )
        time.sleep(_POLL_SECONDS)
    report(name, Phase.ready, time.monotonic() - started)


def deployment_ready(live: Manifest) -> bool:
    """Whether a Deployment's current generation runs, and nothing of an earlier one."""
    status, spec = live.get("status") or {}, live["spec"]
    replicas = spec.get("replicas", 1)
    seen = status.get("observedGeneration", 0) >= live["metadata"]["generation"]
    counts = [status.get(field, 0) for field in ("replicas", "updatedReplicas", "availableReplicas")]
    return seen and counts == [replicas] * 3


def pod_started(pod: Manifest, since: float) -> bool:
    """Whether all containers of a pod run, started no earlier than `since` (epoch seconds)."""
    running = [each["state"].get("running") for each in pod["status"].get("containerStatuses") or []]
    if not running or not all(running):
        return False
    # Kubernetes gives whole seconds.
    return all(datetime.fromisoformat(each["startedAt"]).timestamp() >= int(since) for each in running)


def _condition(live: Manifest, kind: str) -> bool:
    conditions = (live.get("status") or {}).get("conditions") or []
    return any(each["type"] == kind and each["status"] == "True" for each in conditions)
