"""The components that a cluster is made of, with the types and names of pulumi-eks.

They follow `nodejs/eks/servicerole.ts`, `nodejs/eks/cluster/authenticationMode.ts` and `nodejs/eks/addons` of
pulumi/pulumi-eks, so that a stack can go from the stand-in to the real provider and back.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
import pulumi_aws as aws

# What pulumi-eks sets in the daemon of the VPC CNI when the program says nothing else.
_CNI_ENVIRONMENT = {
    "WARM_ENI_TARGET": "1",
    "AWS_VPC_K8S_CNI_LOGLEVEL": "DEBUG",
    "AWS_VPC_K8S_CNI_LOG_FILE": "/host/var/log/aws-routed-eni/ipamd.log",
    "AWS_VPC_K8S_CNI_VETHPREFIX": "eni",
    "AWS_VPC_ENI_MTU": "9001",
    "AWS_VPC_K8S_PLUGIN_LOG_LEVEL": "DEBUG",
    "AWS_VPC_K8S_PLUGIN_LOG_FILE": "/var/log/aws-routed-eni/plugin.log",
    "ENABLE_POD_ENI": "false",
    "AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG": "false",
    "AWS_VPC_K8S_CNI_EXTERNALSNAT": "false",
}
_CNI_INIT_ENVIRONMENT = {"DISABLE_TCP_EARLY_DEMUX": "false"}


class ServiceRole(pulumi.ComponentResource):
    """A role for a service, with managed policies.

    Attributes:
        role: the role, as soon as it is there.
        ready: the role and its attachments, for what needs all of them.
    """

    def __init__(
        self,
        name: str,
        service: str,
        policies: Sequence[str],
        *,
        tags: pulumi.Input[Mapping[str, str]],
        partition: pulumi.Input[str],
        description: str | None = None,
        actions: Sequence[str] = ("sts:AssumeRole",),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("eks:index:ServiceRole", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        statement = {"Action": list(actions), "Effect": "Allow", "Principal": {"Service": [service]}}
        trust = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self.role = aws.iam.Role(
            f"{name}-role", description=description, assume_role_policy=trust, tags=tags, opts=child
        )
        attachments = [
            aws.iam.RolePolicyAttachment(
                f"{name}-{_digest(f'arn:aws:iam::aws:policy/{policy}')}",
                role=self.role.name,
                policy_arn=pulumi.Output.concat("arn:", partition, ":iam::aws:policy/", policy),
                opts=child,
            )
            for policy in policies
        ]
        self.ready: list[pulumi.Resource] = [self.role, *attachments]
        self.register_outputs({"directRole": self.role, "resolvedRole": self.role})


def _digest(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()[:8]


def access_entries(
    name: str, cluster: aws.eks.Cluster, entries: Mapping[str, Mapping[str, Any]], opts: pulumi.ResourceOptions
) -> list[pulumi.Resource]:
    """Let principals in, each with its policies below its entry."""
    made: list[pulumi.Resource] = []
    for key, entry in entries.items():
        resource = aws.eks.AccessEntry(
            f"{name}-{key}",
            cluster_name=cluster.name,
            principal_arn=entry["principalArn"],
            kubernetes_groups=entry.get("kubernetesGroups"),
            type=entry.get("type"),
            user_name=entry.get("username"),
            tags=entry.get("tags"),
            opts=opts,
        )
        made.append(resource)
        for policy, association in (entry.get("accessPolicies") or {}).items():
            given: pulumi.Output[Any] = pulumi.Output.from_input(association)
            aws.eks.AccessPolicyAssociation(
                f"{name}-{key}-{policy}",
                cluster_name=cluster.name,
                principal_arn=entry["principalArn"],
                policy_arn=given.apply(lambda each: each["policyArn"]),
                access_scope=given.apply(lambda each: each["accessScope"]),
                opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(parent=resource, depends_on=[resource])),
            )
    return made


def addon(
    resource_name: str,
    addon_name: str,
    cluster: aws.eks.Cluster,
    options: Mapping[str, Any],
    *,
    tags: pulumi.Input[Mapping[str, str]],
    opts: pulumi.ResourceOptions,
) -> aws.eks.Addon:
    """One add-on of the cluster: in the version given, or the newest for the cluster's Kubernetes."""
    version = options.get("version") or options.get("addonVersion")
    if version is None:
        newest = aws.eks.get_addon_version_output(
            addon_name=addon_name,
            kubernetes_version=cluster.version,
            most_recent=True,
            opts=pulumi.InvokeOptions(parent=opts.parent),
        )
        version = newest.version
    values = options.get("configurationValues")
    return aws.eks.Addon(
        resource_name,
        cluster_name=cluster.name,
        addon_name=addon_name,
        addon_version=version,
        configuration_values=pulumi.Output.json_dumps(values) if values is not None else None,
        preserve=True,
        resolve_conflicts_on_create=options.get("resolveConflictsOnCreate") or "OVERWRITE",
        resolve_conflicts_on_update=options.get("resolveConflictsOnUpdate") or "OVERWRITE",
        service_account_role_arn=options.get("serviceAccountRoleArn"),
        tags=tags,
        opts=opts,
    )


class VpcCniAddon(pulumi.ComponentResource):
    """The add-on that gives pods addresses of the VPC."""

    def __init__(
        self,
        name: str,
        cluster: aws.eks.Cluster,
        options: Mapping[str, Any],
        *,
        tags: pulumi.Input[Mapping[str, str]],
        opts: pulumi.ResourceOptions,
    ) -> None:
        super().__init__("eks:index:VpcCniAddon", name, None, opts)
        settings = pulumi.Output.all(options.get("configurationValues") or {}, options.get("enableNetworkPolicy"))
        values = settings.apply(lambda given: cni_values(given[0], given[1]))
        made = addon(
            name,
            "vpc-cni",
            cluster,
            {**options, "configurationValues": values},
            tags=tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({"addon": made})


def cni_values(given: Mapping[str, Any], network_policy: bool | None) -> dict[str, Any]:
    """The configuration of the VPC CNI: what is given, over what pulumi-eks sets by itself."""
    values: dict[str, Any] = dict(given)
    if "enableNetworkPolicy" not in values and network_policy is not None:
        values["enableNetworkPolicy"] = "true" if network_policy else "false"
    values["env"] = {**_CNI_ENVIRONMENT, **(values.get("env") or {})}
    init = values.get("init") or {}
    values["init"] = {**init, "env": {**_CNI_INIT_ENVIRONMENT, **(init.get("env") or {})}}
    return values
