"""The sandbox itself: a real node that takes pods, survives crashes, and leaves nothing behind."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import signal
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest

from aphex.errors import AphexError
from sandbox import images, lifecycle, toolchain
from sandbox.certificates import host_ca_bundle
from sandbox.node import host, trust
from sandbox.node.layout import Layout
from sandbox.providers.kubernetes.api import KubernetesApi
from sandbox.providers.kubernetes.connection import connect
from sandbox.state import AWS_ALIAS, ComponentState, SandboxNotRunning, SandboxState
from tests.integration.conftest import report
from tests.support.traces import Traces

pytestmark = pytest.mark.integration


def eventually(condition: Callable[[], bool], seconds: float = 60.0) -> bool:
    """Whether `condition` comes true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.2)
    return False


def process_of(words: str) -> int:
    """The one process, as the host sees it, whose command line has these words with NULs between them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if words in path.read_text(errors="replace"):
                found.append(int(path.parent.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    (process,) = found
    return process


def buckets(state: SandboxState) -> list[str]:
    """The buckets in a sandbox's AWS."""
    return [bucket["Name"] for bucket in s3(state).list_buckets()["Buckets"]]


def s3(state: SandboxState) -> Any:
    """A client of a sandbox's S3."""
    session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name=state.region)
    return session.client("s3", endpoint_url=state.aws_endpoint)


@pytest.fixture
def run_pod(api: KubernetesApi, sandbox: SandboxState) -> Iterator[Callable[[str], str]]:
    """Run a shell script in a pod to its end; returns what it printed."""
    image = images.ensure(sandbox, toolchain.ensure()).builder
    made: list[dict[str, Any]] = []

    def run(script: str) -> str:
        name = f"probe-{secrets.token_hex(3)}"
        container = {"name": "main", "image": image, "command": ["/bin/bash", "-c", script]}
        spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "containers": [container]}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}, "spec": spec}
        made.append(api.create(pod, manager="tests"))
        assert eventually(lambda: api.get(pod)["status"]["phase"] in ("Succeeded", "Failed"), 120), api.get(pod)
        log = f"/api/v1/namespaces/default/pods/{name}/log"
        with connect(str(sandbox.kubeconfig)).client() as client:
            return client.get(log).raise_for_status().text

    yield run
    for pod in made:
        api.delete(pod, propagation="Background")


def test_every_component_is_ready(sandbox: SandboxState) -> None:
    status = lifecycle.status(sandbox.name)
    assert status.ready
    names = {component.name for component in status.components}
    assert {"etcd", "api-server", "kubelet", "kube-proxy", "coredns", "containerd", "nats", "registry", "aws"} <= names


def test_starting_a_running_sandbox_only_looks(sandbox: SandboxState) -> None:
    before = lifecycle.status(sandbox.name)
    assert lifecycle.start(sandbox.name, report) == sandbox
    assert lifecycle.status(sandbox.name) == before


def test_pods_reach_the_cluster_the_aws_stand_in_and_its_alias(
    sandbox: SandboxState, run_pod: Callable[[str], str]
) -> None:
    printed = run_pod(
        "getent hosts kubernetes.default.svc.cluster.local; "
        f"getent hosts {AWS_ALIAS}; "
        "python3 -c 'import urllib.request as u;"
        f'print(u.urlopen("{sandbox.aws_endpoint_in_pods}/_aphex/health").status)\''
    )
    first, second, third = printed.strip().splitlines()
    assert first.split()[0] == sandbox.service_cidr.replace("0/18", "1")
    assert second.split()[0] == sandbox.node_ip
    assert third == "200"


def test_a_pod_trusts_exactly_the_authorities_that_the_host_trusts(run_pod: Callable[[str], str]) -> None:
    bundle = host_ca_bundle()
    if bundle is None:
        pytest.skip("this machine has no CA bundle")
    printed = run_pod(
        f"id -u; sha256sum < {trust.IN_CONTAINERS}; test -w {trust.IN_CONTAINERS} || echo read-only; "
        f"grep -c ' {trust.IN_CONTAINERS} ro' /proc/self/mountinfo; "
        "python3 -c 'import ssl; print(ssl.get_default_verify_paths().cafile)'"
    )
    digest = hashlib.sha256(bundle.read_bytes()).hexdigest()
    assert printed.splitlines() == ["10001", f"{digest}  -", "read-only", "1", trust.IN_CONTAINERS]


def test_the_host_reaches_argo_and_needs_a_login(sandbox: SandboxState) -> None:
    url = f"{sandbox.argo_server_url}/api/v1/workflows/argo"
    assert httpx.get(url, trust_env=False).status_code == httpx.codes.UNAUTHORIZED
    token = {"Authorization": f"Bearer {sandbox.secrets().admin_token}"}
    assert httpx.get(url, headers=token, trust_env=False).status_code == httpx.codes.OK


def test_argo_runs_a_workflow(api: KubernetesApi, sandbox: SandboxState) -> None:
    made = images.ensure(sandbox, toolchain.ensure())
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "test-executor"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": "default"}],
    }
    workflow = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": f"hello-{secrets.token_hex(3)}", "namespace": "default"},
        "spec": {
            "entrypoint": "main",
            "templates": [{"name": "main", "container": {"image": made.builder, "command": ["/bin/true"]}}],
        },
    }
    api.apply(role, manager="tests", force=True)
    try:
        api.create(workflow, manager="tests")
        assert eventually(lambda: api.get(workflow).get("status", {}).get("phase") == "Succeeded", 120), json.dumps(
            api.get(workflow).get("status")
        )
    finally:
        api.delete(workflow, propagation="Background")
        api.delete(role, propagation="Background")


