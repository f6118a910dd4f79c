"""What each part of a cluster may do on AWS, and the written reason for whatever is allowed on more than it names.

All ARNs follow from names, so the documents are computed without asking AWS and can be tested as plain values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aphex.cluster_config import ClusterConfig
from aphex.names import ClusterNames
from aphex_platform.statements import Document, Statement, allow, document

# Why a statement has a wildcard where an action or a resource could have been named; by its Sid.
REASONS: Mapping[str, str] = {
    "Account": "A key's policy speaks of its own key alone, whatever its resource says. Without this statement nobody "
    "could ever change the policy, and the account's own policies would not count.",
    "Logs": "A key's policy speaks of its own key alone; the actions are those that CloudWatch Logs documents, and the "
    "condition names the log groups.",
    "WriteFlowLogs": "Streams of a log group have names that AWS makes up.",
    "FindLogGroups": "Amazon VPC asks for it, and CloudWatch Logs lists the whole account; names are all it tells.",
    "DescribeGroups": "The Describe actions of EC2 Auto Scaling and EC2 know no resources; they change nothing.",
    "ScaleGroups": "EKS makes up the names of the Auto Scaling groups behind node groups; the condition names the "
    "cluster by their tag.",
    "DescribeNodeGroups": "EKS adds a random part to the ARN of a node group; the cluster is named.",
    "Describe": "The Describe actions of EC2, Elastic Load Balancing and ACM know no resources; they change nothing.",
    "ServiceLinkedRole": "The role is that of the one service in the condition, which AWS defines.",
    "CreateSecurityGroups": "AWS makes up the ids of security groups; the condition demands the cluster's tag on them.",
    "CreateInNetworks": "Creating a security group is asked of the VPC, too, which is named but for its id.",
    "TagNewSecurityGroups": "AWS makes up the ids of security groups; the condition demands the cluster's tag on them.",
    "ChangeSecurityGroups": "AWS makes up the ids of security groups; the condition names the cluster by their tag.",
    "OpenNodes": "Load balancers reach pods through the security group that EKS made for the cluster. AWS made its id "
    "up; the condition names the cluster by its tag.",
    "CreateLoadBalancers": "The ARNs have parts that AWS makes up; the condition demands the cluster's tag on them.",
    "TagNewLoadBalancers": "The ARNs have parts that AWS makes up; the condition demands the cluster's tag on them.",
    "ChangeLoadBalancers": "The ARNs have parts that AWS makes up; the condition names the cluster by their tag.",
    "Listeners": "Listeners and rules have ARNs with parts that AWS makes up. The controller's own policy asks for no "
    "tag of them, because some requests name only what is new.",
}

# Policies of AWS's own that are attached as they are, and why; by the name that follows `policy/`.
MANAGED_POLICIES: Mapping[str, str] = {
    "AmazonEKSWorkerNodePolicy": "What the kubelet asks of EC2 and EKS when a node joins; AWS keeps it up to date.",
    "AmazonEKS_CNI_Policy": "What the network add-on does with a node's interfaces; it runs on the node before any pod "
    "could have a role of its own.",
    "AmazonEC2ContainerRegistryPullOnly": "Nodes pull images; the policy allows nothing else.",
    "service-role/AmazonEBSCSIDriverPolicy": "What the volumes' add-on does, to volumes with its own tag alone.",
}


def key_policy(config: ClusterConfig) -> Document:
    """Who uses the cluster's key: whom the account's own policies let, and CloudWatch Logs for the cluster's groups."""
    names = ClusterNames(config.name)
    groups = [_log_group(config, group) for group in (names.control_plane_logs, names.flow_logs)]
    account = {"AWS": f"arn:{config.partition}:iam::{config.account}:root"}
    logs = allow(
        "Logs",
        ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"],
        ["*"],
        Principal={"Service": f"logs.{config.region}.{_DNS_SUFFIXES.get(config.partition, 'amazonaws.com')}"},
        Condition={"ArnEquals": {"kms:EncryptionContext:aws:logs:arn": groups}},
    )
    return document([allow("Account", ["kms:*"], ["*"], Principal=account), logs])


def flow_logs_trust(config: ClusterConfig) -> Document:
    """Who writes flow logs: the service, for networks of this account and region."""
    source = f"arn:{config.partition}:ec2:{config.region}:{config.account}:vpc-flow-log/*"
    condition = {"StringEquals": {"aws:SourceAccount": config.account}, "ArnLike": {"aws:SourceArn": source}}
    return document([_service("vpc-flow-logs.amazonaws.com", "sts:AssumeRole", Condition=condition)])


