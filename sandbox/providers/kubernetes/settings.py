"""The provider's configuration, and when a change of it means another cluster."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.providers.base import Difference, Kind, Properties, PropertyChange, ProviderError
from sandbox.providers.kubernetes.connection import KubeconfigError, active_cluster

_CLUSTER_KEYS = ("kubeconfig", "context", "cluster")
_UNSUPPORTED = ("renderYamlToDirectory",)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The provider's configuration, as the program or the stack gives it.

    Attributes:
        kubeconfig: content or path of a kubeconfig; None for the usual one.
        context: a context of it; None for its current one.
        cluster: a cluster of it, instead of the context's.
        namespace: the namespace of objects that name none; None for the context's.
        mutable_config_maps: change ConfigMaps in place instead of replacing them.
        mutable_secrets: change Secrets in place instead of replacing them.
        upsert: take over an object that exists already instead of failing to create it.
        force: take over fields of other field managers instead of failing with a conflict.
        delete_unreachable: drop resources from the state when the cluster does not answer.
    """

    kubeconfig: str | Mapping[str, Any] | None = field(default=None, repr=False)
    context: str | None = None
    cluster: str | None = None
    namespace: str | None = None
    mutable_config_maps: bool = False
    mutable_secrets: bool = False
    upsert: bool = False
    force: bool = False
    delete_unreachable: bool = False

    @classmethod
    def read(cls, config: Properties, environment: Mapping[str, str] = os.environ) -> Settings:
        """Read the configuration; flags may also come from the real provider's environment variables.

        Raises:
            ProviderError: it asks for something that the stand-in does not do.
        """
        for key in _UNSUPPORTED:
            if config.get(key):
                raise ProviderError(
                    f"the stand-in kubernetes provider does not support kubernetes:{key}",
                    hint="Install the real provider: pulumi plugin install resource kubernetes.",
                )
        if _flag(config, environment, "enableServerSideApply", "ENABLE_SERVER_SIDE_APPLY") is False:
            raise ProviderError("the stand-in kubernetes provider works by server-side apply only")

        def flag(key: str, variable: str) -> bool:
            return bool(_flag(config, environment, key, variable))

        return cls(
            kubeconfig=config.get("kubeconfig") or None,
            context=config.get("context") or None,
            cluster=config.get("cluster") or None,
            namespace=config.get("namespace") or None,
            mutable_config_maps=flag("enableConfigMapMutable", "ENABLE_CONFIGMAP_MUTABLE"),
            mutable_secrets=flag("enableSecretMutable", "ENABLE_SECRET_MUTABLE"),
            upsert=flag("upsertExistingObjects", "UPSERT_EXISTING_OBJECTS"),
            force=flag("enablePatchForce", "ENABLE_PATCH_FORCE"),
            delete_unreachable=flag("deleteUnreachable", "DELETE_UNREACHABLE"),
        )


def _flag(config: Properties, environment: Mapping[str, str], key: str, variable: str) -> bool | None:
    value = config.get(key, environment.get(f"PULUMI_K8S_{variable}"))
    return None if value is None else str(value).lower() == "true"


def difference(old: Properties, new: Properties) -> Difference:
    """Compare two configurations: another active cluster replaces every resource, all else changes nothing in it."""
    keys = sorted(key for key in {*old, *new} if old.get(key) != new.get(key))
    elsewhere = bool({*keys} & {*_CLUSTER_KEYS}) and _moved(old, new)
    if "clusterIdentifier" in old and "clusterIdentifier" in new:
        elsewhere = old["clusterIdentifier"] != new["clusterIdentifier"]
    return Difference([PropertyChange(key, _kind(key, old, new), elsewhere) for key in keys])


def _kind(key: str, old: Properties, new: Properties) -> Kind:
    if key not in old:
        return Kind.ADD
    return Kind.UPDATE if key in new else Kind.DELETE


def _moved(old: Properties, new: Properties) -> bool:
    try:
        before, after = (active_cluster(config) for config in (old, new))
    except KubeconfigError:
        return False
    return before is not None and after is not None and before != after