def test_a_crashed_component_is_started_again(sandbox: SandboxState) -> None:
    def coredns() -> Any:
        return next(c for c in lifecycle.status(sandbox.name).components if c.name == "coredns")

    before = coredns()
    os.kill(process_of(f"coredns\0-conf\0{sandbox.directory}"), signal.SIGKILL)
    assert eventually(lambda: coredns().restarts > before.restarts and coredns().state is ComponentState.ready)
    assert any("coredns: ended with -9" in line for line in lifecycle.logs(sandbox.name, "events"))


def test_only_the_owner_can_read_the_sandbox(sandbox: SandboxState) -> None:
    assert stat.S_IMODE(sandbox.directory.stat().st_mode) == 0o700
    private = [sandbox.kubeconfig, *(sandbox.directory / f"{name}.json" for name in ("state", "secrets", "plan"))]
    private += [*sandbox.directory.glob("etc/*.*"), *sandbox.directory.glob("pki/*")]
    assert [p for p in private if p.is_file() and stat.S_IMODE(p.stat().st_mode) & 0o077] == []


def test_secrets_are_in_no_command_line_and_no_log(sandbox: SandboxState) -> None:
    secret = sandbox.secrets()
    values = [secret.nats_password, secret.passphrase, secret.webhook_secret, secret.admin_token]
    logs = [path.read_text(errors="replace") for path in (sandbox.directory / "logs").glob("*.log")]
    lines = [path.read_text(errors="replace") for path in Path("/proc").glob("[0-9]*/cmdline")]
    assert [value for value in values for text in (*logs, *lines) if value in text] == []


def test_an_unknown_log_names_those_that_there_are(sandbox: SandboxState) -> None:
    with pytest.raises(AphexError, match="api-server"):
        list(lifecycle.logs(sandbox.name, "nonsense"))


@pytest.fixture(scope="module")
def second(sandbox: SandboxState) -> Iterator[SandboxState]:
    """A sandbox beside the first, to be stopped, killed and started again. Nothing of it may be left at the end."""
    name = f"second-{secrets.token_hex(3)}"
    try:
        state = lifecycle.start(name, report)
        yield state
    finally:
        lifecycle.stop(name, report, remove=True)
    assert Traces.of(state) == Traces()
    assert lifecycle.status(sandbox.name).ready
    assert not lifecycle.status(name).running


@pytest.fixture
def kept(second: SandboxState) -> Iterator[Callable[[SandboxState], bool]]:
    """What the second sandbox holds, in its cluster and in its AWS; whether it is all there."""
    name = f"marker-{secrets.token_hex(3)}"
    marker = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}}
    api = KubernetesApi(connect(str(second.kubeconfig)))
    api.create(marker, manager="tests")
    s3(second).create_bucket(Bucket=name)

    def there(state: SandboxState) -> bool:
        return name in buckets(state) and bool(api.get(marker)["metadata"]["name"] == name)

    yield there
    api.close()


def written(state: SandboxState) -> bool:
    """Whether the AWS stand-in's file is newer than now."""
    snapshot, now = state.directory / "aws" / "snapshot.pickle", time.time()
    return eventually(lambda: snapshot.exists() and snapshot.stat().st_mtime > now, 15)


def test_a_second_sandbox_runs_beside_the_first(sandbox: SandboxState, second: SandboxState) -> None:
    assert second.node_ip != sandbox.node_ip
    assert lifecycle.status(sandbox.name).ready
    assert lifecycle.status(second.name).ready


def test_what_is_in_the_aws_stand_in_outlives_its_crash(
    second: SandboxState, kept: Callable[[SandboxState], bool]
) -> None:
    assert written(second)
    os.kill(process_of(f"sandbox.aws.server\0--host\0{second.node_ip}\0"), signal.SIGKILL)
    assert eventually(lambda: lifecycle.status(second.name).ready is False)
    assert eventually(lambda: lifecycle.status(second.name).ready)
    assert kept(second)


def test_a_stopped_sandbox_goes_on_where_it_was(second: SandboxState, kept: Callable[[SandboxState], bool]) -> None:
    lifecycle.stop(second.name, report)
    assert Traces.of(second) == Traces()
    again = lifecycle.start(second.name, report)
    assert again.node_ip == second.node_ip
    assert kept(again)


def test_a_killed_sandbox_goes_on_where_it_was(second: SandboxState, kept: Callable[[SandboxState], bool]) -> None:
    assert written(second)
    os.kill(lifecycle.load(second.name).supervisor_pid, signal.SIGKILL)
    assert eventually(lambda: host.running(Layout(second.directory)) is None)
    with pytest.raises(SandboxNotRunning):
        lifecycle.load(second.name)
    again = lifecycle.start(second.name, report)
    assert again.node_ip == second.node_ip
    assert kept(again)


def test_a_sandbox_that_runs_other_code_is_started_anew(
    second: SandboxState, kept: Callable[[SandboxState], bool]
) -> None:
    before = lifecycle.load(second.name)
    plan = Layout(second.directory).plan
    older = json.loads(plan.read_text()) | {"sources": "older", "no longer": "known"}
    plan.write_text(json.dumps(older))
    again = lifecycle.start(second.name, report)
    assert again.supervisor_pid != before.supervisor_pid
    assert kept(again)
    assert lifecycle.start(second.name, report) == again
