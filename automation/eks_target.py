"""A cluster that the cluster stack has made as a target: every setting of a pipeline from that stack's outputs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aphex.cluster_config import CLUSTER_FILE
from aphex.errors import AphexError, UsageError
from automation.access import AwsAccess, KubernetesAccess
from automation.cluster import caller_account, cluster_home, cluster_names, cluster_outputs, home_of
from automation.context_target import account_secrets, deployed_subject, require_repository
from automation.eks_access import kubeconfig, own_kubeconfig
from automation.ownership import check_namespace
from automation.target import Subject, Target, TargetChoice, state_backend, state_bucket
from automation.target_file import overridden

if TYPE_CHECKING:
    from aphex_platform.settings import ImageSettings, PlatformSettings, WebhookSettings

    from automation.home import StackHome


def eks_target(choice: TargetChoice, subject: Subject, *, check: bool, images: ImageSettings | None) -> Target:
    """The target that a cluster of the cluster stack is for one pipeline. Makes nothing in the cluster.

    Args:
        choice: with the cluster's name.
        subject: the pipeline.
        check: whether the pipeline is about to be rendered or deployed: its namespace must be its own then, and
            secrets are made.
        images: the stages' images; None takes the configuration's own, else the newest in the cluster's repositories.

    Raises:
        StackMissing: there is no such cluster stack; the hint says which command makes it.
        UsageError: something has to be configured first.
        NotOurs: the pipeline's name is taken.
    """
    home = eks_home(choice)
    outputs = cluster_outputs(home)
    access = AwsAccess(region=str(outputs["region"]))
    kubernetes = cluster_access(outputs)
    if check:
        require_repository(subject)
    else:
        subject = deployed_subject(subject, kubernetes)
    made = eks_settings(outputs, subject, images or eks_images(access, outputs, subject))
    settings = overridden(made, choice.overrides)
    if check:
        check_namespace(kubernetes, settings)
    secrets = account_secrets(access, subject.pipeline, create=check)
    return Target(
        settings=settings,
        secrets=secrets,
        aws=access,
        kubernetes=kubernetes,
        words=f"--cluster eks:{home.owner} --aws account",
    )


def eks_home(choice: TargetChoice, file: Path | None = None) -> StackHome:
    """Where the chosen cluster's stack lives: by its file in this folder, else by name in the caller's account.

    Raises:
        UsageError: neither says which cluster is meant.
    """
    from aphex.loader import load_cluster_config

    file = file or Path(CLUSTER_FILE)
    name = choice.eks or ""
    if file.exists():
        config = load_cluster_config(file)
        if name in ("", config.name):
            return home_of(config)
    return named_home(name)


def named_home(name: str, region: str | None = None) -> StackHome:
    """Where the stack of a cluster of the caller's account lives; with an empty name that of the only one.

    Raises:
        UsageError: the region is not known, or there is not exactly one cluster.
    """
    import boto3

    region = region or boto3.Session().region_name
    if not region:
        raise UsageError("There is no AWS region.", hint="Set AWS_DEFAULT_REGION, or a profile that has one.")
    access = AwsAccess(region=region)
    account = caller_account(access)
    if name:
        return cluster_home(name, account, region)
    found = cluster_names(access, account)
    if len(found) == 1:
        return cluster_home(found[0], account, region)
    if found:
        raise UsageError(
            f"Account {account} has several clusters in {region}: {', '.join(found)}.", hint="Say which: eks:NAME."
        )
    raise UsageError(
        f"There is no cluster stack in account {account}, {region}.",
        hint=f"`python -m automation cluster up` makes one from {CLUSTER_FILE}.",
    )


def cluster_access(outputs: Mapping[str, Any]) -> KubernetesAccess:
    """How this process reaches the cluster: by a kubeconfig of its own, whose tokens this program makes."""
    name, region = str(outputs["cluster_name"]), str(outputs["region"])
    document = kubeconfig(given_kubeconfig(outputs), name, region, name)
    return KubernetesAccess(kubeconfig=own_kubeconfig(name, region, document), context=name)


def given_kubeconfig(outputs: Mapping[str, Any]) -> dict[str, Any]:
    """The kubeconfig among the outputs.

    Raises:
        AphexError: there is none.
    """
    given = outputs.get("kubeconfig")
    document = json.loads(given) if isinstance(given, str) and given.startswith("{") else given
    if not isinstance(document, dict):
        raise AphexError("The cluster's stack has no kubeconfig among its outputs.", hint="Bring the cluster up again.")
    return document


def eks_settings(outputs: Mapping[str, Any], subject: Subject, images: ImageSettings) -> PlatformSettings:
    """A pipeline's settings: all that the cluster's outputs decide, and what the pipeline's own file says."""
    from aphex_platform.settings import AwsSettings, EventBusSettings, PlatformSettings

    from aphex.names import PipelineNames
    from aphex.regions import partition_of

    account, region = str(outputs["account"]), str(outputs["region"])
    return PlatformSettings(
        pipeline=subject.pipeline,
        namespace=PipelineNames(subject.pipeline).namespace,
        repository=subject.clone_url or "",
        repository_full_name=subject.repository,
        branch=subject.branch,
        aws=AwsSettings(
            kind="account",
            account=account,
            region=region,
            partition=partition_of(region),
            oidc_issuer=str(outputs["oidc_issuer"]),
            identity=outputs["identity"],
            cluster=str(outputs["cluster_name"]),
        ),
        event_bus=EventBusSettings(storage_class=outputs.get("storage_class")),
        webhook=webhook_settings(outputs),
        images=images,
        state_backend=state_backend(state_bucket(account, region), region, None),
        argo_url=str(outputs["argo_url"]),
    )


