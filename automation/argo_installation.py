"""Installs Argo in a cluster of the caller's kubeconfig, when that is asked for, from its projects' own manifests."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aphex_platform.argo_manifests import EVENTS_NAMESPACE, WORKFLOWS_NAMESPACE, Manifest, placed

from aphex.argo_config import Argo
from aphex.errors import AphexError, UsageError
from automation.access import KubernetesAccess, default_kubeconfig
from automation.cluster_check import CONTROLLERS, Ask, Controller, controllers_named, image_version

if TYPE_CHECKING:
    import lightkube

    from automation.console import Terminal

_MANAGER = "aphex"
_OWNER = ("app.kubernetes.io/managed-by", "aphex")
_DOWNLOAD_SECONDS = 30.0
_ESTABLISHED_SECONDS = 60.0
_READY_SECONDS = 300.0
_POLL_SECONDS = 0.5
_CONFLICT = 409
_CLUSTER_WIDE = (
    ("namespaces", ""),
    ("customresourcedefinitions", "apiextensions.k8s.io"),
    ("clusterroles", "rbac.authorization.k8s.io"),
    ("clusterrolebindings", "rbac.authorization.k8s.io"),
)


class ArgoNotInstalled(AphexError):
    """Argo cannot be installed, or does not start."""


@dataclass(frozen=True, kw_only=True)
class Product:
    """One of the two parts of Argo.

    Attributes:
        controller: the name of its controller's Deployment.
        namespace: where it goes.
        version: the release.
        file: what its manifest is called in a folder.
        url: where its project keeps that.
    """

    controller: str
    namespace: str
    version: str
    file: str
    url: str

    @property
    def name(self) -> str:
        """What people call it."""
        return CONTROLLERS[self.controller][0]

    @property
    def title(self) -> str:
        """Name and version."""
        return f"{self.name} {self.version}"


def products(argo: Argo | None = None) -> tuple[Product, Product]:
    """Both parts, in the versions that a new cluster on AWS would get, too."""
    argo = argo or Argo()
    releases = "https://github.com/argoproj/{}/releases/download/v{}/install.yaml"
    workflows, events = argo.workflows.version, argo.events.version
    return (
        Product(
            controller="workflow-controller",
            namespace=WORKFLOWS_NAMESPACE,
            version=workflows,
            file="argo-workflows.yaml",
            url=releases.format("argo-workflows", workflows),
        ),
        Product(
            controller="controller-manager",
            namespace=EVENTS_NAMESPACE,
            version=events,
            file="argo-events.yaml",
            url=releases.format("argo-events", events),
        ),
    )


def install_argo(context: str, manifests: Path | None, terminal: Terminal, *, yes: bool) -> None:
    """Install what is missing of Argo, after saying what that is; what somebody else installed is left alone.

    Args:
        context: of the kubeconfig; the current one when empty.
        manifests: a folder with `argo-workflows.yaml` and `argo-events.yaml`; None fetches what the projects released.
        terminal: where it is told.
        yes: whether it was agreed to beforehand.

    Raises:
        UsageError: it was not agreed to; nothing was changed.
        ClusterNotReady: the cluster does not answer.
        ArgoNotInstalled: the cluster refuses, or a controller does not start.
    """
    from automation.context_target import reachable
    from automation.destroy import ask

    access = KubernetesAccess(kubeconfig=default_kubeconfig(), context=context or None)
    if not default_kubeconfig().exists():
        raise UsageError(f"There is no kubeconfig at {access.kubeconfig}.", hint="Set KUBECONFIG to yours.")
    missing, there = look(access)
    for line in there:
        terminal.show(line)
    objects = {product: read_manifest(product, manifests, terminal) for product in missing}
    titles = {product: released(product, documents) for product, documents in objects.items()}
    for product, documents in objects.items():
        kinds = sum(each["kind"] == "CustomResourceDefinition" for each in documents)
        terminal.say(
            f" + {titles[product]} into the namespace {product.namespace}: {len(documents)} objects, "
            f"{kinds} of them resource kinds of the whole cluster"
        )
    if objects and not yes:
        ask(terminal, f"Install this in the cluster of {context or 'the current context'}?")
    with reachable(access) as api:
        for product, documents in objects.items():
            with terminal.step(f"Installing {titles[product]}"):
                apply(api, documents)
            await_ready(api, product, documents, terminal)
            terminal.show(f"{titles[product]} runs in {product.namespace}.")
    terminal.result({"installed": list(titles.values()), "present": there})


def look(access: KubernetesAccess) -> tuple[list[Product], list[str]]:
    """What is missing, or was begun by an earlier call; and of the rest what is there.

    Raises:
        ArgoNotInstalled: an installation of somebody else's is too old or does not run, or the caller lacks rights.
    """
    from automation.cluster_facts import read_facts
    from automation.context_target import reachable

    asks = [Ask(verb="create", resource=resource, group=group) for resource, group in _CLUSTER_WIDE]
    facts = read_facts(access, asks)
    missing, there = [], []
    with reachable(access) as api:
        for product in products():
            found = controllers_named(product.controller, facts.controllers or ())
            own = is_own(api, product)
            if not found or (own and not is_current(found, product)):
                missing.append(product)
            else:
                there.append(_present(product, found))
    if missing and facts.refused:
        kinds = ", ".join(each.kind for each in facts.refused)
        raise ArgoNotInstalled(
            f"You may not create {kinds} in the cluster, which Argo needs; nothing was changed.",
            hint="Ask an administrator of the cluster to install it: docs/other-clusters.md has the commands.",
        )
    return missing, there


def is_current(found: Sequence[Controller], product: Product) -> bool:
    """Whether a controller runs in the product's version, as far as its image says which it is."""
    wanted = tuple(int(part) for part in product.version.split("."))
    return any(each.ready and image_version(each.images) in (None, wanted) for each in found)


