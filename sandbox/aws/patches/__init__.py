"""What moto lacks for real CDK and Pulumi clients, mended one registered patch at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sandbox.aws.patches import (
    answers,
    audiences,
    bucket_logging,
    buckets,
    change_sets,
    custom_resources,
    delete_markers,
    eks_clusters,
    eks_parts,
    endpoints,
    list_parameters,
    managed_policies,
    names,
    policy_resources,
    resource_events,
    stack_work,
    template_url,
)

MOTO_SOURCE = "https://github.com/getmoto/moto/blob/5.2.5/moto"


@dataclass(frozen=True, kw_only=True)
class Patch:
    """One mend of moto.

    Attributes:
        name: what to call it in a log.
        cause: what moto does without it.
        link: where the cause can be read.
        apply: changes moto in this process; harmless when called again.
    """

    name: str
    cause: str
    link: str
    apply: Callable[[], None]


PATCHES: tuple[Patch, ...] = (
    Patch(
        name="template-url",
        cause="A template's URL is understood only on amazonaws.com or when it contains the word localhost.",
        link=f"{MOTO_SOURCE}/cloudformation/utils.py#L111",
        apply=template_url.apply,
    ),
    Patch(
        name="stack-work",
        cause="A failed stack stays half made without an event; a deleted one makes its resources again.",
        link=f"{MOTO_SOURCE}/cloudformation/models.py",
        apply=stack_work.apply,
    ),
    Patch(
        name="change-sets",
        cause="Stacks made by change sets have no outputs or exports; change sets are found by name alone.",
        link=f"{MOTO_SOURCE}/cloudformation/models.py",
        apply=change_sets.apply,
    ),
    Patch(
        name="resource-events",
        cause="Only stacks have events, so nobody can see which resource failed or was passed over.",
        link=f"{MOTO_SOURCE}/cloudformation/parsing.py",
        apply=resource_events.apply,
    ),
    Patch(
        name="custom-resources",
        cause="A custom resource waits for a Lambda function that needs Docker, so its stack never finishes.",
        link=f"{MOTO_SOURCE}/cloudformation/custom_model.py",
        apply=custom_resources.apply,
    ),
    Patch(
        name="buckets",
        cause="Stacks cannot set a bucket's versioning, access block, lifecycle or policy; conditions deny everybody.",
        link=f"{MOTO_SOURCE}/s3/models.py#L1539",
        apply=buckets.apply,
    ),
    Patch(
        name="bucket-logging",
        cause="Access logs need a policy of one resource, fail on statements for everybody, and lose their key format.",
        link=f"{MOTO_SOURCE}/s3/models.py#L1361",
        apply=bucket_logging.apply,
    ),
    Patch(
        name="eks-clusters",
        cause="EKS forgets most settings of a cluster, shares one issuer among all, and changes no version.",
        link=f"{MOTO_SOURCE}/eks/models.py#L82",
        apply=eks_clusters.apply,
    ),
    Patch(
        name="eks-parts",
        cause="EKS has no add-ons, access entries or pod identity associations, and tags of clusters alone.",
        link=f"{MOTO_SOURCE}/eks/models.py",
        apply=eks_parts.apply,
    ),
    Patch(
        name="endpoints",
        cause="An endpoint's routes do not follow its route tables, and it cannot be removed then.",
        link=f"{MOTO_SOURCE}/ec2/models/vpcs.py#L1032",
        apply=endpoints.apply,
    ),
    Patch(
        name="audiences",
        cause="The audiences of an identity provider cannot be changed.",
        link=f"{MOTO_SOURCE}/iam/responses.py#L1044",
        apply=audiences.apply,
    ),
    Patch(
        name="managed-policies",
        cause="No policy of AWS's own can be attached unless all of them are loaded at the start.",
        link=f"{MOTO_SOURCE}/iam/models.py#L1907",
        apply=managed_policies.apply,
    ),
    Patch(
        name="names",
        cause="SSM parameters and ECR repositories without a name in their template fail.",
        link=f"{MOTO_SOURCE}/ssm/models.py#L332",
        apply=names.apply,
    ),
    Patch(
        name="list-parameters",
        cause="A stack's parameters that are lists are shown as Python writes lists.",
        link=f"{MOTO_SOURCE}/cloudformation/models.py#L512",
        apply=list_parameters.apply,
    ),
    Patch(
        name="policy-resources",
        cause='Policies are asked about the resource of S3, STS and role requests alone, and about "*" for all others.',
        link=f"{MOTO_SOURCE}/core/responses.py#L427",
        apply=policy_resources.apply,
    ),
    Patch(
        name="delete-markers",
        cause="Deleting a version of a key that has a delete marker fails once versioning is suspended.",
        link=f"{MOTO_SOURCE}/s3/utils.py#L130",
        apply=delete_markers.apply,
    ),
    Patch(
        name="answers",
        cause="Actions that are missing answer with status 500 and HTML; objects may have no checksum.",
        link=f"{MOTO_SOURCE}/core/responses.py#L483",
        apply=answers.apply,
    ),
)


def apply_all() -> list[str]:
    """Apply every patch to the moto of this process and return their names."""
    for patch in PATCHES:
        patch.apply()
    return [patch.name for patch in PATCHES]
