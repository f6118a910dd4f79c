"""EKS clusters, and the waiting for their updates."""
# A type need not use all that it is given.
# ruff: noqa: ARG002

from __future__ import annotations

import time
from collections.abc import Mapping, Set
from typing import Any

from sandbox.providers.aws.eks_access import GONE, tag
from sandbox.providers.aws.resource import ResourceType, Scope
from sandbox.providers.aws.schema import AutoName, Schema
from sandbox.providers.aws.shapes import pruned
from sandbox.providers.base import Kind, Properties, ProviderError

_WAIT = {"Delay": 1, "MaxAttempts": 3600}
_UPDATE_SECONDS = 3600.0
_VPC_PARTS = ("endpointPrivateAccess", "endpointPublicAccess", "publicAccessCidrs", "securityGroupIds", "subnetIds")
# EKS takes one kind of change in an update, and those of Auto Mode together only.
_AUTO_MODE = ("computeConfig", "kubernetesNetworkConfig", "storageConfig")
_SINGLE = ("accessConfig", "deletionProtection", "upgradePolicy", "zonalShiftConfig")
_LOGS = ("api", "audit", "authenticator", "controllerManager", "scheduler")


class Cluster(ResourceType):
    """`aws:eks/cluster:Cluster`; its id is its name."""

    schema = Schema(
        token="aws:eks/cluster:Cluster",
        inputs=frozenset(
            {
                "bootstrapSelfManagedAddons",
                "enabledClusterLogTypes",
                "encryptionConfig",
                "forceUpdateVersion",
                "name",
                "roleArn",
                "tags",
                "version",
                "vpcConfig",
                *_AUTO_MODE,
                *_SINGLE,
            }
        ),
        required=frozenset({"roleArn", "vpcConfig"}),
        replaces=frozenset(
            {
                "accessConfig.bootstrapClusterCreatorAdminPermissions",
                "bootstrapSelfManagedAddons",
                "kubernetesNetworkConfig.ipFamily",
                "kubernetesNetworkConfig.serviceIpv4Cidr",
                "roleArn",
            }
        ),
        replaces_by={
            "computeConfig.nodeRoleArn": {Kind.UPDATE, Kind.DELETE},
            "encryptionConfig": {Kind.DELETE},
        },
        computed=frozenset(
            {
                "accessConfig",
                "arn",
                "certificateAuthority",
                "createdAt",
                "endpoint",
                "identities",
                "kubernetesNetworkConfig",
                "platformVersion",
                "status",
                "upgradePolicy",
                "version",
                "vpcConfig.clusterSecurityGroupId",
                "vpcConfig.vpcId",
            }
        ),
        defaults={"bootstrapSelfManagedAddons": True},
        sticky=frozenset(
            {
                "accessConfig",
                "accessConfig.authenticationMode",
                "accessConfig.bootstrapClusterCreatorAdminPermissions",
                "computeConfig",
                "kubernetesNetworkConfig",
                "kubernetesNetworkConfig.elasticLoadBalancing",
                "kubernetesNetworkConfig.ipFamily",
                "kubernetesNetworkConfig.serviceIpv4Cidr",
                "storageConfig",
                "upgradePolicy",
                "version",
                "vpcConfig.clusterSecurityGroupId",
                "vpcConfig.endpointPrivateAccess",
                "vpcConfig.endpointPublicAccess",
                "vpcConfig.publicAccessCidrs",
                "vpcConfig.vpcId",
            }
        ),
        local=frozenset({"bootstrapSelfManagedAddons", "forceUpdateVersion"}),
        name=AutoName(longest=100, prefix_property=""),
    )
    created_with = schema.known
    missing = GONE

    def create(self, scope: Scope, inputs: Properties) -> str:
        """Ask for the cluster; `apply` waits for it."""
        keys = ("name", "roleArn", "version", "tags", "bootstrapSelfManagedAddons", *_AUTO_MODE, *_SINGLE)
        asked = pruned({key: inputs.get(key) for key in keys})
        encryption = inputs.get("encryptionConfig")
        scope.client("eks").create_cluster(
            **asked,
            resourcesVpcConfig=_network(inputs),
            logging=_logging(inputs),
            **({"encryptionConfig": [pruned(encryption)]} if encryption else {}),
        )
        return str(inputs["name"])

    def read(self, scope: Scope, id: str) -> Properties | None:
        """The cluster as EKS describes it."""
        found = scope.client("eks").describe_cluster(name=id)["cluster"]
        if found["status"] == "DELETING":
            return None
        encryption = found.get("encryptionConfig") or [{}]
        return {
            **{key: found[key] for key in ("name", "arn", "version", "roleArn", "endpoint", "status")},
            **{key: found.get(key) or {} for key in (*_AUTO_MODE, "accessConfig", "upgradePolicy", "zonalShiftConfig")},
            "deletionProtection": found.get("deletionProtection", False),
            "certificateAuthority": found.get("certificateAuthority", {}),
            "createdAt": found["createdAt"].isoformat(),
            "enabledClusterLogTypes": _logged(found),
            "encryptionConfig": encryption[0],
            "identities": [{"oidcs": [found["identity"]["oidc"]]}] if found.get("identity") else [],
            "platformVersion": found.get("platformVersion", ""),
            "vpcConfig": found["resourcesVpcConfig"],
            "tags": {key: value for key, value in found.get("tags", {}).items() if not key.startswith("aws:")},
        }

    def apply(self, scope: Scope, id: str, inputs: Properties, changed: Set[str]) -> None:
        """Wait until the cluster is there, and make each kind of change as an update of its own."""
        eks = scope.client("eks")
        eks.get_waiter("cluster_active").wait(name=id, WaiterConfig=_WAIT)
        if "version" in changed:
            force = {"force": True} if inputs.get("forceUpdateVersion") else {}
            wait_for(eks, id, eks.update_cluster_version(name=id, version=inputs["version"], **force)["update"])
        for settings in _updates(inputs, changed):
            wait_for(eks, id, eks.update_cluster_config(name=id, **settings)["update"])
        if "encryptionConfig" in changed:
            _encrypt(eks, id, inputs["encryptionConfig"])
        if "tags" in changed:
            tag(eks, scope.arn("eks", f"cluster/{id}"), inputs.get("tags"))

    def delete(self, scope: Scope, id: str, outputs: Properties) -> None:
        """Remove the cluster and wait until it has let go of its network."""
        eks = scope.client("eks")
        eks.delete_cluster(name=id)
        eks.get_waiter("cluster_deleted").wait(name=id, WaiterConfig=_WAIT)


