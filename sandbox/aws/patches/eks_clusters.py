"""EKS clusters keep all their settings, change them as updates, and have a network, an issuer and guards.

moto forgets what it does not know of a new cluster (Auto Mode, access, upgrade policy, deletion protection), gives all
clusters of a process one issuer, answers an update with a cluster, cannot change a version or encrypt later, and
invents a key, a size and types for the nodes of every group.
"""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import ec2_backends
from moto.eks import urls
from moto.eks.exceptions import InvalidParameterException, InvalidRequestException, ResourceNotFoundException
from moto.eks.models import Cluster, EKSBackend
from moto.eks.responses import EKSResponse
from moto.moto_api._internal import mock_random

from sandbox.aws.patches.eks_parts import parts

_create_original = EKSResponse.create_cluster
_create_nodes_original = EKSResponse.create_nodegroup
_delete_original = EKSBackend.delete_cluster
_SETTINGS = {
    "accessConfig": "access_config",
    "computeConfig": "compute_config",
    "deletionProtection": "deletion_protection",
    "storageConfig": "storage_config",
    "upgradePolicy": "upgrade_policy",
    "zonalShiftConfig": "zonal_shift_config",
}
_OFF = {"enabled": False}
_LATEST_VERSION = "1.34"


def _update(cluster: Cluster, kind: str, params: dict[str, Any]) -> ActionResult:
    made: dict[str, Any] = {
        "id": str(mock_random.uuid4()),
        "status": "Successful",
        "type": kind,
        "params": [{"type": key, "value": str(value)} for key, value in params.items()],
        "createdAt": utcnow(),
        "errors": [],
    }
    parts(cluster, "update")[made["id"]] = made
    return ActionResult({"update": made})


def _create_cluster(self: EKSResponse) -> ActionResult:
    asked = self._get_param("resourcesVpcConfig") or {}
    network: dict[str, Any] = _network(self.eks_backend, asked)
    result = _create_original(self)
    cluster: Cluster = self.eks_backend.clusters[self._get_param("name")]
    if self._get_param("version") is None:
        cluster.version = _LATEST_VERSION
    issuer = mock_random.get_random_hex(32).upper()
    cluster.identity = {"oidc": {"issuer": f"https://oidc.eks.{self.region}.amazonaws.com/id/{issuer}"}}
    for name, attribute in _SETTINGS.items():
        setattr(cluster, attribute, self._get_param(name))
    access = {"authenticationMode": "CONFIG_MAP", "bootstrapClusterCreatorAdminPermissions": True}
    setattr(cluster, "access_config", {**access, **(self._get_param("accessConfig") or {})})  # noqa: B010
    setattr(cluster, "upgrade_policy", self._get_param("upgradePolicy") or {"supportType": "EXTENDED"})  # noqa: B010
    services: dict[str, Any] = {"serviceIpv4Cidr": "172.20.0.0/16", "ipFamily": "ipv4", "elasticLoadBalancing": _OFF}
    cluster.kubernetes_network_config = {**services, **(self._get_param("kubernetesNetworkConfig") or {})}
    if network:
        network["clusterSecurityGroupId"] = _security_group(self.eks_backend, cluster.name, network["vpcId"])
    cluster.resources_vpc_config = {
        "endpointPublicAccess": True,
        "endpointPrivateAccess": False,
        "publicAccessCidrs": ["0.0.0.0/0"],
        "securityGroupIds": [],
        **asked,
        **network,
    }
    return result


def _network(backend: EKSBackend, asked: dict[str, Any]) -> dict[str, str]:
    """The network of the cluster's subnets; nothing when it has none."""
    ec2 = ec2_backends[backend.account_id][backend.region_name]
    try:
        subnets = [ec2.get_subnet(subnet) for subnet in asked.get("subnetIds") or []]
    except EC2ClientError as error:
        raise InvalidParameterException(message=str(error)) from error
    if len({subnet.vpc_id for subnet in subnets}) > 1:
        raise InvalidParameterException(message="Provided subnets belong to different VPCs.")
    if subnets and len({subnet.availability_zone for subnet in subnets}) < 2:
        raise InvalidParameterException(message="Subnets specified must be in at least two different AZs")
    return {"vpcId": subnets[0].vpc_id} if subnets else {}


def _security_group(backend: EKSBackend, cluster: str, vpc: str) -> str:
    """The group that EKS makes for a cluster's network interfaces."""
    ec2 = ec2_backends[backend.account_id][backend.region_name]
    name = f"eks-cluster-sg-{cluster}-{mock_random.get_random_hex(9)}"
    group = ec2.create_security_group(name, "EKS created security group applied to ENIs", vpc)
    return str(group.id)


def _delete_cluster(self: EKSBackend, name: str) -> Cluster:
    if getattr(self.clusters.get(name), "deletion_protection", False):
        raise InvalidRequestException(message=f"Cluster {name} has deletion protection enabled.")
    cluster: Cluster = _delete_original(self, name)
    group = cluster.resources_vpc_config.get("clusterSecurityGroupId")
    if group:
        ec2_backends[self.account_id][self.region_name].delete_security_group(group_id=group)
    return cluster


