"""Networks: VPCs, subnets, and the gateways by which they reach the internet."""
# A type need not use all that it is given.
# ruff: noqa: ARG002

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any, ClassVar

from sandbox.providers.aws.ec2 import Ec2Resource
from sandbox.providers.aws.resource import Scope
from sandbox.providers.aws.schema import Schema
from sandbox.providers.base import Properties

_WAIT = {"Delay": 1, "MaxAttempts": 600}
_DNS = {"enableDnsHostnames": "EnableDnsHostnames", "enableDnsSupport": "EnableDnsSupport"}


class Vpc(Ec2Resource):
    """`aws:ec2/vpc:Vpc`."""

    schema = Schema(
        token="aws:ec2/vpc:Vpc",
        inputs=frozenset({"cidrBlock", "enableDnsHostnames", "enableDnsSupport", "instanceTenancy", "tags"}),
        # Without IPAM, which the stand-in does not have, a VPC needs its addresses.
        required=frozenset({"cidrBlock"}),
        replaces=frozenset({"cidrBlock"}),
        computed=frozenset(
            {
                "arn",
                "defaultNetworkAclId",
                "defaultRouteTableId",
                "defaultSecurityGroupId",
                "dhcpOptionsId",
                "enableDnsHostnames",
                "mainRouteTableId",
                "ownerId",
            }
        ),
        defaults={"enableDnsSupport": True, "instanceTenancy": "default"},
        sticky=frozenset({"enableDnsHostnames"}),
    )
    created_with = frozenset({"cidrBlock", "instanceTenancy", "region", "tags"})
    missing = frozenset({"InvalidVpcID.NotFound"})
    describe, ids, found, kind = "describe_vpcs", "VpcIds", "Vpcs", "vpc"
    attributes: ClassVar[Mapping[str, str]] = {
        "cidrBlock": "CidrBlock",
        "dhcpOptionsId": "DhcpOptionsId",
        "instanceTenancy": "InstanceTenancy",
        "ownerId": "OwnerId",
    }

    def create(self, scope: Scope, inputs: Properties) -> str:
        """Make the VPC."""
        made = scope.client("ec2").create_vpc(
            CidrBlock=inputs["cidrBlock"], InstanceTenancy=inputs["instanceTenancy"], **self.tagging(inputs)
        )
        return str(made["Vpc"]["VpcId"])

    def more(self, scope: Scope, id: str, item: Mapping[str, Any]) -> Properties:
        """Its DNS, and what AWS made with it."""
        ec2 = scope.client("ec2")
        inside = [{"Name": "vpc-id", "Values": [id]}]
        groups = ec2.describe_security_groups(Filters=[*inside, {"Name": "group-name", "Values": ["default"]}])
        acls = ec2.describe_network_acls(Filters=[*inside, {"Name": "default", "Values": ["true"]}])
        tables = ec2.describe_route_tables(Filters=[*inside, {"Name": "association.main", "Values": ["true"]}])
        table = _first(tables["RouteTables"], "RouteTableId")
        return {
            "arn": self.arn(scope, id),
            **{
                name: ec2.describe_vpc_attribute(VpcId=id, Attribute=name)[attribute]["Value"]
                for name, attribute in _DNS.items()
            },
            "defaultNetworkAclId": _first(acls["NetworkAcls"], "NetworkAclId"),
            "defaultRouteTableId": table,
            "defaultSecurityGroupId": _first(groups["SecurityGroups"], "GroupId"),
            "mainRouteTableId": table,
        }

    def apply(self, scope: Scope, id: str, inputs: Properties, changed: Set[str]) -> None:
        """Change DNS, one attribute a call as EC2 asks, or the tags."""
        for name, attribute in _DNS.items():
            if name in changed:
                scope.client("ec2").modify_vpc_attribute(VpcId=id, **{attribute: {"Value": bool(inputs.get(name))}})
        super().apply(scope, id, inputs, changed)

    def delete(self, scope: Scope, id: str, outputs: Properties) -> None:
        """Remove the VPC."""
        scope.client("ec2").delete_vpc(VpcId=id)


