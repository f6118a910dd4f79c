"""Every resource type of the stand-in AWS provider, by token."""

from __future__ import annotations

from sandbox.providers.aws import (
    cloudwatch,
    dynamodb,
    ec2_access,
    ec2_network,
    ec2_routes,
    ec2_templates,
    ecr,
    eks_access,
    eks_cluster,
    eks_nodes,
    iam,
    iam_identity,
    kms,
    logs,
    s3_bucket,
    s3_settings,
)
from sandbox.providers.aws.resource import ResourceType

_ALL: tuple[ResourceType, ...] = (
    s3_bucket.Bucket(),
    *s3_settings.SETTINGS,
    dynamodb.Table(),
    iam.Role(),
    iam.RolePolicy(),
    iam.Policy(),
    iam.RolePolicyAttachment(),
    iam_identity.OpenIdConnectProvider(),
    iam_identity.InstanceProfile(),
    kms.Key(),
    kms.Alias(),
    logs.LogGroup(),
    cloudwatch.Dashboard(),
    cloudwatch.MetricAlarm(),
    ec2_network.Vpc(),
    ec2_network.Subnet(),
    ec2_network.InternetGateway(),
    ec2_network.Eip(),
    ec2_network.NatGateway(),
    ec2_routes.RouteTable(),
    ec2_routes.Route(),
    ec2_routes.RouteTableAssociation(),
    ec2_routes.VpcEndpoint(),
    ec2_access.DefaultSecurityGroup(),
    ec2_access.FlowLog(),
    ec2_templates.LaunchTemplate(),
    ecr.Repository(),
    ecr.LIFECYCLE_POLICY,
    ecr.REPOSITORY_POLICY,
    eks_cluster.Cluster(),
    eks_nodes.NodeGroup(),
    eks_nodes.Addon(),
    eks_access.AccessEntry(),
    eks_access.AccessPolicyAssociation(),
    eks_access.PodIdentityAssociation(),
)

TYPES: dict[str, ResourceType] = {kind.schema.token: kind for kind in _ALL}
