"""When a Kubernetes object is ready, judged from how it is now.

The conditions are those of pulumi-kubernetes (`provider/pkg/await`, v4.30.0): a kind that is not listed here is ready
as soon as the API server has accepted it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from aphex.errors import AphexError
from sandbox.providers.kubernetes.objects import (
    SKIP_AWAIT,
    WAIT_FOR,
    KubernetesObject,
    annotation,
    group_version_kind,
    is_annotated,
    metadata,
    name_of,
)

_REVISION = "deployment.kubernetes.io/revision"


@dataclass(frozen=True, kw_only=True)
class Readiness:
    """What one look at an object says: ready, failed for good, or neither yet, and why."""

    ready: bool
    failed: bool = False
    reasons: tuple[str, ...] = ()


READY = Readiness(ready=True)


def _waiting(*reasons: str) -> Readiness:
    return Readiness(ready=False, reasons=reasons)


Related = Callable[[str, str, Mapping[str, str]], list[KubernetesObject]]
"""Lists objects of an apiVersion and kind with some labels, in the namespace of the object that is waited for."""


@dataclass(frozen=True, kw_only=True)
class Sight:
    """What there is to judge an object by.

    Attributes:
        live: the object as it is.
        before: the object before the update; None after its creation.
        related: finds the objects that it stands for, such as a Deployment's pods.
    """

    live: KubernetesObject
    before: KubernetesObject | None
    related: Related


def readiness(inputs: KubernetesObject, seen: Sight) -> Readiness:
    """Judge an object; the annotations of what was asked for say whether, and for what, to wait."""
    if is_annotated(inputs, SKIP_AWAIT):
        return READY
    if expected := annotation(seen.live, WAIT_FOR):
        return _custom(expected, seen.live)
    group, _, kind = group_version_kind(seen.live)
    judge = _JUDGES.get((group, kind))
    return judge(seen) if judge else READY


def _custom(expected: str, live: KubernetesObject) -> Readiness:
    try:
        expressions = json.loads(expected)
    except ValueError:
        expressions = [expected]
    expressions = expressions if isinstance(expressions, list) else [expected]
    unmet = [expression for expression in expressions if not _holds(str(expression), live)]
    return _waiting(*(f"{expression} does not hold" for expression in unmet)) if unmet else READY


def _holds(expression: str, live: KubernetesObject) -> bool:
    kind, _, rest = expression.partition("=")
    if kind == "condition" and rest:
        name, _, wanted = rest.partition("=")
        status = str((_condition(live, name) or {}).get("status", ""))
        return status.lower() == (wanted or "true").lower()
    if kind == "jsonpath" and (match := re.fullmatch(r"\{?\.?([^{}=]+)\}?(?:=(.*))?", rest)):
        found = _at(live, match[1])
        return found is not None and (match[2] is None or str(found) == match[2])
    raise AphexError(
        f'{WAIT_FOR}: "{expression}" is no condition to wait for.',
        hint='Write "condition=NAME", "condition=NAME=STATUS", "jsonpath={.path}" or "jsonpath={.path}=VALUE".',
    )


def _at(value: Any, path: str) -> Any:
    for step in re.findall(r"[^.\[\]]+", path):
        if isinstance(value, list) and step.isdecimal():
            value = value[int(step)] if int(step) < len(value) else None
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return value


def _condition(live: KubernetesObject, name: str) -> dict[str, Any] | None:
    conditions = (live.get("status") or {}).get("conditions") or []
    return next((condition for condition in conditions if condition.get("type") == name), None)


def _is_true(live: KubernetesObject, name: str) -> bool:
    return (_condition(live, name) or {}).get("status") == "True"


def _message(condition: Mapping[str, Any] | None, default: str) -> str:
    words = [str(condition[key]) for key in ("reason", "message") if condition.get(key)] if condition else []
    return ": ".join(words) or default


def _observed(live: KubernetesObject) -> bool:
    seen = (live.get("status") or {}).get("observedGeneration", 0)
    return bool(seen >= metadata(live).get("generation", 0))


def _owned(objects: Iterable[KubernetesObject], owner: KubernetesObject) -> list[KubernetesObject]:
    uid = metadata(owner).get("uid")
    return [obj for obj in objects if any(ref["uid"] == uid for ref in metadata(obj).get("ownerReferences", []))]


def _selected(live: KubernetesObject) -> Mapping[str, str]:
    return ((live.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}


def _deployment(seen: Sight) -> Readiness:
    live = seen.live
    status, spec = live.get("status") or {}, live["spec"]
    progressing = _condition(live, "Progressing")
    sets = _owned(seen.related("apps/v1", "ReplicaSet", _selected(live)), live)
    revision = annotation(live, _REVISION)
    current = next((item for item in sets if annotation(item, _REVISION) == revision), None) if revision else None
    if current is None or not _observed(live):
        return _waiting("Waiting for the Deployment's ReplicaSet", *_failing(progressing))
    wanted = current["spec"].get("replicas", 1)
    ready = (current.get("status") or {}).get("readyReplicas", 0)
    rolled_out = progressing is None or progressing.get("status") == "True"
    available = seen.before is not None or _is_true(live, "Available")
    if ready >= wanted and (wanted == 0 or (rolled_out and available)):
        return READY
    paused = ["The Deployment is paused"] if spec.get("paused") else []
    counted = f"Minimum number of live Pods was not attained: {ready} of {wanted} are ready"
    unavailable = status.get("unavailableReplicas", 0)
    left = [f"{unavailable} Pods are unavailable"] if unavailable else []
    pods = _owned(seen.related("v1", "Pod", _selected(live)), current)
    return _waiting(counted, *left, *paused, *_failing(progressing), *_pod_problems(pods))


def _failing(condition: Mapping[str, Any] | None) -> list[str]:
    return [_message(condition, "")] if condition and condition.get("status") == "False" else []


def _pod_problems(pods: Iterable[KubernetesObject]) -> list[str]:
    """Why pods do not run: what the scheduler and the kubelet last said of them."""
    problems = []
    for pod in pods:
        status = pod.get("status") or {}
        scheduled = _condition(pod, "PodScheduled")
        if scheduled and scheduled.get("status") == "False":
            problems.append(f"Pod {name_of(pod)}: {_message(scheduled, 'is not scheduled')}")
        for container in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
            state = container.get("state") or {}
            stuck = state.get("waiting") or state.get("terminated")
            if stuck and stuck.get("reason") not in (None, "ContainerCreating", "PodInitializing", "Completed"):
                problems.append(f"Pod {name_of(pod)}, container {container['name']}: {_message(stuck, '')}")
    return problems


def _stateful_set(seen: Sight) -> Readiness:
    live = seen.live
    status, wanted = live.get("status") or {}, live["spec"].get("replicas", 1)
    updated = status.get("updateRevision") == status.get("currentRevision")
    if _observed(live) and status.get("readyReplicas", 0) >= wanted and updated:
        return READY
    pods = _owned(seen.related("v1", "Pod", _selected(live)), live)
    return _waiting(f"{status.get('readyReplicas', 0)} of {wanted} Pods are ready", *_pod_problems(pods))


def _daemon_set(seen: Sight) -> Readiness:
    live = seen.live
    status = live.get("status") or {}
    wanted = status.get("desiredNumberScheduled", 0)
    updated, available = status.get("updatedNumberScheduled", 0), status.get("numberAvailable", 0)
    if _observed(live) and updated >= wanted and available >= wanted:
        return READY
    pods = _owned(seen.related("v1", "Pod", _selected(live)), live)
    return _waiting(f"{available} of {wanted} Pods are available", *_pod_problems(pods))


def _replication_controller(seen: Sight) -> Readiness:
    wanted, available = seen.live["spec"].get("replicas"), (seen.live.get("status") or {}).get("availableReplicas")
    return READY if wanted == (available or 0) else _waiting(f"{available or 0} of {wanted} Pods are available")


def _pod(seen: Sight) -> Readiness:
    phase = (seen.live.get("status") or {}).get("phase")
    if phase == "Succeeded" or _is_true(seen.live, "Ready"):
        return READY
    return Readiness(ready=False, failed=phase == "Failed", reasons=tuple(_pod_problems([seen.live])))


def _job(seen: Sight) -> Readiness:
    live = seen.live
    if _is_true(live, "Complete"):
        return READY
    failed = _condition(live, "Failed")
    pods = seen.related("v1", "Pod", _selected(live)) if _selected(live) else []
    problems = (*_pod_problems(pods),)
    if failed and failed.get("status") == "True":
        return Readiness(ready=False, failed=True, reasons=(_message(failed, "the Job failed"), *problems))
    return _waiting("The Job is not complete", *problems)


def _service(seen: Sight) -> Readiness:
    spec = seen.live["spec"]
    if spec.get("type") == "LoadBalancer" and not _at(seen.live, "status.loadBalancer.ingress"):
        return _waiting("Service was not allocated an IP address; does your cloud provider support this?")
    without_pods = spec.get("type") == "ExternalName" or spec.get("clusterIP") == "None" or not spec.get("selector")
    if without_pods:
        return READY
    slices = seen.related("discovery.k8s.io/v1", "EndpointSlice", {"kubernetes.io/service-name": name_of(seen.live)})
    endpoints = [endpoint for item in slices for endpoint in item.get("endpoints") or []]
    known = bool(slices) or seen.before is not None
    if known and all((endpoint.get("conditions") or {}).get("ready", True) for endpoint in endpoints):
        return READY
    return _waiting(
        "Service does not target any Pods. Selected Pods may not be ready, or "
        "field '.spec.selector' may not match labels on any Pods"
    )


def _ingress(seen: Sight) -> Readiness:
    if _at(seen.live, "status.loadBalancer.ingress"):
        return READY
    return _waiting(
        "Ingress .status.loadBalancer field was not updated with a hostname/IP address. "
        "Is an ingress controller running?"
    )


def _persistent_volume(seen: Sight) -> Readiness:
    phase = _at(seen.live, "status.phase")
    return READY if phase in ("Available", "Bound") else _waiting(f"The volume is {phase or 'new'}")


def _claim(seen: Sight) -> Readiness:
    phase = _at(seen.live, "status.phase")
    if phase == "Bound":
        return READY
    classes = seen.related("storage.k8s.io/v1", "StorageClass", {})
    own = next((item for item in classes if name_of(item) == seen.live["spec"].get("storageClassName")), {})
    late = own.get("volumeBindingMode") == "WaitForFirstConsumer"
    return READY if late and phase == "Pending" else _waiting(f"The claim is {phase or 'new'}, not Bound")


def _resource_quota(seen: Sight) -> Readiness:
    hard = _at(seen.live, "spec.hard")
    return READY if hard == _at(seen.live, "status.hard") else _waiting("The quota is not enforced yet")


def _secret(seen: Sight) -> Readiness:
    generated = seen.live.get("type") == "kubernetes.io/service-account-token"
    return _waiting("The token is not made yet") if generated and not seen.live.get("data") else READY


def _definition(seen: Sight) -> Readiness:
    # The real provider does not wait here but tries custom resources again; waiting spares them that.
    names = _condition(seen.live, "NamesAccepted")
    if _is_true(seen.live, "Established") and names and names.get("status") == "True":
        return READY
    return _waiting(*_failing(names), "The CustomResourceDefinition is not established")


Judge = Callable[[Sight], Readiness]

_JUDGES: dict[tuple[str, str], Judge] = {
    ("", "PersistentVolume"): _persistent_volume,
    ("", "PersistentVolumeClaim"): _claim,
    ("", "Pod"): _pod,
    ("", "ReplicationController"): _replication_controller,
    ("", "ResourceQuota"): _resource_quota,
    ("", "Secret"): _secret,
    ("", "Service"): _service,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _definition,
    ("apps", "DaemonSet"): _daemon_set,
    ("apps", "Deployment"): _deployment,
    ("apps", "StatefulSet"): _stateful_set,
    ("batch", "Job"): _job,
    ("networking.k8s.io", "Ingress"): _ingress,
}