def flow_logs_policy(config: ClusterConfig) -> Document:
    """What is needed to write into the one log group.

    https://docs.aws.amazon.com/vpc/latest/userguide/flow-logs-iam-role.html, without what makes groups.
    """
    group = _log_group(config, ClusterNames(config.name).flow_logs)
    actions = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
    return document(
        [
            allow("WriteFlowLogs", actions, [group, f"{group}:*"]),
            allow("FindLogGroups", ["logs:DescribeLogGroups"], ["*"]),
        ]
    )


def node_trust() -> Document:
    """Who the nodes of a managed group are: instances."""
    return document([_service("ec2.amazonaws.com", "sts:AssumeRole")])


def pod_trust(config: ClusterConfig, namespace: str, service_account: str) -> Document:
    """Who assumes a role by EKS Pod Identity: one service account of this cluster, and nobody else."""
    condition = {
        "StringEquals": {
            "aws:SourceAccount": config.account,
            "aws:RequestTag/kubernetes-namespace": namespace,
            "aws:RequestTag/kubernetes-service-account": service_account,
        },
        "ArnEquals": {"aws:SourceArn": cluster_arn(config)},
    }
    return document([_service("pods.eks.amazonaws.com", "sts:AssumeRole", "sts:TagSession", Condition=condition)])


def cluster_arn(config: ClusterConfig) -> str:
    """ARN of the EKS cluster."""
    return f"arn:{config.partition}:eks:{config.region}:{config.account}:cluster/{ClusterNames(config.name).eks}"


def autoscaler_policy(config: ClusterConfig) -> Document:
    """What the Cluster Autoscaler may do: look at every group, and scale those of this cluster."""
    eks = ClusterNames(config.name).eks
    node_groups = f"arn:{config.partition}:eks:{config.region}:{config.account}:nodegroup/{eks}/*/*"
    groups = f"arn:{config.partition}:autoscaling:{config.region}:{config.account}:autoScalingGroup:*"
    owned = {"StringEquals": {f"aws:ResourceTag/k8s.io/cluster-autoscaler/{eks}": "owned"}}
    return document(
        [
            allow("DescribeGroups", _DESCRIBE_GROUPS, ["*"]),
            allow("DescribeNodeGroups", ["eks:DescribeNodegroup"], [node_groups]),
            allow(
                "ScaleGroups",
                ["autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"],
                [groups],
                Condition=owned,
            ),
        ]
    )


def load_balancer_policy(config: ClusterConfig) -> Document:
    """What the AWS Load Balancer Controller may do: everything with what it made, and nothing with what it did not.

    The actions are those of docs/install/iam_policy.json of the controller's release, without those for features that
    are switched off (WAF, Shield, Cognito, server certificates); the conditions name this cluster instead of any.
    """
    return document(
        [
            allow("Describe", _DESCRIBE_NETWORK, ["*"]),
            allow(
                "ServiceLinkedRole",
                ["iam:CreateServiceLinkedRole"],
                ["*"],
                Condition={"StringEquals": {"iam:AWSServiceName": "elasticloadbalancing.amazonaws.com"}},
            ),
            *_security_groups(config),
            *_load_balancers(config),
        ]
    )


def _security_groups(config: ClusterConfig) -> list[Statement]:
    eks, ec2 = ClusterNames(config.name).eks, f"arn:{config.partition}:ec2:{config.region}:{config.account}"
    groups = [f"{ec2}:security-group/*"]
    rules = ["ec2:AuthorizeSecurityGroupIngress", "ec2:RevokeSecurityGroupIngress"]
    requested, tagged = _cluster_tag("Request", eks), _cluster_tag("Resource", eks)
    creation = {"StringEquals": {**requested["StringEquals"], "ec2:CreateAction": "CreateSecurityGroup"}}
    return [
        allow("CreateSecurityGroups", ["ec2:CreateSecurityGroup"], groups, Condition=requested),
        allow("CreateInNetworks", ["ec2:CreateSecurityGroup"], [f"{ec2}:vpc/*"]),
        allow("TagNewSecurityGroups", ["ec2:CreateTags"], groups, Condition=creation),
        allow(
            "ChangeSecurityGroups",
            [*rules, "ec2:DeleteSecurityGroup", "ec2:CreateTags", "ec2:DeleteTags"],
            groups,
            Condition=tagged,
        ),
        allow(
            "OpenNodes",
            rules,
            groups,
            Condition={"StringEquals": {f"aws:ResourceTag/kubernetes.io/cluster/{eks}": "owned"}},
        ),
    ]


