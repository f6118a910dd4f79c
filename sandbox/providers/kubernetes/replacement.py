"""Which changes of a Kubernetes object cannot be made in place.

The table is that of pulumi-kubernetes (`provider/pkg/provider/diff.go`, v4.30.0), so that a preview made with the
stand-in announces the same replacements as one made with the real provider.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sandbox.providers.kubernetes.objects import group_version_kind

Path = tuple[str | int, ...]

_IDENTITY = ("metadata.name", "metadata.namespace")
_VOLUME_SOURCES = (
    "awsElasticBlockStore",
    "azureDisk",
    "azureFile",
    "cephfs",
    "cinder",
    "csi",
    "fc",
    "flexVolume",
    "flocker",
    "gcePersistentDisk",
    "glusterfs",
    "hostPath",
    "iscsi",
    "local",
    "nfs",
    "photonPersistentDisk",
    "portworxVolume",
    "quobyte",
    "rbd",
    "scaleIO",
    "storageos",
    "vsphereVolume",
)
_POD_FIELDS = (
    "affinity",
    "automountServiceAccountToken",
    "dnsConfig",
    "dnsPolicy",
    "enableServiceLinks",
    "hostAliases",
    "hostIPC",
    "hostNetwork",
    "hostPID",
    "hostname",
    "imagePullSecrets",
    "nodeName",
    "nodeSelector",
    "overhead",
    "preemptionPolicy",
    "priority",
    "priorityClassName",
    "readinessGates",
    "restartPolicy",
    "runtimeClassName",
    "schedulerName",
    "securityContext",
    "serviceAccount",
    "serviceAccountName",
    "shareProcessNamespace",
    "subdomain",
    "terminationGracePeriodSeconds",
    "volumes",
)
_CONTAINER_FIELDS = (
    "args",
    "command",
    "env",
    "image",
    "imagePullPolicy",
    "lifecycle",
    "livenessProbe",
    "ports",
    "readinessProbe",
    "resources",
    "securityContext",
    "stdin",
    "stdinOnce",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "tty",
    "volumeDevices",
    "volumeMounts",
    "workingDir",
)

_FORCE_NEW: dict[tuple[str, str], tuple[str, ...]] = {
    ("apps", "DaemonSet"): ("spec.selector",),
    ("apps", "Deployment"): ("spec.selector",),
    ("apps", "StatefulSet"): (
        "spec.podManagementPolicy",
        "spec.revisionHistoryLimit",
        "spec.selector",
        "spec.serviceName",
        "spec.volumeClaimTemplates",
    ),
    ("batch", "Job"): ("spec.completions", "spec.parallelism", "spec.selector", "spec.template"),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): ("roleRef",),
    ("rbac.authorization.k8s.io", "RoleBinding"): ("roleRef",),
    ("storage.k8s.io", "StorageClass"): ("parameters", "provisioner"),
    ("", "PersistentVolume"): tuple(f"spec.{source}" for source in _VOLUME_SOURCES),
    ("", "PersistentVolumeClaim"): (
        "spec.accessModes",
        "spec.selector",
        "spec.storageClassName",
        "spec.volumeName",
    ),
    ("", "Pod"): (
        *(f"spec.{field}" for field in _POD_FIELDS),
        *(f"spec.{kind}.*.{field}" for kind in ("containers", "initContainers") for field in _CONTAINER_FIELDS),
    ),
    ("", "ResourceQuota"): ("spec.scopes",),
    ("", "Secret"): ("type",),
    ("", "Service"): ("spec.clusterIP",),
}


def force_new_fields(
    inputs: dict[str, Any], *, mutable_config_maps: bool = False, mutable_secrets: bool = False
) -> tuple[str, ...]:
    """Name the fields of an object whose change replaces it, as dotted paths (`*` is any element of a list).

    ConfigMaps and Secrets are replaced on a change of their data unless the provider was told that they are mutable,
    which is the real provider's default: what mounts them then sees a new name and restarts.
    """
    group, _, kind = group_version_kind(inputs)
    immutable = inputs.get("immutable") is True
    if (group, kind) == ("", "Secret") and (immutable or not mutable_secrets):
        return (*_IDENTITY, "type", "stringData", "data")
    if (group, kind) == ("", "ConfigMap") and (immutable or not mutable_config_maps):
        return (*_IDENTITY, "binaryData", "data")
    return (*_IDENTITY, *_FORCE_NEW.get((group, kind), ()))


def forces_replacement(path: Path, value: Any, fields: Sequence[str]) -> bool:
    """Whether a change at `path` to `value` touches one of `fields`: above it, at it, or below it in the value."""
    return any(_touches(path, value, field.split(".")) for field in fields)


def _touches(path: Path, value: Any, field: Sequence[str]) -> bool:
    for step, name in zip(path, field, strict=False):
        if name != "*" and step != name:
            return False
    return _reaches(value, field[len(path) :])


def _reaches(value: Any, rest: Sequence[str]) -> bool:
    if not rest:
        return True
    if rest[0] == "*":
        return isinstance(value, list) and any(_reaches(item, rest[1:]) for item in value)
    return isinstance(value, dict) and rest[0] in value and _reaches(value[rest[0]], rest[1:])
