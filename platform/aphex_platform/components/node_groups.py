"""Managed node groups, and what Auto Mode would have brought: DNS, pod identities, volumes and an autoscaler."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as kubernetes

from aphex.cluster_config import ClusterConfig, NodeGroup
from aphex.names import ClusterNames
from aphex_platform.charts import AUTOSCALER_ACCOUNT, AUTOSCALER_CHART, autoscaler_values
from aphex_platform.cluster_policies import MANAGED_POLICIES, autoscaler_policy, node_trust, pod_trust
from aphex_platform.components.pod_role import SYSTEM_NAMESPACE, PodRole, PodRoleArgs

*_NODE_POLICIES, _VOLUME_POLICY = MANAGED_POLICIES
_AMI_TYPES = {"amd64": "AL2023_x86_64_STANDARD", "arm64": "AL2023_ARM_64_STANDARD"}
_VOLUME_ACCOUNT = "ebs-csi-controller-sa"


@dataclass(frozen=True, kw_only=True)
class NodeGroupsArgs:
    """What the node groups need to know.

    Attributes:
        config: the cluster.
        cluster_name: the EKS cluster, once it is there.
        subnet_ids: where nodes are.
        tags: whose they are.
    """

    config: ClusterConfig
    cluster_name: pulumi.Input[str]
    subnet_ids: Sequence[pulumi.Input[str]]
    tags: dict[str, str]


class NodeGroups(pulumi.ComponentResource):
    """Nodes in private subnets with encrypted disks, whose metadata no pod reaches, as many as the pods need."""

    def __init__(self, name: str, args: NodeGroupsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("aphex:cluster:NodeGroups", name, None, opts)
        self._name, self._args = name, args
        self._eks = ClusterNames(args.config.name).eks
        # The agent runs on every node and needs none to be there.
        agent = self._addon("eks-pod-identity-agent", [])
        role, attached = self._node_role()
        groups = [self._group(group, role, attached) for group in args.config.autoscaling.node_groups]
        self._addon("coredns", groups)
        self._volumes([agent, *groups])
        self._autoscaler([agent, *groups])
        self.register_outputs({})

    def _child(self, *after: pulumi.Resource) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=self, depends_on=list(after))

    def _node_role(self) -> tuple[aws.iam.Role, list[pulumi.Resource]]:
        config, name = self._args.config, f"{self._name}-node"
        role = aws.iam.Role(
            name,
            name=ClusterNames(config.name).role("node"),
            description=f"Nodes of the cluster {config.name}",
            assume_role_policy=json.dumps(node_trust()),
            tags=self._args.tags,
            opts=self._child(),
        )
        attached = [
            aws.iam.RolePolicyAttachment(
                f"{name}-{policy}",
                role=role.name,
                policy_arn=f"arn:{config.partition}:iam::aws:policy/{policy}",
                opts=self._child(),
            )
            for policy in _NODE_POLICIES
        ]
        return role, attached

    def _group(self, group: NodeGroup, role: aws.iam.Role, after: Sequence[pulumi.Resource]) -> aws.eks.NodeGroup:
        template = self._template(group)
        latest = template.latest_version.apply(lambda version: str(int(version)))
        return aws.eks.NodeGroup(
            f"{self._name}-{group.name}",
            cluster_name=self._args.cluster_name,
            # A change that replaces the group makes the new one first, which needs another name.
            node_group_name_prefix=f"{group.name}-",
            node_role_arn=role.arn,
            subnet_ids=list(self._args.subnet_ids),
            version=self._args.config.kubernetes.version,
            ami_type=_AMI_TYPES[group.architecture],
            instance_types=list(group.instance_types),
            capacity_type="SPOT" if group.capacity == "spot" else "ON_DEMAND",
            launch_template=aws.eks.NodeGroupLaunchTemplateArgs(id=template.id, version=latest),
            scaling_config=aws.eks.NodeGroupScalingConfigArgs(
                min_size=group.min, max_size=group.max, desired_size=max(group.min, 1)
            ),
            update_config=aws.eks.NodeGroupUpdateConfigArgs(max_unavailable=1),
            tags=self._args.tags,
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=list(after),
                # How many nodes there are is the autoscaler's to say.
                ignore_changes=["scalingConfig.desiredSize"],
            ),
        )

    def _template(self, group: NodeGroup) -> aws.ec2.LaunchTemplate:
        disk = aws.ec2.LaunchTemplateBlockDeviceMappingEbsArgs(
            encrypted="true", volume_size=group.disk_gib, volume_type="gp3", delete_on_termination="true"
        )
        tags = {**self._args.tags, "Name": f"{self._eks}-{group.name}"}
        return aws.ec2.LaunchTemplate(
            f"{self._name}-{group.name}",
            name_prefix=f"{self._eks}-{group.name}-",
            block_device_mappings=[
                aws.ec2.LaunchTemplateBlockDeviceMappingArgs(device_name="/dev/xvda", ebs=disk),
            ],
            # One hop: a pod that asks for the node's credentials gets no answer.
            metadata_options=aws.ec2.LaunchTemplateMetadataOptionsArgs(
                http_endpoint="enabled", http_tokens="required", http_put_response_hop_limit=1
            ),
            tag_specifications=[
                aws.ec2.LaunchTemplateTagSpecificationArgs(resource_type=kind, tags=tags)
                for kind in ("instance", "volume")
            ],
            tags=self._args.tags,
            opts=self._child(),
        )

    def _addon(
        self, addon: str, after: Sequence[pulumi.Resource], role: PodRole | None = None, account: str = ""
    ) -> aws.eks.Addon:
        identities = (
            [aws.eks.AddonPodIdentityAssociationArgs(role_arn=role.arn, service_account=account)] if role else None
        )
        return aws.eks.Addon(
            f"{self._name}-{addon}",
            cluster_name=self._args.cluster_name,
            addon_name=addon,
            pod_identity_associations=identities,
            resolve_conflicts_on_create="OVERWRITE",
            resolve_conflicts_on_update="OVERWRITE",
            tags=self._args.tags,
            opts=self._child(*after),
        )

    def _volumes(self, after: Sequence[pulumi.Resource]) -> None:
        config = self._args.config
        role = PodRole(
            f"{self._name}-volumes",
            PodRoleArgs(
                config=config,
                kind="volumes",
                trust=pod_trust(config, SYSTEM_NAMESPACE, _VOLUME_ACCOUNT),
                managed_policy=_VOLUME_POLICY,
                cluster_name=self._args.cluster_name,
                tags=self._args.tags,
            ),
            self._child(),
        )
        self._addon("aws-ebs-csi-driver", [*after, role], role, _VOLUME_ACCOUNT)

    def _autoscaler(self, after: Sequence[pulumi.Resource]) -> None:
        config = self._args.config
        role = PodRole(
            f"{self._name}-autoscaler",
            PodRoleArgs(
                config=config,
                kind="autoscaler",
                trust=pod_trust(config, SYSTEM_NAMESPACE, AUTOSCALER_ACCOUNT),
                policy=autoscaler_policy(config),
                service_account=AUTOSCALER_ACCOUNT,
                cluster_name=self._args.cluster_name,
                tags=self._args.tags,
            ),
            self._child(),
        )
        kubernetes.helm.v3.Release(
            f"{self._name}-autoscaler",
            name=AUTOSCALER_ACCOUNT,
            chart="cluster-autoscaler",
            version=AUTOSCALER_CHART,
            namespace=SYSTEM_NAMESPACE,
            repository_opts=kubernetes.helm.v3.RepositoryOptsArgs(repo="https://kubernetes.github.io/autoscaler"),
            values=autoscaler_values(config),
            opts=self._child(role, *after),
        )
