"""A cluster of the caller's kubeconfig as a target: looked at before anything is changed, with either AWS."""

from __future__ import annotations

import base64
import json
import secrets as random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from aphex.errors import AphexError, UsageError
from automation.access import AwsAccess, KubernetesAccess, default_kubeconfig, kubernetes_errors
from automation.target import Subject, Target, TargetChoice, state_backend, state_bucket
from automation.target_file import overridden

if TYPE_CHECKING:
    from aphex_platform.settings import AwsSettings, ImageSettings, PlatformSecrets, PlatformSettings

    from sandbox.state import StandIns

_SECRET_BYTES = 32
_FORBIDDEN = 403
_ARGO_URL = "https://argo-server.argo.svc:2746"


class ClusterNotReady(AphexError):
    """The cluster is not there, or lacks what a pipeline needs; nothing was changed."""


def context_target(
    choice: TargetChoice, subject: Subject, stand_ins: StandIns | None, *, check: bool, images: ImageSettings | None
) -> Target:
    """The target that a kubeconfig's context is for one pipeline. Makes nothing in the cluster.

    Args:
        choice: with the context's name and the AWS.
        subject: the pipeline.
        stand_ins: what stands in for AWS, where it is not an account.
        check: whether the pipeline is about to be rendered or deployed: the cluster must have what that needs, and
            the pipeline's secrets are made.
        images: the stages' images; None takes the configuration's own.

    Raises:
        ClusterNotReady: the cluster does not answer, or lacks something.
        NotOurs: the pipeline's name is another repository's.
        UsageError: something has to be configured first.
    """
    kubernetes = KubernetesAccess(kubeconfig=default_kubeconfig(), context=choice.context or None)
    if kubernetes.kubeconfig is None or not kubernetes.kubeconfig.exists():
        raise UsageError(f"There is no kubeconfig at {kubernetes.kubeconfig}.", hint="Set KUBECONFIG to yours.")
    words = f"--cluster {choice.cluster} --aws {choice.aws}"
    chosen = images or configured_images(subject)
    if stand_ins is not None:
        target = _with_stand_ins(stand_ins, subject, kubernetes, chosen, words)
        target = replace(target, settings=overridden(target.settings, choice.overrides))
        if check:
            check_context(target.settings, kubernetes)
        return target
    return _with_account(choice, subject, kubernetes, chosen, words, check=check)


def configured_images(subject: Subject) -> ImageSettings:
    """The configuration's own images: a cluster elsewhere cannot pull from the sandbox's registry.

    Raises:
        UsageError: it has none.
    """
    from aphex_platform.settings import ImageSettings

    builder, deployer = subject.images
    if not builder or not deployer:
        raise UsageError(
            "This cluster needs images that it can pull.",
            hint="`python -m automation images push --registry REGISTRY` builds and pushes them. Then set "
            "pipeline.images.builder and .deployer.",
        )
    return ImageSettings(builder=builder, deployer=deployer)


def check_context(settings: PlatformSettings, kubernetes: KubernetesAccess) -> None:
    """Make sure that the cluster has what the pipeline needs, and that the pipeline's name is its own there.

    Raises:
        ClusterNotReady: the cluster does not answer, or lacks something; the message has all of it.
        NotOurs: the pipeline's name is another repository's.
    """
    from automation.cluster_check import asks_of, lacks, needs_of
    from automation.cluster_facts import read_facts
    from automation.ownership import check_namespace

    needs = needs_of(settings)
    facts = read_facts(kubernetes, asks_of(settings.namespace))
    if needs.issuer is not None:
        known = issuer_is_known(AwsAccess(region=settings.aws.region), settings.aws.oidc_provider_arn)
        facts = replace(facts, issuer_known=known)
    found = lacks(facts, needs)
    if found:
        name = f"The cluster {kubernetes.context}" if kubernetes.context else "The cluster"
        raise ClusterNotReady(
            "\n".join(
                [f"{name} lacks what the pipeline needs; nothing was changed:", *(f"  {each}" for each in found)]
            ),
            hint="All of it is listed; the same command goes on once it is there.",
        )
    check_namespace(kubernetes, settings)


def issuer_is_known(aws: AwsAccess, arn: str) -> bool | None:
    """Whether IAM has the identity provider; None when the caller may not ask."""
    from botocore.exceptions import ClientError

    try:
        aws.client("iam").get_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    except ClientError as error:
        return False if error.response["Error"]["Code"] in ("NoSuchEntity", "NoSuchEntityException") else None
    return True


def reachable(kubernetes: KubernetesAccess) -> Any:
    """A client of a cluster that answers.

    Raises:
        ClusterNotReady: it does not.
    """
    from lightkube.core.exceptions import ApiError
    from lightkube.resources.core_v1 import Namespace

    api = None
    try:
        api = kubernetes.client()
        api.get(Namespace, "kube-system")
    except kubernetes_errors() as error:
        if isinstance(error, ApiError) and error.status.code == _FORBIDDEN:
            return api  # it answers, though not that
        if api is not None:
            api.close()
        raise ClusterNotReady(
            f"The cluster of {kubernetes.context or 'the current context'} does not answer: {error}",
            hint="Try it with: kubectl get namespaces",
        ) from error
    return api


def token_issuer(kubernetes: KubernetesAccess) -> str:
    """The issuer of the cluster's service-account tokens, read from a token that is asked for and thrown away."""
    from lightkube.models.authentication_v1 import TokenRequestSpec
    from lightkube.models.meta_v1 import ObjectMeta
    from lightkube.resources.core_v1 import ServiceAccountToken

    request = ServiceAccountToken(metadata=ObjectMeta(), spec=TokenRequestSpec(audiences=["sts.amazonaws.com"]))
    with reachable(kubernetes) as api:
        answer = api.create(request, name="default", namespace="default")
    payload = str(answer.status.token).split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return str(claims["iss"])


