"""What of a component's inputs the stand-in understands; anything else is refused, since ignoring it would be a lie."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi

from sandbox.providers.base import ProviderError

CLUSTER = frozenset(
    {
        "accessEntries",
        "authenticationMode",
        "autoMode",
        "bootstrapSelfManagedAddons",
        "clusterTags",
        "corednsAddonOptions",
        "createOidcProvider",
        "deletionProtection",
        "enabledClusterLogTypes",
        "encryptionConfigKeyArn",
        "endpointPrivateAccess",
        "endpointPublicAccess",
        "ipFamily",
        "kubeProxyAddonOptions",
        "kubernetesServiceIpAddressRange",
        "name",
        "privateSubnetIds",
        "providerCredentialOpts",
        "publicAccessCidrs",
        "publicSubnetIds",
        "skipDefaultNodeGroup",
        "skipDefaultSecurityGroups",
        "subnetIds",
        "tags",
        "upgradePolicy",
        "useDefaultVpcCni",
        "version",
        "vpcCniOptions",
        "vpcId",
    }
)
_ADDON = frozenset(
    {"configurationValues", "enabled", "resolveConflictsOnCreate", "resolveConflictsOnUpdate", "version"}
)
_PARTS = {
    "autoMode": frozenset({"computeConfig", "createNodeRole", "enabled"}),
    "corednsAddonOptions": _ADDON,
    "kubeProxyAddonOptions": _ADDON,
    "providerCredentialOpts": frozenset({"profileName", "roleArn"}),
    "vpcCniOptions": frozenset(
        {
            "addonVersion",
            "configurationValues",
            "enableNetworkPolicy",
            "resolveConflictsOnCreate",
            "resolveConflictsOnUpdate",
            "serviceAccountRoleArn",
        }
    ),
}


@dataclass(frozen=True)
class ClusterInputs:
    """The inputs of a cluster, by the names that the `eks` package gives them."""

    given: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        problems = list(_problems(self.given))
        if problems:
            raise ProviderError(
                f"the stand-in eks provider cannot make this eks:index:Cluster: {'; '.join(problems)}",
                hint="The real eks plugin, when installed, is used instead.",
            )

    def get(self, name: str, default: Any = None) -> Any:
        """One input, or the default when it is not given."""
        value = self.given.get(name)
        return default if value is None else value

    def part(self, name: str) -> Mapping[str, Any]:
        """One input that is a map, empty when it is not given."""
        found: Mapping[str, Any] = self.get(name, {})
        return found

    @property
    def auto_mode(self) -> bool:
        """Whether EKS brings nodes, network and storage itself."""
        return bool(self.part("autoMode").get("enabled"))

    @property
    def subnet_ids(self) -> pulumi.Output[list[str]]:
        """All subnets of the cluster, the public ones first."""
        if self.get("subnetIds") is not None:
            return pulumi.Output.from_input(self.get("subnetIds"))
        both = pulumi.Output.all(self.get("publicSubnetIds", []), self.get("privateSubnetIds", []))
        return both.apply(lambda subnets: [*subnets[0], *subnets[1]])

    @property
    def tags(self) -> pulumi.Output[dict[str, str]]:
        """The tags of everything."""
        return pulumi.Output.from_input(self.get("tags", {}))


def _problems(given: Mapping[str, Any]) -> Iterator[str]:
    """What the stand-in does not do, or the component would refuse itself."""
    inputs = {key: value for key, value in given.items() if value is not None}
    for name in sorted(inputs.keys() - CLUSTER):
        yield f"{name} is not supported"
    for name, known in _PARTS.items():
        part = inputs.get(name, {})
        if isinstance(part, Mapping):
            for key in sorted(key for key, value in part.items() if value is not None and key not in known):
                yield f"{name}.{key} is not supported"
    if not inputs.get("skipDefaultNodeGroup"):
        yield "it makes no default node group, so skipDefaultNodeGroup must be true"
    auto = isinstance(inputs.get("autoMode"), Mapping) and inputs["autoMode"].get("enabled")
    if not inputs.get("skipDefaultSecurityGroups", auto):
        yield "it makes no default security groups, so skipDefaultSecurityGroups must be true"
    if inputs.get("authenticationMode") != "API":
        yield "it writes no aws-auth ConfigMap, so authenticationMode must be API"
    if not inputs.get("vpcId"):
        yield "it does not look for a default VPC, so vpcId is required"
    if inputs.get("subnetIds") and (inputs.get("publicSubnetIds") or inputs.get("privateSubnetIds")):
        yield "subnetIds excludes publicSubnetIds and privateSubnetIds"
    if inputs.get("publicAccessCidrs") and inputs.get("endpointPublicAccess") is False:
        yield "publicAccessCidrs can only be set when endpointPublicAccess is true"
