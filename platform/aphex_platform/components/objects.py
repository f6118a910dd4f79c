"""Kubernetes objects of a pipeline's namespace, from manifests to resources."""

from __future__ import annotations

import pulumi
import pulumi_kubernetes as kubernetes

from aphex_platform.manifests.common import Manifest


def custom_resource(
    name: str, manifest: Manifest, namespace: pulumi.Input[str], opts: pulumi.ResourceOptions
) -> kubernetes.apiextensions.CustomResource:
    """An object of any kind as its manifest has it, made after the namespace it lives in."""
    return kubernetes.apiextensions.CustomResource(
        name,
        api_version=manifest["apiVersion"],
        kind=manifest["kind"],
        metadata={**manifest["metadata"], "namespace": namespace},
        spec=manifest["spec"],
        opts=opts,
    )


def name_of(resource: kubernetes.apiextensions.CustomResource) -> pulumi.Output[str]:
    """An object's name once it is there: the provider's id is `namespace/name`."""
    identifier: pulumi.Output[str] = resource.id
    return identifier.apply(lambda text: text.rsplit("/", 1)[-1])


def secret(
    name: str,
    metadata: kubernetes.meta.v1.ObjectMetaArgs,
    data: dict[str, pulumi.Input[str]],
    opts: pulumi.ResourceOptions,
) -> kubernetes.core.v1.Secret:
    """A Secret whose values the state keeps encrypted."""
    values = {key: pulumi.Output.secret(value) for key, value in data.items()}
    return kubernetes.core.v1.Secret(name, metadata=metadata, string_data=values, opts=opts)