def _with_stand_ins(
    stand_ins: StandIns, subject: Subject, kubernetes: KubernetesAccess, images: ImageSettings, words: str
) -> Target:
    """The cluster with an AWS and a git host of this machine, which its pods must be able to reach."""
    from automation.sandbox_target import Place, stand_in_target

    place = Place(
        kubernetes=kubernetes,
        # A name that a sandbox's own pods use would be known to its own DNS alone.
        aws_endpoint=stand_ins.aws_s3_endpoint_in_pods,
        oidc_issuer=token_issuer(kubernetes),
        argo_url=_ARGO_URL,
    )
    target = stand_in_target(stand_ins, images, subject, place)
    return replace(target, words=f"{words} {target.words}".rstrip())


def _with_account(
    choice: TargetChoice,
    subject: Subject,
    kubernetes: KubernetesAccess,
    images: ImageSettings,
    words: str,
    *,
    check: bool,
) -> Target:
    from aphex_platform.settings import PlatformSettings

    from aphex.names import PipelineNames

    if check:
        require_repository(subject)
    else:
        subject = deployed_subject(subject, kubernetes)
    aws = account_settings(token_issuer(kubernetes))
    access = AwsAccess(region=aws.region)
    settings = PlatformSettings(
        pipeline=subject.pipeline,
        namespace=PipelineNames(subject.pipeline).namespace,
        repository=subject.clone_url or "",
        repository_full_name=subject.repository,
        branch=subject.branch,
        aws=aws,
        images=images,
        state_backend=state_backend(state_bucket(aws.account, aws.region), aws.region, None),
        argo_url=_ARGO_URL,
    )
    settings = overridden(settings, choice.overrides)
    if check:
        check_context(settings, kubernetes)
    secrets = account_secrets(access, subject.pipeline, create=check)
    return Target(settings=settings, secrets=secrets, aws=access, kubernetes=kubernetes, words=words)


def require_repository(subject: Subject) -> None:
    """Make sure that the configuration says which repository the pipeline is for.

    Raises:
        UsageError: it does not.
    """
    if not subject.repository or not subject.clone_url:
        raise UsageError(
            "The configuration does not say which repository the pipeline is for.",
            hint="Set pipeline.repository to its clone URL.",
        )


def deployed_subject(subject: Subject, kubernetes: KubernetesAccess) -> Subject:
    """A pipeline that was only named, with the repository that it is deployed for.

    One whose namespace is gone, but whose data was kept, has an unknown repository, which nothing then needs.
    """
    from aphex_platform.manifests.stages import SETTINGS_MAP
    from aphex_platform.settings import PlatformSettings
    from lightkube.core.exceptions import ApiError
    from lightkube.resources.core_v1 import ConfigMap

    from aphex.names import PipelineNames

    if subject.repository and subject.clone_url:
        return subject
    unknown = replace(subject, repository=f"unknown/{subject.pipeline}", clone_url="unknown")
    with reachable(kubernetes) as api:
        try:
            found = api.get(ConfigMap, SETTINGS_MAP, namespace=PipelineNames(subject.pipeline).namespace)
            settings = PlatformSettings.model_validate_json((found.data or {})["settings.json"])
        except (ApiError, KeyError, ValueError):
            return unknown
    return replace(
        subject,
        repository=settings.repository_full_name,
        clone_url=settings.repository,
        branch=settings.branch,
    )


def account_settings(issuer: str) -> AwsSettings:
    """The account and region of the caller's credentials.

    Raises:
        UsageError: there are no credentials, or no region.
    """
    import boto3
    from aphex_platform.settings import AwsSettings
    from botocore.exceptions import BotoCoreError, ClientError

    session = boto3.Session()
    if not session.region_name:
        raise UsageError("There is no AWS region.", hint="Set AWS_DEFAULT_REGION, or a profile that has one.")
    try:
        identity = session.client("sts").get_caller_identity()
    except (BotoCoreError, ClientError) as error:
        raise UsageError(f"AWS does not know the caller: {error}", hint="Set credentials or AWS_PROFILE.") from error
    return AwsSettings(
        kind="account",
        account=identity["Account"],
        region=session.region_name,
        partition=identity["Arn"].split(":")[1],
        oidc_issuer=issuer,
    )


def account_secrets(aws: AwsAccess, pipeline: str, *, create: bool) -> PlatformSecrets:
    """The pipeline's secrets, kept encrypted in the account's Parameter Store so that every machine has the same.

    Those of an earlier version have a passphrase, which its state is then encrypted with; others have a key in KMS.

    Raises:
        AphexError: there are none yet and `create` is not set.
    """
    from aphex_platform.settings import PlatformSecrets

    ssm = aws.client("ssm")
    name = f"/aphex/{pipeline}/secrets"
    try:
        value = ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]
    except ssm.exceptions.ParameterNotFound as error:
        if not create:
            raise AphexError(
                f"There is no pipeline {pipeline} in this account and region: it has no {name}.",
                hint="`python -m automation up` makes it.",
            ) from error
        value = json.dumps({"webhook_secret": random.token_hex(_SECRET_BYTES)})
        ssm.put_parameter(Name=name, Value=value, Type="SecureString", Description="Secrets of an AphexPipeline")
    return PlatformSecrets.model_validate_json(value)
