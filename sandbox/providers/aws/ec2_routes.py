"""How traffic leaves a subnet: route tables, their routes, and endpoints of AWS services."""
# A type need not use all that it is given.
# ruff: noqa: ARG002

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any, ClassVar

from sandbox.providers.aws.ec2 import Ec2Resource
from sandbox.providers.aws.resource import ResourceType, Scope
from sandbox.providers.aws.schema import Schema
from sandbox.providers.base import Properties, ProviderError

_NO_TABLE = frozenset({"InvalidRouteTableID.NotFound"})
_TARGETS = {"gatewayId": "GatewayId", "natGatewayId": "NatGatewayId"}


class RouteTable(Ec2Resource):
    """`aws:ec2/routeTable:RouteTable`, whose routes are resources of their own."""

    schema = Schema(
        token="aws:ec2/routeTable:RouteTable",
        inputs=frozenset({"tags", "vpcId"}),
        required=frozenset({"vpcId"}),
        replaces=frozenset({"vpcId"}),
        computed=frozenset({"arn", "ownerId"}),
    )
    created_with = schema.known
    missing = _NO_TABLE
    describe, ids, found, kind = "describe_route_tables", "RouteTableIds", "RouteTables", "route-table"
    attributes: ClassVar[Mapping[str, str]] = {"ownerId": "OwnerId", "vpcId": "VpcId"}

    def create(self, scope: Scope, inputs: Properties) -> str:
        """Make the table."""
        made = scope.client("ec2").create_route_table(VpcId=inputs["vpcId"], **self.tagging(inputs))
        return str(made["RouteTable"]["RouteTableId"])

    def more(self, scope: Scope, id: str, item: Mapping[str, Any]) -> Properties:
        """Its ARN."""
        return {"arn": self.arn(scope, id)}

    def delete(self, scope: Scope, id: str, outputs: Properties) -> None:
        """Remove the table."""
        scope.client("ec2").delete_route_table(RouteTableId=id)


class Route(ResourceType):
    """`aws:ec2/route:Route`, to a gateway; its id is `TABLE_DESTINATION`."""

    schema = Schema(
        token="aws:ec2/route:Route",
        inputs=frozenset({"destinationCidrBlock", "gatewayId", "natGatewayId", "routeTableId"}),
        required=frozenset({"destinationCidrBlock", "routeTableId"}),
        replaces=frozenset({"destinationCidrBlock", "routeTableId"}),
        computed=frozenset({"origin", "state"}),
    )
    created_with = schema.known
    missing = _NO_TABLE | {"InvalidRoute.NotFound"}

    def create(self, scope: Scope, inputs: Properties) -> str:
        """Add the route to its table."""
        table, destination = inputs["routeTableId"], inputs["destinationCidrBlock"]
        scope.client("ec2").create_route(RouteTableId=table, DestinationCidrBlock=destination, **_target(table, inputs))
        return f"{table}_{destination}"

    def read(self, scope: Scope, id: str) -> Properties | None:
        """The route with its target."""
        table, destination = id.split("_", 1)
        (found,) = scope.client("ec2").describe_route_tables(RouteTableIds=[table])["RouteTables"]
        for route in found["Routes"]:
            if route.get("DestinationCidrBlock") == destination:
                return {
                    "routeTableId": table,
                    "destinationCidrBlock": destination,
                    **{name: route.get(aws, "") for name, aws in _TARGETS.items()},
                    "origin": route.get("Origin", ""),
                    "state": route.get("State", ""),
                }
        return None

    def apply(self, scope: Scope, id: str, inputs: Properties, changed: Set[str]) -> None:
        """Lead the route elsewhere."""
        if changed:
            table, destination = id.split("_", 1)
            scope.client("ec2").replace_route(
                RouteTableId=table, DestinationCidrBlock=destination, **_target(table, inputs)
            )

    def delete(self, scope: Scope, id: str, outputs: Properties) -> None:
        """Take the route out of its table."""
        table, destination = id.split("_", 1)
        scope.client("ec2").delete_route(RouteTableId=table, DestinationCidrBlock=destination)


def _target(table: str, inputs: Properties) -> dict[str, str]:
    targets = {aws: inputs[name] for name, aws in _TARGETS.items() if inputs.get(name)}
    if len(targets) != 1:
        raise ProviderError(f"a route of {table} needs one target: {' or '.join(sorted(_TARGETS))}")
    return targets


