"""Node groups and add-ons of EKS clusters."""
# A type need not use all that it is given.
# ruff: noqa: ARG002

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from sandbox.providers.aws.eks_access import GONE, tag
from sandbox.providers.aws.eks_cluster import wait_for
from sandbox.providers.aws.resource import ResourceType, Scope
from sandbox.providers.aws.schema import AutoName, Schema
from sandbox.providers.aws.shapes import pruned
from sandbox.providers.base import Properties

_WAIT = {"Delay": 1, "MaxAttempts": 3600}
_SAME = ("amiType", "capacityType", "diskSize", "instanceTypes", "labels", "releaseVersion", "version")


class NodeGroup(ResourceType):
    """`aws:eks/nodeGroup:NodeGroup`; its id is `CLUSTER:GROUP`."""

    schema = Schema(
        token="aws:eks/nodeGroup:NodeGroup",
        inputs=frozenset(
            {
                "clusterName",
                "forceUpdateVersion",
                "launchTemplate",
                "nodeGroupName",
                "nodeGroupNamePrefix",
                "nodeRoleArn",
                "scalingConfig",
                "subnetIds",
                "tags",
                "taints",
                "updateConfig",
                *_SAME,
            }
        ),
        required=frozenset({"clusterName", "nodeRoleArn", "scalingConfig", "subnetIds"}),
        replaces=frozenset(
            {
                "amiType",
                "capacityType",
                "clusterName",
                "diskSize",
                "instanceTypes",
                "launchTemplate.id",
                "launchTemplate.name",
                "nodeRoleArn",
                "subnetIds",
            }
        ),
        computed=frozenset(
            {
                "amiType",
                "arn",
                "capacityType",
                "diskSize",
                "instanceTypes",
                "nodeGroupNamePrefix",
                "releaseVersion",
                "resources",
                "status",
                "updateConfig",
                "version",
            }
        ),
        sticky=frozenset(
            {
                "amiType",
                "capacityType",
                "diskSize",
                "instanceTypes",
                "launchTemplate.id",
                "launchTemplate.name",
                "releaseVersion",
                "updateConfig",
                "updateConfig.updateStrategy",
                "version",
            }
        ),
        local=frozenset({"forceUpdateVersion"}),
        texts=frozenset({"launchTemplate.version", "version"}),
        name=AutoName(property="nodeGroupName", longest=63, prefix_property="nodeGroupNamePrefix"),
    )
    created_with = schema.known
    missing = GONE

    def create(self, scope: Scope, inputs: Properties) -> str:
        """Ask for the group; `apply` waits for it."""
        asked = {key: inputs.get(key) for key in (*_SAME, "launchTemplate", "scalingConfig", "taints", "updateConfig")}
        scope.client("eks").create_nodegroup(
            **_group(f"{inputs['clusterName']}:{inputs['nodeGroupName']}"),
            nodeRole=inputs["nodeRoleArn"],
            subnets=inputs["subnetIds"],
            tags=inputs.get("tags") or {},
            **_whole(pruned(asked)),
        )
        return f"{inputs['clusterName']}:{inputs['nodeGroupName']}"

    def read(self, scope: Scope, id: str) -> Properties | None:
        """The group as EKS describes it."""
        found = scope.client("eks").describe_nodegroup(**_group(id))["nodegroup"]
        if found["status"] == "DELETING":
            return None
        resources = found.get("resources") or {}
        groups = [{"name": group["name"]} for group in resources.get("autoScalingGroups", [])]
        return {
            **{key: found.get(key) for key in _SAME},
            "arn": found["nodegroupArn"],
            "clusterName": found["clusterName"],
            "launchTemplate": pruned(found.get("launchTemplate") or {}),
            "nodeGroupName": found["nodegroupName"],
            "nodeGroupNamePrefix": "",
            "nodeRoleArn": found["nodeRole"],
            "resources": [{"autoscalingGroups": groups}],
            "scalingConfig": found["scalingConfig"],
            "status": found["status"],
            "subnetIds": found["subnets"],
            "taints": found.get("taints") or [],
            "updateConfig": found.get("updateConfig") or {},
            "tags": {key: value for key, value in found.get("tags", {}).items() if not key.startswith("aws:")},
        }

    def apply(self, scope: Scope, id: str, inputs: Properties, changed: Set[str]) -> None:
        """Wait until the nodes are there, and change version, sizes, labels, taints or tags."""
        eks = scope.client("eks")
        group = _group(id)
        eks.get_waiter("nodegroup_active").wait(**group, WaiterConfig=_WAIT)
        if changed & {"version", "releaseVersion", "launchTemplate"}:
            keys = ("version", "releaseVersion", "launchTemplate")
            asked = pruned({key: inputs.get(key) for key in keys if key in changed})
            force = {"force": True} if inputs.get("forceUpdateVersion") else {}
            self._wait(eks, group, eks.update_nodegroup_version(**group, **_whole(asked), **force))
        if changed & {"labels", "scalingConfig", "taints", "updateConfig"}:
            found = eks.describe_nodegroup(**group)["nodegroup"]
            self._wait(eks, group, eks.update_nodegroup_config(**group, **_changes(inputs, changed, found)))
        if "tags" in changed:
            tag(eks, eks.describe_nodegroup(**group)["nodegroup"]["nodegroupArn"], inputs.get("tags"))

    def delete(self, scope: Scope, id: str, outputs: Properties) -> None:
        """Remove the group and wait until its nodes are gone."""
        eks = scope.client("eks")
        eks.delete_nodegroup(**_group(id))
        eks.get_waiter("nodegroup_deleted").wait(**_group(id), WaiterConfig=_WAIT)

    def _wait(self, eks: Any, group: dict[str, str], answer: Mapping[str, Any]) -> None:
        wait_for(eks, group["clusterName"], answer["update"], nodegroupName=group["nodegroupName"])


