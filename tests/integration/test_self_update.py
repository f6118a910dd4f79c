"""A self-update that has nothing to do, fails, or finds the pipeline locked: the real engine on a real API server."""

from __future__ import annotations

import gc
import json
import os
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from lightkube import Client, KubeConfig, codecs
from lightkube.core.exceptions import ApiError
from lightkube.generic_resource import create_namespaced_resource
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apiextensions_v1 import CustomResourceDefinition
from lightkube.types import PatchType

from aphex.config import PipelineConfig
from automation.access import AwsAccess, KubernetesAccess
from automation.commands import error_document
from automation.console import Terminal
from automation.last_update import memory
from automation.locks import StackLocked, read_locks
from automation.stack import DeploymentError, stack_name
from automation.state_bucket import ensure_state_bucket
from automation.target import Target, state_backend
from automation.up import bring_up, bring_up_if_changed
from sandbox import toolchain
from tests.support.control_plane import control_plane, tool
from tests.support.example import example_config, example_secrets, example_settings
from tests.support.moto_endpoint import KEYS, REGION, moto_endpoint

pytestmark = [
    pytest.mark.engine,
    pytest.mark.timeout(300),
    # pulumi_aws says so on its import, of resources that nobody uses.
    pytest.mark.filterwarnings("ignore:.*has been deprecated in favor of:DeprecationWarning"),
]

BUCKET = "aphex-state-123456789012-us-east-1"
WORKFLOW_TEMPLATE = create_namespaced_resource("argoproj.io", "v1alpha1", "WorkflowTemplate", "workflowtemplates")
SAME = "Configuration, settings, program and state are those of the last update.\n"


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A deployed pipeline, with two environments."""
    folder = tmp_path_factory.mktemp("pipeline")
    with control_plane(folder) as cluster, moto_endpoint() as aws, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PULUMI_HOME", str(folder / "pulumi-home"))
        patch.setenv("PATH", f"{tool('pulumi').parent}:{os.environ['PATH']}")
        with Client(config=KubeConfig.from_file(cluster.kubeconfig), field_manager="test") as client:
            for path in sorted(toolchain.ensure("argo-events").manifests.glob("*.yaml")):
                for each in codecs.load_all_yaml(path.read_text(encoding="utf-8"), create_resources_for_crds=False):
                    if isinstance(each, CustomResourceDefinition):
                        client.apply(each, field_manager="test", force=True)
        access = AwsAccess(region=REGION, endpoint=aws.url, static_keys=KEYS)
        found = Target(
            settings=example_settings(state_backend=state_backend(BUCKET, REGION, aws.url)),
            secrets=example_secrets(),
            aws=access,
            kubernetes=KubernetesAccess(kubeconfig=cluster.kubeconfig),
        )
        ensure_state_bucket(access, BUCKET)
        bring_up(found, example_config(), Terminal())
        yield found


def without_prod() -> PipelineConfig:
    config = example_config()
    return config.model_copy(update={"environments": config.environments[:1]})


def stages(target: Target) -> list[str]:
    """The stages that the next run will have."""
    with target.kubernetes.client() as client:
        spec = client.get(WORKFLOW_TEMPLATE, "shop", namespace="aphex-shop")["spec"]
    return [task["name"] for task in spec["templates"][0]["dag"]["tasks"]]


def locks(target: Target) -> list[Any]:
    return read_locks(target.aws.client("s3"), BUCKET, stack_name("shop"))


def test_an_update_without_a_change_does_not_ask_the_engine(target: Target, capsys: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    asked = bring_up(target, example_config(), Terminal())
    by_engine = time.monotonic() - began
    capsys.readouterr()
    began = time.monotonic()
    quick = bring_up_if_changed(target, example_config(), Terminal())
    seconds = time.monotonic() - began
    assert (quick.skipped, quick.changes, quick.outputs) == (True, (), asked.outputs)
    assert capsys.readouterr().err == SAME
    print(f"no change: {by_engine:.1f} s by the engine, {seconds:.2f} s by comparison")
    assert seconds < by_engine / 4


def test_what_is_remembered_counts_only_while_nobody_has_touched_the_pipeline(target: Target) -> None:
    assert bring_up_if_changed(target, example_config(), Terminal()).skipped
    remembered = memory(target)
    assert remembered is not None
    s3 = target.aws.client("s3")
    key = ".pulumi/stacks/aphex/pipeline-shop.json"
    state = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    s3.put_object(Bucket=BUCKET, Key=key, Body=state)  # the same bytes, but written by somebody else
    asked = bring_up_if_changed(target, example_config(), Terminal())
    assert (asked.skipped, asked.changes) == (False, ())
    assert bring_up_if_changed(target, example_config(), Terminal()).skipped
    put_lock(target, hostname=socket.gethostname(), pid=2**22 + 1)
    assert not bring_up_if_changed(target, example_config(), Terminal()).skipped


POLICY = """\
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: no-new-shape}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
      - {apiGroups: [argoproj.io], apiVersions: ["*"], operations: [CREATE, UPDATE], resources: [workflowtemplates]}
  validations:
    - {expression: "false", message: "the cluster's owner allows no new shape today"}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: no-new-shape}
