"""Deploying, previewing, repairing and removing a pipeline: the real engine, an API server and the AWS stand-in."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from lightkube import Client, KubeConfig, codecs
from lightkube.models.authentication_v1 import TokenRequestSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apiextensions_v1 import CustomResourceDefinition
from lightkube.resources.core_v1 import Namespace, ServiceAccount, ServiceAccountToken

from aphex.config import PipelineConfig
from automation.access import AwsAccess, KubernetesAccess
from automation.console import Terminal
from automation.context_target import ClusterNotReady, check_context
from automation.destroy import destroy
from automation.locks import StackLocked, read_locks
from automation.preview import preview
from automation.stack import StackMissing, stack_name
from automation.state_bucket import ensure_state_bucket
from automation.target import Target, state_backend
from automation.up import bring_up
from automation.update_plan import SavedPlan, digest, load_plan
from sandbox import toolchain
from tests.support.control_plane import ControlPlane, control_plane, tool
from tests.support.example import example_config, example_secrets, example_settings
from tests.support.moto_endpoint import KEYS, REGION, MotoEndpoint, moto_endpoint

pytestmark = [
    pytest.mark.engine,
    pytest.mark.timeout(300),
    # pulumi_aws says so on its import, of resources that nobody uses.
    pytest.mark.filterwarnings("ignore:.*has been deprecated in favor of:DeprecationWarning"),
]

BUCKET = "aphex-state-123456789012-us-east-1"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with control_plane(tmp_path_factory.mktemp("control-plane")) as running:
        with Client(config=KubeConfig.from_file(running.kubeconfig), field_manager="test") as client:
            for path in sorted(toolchain.ensure("argo-events").manifests.glob("*.yaml")):
                for each in codecs.load_all_yaml(path.read_text(encoding="utf-8"), create_resources_for_crds=False):
                    if isinstance(each, CustomResourceDefinition):
                        client.apply(each, field_manager="test", force=True)
        yield running


@pytest.fixture(scope="module")
def aws() -> Iterator[MotoEndpoint]:
    with moto_endpoint() as running:
        yield running


@pytest.fixture
def target(
    cluster: ControlPlane, aws: MotoEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Target]:
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "pulumi-home"))
    monkeypatch.setenv("PATH", f"{tool('pulumi').parent}:{os.environ['PATH']}")
    settings = example_settings(state_backend=state_backend(BUCKET, REGION, aws.url))
    access = AwsAccess(region=REGION, endpoint=aws.url, static_keys=KEYS)
    found = Target(
        settings=settings,
        secrets=example_secrets(),
        aws=access,
        kubernetes=KubernetesAccess(kubeconfig=cluster.kubeconfig),
    )
    aws.reset()
    ensure_state_bucket(access, BUCKET)
    yield found
    try:
        destroy(found, Terminal(), delete_data=True, confirmed=True)
    except StackMissing:
        print("The test removed its pipeline itself.")


def namespaces(target: Target) -> set[str]:
    with target.kubernetes.client() as client:
        return {str(each.metadata.name) for each in client.list(Namespace) if each.metadata}


def with_one_environment() -> PipelineConfig:
    config = example_config()
    return config.model_copy(update={"environments": config.environments[:1]})


def test_a_pipeline_is_deployed_once_and_then_stays_as_it_is(target: Target) -> None:
    first = bring_up(target, example_config(), Terminal())
    assert {change.operation for change in first.changes} == {"create"}
    assert first.outputs["bucket"] == "aphex-shop-123456789012-us-east-1"
    assert "aphex-shop" in namespaces(target)
    assert preview(target, example_config(), Terminal()).changes == ()
    second = bring_up(target, example_config(), Terminal())
    assert second.document()["changed"] is False


def test_a_removed_pipeline_leaves_nothing(target: Target, aws: MotoEndpoint) -> None:
    bring_up(target, example_config(), Terminal())
    s3 = aws.client("s3")
    for body in (b"one", b"two"):
        s3.put_object(Bucket="aphex-shop-123456789012-us-east-1", Key="runs/x/logs/build.log", Body=body)
    destroy(target, Terminal(), delete_data=True, confirmed=True)
    assert "aphex-shop" not in namespaces(target)
    assert [each["Name"] for each in s3.list_buckets()["Buckets"]] == [BUCKET]
    assert aws.client("dynamodb").list_tables()["TableNames"] == []
    assert aws.client("iam").list_roles()["Roles"] == []
    with pytest.raises(StackMissing):
        destroy(target, Terminal(), delete_data=True, confirmed=True)


def nobody(target: Target, folder: Path) -> KubernetesAccess:
    """The same cluster, for somebody without any right there."""
    account = ServiceAccount(metadata=ObjectMeta(name="nobody", namespace="default"))
    request = ServiceAccountToken(metadata=ObjectMeta(), spec=TokenRequestSpec(audiences=[]))
    with target.kubernetes.client() as client:
        client.apply(account, field_manager="test")
        answer = client.create(request, "nobody", namespace="default")
    assert answer.status is not None
    assert target.kubernetes.kubeconfig is not None
    document = yaml.safe_load(target.kubernetes.kubeconfig.read_text())
    document["users"][0]["user"] = {"token": answer.status.token}
    path = folder / "nobody.kubeconfig"
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(document))
    return KubernetesAccess(kubeconfig=path)


def test_everything_that_a_cluster_lacks_is_told_at_once(target: Target, tmp_path: Path) -> None:
    with pytest.raises(ClusterNotReady) as bare:
        check_context(target.settings, target.kubernetes)
    told = bare.value.message.splitlines()
    assert told[0] == "The cluster lacks what the pipeline needs; nothing was changed:"
    assert "  No workflow-controller of Argo Workflows 3.7 or newer runs." in told
    assert "  No controller-manager of Argo Events 1.9 or newer runs." in told
    assert "You may not" not in bare.value.message

    with pytest.raises(ClusterNotReady) as refused:
        check_context(target.settings, nobody(target, tmp_path))
    told = refused.value.message.splitlines()
    assert "  You may not create, delete, get, list, patch, update, watch configmaps in aphex-shop." in told
    assert "  You may not create, delete, get, patch namespaces." in told
    assert any("sensors.argoproj.io in aphex-shop" in line for line in told)
    assert "aphex-shop" not in namespaces(target)


def test_there_is_no_pipeline_where_there_is_no_state_either(target: Target) -> None:
    target.aws.client("s3").delete_bucket(Bucket=BUCKET)
    with pytest.raises(StackMissing, match='no pipeline "shop"'):
        destroy(target, Terminal(), delete_data=True, confirmed=True)


def test_data_that_is_kept_is_found_again(target: Target, aws: MotoEndpoint) -> None:
    bring_up(target, example_config(), Terminal())
    s3 = aws.client("s3")
    s3.put_object(Bucket="aphex-shop-123456789012-us-east-1", Key="runs/x/logs/build.log", Body=b"kept")
    plan = destroy(target, Terminal(), delete_data=False, confirmed=True)
    assert {change.kind for change in plan.kept} >= {"aws:s3:Bucket", "aws:dynamodb:Table"}
    assert "aphex-shop" not in namespaces(target)
    bring_up(target, example_config(), Terminal())
    body = s3.get_object(Bucket="aphex-shop-123456789012-us-east-1", Key="runs/x/logs/build.log")["Body"]
    assert body.read() == b"kept"
    assert preview(target, example_config(), Terminal()).changes == ()


def test_a_saved_plan_is_applied_exactly(target: Target, tmp_path: Path) -> None:
    bring_up(target, example_config(), Terminal())
    smaller = with_one_environment()
    found = preview(target, smaller, Terminal())
    changed = {change.name for change in found.changes}
    assert "shop-run" in changed
    saved = SavedPlan(
        pipeline="shop",
        configuration=digest(smaller),
        settings=digest(target.settings),
        changes=[],
        plan=found.plan,
        salt=found.salt,
    )
    saved.save(tmp_path / "plan.json")
    text = (tmp_path / "plan.json").read_text()
    assert "sesame" not in text
    result = bring_up(target, smaller, Terminal(), plan=load_plan(tmp_path / "plan.json", smaller, target.settings))
    assert {change.name for change in result.changes} == changed


def start_up(target: Target, tmp_path: Path) -> subprocess.Popen[str]:
    """An `up` in a process group of its own, as a person or a pod runs it."""
    program = tmp_path / "program.py"
    document = {
        "settings": target.settings.model_dump(mode="json"),
        "secrets": target.secrets.revealed(),
        "endpoint": target.aws.endpoint,
        "kubeconfig": str(target.kubernetes.kubeconfig),
    }
    (tmp_path / "target.json").write_text(json.dumps(document))
    program.write_text(
        textwrap.dedent(
            f"""
            import json
            from pathlib import Path
            from aphex_platform.settings import PlatformSecrets, PlatformSettings
            from automation.access import AwsAccess, KubernetesAccess
            from automation.console import Terminal
            from automation.target import Target
            from automation.up import bring_up
            from tests.support.example import example_config

            document = json.loads(Path({str(tmp_path / "target.json")!r}).read_text())
            bring_up(
                Target(
                    settings=PlatformSettings.model_validate(document["settings"]),
                    secrets=PlatformSecrets.model_validate(document["secrets"]),
                    aws=AwsAccess(region="{REGION}", endpoint=document["endpoint"], static_keys={KEYS!r}),
                    kubernetes=KubernetesAccess(kubeconfig=Path(document["kubeconfig"])),
                ),
                example_config(),
                Terminal(),
            )
            """
        )
    )
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}", "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, str(program)], env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def wait_until_something_is_made(process: subprocess.Popen[str]) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if "created" in line:
            return
    pytest.fail("It ended before it made anything.")


def test_a_killed_up_is_repaired_by_the_next(target: Target, tmp_path: Path) -> None:
    with start_up(target, tmp_path) as process:
        wait_until_something_is_made(process)
        os.killpg(process.pid, signal.SIGKILL)
    assert read_locks(target.aws.client("s3"), BUCKET, stack_name("shop")), "The killed process left no lock to find."
    bring_up(target, example_config(), Terminal())
    assert preview(target, example_config(), Terminal()).changes == ()
    assert read_locks(target.aws.client("s3"), BUCKET, stack_name("shop")) == []


def test_an_interrupted_up_ends_by_itself_and_leaves_no_lock(target: Target, tmp_path: Path) -> None:
    with start_up(target, tmp_path) as process:
        wait_until_something_is_made(process)
        os.kill(process.pid, signal.SIGINT)
        process.communicate(timeout=120)
    assert process.returncode != 0
    assert read_locks(target.aws.client("s3"), BUCKET, stack_name("shop")) == []
    bring_up(target, example_config(), Terminal())
    assert preview(target, example_config(), Terminal()).changes == ()


def put_lock(target: Target, **changes: Any) -> None:
    lock = {
        "pid": 1,
        "username": "somebody",
        "hostname": "another-machine",
        "timestamp": "2026-01-02T03:04:05.123456789Z",
    }
    key = f".pulumi/locks/organization/aphex/{stack_name('shop')}/lock.json"
    target.aws.client("s3").put_object(Bucket=BUCKET, Key=key, Body=json.dumps({**lock, **changes}).encode())


def test_somebody_else_s_lock_is_waited_for_and_then_told_of(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    bring_up(target, with_one_environment(), Terminal())
    put_lock(target)
    monkeypatch.setattr("automation.operation.LOCK_WAIT_SECONDS", 3.0)
    began = time.monotonic()
    with pytest.raises(StackLocked, match="process 1 of somebody on another-machine"):
        bring_up(target, with_one_environment(), Terminal())
    assert time.monotonic() - began >= 3.0
    put_lock(target, hostname=socket.gethostname(), pid=2**22 + 1)
    assert bring_up(target, with_one_environment(), Terminal()).changes == ()
