"""Argo in a cluster of the caller's: the real manifests on a real API server, whose pods get ready as a test says."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from lightkube import codecs
from lightkube.core.exceptions import ApiError
from lightkube.models.authentication_v1 import TokenRequestSpec
from lightkube.models.core_v1 import PodCondition, PodStatus
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apiextensions_v1 import CustomResourceDefinition
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import Namespace, Pod, ServiceAccount, ServiceAccountToken

from automation import argo_installation
from sandbox import toolchain
from tests.support.argo_kinds import api_client
from tests.support.control_plane import ControlPlane, control_plane
from tests.support.faults import awaited
from tests.support.typed import Type, typing

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]


OLD = """
kind: Deployment
metadata: {name: workflow-controller}
spec: {template: {spec: {containers: [{name: it, image: "quay.io/argoproj/workflow-controller:v3.4.1"}]}}}
"""


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ControlPlane]:
    with control_plane(tmp_path / "cluster") as running:
        monkeypatch.setenv("KUBECONFIG", str(running.kubeconfig))
        yield running


@pytest.fixture(scope="module")
def manifests() -> Path:
    return toolchain.ensure("argo-events").manifests


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Type:
    """Type the command."""
    return typing(monkeypatch, capsys, "install-argo")


@contextmanager
def pods_get_ready(cluster: ControlPlane) -> Iterator[None]:
    """Play the kubelet, as far as the Deployments' status goes."""
    done = threading.Event()
    ready = PodStatus(phase="Running", conditions=[PodCondition(type="Ready", status="True")])

    def play() -> None:
        with api_client(cluster.kubeconfig) as client:
            while not done.wait(0.2):
                for pod in client.list(Pod, namespace="*"):
                    if pod.status and pod.status.phase != "Running" and pod.metadata:
                        where = ObjectMeta(name=pod.metadata.name, namespace=pod.metadata.namespace)
                        patch = Pod(metadata=where, status=ready)
                        client.patch(Pod.Status, str(where.name), patch, namespace=where.namespace)

    kubelet = threading.Thread(target=play)
    kubelet.start()
    try:
        yield
    finally:
        done.set()
        kubelet.join()


def images(cluster: ControlPlane) -> dict[str, str]:
    with api_client(cluster.kubeconfig) as client:
        found: list[Any] = list(client.list(Deployment, namespace="*"))
    return {
        f"{each.metadata.namespace}/{each.metadata.name}": each.spec.template.spec.containers[0].image for each in found
    }


def test_argo_is_installed_once_after_it_was_agreed_to(cluster: ControlPlane, typed: Type, manifests: Path) -> None:
    refused = typed("--manifests", str(manifests))
    assert (refused.exit_code, refused.output, images(cluster)) == (2, "", {})
    plan, *rest = refused.errors.splitlines()
    assert plan.startswith(" + Argo Workflows into the namespace argo: ")
    assert plan.endswith(" objects, 8 of them resource kinds of the whole cluster")
    assert rest[0].startswith(" + Argo Events 1.9.11 into the namespace argo-events: ")
    assert "Nobody is there to confirm this; nothing was done." in rest[1]
    with pods_get_ready(cluster):
        done = typed("--manifests", str(manifests), "--yes")
    assert done.exit_code == 0, done.errors
    assert done.output == "Argo Workflows runs in argo.\nArgo Events 1.9.11 runs in argo-events.\n"
    assert set(images(cluster)) == {
        "argo/argo-server",
        "argo/workflow-controller",
        "argo-events/controller-manager",
    }
    with api_client(cluster.kubeconfig) as client:
        assert {"workflows.argoproj.io", "eventbus.argoproj.io"} <= {
            str(each.metadata.name) for each in client.list(CustomResourceDefinition) if each.metadata
        }
        controller: Any = client.get(Deployment, "workflow-controller", namespace="argo")
    variables = {each.name: each.value for each in controller.spec.template.spec.containers[0].env}
    assert variables["DEFAULT_REQUEUE_TIME"] == "500ms"
    again = typed("--json")
    assert (again.exit_code, again.errors) == (0, "")
    assert json.loads(again.output)["installed"] == []
    assert [line.split(" runs in ")[1] for line in json.loads(again.output)["present"]] == ["argo.", "argo-events."]


