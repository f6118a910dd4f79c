"""The configuration files of the node's components, as text made from the sandbox's addresses and secrets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from sandbox.node.layout import CONTAINERD_SOCKET, Layout
from sandbox.node.network import Network
from sandbox.state import AWS_ALIAS, NATS_PORT, REGISTRY_ALIAS, REGISTRY_PORT, SandboxSecrets

PAUSE_IMAGE = f"{REGISTRY_ALIAS}/pause:node"


def containerd(layout: Layout, cni_plugins: Path) -> str:
    """The configuration of containerd, version 2.

    The OOM settings are for machines whose root lacks CAP_SYS_RESOURCE, where runc could not lower a score.
    """
    base_spec = f'base_runtime_spec = "{layout.base_runtime_spec}"' if layout.trust.exists() else ""
    return f"""version = 2
root = "{layout.data("containerd")}"
state = "/run/containerd"
oom_score = 0
[grpc]
  address = "{CONTAINERD_SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{layout.etc / "registries"}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      {base_spec}
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni_plugins}"
    conf_dir = "{layout.etc / "cni"}"
"""


def registry_mirror(network: Network) -> str:
    """The hosts.toml by which containerd finds the registry under its alias."""
    address = f"http://{network.node_ip}:{REGISTRY_PORT}"
    return f'server = "{address}"\n[host."{address}"]\n  capabilities = ["pull", "resolve"]\n'


def cni(network: Network) -> str:
    """The pod network: a routed veth pair a pod, so services work without the kernel's bridge filter."""
    addresses = {
        "type": "host-local",
        "dataDir": "/run/cni",
        "ranges": [[{"subnet": str(network.pods)}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    plugins: list[dict[str, object]] = [
        {"type": "ptp", "ipMasq": False, "ipam": addresses},
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ]
    return json.dumps({"cniVersion": "0.4.0", "name": "aphex", "plugins": plugins}, indent=2) + "\n"


def kubelet(layout: Layout, network: Network) -> str:
    """KubeletConfiguration; cgroup settings suit version 1, hybrid and 2 alike."""
    configuration: dict[str, object] = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": str(network.node_ip),
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(layout.certificate("ca"))},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(layout.certificate("kubelet")),
        "tlsPrivateKeyFile": str(layout.key("kubelet")),
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": False,
        "enforceNodeAllocatable": [],
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "localStorageCapacityIsolation": False,
        "imageGCHighThresholdPercent": 100,
        "imageMaximumGCAge": "24h",
        "evictionHard": {"memory.available": "0%"},
        "oomScoreAdj": 0,
        "maxPods": 200,
        "serializeImagePulls": False,
        "podLogsDir": str(layout.data("pod-logs")),
        "volumePluginDir": str(layout.data("kubelet") / "volume-plugins"),
        "resolvConf": str(layout.etc / "resolv.conf"),
        "clusterDNS": [str(network.node_ip)],
        "clusterDomain": "cluster.local",
        "shutdownGracePeriod": "0s",
    }
    return json.dumps(configuration, indent=2) + "\n"


def resolv_conf(network: Network) -> str:
    """The node's own resolv.conf: CoreDNS."""
    return f"nameserver {network.node_ip}\n"


def hosts(network: Network) -> str:
    """Names that CoreDNS answers besides those of the cluster."""
    return f"{network.node_ip} {AWS_ALIAS} {REGISTRY_ALIAS}\n"


def corefile(layout: Layout, network: Network, resolvers: Sequence[str]) -> str:
    """CoreDNS: aliases, the cluster's names, and everything else from the host's resolvers, if it has any."""
    forward = f"    forward . {' '.join(resolvers)}\n" if resolvers else ""
    return f""".:53 {{
    bind {network.node_ip}
    errors
    ready 127.0.0.1:8181
    hosts {layout.etc / "hosts"} {{
        fallthrough
    }}
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig {layout.etc / "coredns.kubeconfig"}
        fallthrough in-addr.arpa
        ttl 5
    }}
{forward}    cache 30
}}
"""


def nats(layout: Layout, network: Network, secrets: SandboxSecrets) -> str:
    """NATS with JetStream, TLS and one user: what an exotic EventBus of Argo Events demands."""
    return f"""server_name: sandbox
listen: "{network.node_ip}:{NATS_PORT}"
jetstream {{ store_dir: "{layout.data("nats")}", max_file_store: 4GB }}
tls {{ cert_file: "{layout.certificate("nats")}", key_file: "{layout.key("nats")}" }}
authorization {{ users: [ {{ user: "{secrets.nats_username}", password: "{secrets.nats_password}" }} ] }}
"""


def registry(storage: Path, network: Network) -> str:
    """docker-registry over a folder; JSON is YAML."""
    configuration = {
        "version": "0.1",
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(storage)}, "delete": {"enabled": True}},
        "http": {"addr": f"{network.node_ip}:{REGISTRY_PORT}"},
    }
    return json.dumps(configuration, indent=2) + "\n"


def kubeconfig(server: str, authority: Path, user: dict[str, str], context: str) -> str:
    """A kubeconfig with one context; JSON is YAML."""
    return (
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": context, "cluster": {"server": server, "certificate-authority": str(authority)}}],
                "users": [{"name": context, "user": user}],
                "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
                "current-context": context,
            },
            indent=2,
        )
        + "\n"
    )