class Subnet(Ec2Resource):
    """`aws:ec2/subnet:Subnet`."""

    schema = Schema(
        token="aws:ec2/subnet:Subnet",
        inputs=frozenset({"availabilityZone", "cidrBlock", "mapPublicIpOnLaunch", "tags", "vpcId"}),
        required=frozenset({"cidrBlock", "vpcId"}),
        replaces=frozenset({"availabilityZone", "cidrBlock", "vpcId"}),
        computed=frozenset({"arn", "availabilityZone", "availabilityZoneId", "ownerId"}),
        defaults={"mapPublicIpOnLaunch": False},
        sticky=frozenset({"availabilityZone"}),
    )
    created_with = frozenset({"availabilityZone", "cidrBlock", "region", "tags", "vpcId"})
    missing = frozenset({"InvalidSubnetID.NotFound"})
    describe, ids, found, kind = "describe_subnets", "SubnetIds", "Subnets", "subnet"
    attributes: ClassVar[Mapping[str, str]] = {
        "availabilityZone": "AvailabilityZone",
        "availabilityZoneId": "AvailabilityZoneId",
        "cidrBlock": "CidrBlock",
        "mapPublicIpOnLaunch": "MapPublicIpOnLaunch",
        "ownerId": "OwnerId",
        "vpcId": "VpcId",
    }

    def create(self, scope: Scope, inputs: Properties) -> str:
        """Make the subnet."""
        zone = {"AvailabilityZone": inputs["availabilityZone"]} if inputs.get("availabilityZone") else {}
        made = scope.client("ec2").create_subnet(
            VpcId=inputs["vpcId"], CidrBlock=inputs["cidrBlock"], **zone, **self.tagging(inputs)
        )
        return str(made["Subnet"]["SubnetId"])

    def more(self, scope: Scope, id: str, item: Mapping[str, Any]) -> Properties:
        """Its ARN."""
        return {"arn": self.arn(scope, id)}

    def apply(self, scope: Scope, id: str, inputs: Properties, changed: Set[str]) -> None:
        """Change whether instances get public addresses, or the tags."""
        if "mapPublicIpOnLaunch" in changed:
            public = {"Value": bool(inputs.get("mapPublicIpOnLaunch"))}
            scope.client("ec2").modify_subnet_attribute(SubnetId=id, MapPublicIpOnLaunch=public)
        super().apply(scope, id, inputs, changed)

    def delete(self, scope: Scope, id: str, outputs: Properties) -> None:
        """Remove the subnet."""
        scope.client("ec2").delete_subnet(SubnetId=id)


class InternetGateway(Ec2Resource):
    """`aws:ec2/internetGateway:InternetGateway`."""

    schema = Schema(
        token="aws:ec2/internetGateway:InternetGateway",
        inputs=frozenset({"tags", "vpcId"}),
        computed=frozenset({"arn", "ownerId", "vpcId"}),
        sticky=frozenset({"vpcId"}),
    )
    created_with = frozenset({"region", "tags"})
    missing = frozenset({"InvalidInternetGatewayID.NotFound"})
    describe, ids, found = "describe_internet_gateways", "InternetGatewayIds", "InternetGateways"
    kind = "internet-gateway"
    attributes: ClassVar[Mapping[str, str]] = {"ownerId": "OwnerId"}

    def create(self, scope: Scope, inputs: Properties) -> str:
        """Make the gateway; `apply` attaches it."""
        made = scope.client("ec2").create_internet_gateway(**self.tagging(inputs))
        return str(made["InternetGateway"]["InternetGatewayId"])

    def more(self, scope: Scope, id: str, item: Mapping[str, Any]) -> Properties:
        """The VPC that it is attached to."""
        return {"arn": self.arn(scope, id), "vpcId": _first(item.get("Attachments") or [], "VpcId")}

    def apply(self, scope: Scope, id: str, inputs: Properties, changed: Set[str]) -> None:
        """Attach it to its VPC, away from the former one, or change the tags."""
        if "vpcId" in changed:
            self._detach(scope, id)
            scope.client("ec2").attach_internet_gateway(InternetGatewayId=id, VpcId=inputs["vpcId"])
        super().apply(scope, id, inputs, changed)

    def delete(self, scope: Scope, id: str, outputs: Properties) -> None:
        """Detach and remove the gateway."""
        self._detach(scope, id)
        scope.client("ec2").delete_internet_gateway(InternetGatewayId=id)

    def _detach(self, scope: Scope, id: str) -> None:
        found = self.read(scope, id)
        if found and found["vpcId"]:
            scope.client("ec2").detach_internet_gateway(InternetGatewayId=id, VpcId=found["vpcId"])


