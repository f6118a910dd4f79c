"""Everything that is in a state folder before a node starts: certificates, configuration files and the plan.

What is to be in the files is known before they are written, so that a node that runs can be held against it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sandbox.certificates import host_ca_bundle
from sandbox.images.recipes import tree_digest
from sandbox.node import cgroups, configuration, trust
from sandbox.node.certificates import Authority, Subject
from sandbox.node.components import Binaries, all_components
from sandbox.node.layout import CNI_CACHE, KUBELET_ROOT, Layout
from sandbox.node.network import Network, host_resolvers
from sandbox.node.plan import Bind, NodePlan
from sandbox.state import (
    API_PORT,
    ARGO_PORT,
    AWS_ALIAS,
    AWS_PORT,
    GIT_PORT,
    NATS_PORT,
    REGISTRY_ALIAS,
    REGISTRY_PORT,
    SandboxSecrets,
    SandboxState,
    read_model,
    write_private,
)

_CNI_PLUGINS = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))
_CLIENTS = {
    "controller-manager": ("system:kube-controller-manager", ()),
    "scheduler": ("system:kube-scheduler", ()),
    "proxy": ("system:kube-proxy", ()),
    "coredns": ("aphex:coredns", ()),
    "kubelet-client": ("kubelet-client", ("system:masters",)),
}
_DATA = ("etcd", "containerd", "kubelet", "nats", "pod-logs")
_SOURCES = ("sandbox/node", "sandbox/aws", "sandbox/git_host", "sandbox/state.py")


@dataclass(frozen=True)
class Preparation:
    """What a node is to run, and its files.

    Attributes:
        plan: what its first process is told.
        files: what is to be in each file, the plan's own among them.
    """

    plan: NodePlan
    files: dict[Path, str]

    def is_in_place(self) -> bool:
        """Whether every file holds this already: a node that was started so has nothing to be started anew for."""
        return all(path.is_file() and path.read_text() == text for path, text in self.files.items())

    def put_in_place(self) -> None:
        """Write every file."""
        for path, text in self.files.items():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(path, text)


def ensure_secrets(layout: Layout) -> SandboxSecrets:
    """The sandbox's secrets; they are made at its first start."""
    if not layout.secrets.exists():
        SandboxSecrets.generate().save(layout.secrets)
    return read_model(layout.secrets, SandboxSecrets)


def prepare(
    layout: Layout, network: Network, secrets: SandboxSecrets, binaries: Binaries, registry: Path, containerd: Path
) -> Preparation:
    """Say what is to be run, and what is to be in the files that the node's components read.

    Args:
        layout: the state folder.
        network: the sandbox's addresses.
        secrets: the sandbox's secrets.
        binaries: where the programs are.
        registry: the folder of the registry's blobs, which sandboxes may share.
        containerd: the containerd program.
    """
    hostname = node_name(layout)
    plan = NodePlan(
        hostname=hostname,
        directory=layout.directory,
        device=network.node_device,
        address=f"{network.node_ip}/{network.link.prefixlen}",
        gateway=str(network.host_ip),
        cgroup=cgroups.root(layout.directory),
        binds=(
            Bind(source=layout.data("kubelet"), target=KUBELET_ROOT),
            Bind(source=layout.etc / "resolv.conf", target=Path("/etc/resolv.conf")),
        ),
        scratch=(CNI_CACHE, Path("/var/log")),
        components=all_components(layout, network, binaries, hostname, containerd),
        sources=tree_digest(_SOURCES),
    )
    files = _files(layout, network, secrets, registry) | _kubeconfigs(layout, network, secrets)
    if layout.trust.exists():
        files[layout.base_runtime_spec] = trust.base_runtime_spec(layout, containerd)
    files[layout.plan] = plan.model_dump_json(indent=2) + "\n"
    return Preparation(plan, files)


def make_folders(layout: Layout, registry: Path) -> None:
    """Make the folders that the node's components write to.

    Args:
        layout: the state folder.
        registry: the folder of the registry's blobs.
    """
    for folder in (layout.etc, layout.logs, registry, *(layout.data(name) for name in _DATA)):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def node_name(layout: Layout) -> str:
    """What the Kubernetes node is called."""
    return f"sandbox-{layout.directory.name}"