def wait_for(eks: Any, cluster: str, update: Mapping[str, Any], **of: str) -> None:
    """Wait until EKS has made an update of a cluster, or of the node group or add-on that `of` names.

    Raises:
        ProviderError: the update failed, or took more than an hour.
    """
    deadline = time.monotonic() + _UPDATE_SECONDS
    while update["status"] == "InProgress" and time.monotonic() < deadline:
        time.sleep(1)
        update = eks.describe_update(name=cluster, updateId=update["id"], **of)["update"]
    if update["status"] != "Successful":
        reasons = "; ".join(error.get("errorMessage", "") for error in update.get("errors", []))
        raise ProviderError(f"update {update['id']} of cluster {cluster} is {update['status']}: {reasons}")


def _encrypt(eks: Any, cluster: str, encryption: Mapping[str, Any]) -> None:
    """Begin to encrypt the cluster's secrets; the real provider leaves a changed key as it is, without a word."""
    if eks.describe_cluster(name=cluster)["cluster"].get("encryptionConfig"):
        raise ProviderError(f"EKS cannot change the encryption of cluster {cluster}")
    asked = eks.associate_encryption_config(clusterName=cluster, encryptionConfig=[pruned(encryption)])
    wait_for(eks, cluster, asked["update"])


def _updates(inputs: Properties, changed: Set[str]) -> list[dict[str, Any]]:
    updates: list[dict[str, Any]] = []
    if changed & set(_AUTO_MODE):
        updates.append(_auto_mode(inputs))
    if "accessConfig" in changed and "accessConfig" in inputs:
        mode = inputs["accessConfig"].get("authenticationMode")
        updates.append({"accessConfig": pruned({"authenticationMode": mode})})
    updates += [{key: inputs.get(key, _OFF.get(key))} for key in _SINGLE[1:] if key in changed]
    if "vpcConfig" in changed:
        updates.append({"resourcesVpcConfig": _network(inputs)})
    if "enabledClusterLogTypes" in changed:
        updates.append({"logging": _logging(inputs)})
    return updates


_OFF = {"deletionProtection": False, "zonalShiftConfig": {"enabled": False}}


def _auto_mode(inputs: Properties) -> dict[str, Any]:
    """The three settings of Auto Mode; addresses of services cannot be sent again."""
    network = {"elasticLoadBalancing": (inputs.get("kubernetesNetworkConfig") or {}).get("elasticLoadBalancing")}
    off = {"enabled": False}
    return {
        "computeConfig": pruned(inputs.get("computeConfig") or off),
        "storageConfig": inputs.get("storageConfig") or {"blockStorage": off},
        "kubernetesNetworkConfig": pruned(network) or {"elasticLoadBalancing": off},
    }


def _network(inputs: Properties) -> dict[str, Any]:
    parts = {key: inputs["vpcConfig"].get(key) for key in _VPC_PARTS}
    return {key: value for key, value in parts.items() if value is not None}


def _logging(inputs: Properties) -> dict[str, Any]:
    wanted = inputs.get("enabledClusterLogTypes") or []
    sets = {True: [name for name in _LOGS if name in wanted], False: [name for name in _LOGS if name not in wanted]}
    return {"clusterLogging": [{"types": types, "enabled": enabled} for enabled, types in sets.items() if types]}


def _logged(found: Mapping[str, Any]) -> list[str]:
    entries = found.get("logging", {}).get("clusterLogging", [])
    return sorted(name for entry in entries if entry["enabled"] for name in entry["types"])