class Eip(Ec2Resource):
    """`aws:ec2/eip:Eip`, an address of its own; its id is that of its allocation."""

    schema = Schema(
        token="aws:ec2/eip:Eip",
        inputs=frozenset({"domain", "tags"}),
        replaces=frozenset({"domain"}),
        computed=frozenset({"allocationId", "arn", "domain", "publicDns", "publicIp"}),
        sticky=frozenset({"domain"}),
    )
    created_with = frozenset({"domain", "region", "tags"})
    missing = frozenset({"InvalidAddress.NotFound", "InvalidAllocationID.NotFound"})
    describe, ids, found, kind = "describe_addresses", "AllocationIds", "Addresses", "elastic-ip"
    attributes: ClassVar[Mapping[str, str]] = {
        "allocationId": "AllocationId",
        "domain": "Domain",
        "publicIp": "PublicIp",
    }

    def create(self, scope: Scope, inputs: Properties) -> str:
        """Allocate the address."""
        made = scope.client("ec2").allocate_address(Domain=inputs.get("domain") or "vpc", **self.tagging(inputs))
        return str(made["AllocationId"])

    def more(self, scope: Scope, id: str, item: Mapping[str, Any]) -> Properties:
        """Its name, which follows from the address."""
        host = f"ec2-{item['PublicIp'].replace('.', '-')}"
        # https://docs.aws.amazon.com/vpc/latest/userguide/vpc-dns.html
        zone = "compute-1" if scope.region == "us-east-1" else f"{scope.region}.compute"
        return {"arn": self.arn(scope, id), "publicDns": f"{host}.{zone}.{scope.aws.dns_suffix(scope.region)}"}

    def delete(self, scope: Scope, id: str, outputs: Properties) -> None:
        """Give the address back."""
        scope.client("ec2").release_address(AllocationId=id)


class NatGateway(Ec2Resource):
    """`aws:ec2/natGateway:NatGateway`."""

    schema = Schema(
        token="aws:ec2/natGateway:NatGateway",
        inputs=frozenset({"allocationId", "connectivityType", "subnetId", "tags"}),
        # Regional gateways, which have no subnet, are not for the stand-in.
        required=frozenset({"subnetId"}),
        replaces=frozenset({"allocationId", "connectivityType", "subnetId"}),
        computed=frozenset({"associationId", "networkInterfaceId", "privateIp", "publicIp", "vpcId"}),
        defaults={"connectivityType": "public"},
    )
    created_with = schema.known
    missing = frozenset({"NatGatewayNotFound"})
    describe, ids, found, kind = "describe_nat_gateways", "NatGatewayIds", "NatGateways", "natgateway"
    attributes: ClassVar[Mapping[str, str]] = {
        "connectivityType": "ConnectivityType",
        "subnetId": "SubnetId",
        "vpcId": "VpcId",
    }

    def create(self, scope: Scope, inputs: Properties) -> str:
        """Ask for the gateway; `apply` waits for it."""
        address = {"AllocationId": inputs["allocationId"]} if inputs.get("allocationId") else {}
        made = scope.client("ec2").create_nat_gateway(
            SubnetId=inputs["subnetId"],
            ConnectivityType=inputs["connectivityType"],
            **address,
            **self.tagging(inputs),
        )
        return str(made["NatGateway"]["NatGatewayId"])

    def more(self, scope: Scope, id: str, item: Mapping[str, Any]) -> Properties:
        """Its addresses."""
        address: Mapping[str, str] = next(iter(item.get("NatGatewayAddresses") or []), {})
        names = {
            "allocationId": "AllocationId",
            "associationId": "AssociationId",
            "networkInterfaceId": "NetworkInterfaceId",
            "privateIp": "PrivateIp",
            "publicIp": "PublicIp",
        }
        return {name: address.get(aws, "") for name, aws in names.items()}

    def apply(self, scope: Scope, id: str, inputs: Properties, changed: Set[str]) -> None:
        """Wait until it is there, and change the tags."""
        scope.client("ec2").get_waiter("nat_gateway_available").wait(NatGatewayIds=[id], WaiterConfig=_WAIT)
        super().apply(scope, id, inputs, changed)

    def delete(self, scope: Scope, id: str, outputs: Properties) -> None:
        """Remove the gateway, and wait until it has let go of its address and its subnet."""
        ec2 = scope.client("ec2")
        ec2.delete_nat_gateway(NatGatewayId=id)
        ec2.get_waiter("nat_gateway_deleted").wait(NatGatewayIds=[id], WaiterConfig=_WAIT)


def _first(items: list[dict[str, Any]], key: str) -> str:
    return str(items[0][key]) if items else ""