def _present(product: Product, found: Sequence[Controller]) -> str:
    running = [each for each in found if each.ready]
    version = image_version((running or found)[0].images)
    is_now = ".".join(map(str, version)) if version else "of an unknown version"
    where = (running or found)[0].namespace
    oldest = CONTROLLERS[product.controller][1]
    if not running or (version is not None and version[:2] < oldest):
        least = ".".join(map(str, oldest))
        raise ArgoNotInstalled(
            f"{product.name} {is_now} is in the namespace {where}, and {'too old' if running else 'does not run'}; "
            "nothing was changed.",
            hint=f"Bring it to {least} or newer in the way in which it was installed.",
        )
    return f"{product.name} {is_now} runs in {where}."


def is_own(api: lightkube.Client, product: Product) -> bool:
    """Whether a controller is one that an earlier call of this command put there."""
    from lightkube.core.exceptions import ApiError
    from lightkube.resources.apps_v1 import Deployment

    try:
        found = api.get(Deployment, product.controller, namespace=product.namespace)
    except ApiError:
        return False
    labels = (found.metadata.labels if found.metadata else None) or {}
    return labels.get(_OWNER[0]) == _OWNER[1]


def read_manifest(product: Product, folder: Path | None, terminal: Terminal) -> list[Manifest]:
    """The objects of a product, its namespace first.

    Raises:
        ArgoNotInstalled: the manifest cannot be had, is another's, or is too old.
    """
    from ruamel.yaml.error import YAMLError

    text = _read(product, folder, terminal)
    try:
        documents = placed(text, product.namespace)
        names = [each["metadata"]["name"] for each in documents if each["kind"] == "Deployment"]
        released(product, documents)
    except (YAMLError, AttributeError, KeyError, TypeError) as error:
        raise ArgoNotInstalled(f"The manifest of {product.title} cannot be read: {error}") from error
    if product.controller not in names:
        raise ArgoNotInstalled(f"The manifest of {product.title} has no Deployment {product.controller}.")
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": product.namespace}}
    for each in documents:
        each["metadata"].setdefault("labels", {})[_OWNER[0]] = _OWNER[1]
        if each["kind"] == "Deployment" and each["metadata"]["name"] == "workflow-controller":
            _look_again_sooner(each)
    return [namespace, *(each for each in documents if each["kind"] != "Namespace")]


def released(product: Product, documents: Sequence[Manifest]) -> str:
    """The product with the version that a manifest's image says; without one, when that does not say it.

    Raises:
        ArgoNotInstalled: it is too old for the pipeline's templates.
    """
    oldest = CONTROLLERS[product.controller][1]
    images = [
        str(container["image"])
        for each in documents
        if each["kind"] == "Deployment" and each["metadata"]["name"] == product.controller
        for container in each["spec"]["template"]["spec"]["containers"]
    ]
    version = image_version(images)
    if version is not None and version[:2] < oldest:
        raise ArgoNotInstalled(
            f"The manifest is of {product.name} {'.'.join(map(str, version))}, which is too old for the pipeline's "
            "templates; nothing was changed.",
            hint=f"{product.url} has {product.version}.",
        )
    return " ".join([product.name, *([".".join(map(str, version))] if version else [])])