class RouteTableAssociation(ResourceType):
    """`aws:ec2/routeTableAssociation:RouteTableAssociation`, a subnet's route table.

    Its id is the subnet's, which has at most one: the association's own changes with the table.
    """

    schema = Schema(
        token="aws:ec2/routeTableAssociation:RouteTableAssociation",
        inputs=frozenset({"routeTableId", "subnetId"}),
        required=frozenset({"routeTableId", "subnetId"}),
        replaces=frozenset({"subnetId"}),
    )
    created_with = schema.known
    missing = _NO_TABLE | {"InvalidAssociationID.NotFound"}

    def create(self, scope: Scope, inputs: Properties) -> str:
        """Give the subnet its table."""
        table, subnet = inputs["routeTableId"], str(inputs["subnetId"])
        scope.client("ec2").associate_route_table(RouteTableId=table, SubnetId=subnet)
        return subnet

    def read(self, scope: Scope, id: str) -> Properties | None:
        """Which table the subnet has; None when it has only the VPC's main one."""
        found = self._find(scope, id)
        return {"routeTableId": found["RouteTableId"], "subnetId": id} if found else None

    def apply(self, scope: Scope, id: str, inputs: Properties, changed: Set[str]) -> None:
        """Give the subnet another table."""
        found = self._find(scope, id)
        if "routeTableId" in changed and found:
            scope.client("ec2").replace_route_table_association(
                AssociationId=found["RouteTableAssociationId"], RouteTableId=inputs["routeTableId"]
            )

    def delete(self, scope: Scope, id: str, outputs: Properties) -> None:
        """Leave the subnet to the VPC's main table."""
        found = self._find(scope, id)
        if found:
            scope.client("ec2").disassociate_route_table(AssociationId=found["RouteTableAssociationId"])

    def _find(self, scope: Scope, subnet: str) -> dict[str, str] | None:
        filters = [{"Name": "association.subnet-id", "Values": [subnet]}]
        tables = scope.client("ec2").describe_route_tables(Filters=filters)["RouteTables"]
        associations = [association for table in tables for association in table["Associations"]]
        return next((found for found in associations if found.get("SubnetId") == subnet), None)


class VpcEndpoint(Ec2Resource):
    """`aws:ec2/vpcEndpoint:VpcEndpoint`, of the kind that is a route."""

    schema = Schema(
        token="aws:ec2/vpcEndpoint:VpcEndpoint",
        inputs=frozenset({"policy", "routeTableIds", "serviceName", "tags", "vpcEndpointType", "vpcId"}),
        required=frozenset({"serviceName", "vpcId"}),
        replaces=frozenset({"serviceName", "vpcEndpointType", "vpcId"}),
        computed=frozenset({"arn", "ownerId", "policy", "routeTableIds", "state"}),
        defaults={"vpcEndpointType": "Gateway"},
        sticky=frozenset({"policy", "routeTableIds"}),
        documents=frozenset({"policy"}),
    )
    created_with = schema.known
    missing = frozenset({"InvalidVpcEndpointId.NotFound"})
    describe, ids, found, kind = "describe_vpc_endpoints", "VpcEndpointIds", "VpcEndpoints", "vpc-endpoint"
    attributes: ClassVar[Mapping[str, str]] = {
        "ownerId": "OwnerId",
        "policy": "PolicyDocument",
        "serviceName": "ServiceName",
        "state": "State",
        "vpcEndpointType": "VpcEndpointType",
        "vpcId": "VpcId",
    }

    def create(self, scope: Scope, inputs: Properties) -> str:
        """Make the endpoint with its route tables."""
        policy = {"PolicyDocument": inputs["policy"]} if inputs.get("policy") else {}
        made = scope.client("ec2").create_vpc_endpoint(
            VpcId=inputs["vpcId"],
            ServiceName=inputs["serviceName"],
            VpcEndpointType=inputs["vpcEndpointType"],
            RouteTableIds=inputs.get("routeTableIds") or [],
            **policy,
            **self.tagging(inputs),
        )
        return str(made["VpcEndpoint"]["VpcEndpointId"])

    def more(self, scope: Scope, id: str, item: Mapping[str, Any]) -> Properties:
        """Its ARN and the tables that lead to it."""
        return {"arn": self.arn(scope, id), "routeTableIds": sorted(item.get("RouteTableIds") or [])}

    def apply(self, scope: Scope, id: str, inputs: Properties, changed: Set[str]) -> None:
        """Change the policy, the tables that lead to it, or the tags."""
        ec2 = scope.client("ec2")
        if "policy" in changed:
            ec2.modify_vpc_endpoint(VpcEndpointId=id, PolicyDocument=inputs["policy"])
        if "routeTableIds" in changed:
            (found,) = ec2.describe_vpc_endpoints(VpcEndpointIds=[id])["VpcEndpoints"]
            before, after = set(found.get("RouteTableIds") or []), set(inputs.get("routeTableIds") or [])
            steps = {"AddRouteTableIds": after - before, "RemoveRouteTableIds": before - after}
            lists = {name: sorted(tables) for name, tables in steps.items() if tables}
            if lists:
                ec2.modify_vpc_endpoint(VpcEndpointId=id, **lists)
        super().apply(scope, id, inputs, changed)

    def delete(self, scope: Scope, id: str, outputs: Properties) -> None:
        """Remove the endpoint."""
        scope.client("ec2").delete_vpc_endpoints(VpcEndpointIds=[id])