def describe(layout: Layout, network: Network, pid: int) -> SandboxState:
    """The state of a sandbox whose node's first process is `pid`."""
    node = network.node_ip
    return SandboxState(
        name=layout.directory.name,
        directory=layout.directory,
        node_ip=str(node),
        host_ip=str(network.host_ip),
        pod_cidr=str(network.pods),
        service_cidr=str(network.services),
        kubeconfig=layout.kubeconfig,
        context=_context(layout),
        supervisor_pid=pid,
        aws_endpoint=f"http://{node}:{AWS_PORT}",
        aws_endpoint_in_pods=f"http://{AWS_ALIAS}:{AWS_PORT}",
        aws_s3_endpoint_in_pods=f"http://{node}:{AWS_PORT}",
        registry=f"{node}:{REGISTRY_PORT}",
        nats_url=f"nats://{node}:{NATS_PORT}",
        git_url=f"http://{node}:{GIT_PORT}",
        oidc_issuer=f"https://{node}:{API_PORT}",
        argo_server_url=f"http://{network.argo_ip}:{ARGO_PORT}",
        ca_bundle=host_ca_bundle(),
    )


def _context(layout: Layout) -> str:
    return f"aphex-sandbox-{layout.directory.name}"


def issue_certificates(layout: Layout, network: Network) -> None:
    """Issue what the node's components show each other, unless it is there."""
    hostname = node_name(layout)
    authority = Authority(layout.pki)
    authority.ensure()
    service = "kubernetes.default.svc"
    authority.issue(
        Subject(
            file="api-server",
            common_name="kube-apiserver",
            names=("localhost", "kubernetes", "kubernetes.default", service, f"{service}.cluster.local"),
            addresses=(network.node_ip, network.services[1]),
        )
    )
    authority.issue(
        Subject(
            file="kubelet",
            common_name=f"system:node:{hostname}",
            groups=("system:nodes",),
            names=(hostname,),
            addresses=(network.node_ip,),
        )
    )
    authority.issue(Subject(file="nats", common_name="nats", names=("nats",), addresses=(network.node_ip,)))
    for file, (user, groups) in _CLIENTS.items():
        authority.issue(Subject(file=file, common_name=user, groups=groups))


def _files(layout: Layout, network: Network, secrets: SandboxSecrets, registry: Path) -> dict[Path, str]:
    plugins = next((path for path in _CNI_PLUGINS if path.is_dir()), _CNI_PLUGINS[0])
    mirror = layout.etc / "registries" / REGISTRY_ALIAS
    return {
        layout.etc / "containerd.toml": configuration.containerd(layout, plugins),
        mirror / "hosts.toml": configuration.registry_mirror(network),
        layout.etc / "cni" / "10-aphex.conflist": configuration.cni(network),
        layout.etc / "kubelet.json": configuration.kubelet(layout, network),
        layout.etc / "resolv.conf": configuration.resolv_conf(network),
        layout.etc / "hosts": configuration.hosts(network),
        layout.etc / "Corefile": configuration.corefile(layout, network, host_resolvers()),
        layout.etc / "nats.conf": configuration.nats(layout, network, secrets),
        layout.etc / "registry.json": configuration.registry(registry, network),
        layout.etc / "tokens.csv": f"{secrets.admin_token},admin,admin,system:masters\n",
    }


def _kubeconfigs(layout: Layout, network: Network, secrets: SandboxSecrets) -> dict[Path, str]:
    files = {}
    server, authority = f"https://{network.node_ip}:{API_PORT}", layout.certificate("ca")
    for name in ("controller-manager", "scheduler", "proxy", "coredns", "kubelet"):
        user = {"client-certificate": str(layout.certificate(name)), "client-key": str(layout.key(name))}
        files[layout.etc / f"{name}.kubeconfig"] = configuration.kubeconfig(server, authority, user, _context(layout))
    admin = {"token": secrets.admin_token}
    files[layout.kubeconfig] = configuration.kubeconfig(server, authority, admin, _context(layout))
    return files