def _update_config(self: EKSResponse) -> ActionResult:
    cluster = self.eks_backend.describe_cluster(name=self._get_param("name"))
    asked: dict[str, Any] = {}
    for name, attribute in {
        **_SETTINGS,
        "kubernetesNetworkConfig": "kubernetes_network_config",
        "remoteNetworkConfig": "remote_network_config",
        "resourcesVpcConfig": "resources_vpc_config",
    }.items():
        wanted = self._get_param(name)
        if wanted is not None:
            asked[name] = wanted
            known = getattr(cluster, attribute, None)
            merged = {**known, **wanted} if isinstance(known, dict) and isinstance(wanted, dict) else wanted
            setattr(cluster, attribute, merged)
    if self._get_param("logging"):
        asked["logging"] = cluster.logging = self._get_param("logging")
    return _update(cluster, "VpcConfigUpdate" if "resourcesVpcConfig" in asked else "ConfigUpdate", asked)


def _update_version(self: EKSResponse) -> ActionResult:
    cluster = self.eks_backend.describe_cluster(name=self._get_param("name"))
    wanted = str(self._get_param("version"))
    if _minor(wanted) != _minor(cluster.version) + 1:
        raise InvalidParameterException(
            message=f"Unsupported Kubernetes minor version update from {cluster.version} to {wanted}"
        )
    cluster.version = wanted
    return _update(cluster, "VersionUpdate", {"Version": wanted})


def _associate_encryption(self: EKSResponse) -> ActionResult:
    cluster = self.eks_backend.describe_cluster(name=self._get_param("name"))
    if cluster.encryption_config:
        raise InvalidParameterException(message="Encryption is already enabled on this cluster.")
    cluster.encryption_config = self._get_param("encryptionConfig")
    return _update(cluster, "AssociateEncryptionConfig", {"EncryptionConfig": cluster.encryption_config})


def _minor(version: str) -> int:
    return int(version.split(".")[1])


def _describe_update(self: EKSResponse) -> ActionResult:
    cluster = self.eks_backend.describe_cluster(name=self._get_param("name"))
    found = parts(cluster, "update").get(self._get_param("updateId"))
    if found is None:
        raise ResourceNotFoundException(message=f"No update found for ID: {self._get_param('updateId')}.")
    return ActionResult({"update": found})


def _create_nodegroup(self: EKSResponse) -> ActionResult:
    result = _create_nodes_original(self)
    cluster = self.eks_backend.describe_cluster(name=self._get_param("name"))
    group: Any = cluster.nodegroups[self._get_param("nodegroupName")]
    template = self._get_param("launchTemplate")
    group.version = self._get_param("version") or cluster.version
    group.release_version = self._get_param("releaseVersion") or f"{group.version}.0-20260101"
    group.ami_type = self._get_param("amiType") or "AL2023_x86_64_STANDARD"
    group.remote_access = self._get_param("remoteAccess")
    group.resources = {"autoScalingGroups": group.resources["autoScalingGroups"]}
    group.disk_size = self._get_param("diskSize") or (None if template else 20)
    group.instance_types = self._get_param("instanceTypes") or ([] if template else ["t3.medium"])
    group.update_config = {"maxUnavailable": 1, **(self._get_param("updateConfig") or {})}
    if "maxUnavailablePercentage" in group.update_config:
        group.update_config.pop("maxUnavailable")
    return result


def _update_nodegroup_version(self: EKSResponse) -> ActionResult:
    cluster = self.eks_backend.describe_cluster(name=self._get_param("name"))
    names = {"cluster_name": cluster.name, "nodegroup_name": self._get_param("nodegroupName")}
    group: Any = self.eks_backend.describe_nodegroup(**names)
    wanted = self._get_param("version") or group.version
    if _minor(wanted) > _minor(cluster.version):
        raise InvalidParameterException(message=f"Nodegroup version {wanted} is newer than the cluster's.")
    if wanted != group.version:
        group.release_version = f"{wanted}.0-20260101"
    group.version = wanted
    group.release_version = self._get_param("releaseVersion") or group.release_version
    if self._get_param("launchTemplate"):
        group.launch_template = {**(group.launch_template or {}), **self._get_param("launchTemplate")}
    return _update(cluster, "VersionUpdate", {"Version": wanted})


def apply() -> None:
    """Put these in the place of moto's own, and give it the actions that it lacks."""
    setattr(EKSResponse, "create_cluster", _create_cluster)  # noqa: B010 - mypy refuses the plain form
    setattr(EKSResponse, "create_nodegroup", _create_nodegroup)  # noqa: B010
    setattr(EKSResponse, "update_cluster_config", _update_config)  # noqa: B010
    setattr(EKSResponse, "update_cluster_version", _update_version)  # noqa: B010
    setattr(EKSResponse, "update_nodegroup_version", _update_nodegroup_version)  # noqa: B010
    setattr(EKSResponse, "describe_update", _describe_update)  # noqa: B010
    setattr(EKSResponse, "associate_encryption_config", _associate_encryption)  # noqa: B010
    setattr(EKSBackend, "delete_cluster", _delete_cluster)  # noqa: B010
    group = "{0}/clusters/(?P<name>[^/]+)/node-groups/(?P<nodegroupName>[^/]+)/update-version$"
    encryption = "{0}/clusters/(?P<name>[^/]+)/encryption-config/associate$"
    urls.url_paths |= dict.fromkeys((group, encryption), urls.response.dispatch)