def test_what_did_not_start_is_told_and_gone_on_with(
    cluster: ControlPlane, typed: Type, manifests: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(argo_installation, "_READY_SECONDS", 1.0)
    failed = typed("--manifests", str(manifests), "--yes")
    assert failed.exit_code == 1
    assert failed.errors.splitlines()[-2:] == [
        "Error: argo-server is installed, but is not ready after 1 s.",
        "kubectl --namespace argo describe pods says why; this command goes on where it was.",
    ]
    monkeypatch.undo()
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    with pods_get_ready(cluster):
        done = typed("--manifests", str(manifests), "--yes")
    assert done.exit_code == 0, done.errors
    assert done.output.splitlines()[0] == "Argo Workflows runs in argo."


def test_an_installation_of_somebody_else_is_left_alone(cluster: ControlPlane, typed: Type, manifests: Path) -> None:
    container = {"name": "it", "image": "quay.io/argoproj/workflow-controller:v3.4.1"}
    labels = {"app": "argo"}
    theirs = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "theirs-workflow-controller", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }
    with api_client(cluster.kubeconfig) as client:
        client.create(codecs.from_dict(theirs))
    for words, is_so in (((), "does not run"), (("pods get ready",), "too old")):
        if words:
            with pods_get_ready(cluster), api_client(cluster.kubeconfig) as client:
                client.wait(Deployment, "theirs-workflow-controller", for_conditions=["Available"], namespace="default")
        done = typed("--manifests", str(manifests), "--yes")
        assert done.exit_code == 1
        assert done.errors == (
            f"Error: Argo Workflows 3.4.1 is in the namespace default, and {is_so}; nothing was changed.\n"
            "Bring it to 3.7 or newer in the way in which it was installed.\n"
        )
    assert list(images(cluster)) == ["default/theirs-workflow-controller"]


def test_who_may_not_install_it_is_told_before_anything_is_changed(
    cluster: ControlPlane, typed: Type, tmp_path: Path, manifests: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with api_client(cluster.kubeconfig) as client:
        request = ServiceAccountToken(metadata=ObjectMeta(), spec=TokenRequestSpec(audiences=[]))
        awaited("the account", lambda: list(client.list(ServiceAccount, namespace="default")) or None)
        token = client.create(request, name="default", namespace="default").status.token  # type: ignore[union-attr]
    document = yaml.safe_load(cluster.kubeconfig.read_text())
    document["users"][0]["user"] = {"token": token}
    (tmp_path / "limited").write_text(yaml.safe_dump(document))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "limited"))
    done = typed("--manifests", str(manifests), "--yes")
    assert done.exit_code == 1
    assert done.errors.splitlines()[0] == (
        "Error: You may not create namespaces, customresourcedefinitions.apiextensions.k8s.io, "
        "clusterroles.rbac.authorization.k8s.io, clusterrolebindings.rbac.authorization.k8s.io in the cluster, which "
        "Argo needs; nothing was changed."
    )
    assert images(cluster) == {}


def test_a_manifest_that_cannot_be_had_or_is_another_s_changes_nothing(
    cluster: ControlPlane, typed: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "manifests"
    folder.mkdir()
    file = folder / "argo-workflows.yaml"
    url = "https://github.com/argoproj/argo-workflows/releases/download/v3.7.18/install.yaml"
    missing = f"Error: {file} cannot be read: [Errno 2] No such file or directory: '{file}'\nIt is what {url} has.\n"
    assert typed("--manifests", str(folder)).errors == missing
    for text, problem in (
        ("{{{", "of Argo Workflows 3.7.18 cannot be read: while "),
        ("only words", "of Argo Workflows 3.7.18 cannot be read: "),
        ("{kind: Service, metadata: {name: x}}", "of Argo Workflows 3.7.18 has no Deployment workflow-controller."),
        (OLD, "is of Argo Workflows 3.4.1, which is too old for the pipeline's templates; nothing was changed."),
    ):
        file.write_text(text)
        done = typed("--manifests", str(folder))
        assert done.exit_code == 1
        assert done.errors.startswith(f"Error: The manifest {problem}"), done.errors
    nowhere = tuple(replace(each, url="http://127.0.0.1:1/install.yaml") for each in argo_installation.products())
    monkeypatch.setattr(argo_installation, "products", lambda: nowhere)
    done = typed("--yes")
    assert done.errors.splitlines()[-2:] == [
        "Error: http://127.0.0.1:1/install.yaml cannot be fetched: [Errno 111] Connection refused",
        "Fetch it where the network reaches it, as argo-workflows.yaml in a folder, and name that by --manifests.",
    ]
    assert images(cluster) == {}
    with api_client(cluster.kubeconfig) as client, pytest.raises(ApiError):
        client.get(Namespace, "argo")


def test_a_cluster_is_one_of_the_kubeconfig(typed: Type) -> None:
    done = typed("--cluster", "sandbox")
    assert (done.exit_code, done.errors) == (
        2,
        'Error: "sandbox" is no cluster of your kubeconfig.\n'
        "Name it as context:NAME. The sandbox and clusters on EKS that this program makes have Argo.\n",
    )
