"""aphex-cluster.yaml: the platform engineers' file that says what a shared cluster on AWS is like."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, model_validator

from aphex.argo_config import Argo
from aphex.cluster_access import Api, Ui, Webhooks
from aphex.regions import partition_of
from aphex.values import Account, Cidr, Duration, Model, Region, RoleArn, duration_seconds, is_private, network_of

CLUSTER_FILE = "aphex-cluster.yaml"
_NAME = r"^[a-z]([a-z0-9-]*[a-z0-9])?$"
# Amazon EC2 Instance Types, "Naming conventions": a g after the generation is for Graviton.
_GRAVITON = re.compile(r"(?:a1|[a-z]+\d+g[a-z]*)(?:-\w+)?\.")
_LARGEST_PREFIX, _SMALLEST_PREFIX = 16, 22

RetentionDays = Literal[
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653
]


class Kubernetes(Model):
    """The version of Kubernetes and who administers it."""

    version: str = Field(
        default="1.35",
        pattern=r"^1\.[1-9]\d$",
        description="Minor version of Kubernetes. EKS upgrades by one minor version at a time and never back.",
    )
    extended_support: bool = Field(
        default=False,
        description="Keep the version after its standard support, for about six times the price of the control plane. "
        "Without it AWS upgrades the cluster when the standard support ends.",
    )
    admins: list[RoleArn] = Field(
        default_factory=list,
        description="Roles that administer the cluster, beside the one that creates it, which is one by itself and "
        "must not be listed.",
    )

    @model_validator(mode="after")
    def _each_once(self) -> Kubernetes:
        """Each of `admins` is there once."""
        if len(set(self.admins)) != len(self.admins):
            raise ValueError("admins has a role twice. Remove one of them.")
        return self


class Network(Model):
    """The VPC: three zones, each with a private and a public subnet. Nodes are in the private ones."""

    cidr: Cidr = Field(
        default="10.64.0.0/16",
        description="The network's private addresses, from /16 to /22. Every pod has one. It cannot be changed later.",
    )
    zones: list[str] | None = Field(
        default=None,
        min_length=3,
        max_length=3,
        description="Three availability zones, such as eu-west-1a. Without it: the region's first three that EKS can "
        "use.",
    )
    nat: Literal["single", "per-zone"] = Field(
        default="single",
        description="Gateways for the way out to the internet: one, which costs a third and fails with its zone, or "
        "one in each zone.",
    )
    flow_logs: Literal["rejected", "all", "none"] = Field(
        default="rejected", description="Which connections are logged."
    )

    @model_validator(mode="after")
    def _usable(self) -> Network:
        """`cidr` is private and from /16 to /22; `zones` are three different ones."""
        network = network_of(self.cidr)
        if not is_private(self.cidr):
            raise ValueError(
                f"cidr {self.cidr} is not private. Choose one inside 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16."
            )
        if not _LARGEST_PREFIX <= network.prefixlen <= _SMALLEST_PREFIX:
            raise ValueError(f"cidr {self.cidr} is /{network.prefixlen}. It must be from /16 to /22.")
        if self.zones is not None and len(set(self.zones)) != len(self.zones):
            raise ValueError("zones has a zone twice. Name three different ones.")
        return self


class AutoMode(Model):
    """Nodes by EKS Auto Mode, which starts and stops them as pods need them."""

    capacity: Literal["on-demand", "spot"] = Field(
        default="on-demand",
        description="`spot` costs about a third, but AWS may take a node away with two minutes' notice, in the "
        "middle of a deployment.",
    )
    architectures: list[Literal["amd64", "arm64"]] = Field(
        default=["amd64"], min_length=1, description="Processor architectures of nodes."
    )
    families: list[Literal["c", "m", "r"]] = Field(
        default=["c", "m", "r"], min_length=1, description="Instance categories of nodes: compute, general and memory."
    )
    max_cpus: int = Field(
        default=64, ge=4, description="Most virtual CPUs that all nodes together may have: the limit of what runs cost."
    )
    consolidate_after: Duration = Field(
        default="5m", description="How long a node may be idle or ill used before it is removed."
    )

    @property
    def consolidate_after_seconds(self) -> int:
        """The delay in seconds."""
        return duration_seconds(self.consolidate_after)


class NodeGroup(Model):
    """A managed node group."""

    name: str = Field(pattern=_NAME, max_length=30, description="Unique name.")
    instance_types: list[str] = Field(
        min_length=1, description="Instance types of one size and architecture, such as m7i.large."
    )
    capacity: Literal["on-demand", "spot"] = Field(default="on-demand", description="How nodes are bought.")
    min: int = Field(default=1, ge=0, description="Fewest nodes.")
    max: int = Field(default=6, ge=1, description="Most nodes.")
    disk_gib: int = Field(default=80, ge=20, description="Size of a node's encrypted disk in GiB.")

    @model_validator(mode="after")
    def _consistent(self) -> NodeGroup:
        """`min` is not above `max`, and all `instance_types` have the same processor architecture."""
        if self.min > self.max:
            raise ValueError(f"min ({self.min}) is above max ({self.max}).")
        if len({_is_arm(each) for each in self.instance_types}) > 1:
            raise ValueError("instance_types mixes processor architectures. Make a group for each.")
        return self

    @property
    def architecture(self) -> Literal["amd64", "arm64"]:
        """The processor architecture of its nodes."""
        return "arm64" if _is_arm(self.instance_types[0]) else "amd64"


class Autoscaling(Model):
    """Where nodes come from."""

    mode: Literal["auto", "node-groups"] = Field(
        default="auto",
        description="`auto`: EKS Auto Mode. `node-groups`: managed node groups with the Cluster Autoscaler.",
    )
    auto: AutoMode = Field(default_factory=AutoMode, description="Nodes by EKS Auto Mode.")
    node_groups: list[NodeGroup] = Field(default_factory=list, description="Managed node groups.")

    @model_validator(mode="after")
    def _one_mode(self) -> Autoscaling:
        """`node_groups` has at least one entry with `node-groups` and none with `auto`; their names are unique."""
        if self.mode == "auto" and self.node_groups:
            raise ValueError("node_groups has entries, but mode is auto. Remove them, or choose mode: node-groups.")
        if self.mode == "node-groups" and not self.node_groups:
            raise ValueError("needs node_groups, because mode is node-groups. Add one, or choose mode: auto.")
        if self.mode == "node-groups" and self.auto != AutoMode():
            raise ValueError("auto has settings, but mode is node-groups. Remove them, or choose mode: auto.")
        names = [group.name for group in self.node_groups]
        if len(set(names)) != len(names):
            raise ValueError("node_groups has a name twice. Names must be unique.")
        return self


class Logs(Model):
    """Logs in CloudWatch: the control plane's and the network's."""

    retention_days: RetentionDays = Field(default=90, description="How many days they are kept.")


class Registry(Model):
    """The ECR repositories of the builder and deployer images."""

    scan_on_push: bool = Field(default=True, description="Scan images for known vulnerabilities when they are pushed.")
    immutable_tags: bool = Field(default=True, description="Refuse to move a tag to another image.")
    keep_images: int = Field(default=30, ge=1, description="How many tagged images each keeps.")
    untagged_days: int = Field(default=7, ge=1, description="How many days images without a tag are kept.")


class ClusterConfig(Model):
    """The whole of aphex-cluster.yaml."""

    version: Literal["1.0"] = Field(description='Version of this format: "1.0".')
    name: str = Field(pattern=_NAME, max_length=30, description="The cluster's name, unique in its account and region.")
    region: Region = Field(description="AWS region of the cluster.")
    account: Account = Field(description="AWS account of the cluster: twelve digits, in quotes.")
    api: Api = Field(description="Who reaches the Kubernetes API.")
    ui: Ui = Field(description="How people reach Argo's UI.")
    kubernetes: Kubernetes = Field(default_factory=Kubernetes, description="Kubernetes itself.")
    network: Network = Field(default_factory=Network, description="The network.")
    autoscaling: Autoscaling = Field(default_factory=Autoscaling, description="Where nodes come from.")
    argo: Argo = Field(default_factory=Argo, description="Argo Workflows and Argo Events.")
    webhooks: Webhooks | None = Field(
        default=None, description="How the git host reaches webhooks. Without it nothing outside the network does."
    )
    identity: Literal["pod-identity", "irsa"] = Field(
        default="pod-identity",
        description="How pods get their AWS roles: by EKS Pod Identity, or by the cluster's OpenID Connect provider.",
    )
    logs: Logs = Field(default_factory=Logs, description="Logs in CloudWatch.")
    registry: Registry = Field(default_factory=Registry, description="The image repositories.")
    deletion_protection: bool = Field(
        default=True,
        description="Refuse to delete the cluster, its key and its images. To delete them, set it to false and deploy "
        "that first.",
    )
    tags: dict[str, str] = Field(default_factory=dict, description="Tags of every AWS resource, such as a cost centre.")

    @model_validator(mode="after")
    def _one_region(self) -> ClusterConfig:
        """Zones, certificates and the secret of the login are in the cluster's region."""
        for zone in self.network.zones or ():
            if zone[:-1] != self.region or not zone[-1:].isalpha():
                raise ValueError(
                    f"network.zones has {zone}, which is no zone of {self.region}, such as {self.region}a."
                )
        named = {
            "ui.certificate": self.ui.certificate,
            "webhooks.certificate": self.webhooks.certificate if self.webhooks else None,
            "ui.login.client_secret": self.ui.login.client_secret,
        }
        for field, arn in named.items():
            if arn is not None and arn.split(":")[3] != self.region:
                raise ValueError(f"{field} is in {arn.split(':')[3]}, but the cluster is in {self.region}.")
        return self

    @property
    def partition(self) -> str:
        """The AWS partition that ARNs begin with."""
        return partition_of(self.region)

    @property
    def argo_url(self) -> str:
        """Address of Argo's UI: that of the load balancer, or of a forwarded port."""
        return f"https://{self.ui.host}" if self.ui.host else "https://localhost:2746"

    @property
    def webhook_url(self) -> str | None:
        """Address below which each pipeline has its webhook; none when nothing outside reaches them."""
        return f"https://{self.webhooks.host}" if self.webhooks else None


def _is_arm(instance_type: str) -> bool:
    return _GRAVITON.match(instance_type) is not None