def _load_balancers(config: ClusterConfig) -> list[Statement]:
    eks = ClusterNames(config.name).eks
    prefix = f"arn:{config.partition}:elasticloadbalancing:{config.region}:{config.account}"
    made = [f"{prefix}:targetgroup/*/*", f"{prefix}:loadbalancer/app/*/*", f"{prefix}:loadbalancer/net/*/*"]
    below = [f"{prefix}:{kind}/{family}/*" for kind in ("listener", "listener-rule") for family in ("app", "net")]
    requested, tagged = _cluster_tag("Request", eks), _cluster_tag("Resource", eks)
    creation = {
        "StringEquals": {
            **requested["StringEquals"],
            "elasticloadbalancing:CreateAction": ["CreateTargetGroup", "CreateLoadBalancer"],
        }
    }
    return [
        allow("CreateLoadBalancers", _CREATE_BALANCERS, made, Condition=requested),
        allow("TagNewLoadBalancers", ["elasticloadbalancing:AddTags"], made, Condition=creation),
        allow("ChangeLoadBalancers", _CHANGE_BALANCERS, made, Condition=tagged),
        allow("Listeners", _LISTENERS, [*made, *below]),
    ]


def _cluster_tag(kind: str, eks: str) -> dict[str, dict[str, Any]]:
    return {"StringEquals": {f"aws:{kind}Tag/elbv2.k8s.aws/cluster": eks}}


def _service(name: str, *actions: str, **more: Any) -> Statement:
    return {"Sid": "Service", "Effect": "Allow", "Principal": {"Service": name}, "Action": list(actions), **more}


def _log_group(config: ClusterConfig, name: str) -> str:
    return f"arn:{config.partition}:logs:{config.region}:{config.account}:log-group:{name}"


_DNS_SUFFIXES = {"aws-cn": "amazonaws.com.cn"}

_DESCRIBE_GROUPS = (
    "autoscaling:DescribeAutoScalingGroups",
    "autoscaling:DescribeAutoScalingInstances",
    "autoscaling:DescribeLaunchConfigurations",
    "autoscaling:DescribeScalingActivities",
    "ec2:DescribeImages",
    "ec2:DescribeInstanceTypes",
    "ec2:DescribeLaunchTemplateVersions",
    "ec2:GetInstanceTypesFromInstanceRequirements",
)

_DESCRIBE_NETWORK = (
    "acm:DescribeCertificate",
    "acm:ListCertificates",
    "ec2:DescribeAccountAttributes",
    "ec2:DescribeAddresses",
    "ec2:DescribeAvailabilityZones",
    "ec2:DescribeInstances",
    "ec2:DescribeInternetGateways",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeRouteTables",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeTags",
    "ec2:DescribeVpcPeeringConnections",
    "ec2:DescribeVpcs",
    "ec2:GetSecurityGroupsForVpc",
    "elasticloadbalancing:DescribeCapacityReservation",
    "elasticloadbalancing:DescribeListenerAttributes",
    "elasticloadbalancing:DescribeListenerCertificates",
    "elasticloadbalancing:DescribeListeners",
    "elasticloadbalancing:DescribeLoadBalancerAttributes",
    "elasticloadbalancing:DescribeLoadBalancers",
    "elasticloadbalancing:DescribeRules",
    "elasticloadbalancing:DescribeSSLPolicies",
    "elasticloadbalancing:DescribeTags",
    "elasticloadbalancing:DescribeTargetGroupAttributes",
    "elasticloadbalancing:DescribeTargetGroups",
    "elasticloadbalancing:DescribeTargetHealth",
    "elasticloadbalancing:DescribeTrustStores",
)

_CREATE_BALANCERS = ("elasticloadbalancing:CreateLoadBalancer", "elasticloadbalancing:CreateTargetGroup")

_CHANGE_BALANCERS = (
    "elasticloadbalancing:AddTags",
    "elasticloadbalancing:DeleteLoadBalancer",
    "elasticloadbalancing:DeleteTargetGroup",
    "elasticloadbalancing:DeregisterTargets",
    "elasticloadbalancing:ModifyLoadBalancerAttributes",
    "elasticloadbalancing:ModifyTargetGroup",
    "elasticloadbalancing:ModifyTargetGroupAttributes",
    "elasticloadbalancing:RegisterTargets",
    "elasticloadbalancing:RemoveTags",
    "elasticloadbalancing:SetIpAddressType",
    "elasticloadbalancing:SetSecurityGroups",
    "elasticloadbalancing:SetSubnets",
)

_LISTENERS = (
    "elasticloadbalancing:AddListenerCertificates",
    "elasticloadbalancing:AddTags",
    "elasticloadbalancing:CreateListener",
    "elasticloadbalancing:CreateRule",
    "elasticloadbalancing:DeleteListener",
    "elasticloadbalancing:DeleteRule",
    "elasticloadbalancing:ModifyListener",
    "elasticloadbalancing:ModifyListenerAttributes",
    "elasticloadbalancing:ModifyRule",
    "elasticloadbalancing:RemoveListenerCertificates",
    "elasticloadbalancing:RemoveTags",
    "elasticloadbalancing:SetRulePriorities",
)