def _group(id: str) -> dict[str, str]:
    cluster, group = id.split(":", 1)
    return {"clusterName": cluster, "nodegroupName": group}


def _whole(values: Properties) -> Properties:
    """The engine's numbers are all of one kind; EKS wants whole ones."""
    if isinstance(values, Mapping):
        return {key: _whole(value) for key, value in values.items()}
    return int(values) if isinstance(values, float) else values


def _changes(inputs: Properties, changed: Set[str], found: Mapping[str, Any]) -> dict[str, Any]:
    """The changes as EKS takes them: what to add, and what to remove."""
    sizes = ("scalingConfig", "updateConfig")
    asked: dict[str, Any] = {key: _whole(inputs[key]) for key in sizes if key in changed & inputs.keys()}
    if "labels" in changed:
        wanted = inputs.get("labels") or {}
        gone = sorted(set(found.get("labels") or {}) - set(wanted))
        asked["labels"] = pruned({"addOrUpdateLabels": wanted, "removeLabels": gone})
    if "taints" in changed:
        wanted_taints = [pruned(taint) for taint in inputs.get("taints") or []]
        kept = [(taint["key"], taint["effect"]) for taint in wanted_taints]
        gone_taints = [each for each in found.get("taints") or [] if (each["key"], each["effect"]) not in kept]
        asked["taints"] = pruned({"addOrUpdateTaints": wanted_taints, "removeTaints": gone_taints})
    return asked


_ADDON_SETTINGS = ("configurationValues", "podIdentityAssociations", "serviceAccountRoleArn")


