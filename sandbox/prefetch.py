"""Getting the stages' images onto the node while other things are prepared, so that the first run does not wait."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Protocol

from sandbox.providers.kubernetes.api import KubernetesApi
from sandbox.providers.kubernetes.connection import connect
from sandbox.state import SandboxState

_NAMESPACE = "kube-system"
_LABELS = {"app.kubernetes.io/name": "image-prefetch", "app.kubernetes.io/part-of": "aphex-sandbox"}
_FIELD_MANAGER = "aphex-sandbox"


class StageImages(Protocol):
    """The images that every pod of a run needs."""

    @property
    def builder(self) -> str:
        """Of the stages that run an application's commands."""

    @property
    def deployer(self) -> str:
        """Of the stages that deploy."""

    @property
    def argoexec(self) -> str:
        """Of Argo's own containers in each pod."""


def start(state: SandboxState, images: StageImages) -> None:
    """Have the kubelet pull the images, without waiting for it; nothing is done when it was told before.

    Raises:
        ApiError: the API server refused the pod.
    """
    wanted = pod([(images.argoexec, "/bin/argoexec version"), (images.builder, "true"), (images.deployer, "true")])
    name = wanted["metadata"]["name"]
    api = KubernetesApi(connect(str(state.kubeconfig)))
    try:
        present = api.find_all("v1", "Pod", _NAMESPACE, _LABELS)
        for other in present:
            if other["metadata"]["name"] != name:
                api.delete(other, propagation="Background")
        if not any(each["metadata"]["name"] == name for each in present):
            api.apply(wanted, manager=_FIELD_MANAGER, force=True)
    finally:
        api.close()


def pod(images: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """A pod that ends at once when each of the images is there.

    Args:
        images: references, each with a command that exists in it and ends at once.
    """
    digest = hashlib.sha256(repr(list(images)).encode()).hexdigest()[:8]
    containers = [
        {"name": f"image-{number}", "image": image, "imagePullPolicy": "IfNotPresent", "command": command.split()}
        for number, (image, command) in enumerate(images)
    ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"image-prefetch-{digest}", "namespace": _NAMESPACE, "labels": _LABELS},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "containers": containers,
        },
    }
