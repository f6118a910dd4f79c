"""Argo's own workflow controller beside a test's API server: it decides what a run is made of, though no pod runs."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from aphex_platform.identities import EXECUTOR, EXECUTOR_TOKEN
from ruamel.yaml import YAML

from sandbox import toolchain
from sandbox.providers.kubernetes.api import KubernetesApi
from sandbox.providers.kubernetes.connection import connect
from tests.support.control_plane import ControlPlane, tool

_NAMESPACE = "argo"
_START_SECONDS = 60.0
_SETTINGS = {"metricsConfig": "enabled: false\n", "telemetryConfig": "enabled: false\n"}


@contextmanager
def argo_controller(cluster: ControlPlane, managed: str) -> Iterator[None]:
    """Run the controller for the workflows of one namespace, as long as the block."""
    _install(cluster, managed)
    command = [str(tool("workflow-controller")), f"--kubeconfig={cluster.kubeconfig}", f"--namespace={_NAMESPACE}"]
    command += ["--namespaced", f"--managed-namespace={managed}", "--executor-image=none", "--loglevel=warn"]
    environment = {**os.environ, "LEADER_ELECTION_DISABLE": "true", "DEFAULT_REQUEUE_TIME": "50ms"}
    with (cluster.logs / "workflow-controller").open("wb") as log:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *command, "--qps=500", "--burst=500"],
            env={**environment, "ARGO_NAMESPACE": _NAMESPACE},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield
            assert process.poll() is None, (cluster.logs / "workflow-controller").read_text()[-3000:]
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _install(cluster: ControlPlane, managed: str) -> None:
    manifests = toolchain.ensure("workflow-controller", progress=None).manifests / "argo-workflows.yaml"
    documents = [each for each in YAML(typ="safe").load_all(manifests.read_text()) if each]
    kinds = [each for each in documents if each["kind"] == "CustomResourceDefinition"]
    configuration = {"name": "workflow-controller-configmap", "namespace": _NAMESPACE}
    with closing(KubernetesApi(connect(str(cluster.kubeconfig)))) as api:
        for namespace in (_NAMESPACE, managed):
            _apply(api, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        _apply(api, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": configuration, "data": _SETTINGS})
        account = {"name": EXECUTOR, "namespace": managed}
        _apply(api, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account})
        _apply(api, _executor_token(managed))
        for kind in kinds:
            _apply(api, kind)
        deadline = time.monotonic() + _START_SECONDS
        while not all(_established(api.get(kind)) for kind in kinds):
            assert time.monotonic() < deadline, "The API server does not serve Argo's kinds."
            time.sleep(0.1)


def _executor_token(namespace: str) -> dict[str, Any]:
    annotations = {"kubernetes.io/service-account.name": EXECUTOR}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": EXECUTOR_TOKEN, "namespace": namespace, "annotations": annotations},
        "type": "kubernetes.io/service-account-token",
    }


def _apply(api: KubernetesApi, document: dict[str, Any]) -> None:
    api.apply(document, manager="test", force=True)


def _established(live: dict[str, Any]) -> bool:
    conditions = (live.get("status") or {}).get("conditions") or []
    return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)