def _look_again_sooner(deployment: Manifest) -> None:
    """Let Argo look at a changed workflow again sooner than after its 10 s, which each stage would wait for."""
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    others = [each for each in container.get("env", []) if each["name"] != "DEFAULT_REQUEUE_TIME"]
    container["env"] = [*others, {"name": "DEFAULT_REQUEUE_TIME", "value": Argo().requeue}]


def _read(product: Product, folder: Path | None, terminal: Terminal) -> str:
    import httpx

    if folder is not None:
        try:
            return (folder / product.file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ArgoNotInstalled(
                f"{folder / product.file} cannot be read: {error}", hint=f"It is what {product.url} has."
            ) from error
    try:
        with terminal.step(f"Fetching {product.title}"):
            answer = httpx.get(product.url, follow_redirects=True, timeout=_DOWNLOAD_SECONDS)
            answer.raise_for_status()
    except httpx.HTTPError as error:
        raise ArgoNotInstalled(
            f"{product.url} cannot be fetched: {error}",
            hint=f"Fetch it where the network reaches it, as {product.file} in a folder, and name that by --manifests.",
        ) from error
    return answer.text


def apply(api: lightkube.Client, documents: Sequence[Manifest]) -> None:
    """Apply the objects in their order; kinds are served before what comes after them.

    Raises:
        ArgoNotInstalled: the API server refuses an object.
    """
    kinds = [each for each in documents if each["kind"] == "CustomResourceDefinition"]
    for document in documents:
        _apply(api, document)
        if kinds and document is kinds[-1]:
            _wait_until_established(api, kinds)


def await_ready(api: lightkube.Client, product: Product, documents: Sequence[Manifest], terminal: Terminal) -> None:
    """Wait until the Deployments among the objects run.

    Raises:
        ArgoNotInstalled: one does not become ready.
    """
    for document in documents:
        if document["kind"] == "Deployment":
            with terminal.step(f"Waiting for {document['metadata']['name']}"):
                _wait_until_ready(api, document["metadata"]["name"], product.namespace)


def _apply(api: lightkube.Client, document: Manifest) -> None:
    from lightkube import codecs
    from lightkube.core.exceptions import ApiError

    try:
        api.apply(codecs.from_dict(document), field_manager=_MANAGER)
    except ApiError as error:
        name = f"{document['kind']} {document['metadata']['name']}"
        hint = ""
        if error.status.code == _CONFLICT:
            hint = "Somebody else manages fields of it: remove what is left of an earlier installation first."
        raise ArgoNotInstalled(f"{name} is refused: {error.status.message}", hint=hint) from error


def _wait_until_established(api: lightkube.Client, kinds: Sequence[Manifest]) -> None:
    from lightkube.resources.apiextensions_v1 import CustomResourceDefinition

    deadline = time.monotonic() + _ESTABLISHED_SECONDS
    for kind in kinds:
        name = kind["metadata"]["name"]
        while not _holds(api.get(CustomResourceDefinition, name), "Established"):
            if time.monotonic() > deadline:
                raise ArgoNotInstalled(f"The API server does not serve {name} after {_ESTABLISHED_SECONDS:g} s.")
            time.sleep(_POLL_SECONDS)


def _holds(found: Any, condition: str) -> bool:
    conditions = (found.status.conditions if found.status else None) or []
    return any(each.type == condition and each.status == "True" for each in conditions)


def _wait_until_ready(api: lightkube.Client, name: str, namespace: str) -> None:
    from lightkube.resources.apps_v1 import Deployment

    from automation.webhook import is_ready

    deadline = time.monotonic() + _READY_SECONDS
    while not is_ready(api.get(Deployment, name, namespace=namespace)):
        if time.monotonic() > deadline:
            raise ArgoNotInstalled(
                f"{name} is installed, but is not ready after {_READY_SECONDS:g} s.",
                hint=f"kubectl --namespace {namespace} describe pods says why; this command goes on where it was.",
            )
        time.sleep(_POLL_SECONDS)