def webhook_settings(outputs: Mapping[str, Any]) -> WebhookSettings:
    """How the git host reaches a pipeline: by the cluster's load balancer, when it has one for webhooks."""
    from aphex_platform.settings import WebhookSettings

    url = outputs.get("webhook_url")
    if not url:
        return WebhookSettings()
    return WebhookSettings(
        host=urlsplit(str(url)).hostname,
        ingress_class=outputs.get("webhook_ingress_class"),
        annotations=outputs.get("webhook_ingress_annotations") or {},
        # The load balancer's own addresses are those of the network's subnets.
        sources=(str(outputs["vpc_cidr"]),) if outputs.get("vpc_cidr") else (),
    )


def eks_images(aws: AwsAccess, outputs: Mapping[str, Any], subject: Subject) -> ImageSettings:
    """The stages' images: the configuration's own, else the newest in the cluster's repositories, by their digests.

    Raises:
        AphexError: a repository has none; the hint says how one gets there.
    """
    from aphex_platform.settings import ImageSettings

    builder, deployer = subject.images
    return ImageSettings(
        builder=builder or newest_image(aws, str(outputs["builder_repository"])),
        deployer=deployer or newest_image(aws, str(outputs["deployer_repository"])),
    )


def newest_image(aws: AwsAccess, repository: str) -> str:
    """The tagged image that was pushed last to an ECR repository, pinned by its digest.

    Args:
        aws: where the repository is.
        repository: its address, such as 123456789012.dkr.ecr.eu-west-1.amazonaws.com/aphex-main/builder.

    Raises:
        AphexError: there is no image, or ECR refuses.
    """
    from botocore.exceptions import ClientError

    registry, _, name = repository.partition("/")
    pages = aws.client("ecr").get_paginator("describe_images")
    try:
        found = [
            image
            for page in pages.paginate(repositoryName=name, filter={"tagStatus": "TAGGED"})
            for image in page["imageDetails"]
        ]
    except ClientError as error:
        raise AphexError(f"The images of {repository} cannot be listed: {error}") from error
    if not found:
        raise AphexError(
            f"There is no image in {repository}.",
            hint=f"Push it: python -m automation images push --registry {registry}/{name.rpartition('/')[0]}".rstrip(
                "/"
            )
            + ". Or name images of your own: pipeline.images in aphex-config.yaml.",
        )
    newest = max(found, key=lambda image: image["imagePushedAt"])
    return f"{repository}@{newest['imageDigest']}"
