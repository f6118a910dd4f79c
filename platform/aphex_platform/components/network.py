"""The network of a cluster: three zones, private nodes, and as few ways out as it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from itertools import islice

import pulumi
import pulumi_aws as aws

from aphex.cluster_config import ClusterConfig
from aphex.errors import AphexError
from aphex.names import ClusterNames

ZONES = 3
# In these zones EKS places no control plane (EKS User Guide, "Subnet requirements for clusters").
_UNUSABLE_ZONE_IDS = ("cac1-az3", "use1-az3", "usw1-az2")
_ANYWHERE = "0.0.0.0/0"


@dataclass(frozen=True, kw_only=True)
class NetworkArgs:
    """What the network needs to know.

    Attributes:
        config: the cluster.
        tags: whose it is.
    """

    config: ClusterConfig
    tags: dict[str, str]


@dataclass(frozen=True)
class SubnetBlocks:
    """The addresses of the subnets, in the order of the zones."""

    private: tuple[str, ...]
    public: tuple[str, ...]


class Network(pulumi.ComponentResource):
    """A VPC with a private and a public subnet in each zone; only load balancers and NAT gateways are in the public."""

    vpc_id: pulumi.Output[str]
    private_subnet_ids: list[pulumi.Output[str]]

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("aphex:cluster:Network", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        self._vpc = aws.ec2.Vpc(
            name,
            cidr_block=args.config.network.cidr,
            enable_dns_support=True,
            enable_dns_hostnames=True,
            tags=self._tags(ClusterNames(args.config.name).eks),
            opts=self._child,
        )
        # Without rules it lets nothing pass: what is put into it by mistake is not open.
        aws.ec2.DefaultSecurityGroup(name, vpc_id=self._vpc.id, tags=self._tags(f"{name}-closed"), opts=self._child)
        zones = self._zones()
        blocks = subnet_blocks(args.config.network.cidr)
        public = self._subnets("public", zones, blocks.public, "kubernetes.io/role/elb")
        private = self._subnets("private", zones, blocks.private, "kubernetes.io/role/internal-elb")
        gateway = aws.ec2.InternetGateway(name, vpc_id=self._vpc.id, tags=self._tags(name), opts=self._child)
        public_table = self._public_routes(public, gateway)
        private_tables = self._private_routes(private, self._nat_gateways(public, gateway))
        self._gateway_endpoints([public_table, *private_tables])
        self.vpc_id = self._vpc.id
        self.private_subnet_ids = [subnet.id for subnet in private]
        self.register_outputs({"vpc_id": self.vpc_id})

    def _tags(self, name: str, **more: str) -> dict[str, str]:
        return {**self._args.tags, "Name": name, **more}

    def _zones(self) -> list[pulumi.Input[str]]:
        network, region = self._args.config.network, self._args.config.region
        if network.zones is not None:
            return list(network.zones)
        found = aws.get_availability_zones_output(
            state="available",
            filters=[aws.GetAvailabilityZonesFilterArgs(name="opt-in-status", values=["opt-in-not-required"])],
            exclude_zone_ids=list(_UNUSABLE_ZONE_IDS),
            opts=pulumi.InvokeOutputOptions(parent=self),
        )
        chosen = found.names.apply(lambda names: first_zones(names, region))
        return [chosen[index] for index in range(ZONES)]

    def _subnets(
        self, kind: str, zones: Sequence[pulumi.Input[str]], blocks: Sequence[str], role: str
    ) -> list[aws.ec2.Subnet]:
        # Zones that AWS was asked for may be others tomorrow: a subnet with nodes in it must not move for that.
        fixed = [] if self._args.config.network.zones is not None else ["availabilityZone"]
        return [
            aws.ec2.Subnet(
                f"{self._name}-{kind}-{number}",
                vpc_id=self._vpc.id,
                cidr_block=block,
                availability_zone=zone,
                map_public_ip_on_launch=False,
                tags={**self._tags(f"{self._name}-{kind}-{number}"), role: "1"},
                opts=pulumi.ResourceOptions(parent=self, ignore_changes=fixed),
            )
            for number, (zone, block) in enumerate(zip(zones, blocks, strict=True), 1)
        ]

    def _public_routes(self, subnets: Sequence[aws.ec2.Subnet], gateway: aws.ec2.InternetGateway) -> aws.ec2.RouteTable:
        name = f"{self._name}-public"
        table = aws.ec2.RouteTable(name, vpc_id=self._vpc.id, tags=self._tags(name), opts=self._child)
        aws.ec2.Route(
            name,
            route_table_id=table.id,
            destination_cidr_block=_ANYWHERE,
            gateway_id=gateway.id,
            opts=self._child,
        )
        for number, subnet in enumerate(subnets, 1):
            self._associate(f"{name}-{number}", table, subnet)
        return table

    def _nat_gateways(
        self, public: Sequence[aws.ec2.Subnet], internet: aws.ec2.InternetGateway
    ) -> list[aws.ec2.NatGateway]:
        """One gateway, or one a zone; EC2 makes none in a network without a way to the internet."""
        wanted = 1 if self._args.config.network.nat == "single" else ZONES
        after = pulumi.ResourceOptions(parent=self, depends_on=[internet])
        gateways = []
        for number, subnet in enumerate(islice(public, wanted), 1):
            name = f"{self._name}-nat-{number}"
            address = aws.ec2.Eip(name, domain="vpc", tags=self._tags(name), opts=after)
            gateways.append(
                aws.ec2.NatGateway(
                    name, allocation_id=address.id, subnet_id=subnet.id, tags=self._tags(name), opts=after
                )
            )
        return gateways

    def _private_routes(
        self, subnets: Sequence[aws.ec2.Subnet], gateways: Sequence[aws.ec2.NatGateway]
    ) -> list[aws.ec2.RouteTable]:
        tables = []
        for number, subnet in enumerate(subnets, 1):
            name = f"{self._name}-private-{number}"
            table = aws.ec2.RouteTable(name, vpc_id=self._vpc.id, tags=self._tags(name), opts=self._child)
            aws.ec2.Route(
                name,
                route_table_id=table.id,
                destination_cidr_block=_ANYWHERE,
                nat_gateway_id=gateways[(number - 1) % len(gateways)].id,
                opts=self._child,
            )
            self._associate(name, table, subnet)
            tables.append(table)
        return tables

    def _associate(self, name: str, table: aws.ec2.RouteTable, subnet: aws.ec2.Subnet) -> None:
        aws.ec2.RouteTableAssociation(name, route_table_id=table.id, subnet_id=subnet.id, opts=self._child)

    def _gateway_endpoints(self, tables: Sequence[aws.ec2.RouteTable]) -> None:
        """S3 and DynamoDB without the NAT gateway, which costs by the gigabyte."""
        for service in ("s3", "dynamodb"):
            name = f"{self._name}-{service}"
            aws.ec2.VpcEndpoint(
                name,
                vpc_id=self._vpc.id,
                service_name=f"com.amazonaws.{self._args.config.region}.{service}",
                vpc_endpoint_type="Gateway",
                route_table_ids=[table.id for table in tables],
                tags=self._tags(name),
                opts=self._child,
            )


def subnet_blocks(cidr: str) -> SubnetBlocks:
    """Three quarters of the addresses for private subnets, where every pod needs one, and the last for public ones."""
    *quarters, last = IPv4Network(cidr).subnets(prefixlen_diff=2)
    public = islice(last.subnets(prefixlen_diff=3), ZONES)
    return SubnetBlocks(tuple(map(str, quarters)), tuple(map(str, public)))


def first_zones(names: Sequence[str], region: str) -> list[str]:
    """The zones that the subnets are in.

    Raises:
        AphexError: there are fewer than three.
    """
    if len(names) < ZONES:
        raise AphexError(
            f"{region} has only {len(names)} zones that EKS can use for this account, and a cluster needs {ZONES}.",
            hint="Choose another region, or ask AWS for access to another zone and name the three in network.zones.",
        )
    return sorted(names)[:ZONES]
