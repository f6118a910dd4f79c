"""What an existing cluster is like, as far as a pipeline cares: read through its API, and changed in nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from automation.cluster_check import Ask, Controller, Facts

if TYPE_CHECKING:
    import lightkube

    from automation.access import KubernetesAccess

_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
_POD_IDENTITY_AGENT = "eks-pod-identity-agent"
# Of EKS Auto Mode, whose nodes have the agent without a DaemonSet.
_AUTO_NODES = "nodeclasses.eks.amazonaws.com"
_REVIEWS_AT_ONCE = 8


def read_facts(kubernetes: KubernetesAccess, asks: Sequence[Ask]) -> Facts:
    """Everything at once, so that everything that is missing can be told at once.

    Args:
        kubernetes: the cluster.
        asks: what the caller has to be allowed.

    Raises:
        ClusterNotReady: the cluster does not answer.
    """
    from lightkube.resources.apiextensions_v1 import CustomResourceDefinition
    from lightkube.resources.apps_v1 import DaemonSet, Deployment
    from lightkube.resources.networking_v1 import IngressClass
    from lightkube.resources.storage_v1 import StorageClass

    from automation.context_target import reachable

    with reachable(kubernetes) as api:
        kinds, deployments, daemons, ingress, storage = (
            _listed(api, kind, **more)
            for kind, more in (
                (CustomResourceDefinition, {}),
                (Deployment, {"namespace": "*"}),
                (DaemonSet, {"namespace": "kube-system"}),
                (IngressClass, {}),
                (StorageClass, {}),
            )
        )
        return Facts(
            kinds=None if kinds is None else {_name(each): served_versions(each) for each in kinds},
            controllers=None if deployments is None else tuple(_controllers(deployments)),
            ingress_classes=None if ingress is None else frozenset(_name(each) for each in ingress),
            storage_classes=None if storage is None else frozenset(_name(each) for each in storage),
            default_storage=None if storage is None else any(_is_default(each) for each in storage),
            pod_identity_agent=has_agent(kinds, daemons),
            refused=tuple(_refused(api, asks)),
        )


def _listed(api: lightkube.Client, kind: Any, **more: Any) -> list[Any] | None:
    """All objects of a kind; None when the caller may not list them, which is no fault of the cluster."""
    from lightkube.core.exceptions import ApiError

    try:
        return list(api.list(kind, **more))
    except ApiError as error:
        if error.status.code not in (403, 404):
            raise
        return None


def has_agent(kinds: Iterable[Any] | None, daemons: Iterable[Any] | None) -> bool | None:
    """Whether nodes run the EKS Pod Identity Agent; None when that cannot be seen.

    https://docs.aws.amazon.com/eks/latest/userguide/pod-id-agent-setup.html
    """
    if any(_name(each) == _AUTO_NODES for each in kinds or ()):
        return True
    return None if daemons is None else any(_POD_IDENTITY_AGENT in _name(each) for each in daemons)


def _name(resource: Any) -> str:
    return str(resource.metadata.name)


def served_versions(definition: Any) -> frozenset[str]:
    """The versions of a kind that the API serves."""
    return frozenset(str(each.name) for each in definition.spec.versions if each.served)


def _is_default(storage_class: Any) -> bool:
    return (storage_class.metadata.annotations or {}).get(_DEFAULT_CLASS) == "true"


def _controllers(deployments: Iterable[Any]) -> Iterable[Controller]:
    from automation.webhook import is_ready

    for each in deployments:
        containers = each.spec.template.spec.containers
        yield Controller(
            name=_name(each),
            namespace=str(each.metadata.namespace),
            images=tuple(str(container.image) for container in containers),
            ready=is_ready(each),
        )


def _refused(api: lightkube.Client, asks: Sequence[Ask]) -> list[Ask]:
    """Those that the caller may not do, by the API server's own judgement."""
    with ThreadPoolExecutor(_REVIEWS_AT_ONCE) as pool:
        allowed = list(pool.map(lambda ask: _may(api, ask), asks))
    return [ask for ask, may in zip(asks, allowed, strict=True) if not may]


def _may(api: lightkube.Client, ask: Ask) -> bool:
    from lightkube.models.authorization_v1 import ResourceAttributes, SelfSubjectAccessReviewSpec
    from lightkube.resources.authorization_v1 import SelfSubjectAccessReview

    attributes = ResourceAttributes(
        group=ask.group, resource=ask.resource, verb=ask.verb, namespace=ask.namespace, name=ask.name
    )
    review = SelfSubjectAccessReview(spec=SelfSubjectAccessReviewSpec(resourceAttributes=attributes))
    answer = api.create(review)
    return bool(answer.status and answer.status.allowed)