spec: {policyName: no-new-shape, validationActions: [Deny]}
"""


# Pulumi's SDK leaves the event loop of a failed program open until another one runs.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_failed_update_leaves_the_shape_and_is_tried_again(target: Target) -> None:
    before = stages(target)
    with target.kubernetes.client() as client:
        for each in codecs.load_all_yaml(POLICY):
            client.create(each)
        error = eventually_refused(target)
        assert stages(target) == before
        assert "deploy-prod" in before
        assert locks(target) == []
        document = error_document(error)
        assert [each["name"] for each in document["resources"]] == ["shop-run"]
        assert document["resources"][0]["kind"] == "kubernetes:argoproj.io/v1alpha1:WorkflowTemplate"
        assert error.message == (
            "Deploying the pipeline shop failed.\n"
            "  kubernetes:argoproj.io/v1alpha1:WorkflowTemplate shop-run: the Kubernetes API server reported that "
            '"aphex-shop/shop" failed to fully initialize or become live: workflowtemplates.argoproj.io "shop" is '
            "forbidden: ValidatingAdmissionPolicy 'no-new-shape' with binding 'no-new-shape' denied request: "
            "the cluster's owner allows no new shape today"
        )
        assert error.hint == (
            "The caller may not do that. A self-update has fewer rights than the person who set the pipeline up: when "
            "the change needs more, run it with their rights: python -m automation up"
        )
        for each in codecs.load_all_yaml(POLICY):
            assert each.metadata is not None
            client.delete(type(each), str(each.metadata.name))
    deadline = time.monotonic() + 30
    while True:  # the API server takes a moment to forget a policy
        try:
            again = bring_up_if_changed(target, without_prod(), Terminal())
            break
        except DeploymentError:
            assert time.monotonic() < deadline
    assert "shop-run" in [change.name for change in again.changes]
    [left] = again.left
    assert (left.environment, left.gone, left.stacks) == ("prod", True, ("ShopData", "ShopService"))
    assert "deploy-prod" not in stages(target)
    assert bring_up(target, example_config(), Terminal()).document()["changed"] is True
    gc.collect()


def eventually_refused(target: Target) -> DeploymentError:
    """The error of an update that the policy refuses, as soon as the API server has taken the policy up."""
    patch = {"metadata": {"labels": {"probe": "1"}}}
    with target.kubernetes.client("aphex-shop") as client:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                client.patch(WORKFLOW_TEMPLATE, "shop", patch, patch_type=PatchType.MERGE, dry_run=True)
            except ApiError:
                break
            time.sleep(0.3)
    with pytest.raises(DeploymentError) as raised:
        bring_up_if_changed(target, without_prod(), Terminal())
    return raised.value


def put_lock(target: Target, **changes: Any) -> None:
    lock = {"pid": 1, "username": "aphex", "hostname": "?", "timestamp": "2026-01-02T03:04:05.123456789Z"}
    key = f".pulumi/locks/organization/aphex/{stack_name('shop')}/lock.json"
    target.aws.client("s3").put_object(Bucket=BUCKET, Key=key, Body=json.dumps({**lock, **changes}).encode())


def run_pod(target: Target, name: str, phase: str) -> None:
    """A pod of the self-update as the API server knows it."""
    from lightkube.models.core_v1 import (
        Capabilities,
        Container,
        PodSecurityContext,
        PodSpec,
        PodStatus,
        SeccompProfile,
        SecurityContext,
    )
    from lightkube.resources.core_v1 import Pod

    harmless = SecurityContext(allowPrivilegeEscalation=False, capabilities=Capabilities(drop=["ALL"]))
    not_root = PodSecurityContext(runAsNonRoot=True, seccompProfile=SeccompProfile(type="RuntimeDefault"))
    with target.kubernetes.client("aphex-shop") as client:
        metadata = ObjectMeta(name=name, namespace="aphex-shop")
        container = Container(name="main", image="none", securityContext=harmless)
        spec = PodSpec(containers=[container], serviceAccountName="self-update", securityContext=not_root)
        client.create(Pod(metadata=metadata, spec=spec))
        client.patch(Pod.Status, name, Pod(metadata=metadata, status=PodStatus(phase=phase)))


def test_a_lock_of_a_pod_that_ended_is_explained_and_removed(
    target: Target, capsys: pytest.CaptureFixture[str]
) -> None:
    pod = "shop-x7k2p-self-update-1234567890"
    run_pod(target, pod, "Failed")
    for ended in (f"its pod {pod} has ended (Failed)", "its pod shop-gone1-self-update-1 does not exist any more"):
        host = pod if pod in ended else "shop-gone1-self-update-1"
        put_lock(target, hostname=host, pid=17)
        capsys.readouterr()
        assert bring_up_if_changed(target, example_config(), Terminal()).changes == ()
        assert capsys.readouterr().err == (
            f"Warning: a lock was left behind (process 17 of aphex on {host}, since 2026-01-02 03:04:05 UTC). "
            f"Its holder is gone: {ended}. The lock is removed.\n"
        )
        assert locks(target) == []


def test_a_lock_of_a_pod_that_runs_is_waited_for_and_then_told_of(
    target: Target, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A run's name may be long, a host name is cut to 63 characters.
    pod = "shop-a-very-long-name-of-a-run-that-nobody-cut-self-update-1234567890"
    run_pod(target, pod, "Running")
    put_lock(target, hostname=pod[:63], pid=17)
    monkeypatch.setattr("automation.operation.LOCK_WAIT_SECONDS", 4.0)
    monkeypatch.setattr("automation.locks._REMIND_SECONDS", 2.0)
    capsys.readouterr()
    with pytest.raises(StackLocked) as raised:
        bring_up_if_changed(target, example_config(), Terminal())
    who = f"process 17 of aphex on {pod[:63]}, since 2026-01-02 03:04:05 UTC"
    said = capsys.readouterr().err.splitlines()
    assert said[0] == f"Waiting for {who}, which is changing the pipeline (at most 4.0 s) ..."
    assert len(said) >= 2
    assert raised.value.message.startswith(
        "The pipeline shop is being changed by somebody else, and still was after 4."
    )
    assert raised.value.message.endswith(f" s:\n  {who}")
    assert raised.value.hint == (
        "Wait for it to end. If you know that it is gone for good: python -m automation unlock --pipeline shop"
    )
    put_lock(target, hostname=socket.gethostname(), pid=2**22 + 1)
    assert bring_up_if_changed(target, example_config(), Terminal()).changes == ()
