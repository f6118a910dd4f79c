"""Who may become what: the trust policies of a pipeline's roles, each for one service account and nobody else."""

from __future__ import annotations

from aphex_platform.identities import TOKEN_AUDIENCE, Identity
from aphex_platform.settings import PlatformSettings
from aphex_platform.statements import Document, Statement, document


def trust_policy(settings: PlatformSettings, identity: Identity) -> Document:
    """Who may assume the role: the service account of that name in the pipeline's namespace."""
    if settings.aws.identity == "pod-identity":
        return document([_pod_identity(settings, identity)])
    return document([_web_identity(settings, identity)])


def _web_identity(settings: PlatformSettings, identity: Identity) -> Statement:
    provider = settings.aws.oidc_provider
    subject = f"system:serviceaccount:{settings.namespace}:{identity.value}"
    return {
        "Sid": "ServiceAccount",
        "Effect": "Allow",
        "Principal": {"Federated": settings.aws.oidc_provider_arn},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringEquals": {f"{provider}:sub": subject, f"{provider}:aud": TOKEN_AUDIENCE}},
    }


def _pod_identity(settings: PlatformSettings, identity: Identity) -> Statement:
    """EKS itself assumes the role, and says by tags for whom.

    The service and its tags: https://docs.aws.amazon.com/eks/latest/userguide/pod-id-role.html and `pod-id-abac.html`.
    """
    aws = settings.aws
    cluster = f"arn:{aws.partition}:eks:{aws.region}:{aws.account}:cluster/{aws.cluster}"
    return {
        "Sid": "ServiceAccount",
        "Effect": "Allow",
        "Principal": {"Service": "pods.eks.amazonaws.com"},
        "Action": ["sts:AssumeRole", "sts:TagSession"],
        "Condition": {
            "StringEquals": {
                "aws:SourceAccount": aws.account,
                "aws:RequestTag/eks-cluster-arn": cluster,
                "aws:RequestTag/kubernetes-namespace": settings.namespace,
                "aws:RequestTag/kubernetes-service-account": identity.value,
            },
            "ArnEquals": {"aws:SourceArn": cluster},
        },
    }
