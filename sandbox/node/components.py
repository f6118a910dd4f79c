"""Which processes a node is made of, with their arguments, their order and what shows that they are ready."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Protocol

from sandbox.node.layout import Layout
from sandbox.node.network import Network
from sandbox.node.plan import Component, Probe, ProbeKind
from sandbox.node.programs import SYSTEM_PATH
from sandbox.state import ACCOUNT, API_PORT, AWS_PORT, GIT_PORT, NATS_PORT, REGION, REGISTRY_PORT

_ETCD = "127.0.0.1:2379"
_SOURCES = Path(__file__).resolve().parents[2]
# A snapshot with some hundred megabytes of artifacts in it takes more than a moment to write.
_SNAPSHOT_SECONDS = 15.0


class Binaries(Protocol):
    """Where the toolchain has its programs."""

    def path(self, tool: str) -> Path:
        """The program of that name."""
        ...


def all_components(
    layout: Layout, network: Network, binaries: Binaries, hostname: str, containerd: Path
) -> tuple[Component, ...]:
    """Every process of the node, in the order in which they are listed to people."""
    kube = str(binaries.path("kube"))
    return (
        _etcd(kube, layout),
        _api_server(kube, layout, network),
        _controller_manager(kube, layout, network),
        _scheduler(kube, layout),
        _containerd(layout, containerd),
        _kubelet(kube, layout, network, hostname),
        _proxy(kube, layout, network, hostname),
        _coredns(kube, layout),
        _nats(layout, network, binaries),
        _registry(layout, network, binaries),
        _aws(layout, network),
        _git(layout, network),
    )


def _environment(**more: str) -> dict[str, str]:
    return {"PATH": SYSTEM_PATH, "HOME": os.environ.get("HOME", "/root"), "LANG": "C.UTF-8", **more}


def _python() -> dict[str, str]:
    return _environment(PYTHONPATH=str(_SOURCES), PYTHONUNBUFFERED="1", PYTHONDONTWRITEBYTECODE="1")


def _tcp(target: str) -> Probe:
    return Probe(kind=ProbeKind.tcp, target=target)


def _http(target: str) -> Probe:
    return Probe(kind=ProbeKind.http, target=target)


def _component(name: str, command: list[str], probe: Probe, *after: str) -> Component:
    return Component(name=name, command=tuple(command), environment=_environment(), after=after, probe=probe)


def _etcd(kube: str, layout: Layout) -> Component:
    command = [
        *(kube, "etcd", "--name=sandbox", f"--data-dir={layout.data('etcd')}"),
        *(f"--listen-client-urls=http://{_ETCD}", f"--advertise-client-urls=http://{_ETCD}"),
        *("--listen-peer-urls=http://127.0.0.1:2380", "--initial-advertise-peer-urls=http://127.0.0.1:2380"),
        *("--initial-cluster=sandbox=http://127.0.0.1:2380", "--log-level=warn"),
        *("--auto-compaction-mode=periodic", "--auto-compaction-retention=10m"),
    ]
    return _component("etcd", command, _http(f"http://{_ETCD}/health"))


def _api_server(kube: str, layout: Layout, network: Network) -> Component:
    issuer = f"https://{network.node_ip}:{API_PORT}"
    accounts = str(layout.key("service-accounts"))
    command = [
        *(kube, "apiserver", f"--etcd-servers=http://{_ETCD}"),
        *(f"--bind-address={network.node_ip}", f"--secure-port={API_PORT}"),
        *(f"--advertise-address={network.node_ip}", f"--external-hostname={network.node_ip}"),
        *(f"--tls-cert-file={layout.certificate('api-server')}", f"--tls-private-key-file={layout.key('api-server')}"),
        *(f"--client-ca-file={layout.certificate('ca')}", f"--token-auth-file={layout.etc / 'tokens.csv'}"),
        *(f"--service-account-key-file={accounts}", f"--service-account-signing-key-file={accounts}"),
        *(f"--service-account-issuer={issuer}", f"--api-audiences={issuer},https://kubernetes.default.svc"),
        *(f"--service-cluster-ip-range={network.services}", "--authorization-mode=Node,RBAC"),
        *("--enable-admission-plugins=NodeRestriction", "--allow-privileged", "--endpoint-reconciler-type=lease"),
        f"--kubelet-certificate-authority={layout.certificate('ca')}",
        f"--kubelet-client-certificate={layout.certificate('kubelet-client')}",
        f"--kubelet-client-key={layout.key('kubelet-client')}",
        "--kubelet-preferred-address-types=InternalIP",
    ]
    return _component("api-server", command, _http(f"{issuer}/readyz"), "etcd")


def _controller_manager(kube: str, layout: Layout, network: Network) -> Component:
    command = [
        *(kube, "controller-manager", f"--kubeconfig={layout.etc / 'controller-manager.kubeconfig'}"),
        f"--service-account-private-key-file={layout.key('service-accounts')}",
        *(f"--root-ca-file={layout.certificate('ca')}", "--use-service-account-credentials"),
        *(f"--cluster-cidr={network.pods}", "--allocate-node-cidrs=false", "--leader-elect=false"),
        *("--bind-address=127.0.0.1", "--node-monitor-grace-period=60s"),
    ]
    return _component("controller-manager", command, _http("https://127.0.0.1:10257/healthz"), "api-server")


def _scheduler(kube: str, layout: Layout) -> Component:
    configuration = layout.etc / "scheduler.kubeconfig"
    command = [kube, "scheduler", f"--kubeconfig={configuration}", "--leader-elect=false", "--bind-address=127.0.0.1"]
    return _component("scheduler", command, _http("https://127.0.0.1:10259/healthz"), "api-server")


def _containerd(layout: Layout, containerd: Path) -> Component:
    command = [str(containerd), "--config", str(layout.etc / "containerd.toml"), "--log-level", "warn"]
    probe = Probe(kind=ProbeKind.unix, target="/run/containerd/containerd.sock")
    return _component("containerd", command, probe)


def _kubelet(kube: str, layout: Layout, network: Network, hostname: str) -> Component:
    command = [
        *(kube, "kubelet", f"--kubeconfig={layout.etc / 'kubelet.kubeconfig'}"),
        *(f"--config={layout.etc / 'kubelet.json'}", f"--hostname-override={hostname}"),
        f"--node-ip={network.node_ip}",
    ]
    return _component("kubelet", command, _http("http://127.0.0.1:10248/healthz"), "api-server", "containerd")


def _proxy(kube: str, layout: Layout, network: Network, hostname: str) -> Component:
    command = [
        *(kube, "proxy", f"--kubeconfig={layout.etc / 'proxy.kubeconfig'}", f"--cluster-cidr={network.pods}"),
        *(f"--hostname-override={hostname}", "--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0"),
        *("--conntrack-tcp-timeout-close-wait=0", "--healthz-bind-address=127.0.0.1:10256"),
        *("--metrics-bind-address=127.0.0.1:10249", "--proxy-mode=iptables", "--iptables-min-sync-period=100ms"),
    ]
    return _component("kube-proxy", command, _http("http://127.0.0.1:10256/livez"), "api-server")


def _coredns(kube: str, layout: Layout) -> Component:
    command = [kube, "coredns", "-conf", str(layout.etc / "Corefile")]
    return _component("coredns", command, _http("http://127.0.0.1:8181/ready"), "api-server")


def _nats(layout: Layout, network: Network, binaries: Binaries) -> Component:
    command = [str(binaries.path("nats-server")), "--config", str(layout.etc / "nats.conf")]
    return _component("nats", command, _tcp(f"{network.node_ip}:{NATS_PORT}"))


def _registry(layout: Layout, network: Network, binaries: Binaries) -> Component:
    command = [str(binaries.path("docker-registry")), "serve", str(layout.etc / "registry.json")]
    return _component("registry", command, _http(f"http://{network.node_ip}:{REGISTRY_PORT}/v2/"))


def _aws(layout: Layout, network: Network) -> Component:
    command = [
        *(sys.executable, "-m", "sandbox.aws.server", "--host", str(network.node_ip), "--port", str(AWS_PORT)),
        *("--account", ACCOUNT, "--region", REGION),
        # What is deployed outlives a stop and a crash, as the cluster's objects do.
        *("--snapshot", str(layout.directory / "aws" / "snapshot.pickle")),
    ]
    probe = _http(f"http://{network.node_ip}:{AWS_PORT}/_aphex/health")
    return Component(
        name="aws", command=tuple(command), environment=_python(), probe=probe, stop_seconds=_SNAPSHOT_SECONDS
    )


def _git(layout: Layout, network: Network) -> Component:
    command = [
        *(sys.executable, "-m", "sandbox.git_host.server", "--host", str(network.node_ip)),
        *("--port", str(GIT_PORT), "--root", str(layout.directory / "git")),
    ]
    probe = _tcp(f"{network.node_ip}:{GIT_PORT}")
    return Component(name="git", command=tuple(command), environment=_python(), probe=probe)