class Addon(ResourceType):
    """`aws:eks/addon:Addon`; its id is `CLUSTER:ADDON`."""

    schema = Schema(
        token="aws:eks/addon:Addon",
        inputs=frozenset(
            {
                "addonName",
                "addonVersion",
                "clusterName",
                "configurationValues",
                "podIdentityAssociations",
                "preserve",
                "resolveConflictsOnCreate",
                "resolveConflictsOnUpdate",
                "serviceAccountRoleArn",
                "tags",
            }
        ),
        required=frozenset({"addonName", "clusterName"}),
        replaces=frozenset({"addonName", "clusterName"}),
        computed=frozenset({"addonVersion", "arn", "configurationValues", "createdAt", "modifiedAt"}),
        sticky=frozenset({"addonVersion", "configurationValues"}),
        local=frozenset({"preserve", "resolveConflictsOnCreate", "resolveConflictsOnUpdate"}),
    )
    created_with = schema.known
    missing = GONE

    def create(self, scope: Scope, inputs: Properties) -> str:
        """Ask for the add-on; `apply` waits for it."""
        keys = ("addonName", "addonVersion", "clusterName", "tags", *_ADDON_SETTINGS)
        asked = {**{key: inputs.get(key) for key in keys}, "resolveConflicts": inputs.get("resolveConflictsOnCreate")}
        scope.client("eks").create_addon(**pruned(asked))
        return f"{inputs['clusterName']}:{inputs['addonName']}"

    def read(self, scope: Scope, id: str) -> Properties | None:
        """The add-on as EKS describes it."""
        eks = scope.client("eks")
        found = eks.describe_addon(**_addon(id))["addon"]
        if found["status"] == "DELETING":
            return None
        return {
            **{key: found[key] for key in ("addonName", "addonVersion", "clusterName")},
            "arn": found["addonArn"],
            "configurationValues": found.get("configurationValues", ""),
            "createdAt": found["createdAt"].isoformat(),
            "modifiedAt": found["modifiedAt"].isoformat(),
            "podIdentityAssociations": _roles(eks, found),
            "serviceAccountRoleArn": found.get("serviceAccountRoleArn", ""),
            "tags": {key: value for key, value in found.get("tags", {}).items() if not key.startswith("aws:")},
        }

    def apply(self, scope: Scope, id: str, inputs: Properties, changed: Set[str]) -> None:
        """Wait until it is there, and change version, configuration, role or tags."""
        eks = scope.client("eks")
        eks.get_waiter("addon_active").wait(**_addon(id), WaiterConfig=_WAIT)
        if changed - {"tags"}:
            keys = changed & {"addonVersion", *_ADDON_SETTINGS}
            unset: Properties = {"podIdentityAssociations": []}
            asked = {key: inputs.get(key, unset.get(key, "")) for key in keys}
            conflicts = pruned({"resolveConflicts": inputs.get("resolveConflictsOnUpdate")})
            answer = eks.update_addon(**_addon(id), **asked, **conflicts)
            wait_for(eks, _addon(id)["clusterName"], answer["update"], addonName=_addon(id)["addonName"])
        if "tags" in changed:
            tag(eks, eks.describe_addon(**_addon(id))["addon"]["addonArn"], inputs.get("tags"))

    def delete(self, scope: Scope, id: str, outputs: Properties) -> None:
        """Remove the add-on; with `preserve` what it runs stays in the cluster."""
        eks = scope.client("eks")
        eks.delete_addon(**_addon(id), preserve=bool(outputs.get("preserve")))
        eks.get_waiter("addon_deleted").wait(**_addon(id), WaiterConfig=_WAIT)


def _roles(eks: Any, addon: Mapping[str, Any]) -> list[dict[str, str]]:
    """The roles of an add-on's service accounts; it is described with the ARNs of the associations alone."""
    found = []
    for arn in addon.get("podIdentityAssociations") or []:
        association = arn.rpartition("/")[2]
        role = eks.describe_pod_identity_association(clusterName=addon["clusterName"], associationId=association)[
            "association"
        ]
        found.append({"roleArn": role["roleArn"], "serviceAccount": role["serviceAccount"]})
    return found


def _addon(id: str) -> dict[str, str]:
    cluster, addon = id.split(":", 1)
    return {"clusterName": cluster, "addonName": addon}
