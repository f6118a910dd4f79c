"""`eks:index:Cluster`: an EKS cluster with its roles, access, add-ons and identity provider.

The children and their names are those of `createCore` in `nodejs/eks/cluster/cluster.ts` of pulumi/pulumi-eks. What
differs, because there is no EKS behind moto: nobody waits for the endpoint, the issuer's certificate has no thumbprint
(IAM fills it in), and the kubeconfig is that of the API server that stands in, when there is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as kubernetes

from sandbox.providers.eks import kubeconfig
from sandbox.providers.eks.inputs import ClusterInputs
from sandbox.providers.eks.parts import ServiceRole, VpcCniAddon, access_entries, addon

if TYPE_CHECKING:
    from sandbox.providers.server import KubernetesTarget

_CLUSTER_POLICIES = ("AmazonEKSClusterPolicy",)
_AUTO_POLICIES = (
    "AmazonEKSComputePolicy",
    "AmazonEKSBlockStoragePolicy",
    "AmazonEKSLoadBalancingPolicy",
    "AmazonEKSNetworkingPolicy",
)
_NODE_POLICIES = ("AmazonEKSWorkerNodeMinimalPolicy", "AmazonEC2ContainerRegistryPullOnly")
_NODE_POOLS = ("general-purpose", "system")


class Cluster(pulumi.ComponentResource):
    """The cluster; `state` is what the program gets of it."""

    state: dict[str, Any]

    def __init__(
        self,
        name: str,
        given: Mapping[str, Any],
        target: KubernetesTarget | None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        inputs = ClusterInputs(given)
        super().__init__("eks:index:Cluster", name, None, opts)
        self._name, self._inputs, self._target = name, inputs, target
        self._child = pulumi.ResourceOptions(parent=self)
        self._partition = aws.get_partition_output(opts=pulumi.InvokeOptions(parent=self)).partition
        role = self._cluster_role()
        nodes = self._node_role()
        cluster = self._cluster(role, nodes)
        if self._inputs.part("kubeProxyAddonOptions").get("enabled", not inputs.auto_mode):
            self._addon("kube-proxy", "kubeProxyAddonOptions", cluster)
        config = self._kubeconfig(cluster)
        text = pulumi.Output.json_dumps(config)
        kubernetes_provider = kubernetes.Provider(f"{name}-eks-k8s", kubeconfig=text, opts=self._child)
        waits = pulumi.ResourceOptions(parent=self, depends_on=[cluster])
        entries = access_entries(name, cluster, inputs.part("accessEntries"), waits)
        if not inputs.get("useDefaultVpcCni", inputs.auto_mode):
            cni = pulumi.ResourceOptions(parent=self, depends_on=entries, providers=[kubernetes_provider])
            VpcCniAddon(f"{name}-vpc-cni", cluster, inputs.part("vpcCniOptions"), tags=inputs.tags, opts=cni)
        if self._wants_dns():
            self._addon("coredns", "corednsAddonOptions", cluster)
        self.state = {
            **self._outputs(cluster, nodes, self._identity_provider(cluster)),
            "kubeconfig": config,
            "kubeconfigJson": text,
            "core": self._core(cluster, role, kubernetes_provider, config),
        }
        self.register_outputs(self.state)

    def _cluster_role(self) -> ServiceRole:
        return ServiceRole(
            f"{self._name}-eksRole",
            "eks.amazonaws.com",
            [*_CLUSTER_POLICIES, *(_AUTO_POLICIES if self._inputs.auto_mode else ())],
            description="Allows EKS to manage clusters on your behalf.",
            actions=["sts:AssumeRole", "sts:TagSession"],
            tags=self._inputs.tags,
            partition=self._partition,
            opts=self._child,
        )

    def _node_role(self) -> ServiceRole | None:
        if not self._inputs.auto_mode or self._inputs.part("autoMode").get("createNodeRole") is False:
            return None
        return ServiceRole(
            f"{self._name}-nodeRole",
            "ec2.amazonaws.com",
            _NODE_POLICIES,
            tags=self._inputs.tags,
            partition=self._partition,
            opts=self._child,
        )

    def _cluster(self, role: ServiceRole, nodes: ServiceRole | None) -> aws.eks.Cluster:
        inputs = self._inputs
        self_managed = False if inputs.auto_mode else inputs.get("bootstrapSelfManagedAddons", True)
        tags = pulumi.Output.all(inputs.get("clusterTags", {}), inputs.tags)
        network = {
            "subnet_ids": inputs.subnet_ids,
            "endpoint_private_access": inputs.get("endpointPrivateAccess"),
            "endpoint_public_access": inputs.get("endpointPublicAccess"),
            "public_access_cidrs": inputs.get("publicAccessCidrs"),
        }
        return aws.eks.Cluster(
            f"{self._name}-eksCluster",
            name=inputs.get("name"),
            role_arn=role.role.arn,
            version=inputs.get("version"),
            vpc_config=network,
            access_config={
                "authentication_mode": inputs.get("authenticationMode"),
                "bootstrap_cluster_creator_admin_permissions": True,
            },
            bootstrap_self_managed_addons=self_managed,
            enabled_cluster_log_types=inputs.get("enabledClusterLogTypes"),
            encryption_config=_encryption(inputs.get("encryptionConfigKeyArn")),
            kubernetes_network_config=self._services(),
            upgrade_policy=inputs.get("upgradePolicy"),
            deletion_protection=inputs.get("deletionProtection"),
            tags=tags.apply(lambda both: {"Name": f"{self._name}-eksCluster", **both[0], **both[1]}),
            **self._auto_mode(nodes),
            opts=pulumi.ResourceOptions(
                parent=self,
                ignore_changes=["accessConfig.bootstrapClusterCreatorAdminPermissions", "bootstrapSelfManagedAddons"],
                depends_on=[*role.ready, *(nodes.ready if nodes else [])],
            ),
        )

    def _services(self) -> dict[str, Any] | None:
        inputs = self._inputs
        addresses, family = inputs.get("kubernetesServiceIpAddressRange"), inputs.get("ipFamily")
        if not (addresses or family or inputs.auto_mode):
            return None
        balancing = {"elastic_load_balancing": {"enabled": True}} if inputs.auto_mode else {}
        return {"service_ipv4_cidr": addresses, "ip_family": family or "ipv4", **balancing}

    def _auto_mode(self, nodes: ServiceRole | None) -> dict[str, Any]:
        if not self._inputs.auto_mode:
            return {}
        asked = pulumi.Output.all(
            self._inputs.part("autoMode").get("computeConfig") or {}, nodes.role.arn if nodes else None
        )
        compute = asked.apply(
            lambda both: {"enabled": True, "nodeRoleArn": both[1], "nodePools": list(_NODE_POOLS), **both[0]}
        )
        return {"compute_config": compute, "storage_config": {"block_storage": {"enabled": True}}}

    def _addon(self, addon_name: str, options: str, cluster: aws.eks.Cluster) -> None:
        given = self._inputs.part(options)
        addon(f"{self._name}-{addon_name}", addon_name, cluster, given, tags=self._inputs.tags, opts=self._child)

    def _wants_dns(self) -> bool:
        options = self._inputs.part("corednsAddonOptions")
        asked = options.get("enabled") is True or options.get("configurationValues") is not None
        return bool(asked or (self._inputs.auto_mode and options.get("enabled", True)))

    def _kubeconfig(self, cluster: aws.eks.Cluster) -> pulumi.Output[dict[str, Any]]:
        target = self._target
        if target and target.kubeconfig:
            path, context = target.kubeconfig, target.context
            # Known only once the cluster is there, and secret, since it may hold a credential.
            there = cluster.endpoint.apply(lambda _: kubeconfig.of_target(path, context))
            return pulumi.Output.secret(there)
        credentials = self._inputs.part("providerCredentialOpts")
        asked = pulumi.Output.all(
            cluster.name, cluster.endpoint, cluster.arn, cluster.certificate_authority, credentials
        )
        return asked.apply(lambda known: kubeconfig.of_eks(known[0], known[1], known[2], known[3].data, known[4]))

    def _identity_provider(self, cluster: aws.eks.Cluster) -> aws.iam.OpenIdConnectProvider | None:
        if not self._inputs.get("createOidcProvider"):
            return None
        return aws.iam.OpenIdConnectProvider(
            f"{self._name}-oidcProvider", client_id_lists=["sts.amazonaws.com"], url=_issuer(cluster), opts=self._child
        )

    def _outputs(
        self, cluster: aws.eks.Cluster, nodes: ServiceRole | None, identity: aws.iam.OpenIdConnectProvider | None
    ) -> dict[str, Any]:
        group = cluster.vpc_config.apply(lambda network: network.cluster_security_group_id)
        issuer = _issuer(cluster)
        return {
            "autoModeNodeRoleName": nodes.role.name if nodes else "",
            "clusterIngressRuleId": "",
            "clusterSecurityGroupId": group,
            "defaultNodeGroupAsgName": "",
            "eksCluster": cluster,
            "fargateProfileId": "",
            "fargateProfileStatus": "",
            "instanceRoles": [],
            "nodeSecurityGroupId": group,
            "oidcIssuer": issuer.apply(lambda url: url.removeprefix("https://")),
            "oidcProviderArn": identity.arn if identity else "",
            "oidcProviderUrl": issuer,
        }

    def _core(
        self,
        cluster: aws.eks.Cluster,
        role: ServiceRole,
        provider: kubernetes.Provider,
        config: pulumi.Output[dict[str, Any]],
    ) -> dict[str, Any]:
        return {
            "cluster": cluster,
            "clusterIamRole": role.role,
            "endpoint": cluster.endpoint,
            "instanceRoles": [],
            "kubeconfig": config,
            "nodeGroupOptions": {},
            "privateSubnetIds": self._inputs.get("privateSubnetIds"),
            "provider": provider,
            "publicSubnetIds": self._inputs.get("publicSubnetIds"),
            "subnetIds": self._inputs.subnet_ids,
            "tags": self._inputs.tags,
            "vpcId": self._inputs.get("vpcId"),
        }


def _encryption(key: pulumi.Input[str] | None) -> dict[str, Any] | None:
    return None if key is None else {"provider": {"key_arn": key}, "resources": ["secrets"]}


def _issuer(cluster: aws.eks.Cluster) -> pulumi.Output[str]:
    issuer: pulumi.Output[str] = cluster.identities.apply(lambda identities: identities[0].oidcs[0].issuer)
    return issuer
