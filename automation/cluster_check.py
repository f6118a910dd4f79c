"""Whether an existing cluster has what a pipeline needs: all that is missing, with its cause and its remedy. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from automation.cluster_upgrade import numbers

if TYPE_CHECKING:
    from aphex_platform.settings import PlatformSettings

_MANAGE = ("create", "delete", "get", "list", "patch", "update", "watch")
_VERSION = "v1alpha1"
KINDS = ("workflows", "workflowtemplates", "eventbus", "eventsources", "sensors")
_ARGO = "argoproj.io"
_INSTALL = "`python -m automation install-argo` installs it; docs/other-clusters.md says more."
# Name of the controller, what it belongs to, and the oldest version whose objects the templates are made of.
CONTROLLERS = {
    "workflow-controller": ("Argo Workflows", (3, 7)),
    "controller-manager": ("Argo Events", (1, 9)),
}
# What the pipeline's program makes in its namespace, by API group.
_MADE: Mapping[str, tuple[str, ...]] = {
    "": ("configmaps", "secrets", "serviceaccounts"),
    "rbac.authorization.k8s.io": ("roles", "rolebindings"),
    _ARGO: ("eventbus", "eventsources", "sensors", "workflowtemplates"),
    "networking.k8s.io": ("networkpolicies", "ingresses"),
    "policy": ("poddisruptionbudgets",),
}


@dataclass(frozen=True, kw_only=True)
class Ask:
    """Something that the caller has to be allowed.

    Attributes:
        verb: such as create.
        resource: its plural.
        group: its API group; empty for the core.
        namespace: where; None for what is in no namespace.
        name: of one object; None for any.
    """

    verb: str
    resource: str
    group: str = ""
    namespace: str | None = None
    name: str | None = None

    @property
    def kind(self) -> str:
        """The resource with its group, as `kubectl auth can-i` takes it."""
        return f"{self.resource}.{self.group}" if self.group else self.resource


@dataclass(frozen=True, kw_only=True)
class Controller:
    """A Deployment that may be one of Argo's controllers."""

    name: str
    namespace: str
    images: tuple[str, ...]
    ready: bool


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a cluster; None is what the caller may not see.

    Attributes:
        kinds: names of the custom resource kinds, with their served versions.
        controllers: every Deployment.
        ingress_classes: names of the IngressClasses.
        storage_classes: names of the StorageClasses.
        default_storage: whether one of them is the default.
        pod_identity_agent: whether nodes run the EKS Pod Identity Agent.
        refused: what the caller has to be allowed and is not.
        issuer_known: whether IAM knows the cluster's issuer of tokens; None where that does not matter.
    """

    kinds: Mapping[str, frozenset[str]] | None
    controllers: tuple[Controller, ...] | None
    ingress_classes: frozenset[str] | None
    storage_classes: frozenset[str] | None
    default_storage: bool | None
    pod_identity_agent: bool | None
    refused: tuple[Ask, ...] = ()
    issuer_known: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a pipeline asks of its cluster besides Argo.

    Attributes:
        storage: whether the EventBus keeps events on volumes.
        storage_class: of these; None for the cluster's default.
        ingress_class: of the webhook's Ingress; None when there is none, or it has the cluster's default.
        pod_identity: whether pods get their roles by EKS Pod Identity.
        issuer: of the cluster's tokens, where IAM has to know it.
    """

    storage: bool = False
    storage_class: str | None = None
    ingress_class: str | None = None
    pod_identity: bool = False
    issuer: str | None = None


@dataclass(frozen=True, kw_only=True)
class Lack:
    """Something that is missing.

    Attributes:
        what: that it is missing, and why it is needed.
        fix: what to do.
    """

    what: str
    fix: str

    def __str__(self) -> str:
        return f"{self.what}\n    {self.fix}"


def asks_of(namespace: str) -> list[Ask]:
    """Everything that deploying, changing and removing a pipeline asks of the caller's rights."""
    asks = [Ask(verb=verb, resource="namespaces", name=namespace) for verb in ("create", "delete", "get", "patch")]
    for group, resources in _MADE.items():
        asks += [
            Ask(verb=verb, resource=resource, group=group, namespace=namespace)
            for resource in resources
            for verb in _MANAGE
        ]
    asks += [
        Ask(verb=verb, resource="workflows", group=_ARGO, namespace=namespace) for verb in ("create", "get", "list")
    ]
    # Kubernetes lets nobody grant a right that they do not have.
    return [*asks, Ask(verb="patch", resource="workflowtaskresults", group=_ARGO, namespace=namespace)]


def needs_of(settings: PlatformSettings) -> Needs:
    """What the settings ask of the cluster."""
    bus, aws = settings.event_bus, settings.aws
    by_tokens = aws.kind == "account" and aws.identity == "irsa"
    return Needs(
        storage=bus.kind == "native" and bus.persistent,
        storage_class=bus.storage_class,
        ingress_class=settings.webhook.ingress_class,
        pod_identity=aws.identity == "pod-identity",
        issuer=aws.oidc_issuer if by_tokens else None,
    )


def lacks(facts: Facts, needs: Needs) -> list[Lack]:
    """Everything that is missing, in the order in which one would mend it."""
    return [
        *_argo(facts),
        *_permissions(facts.refused),
        *_storage(facts, needs),
        *_ingress(facts, needs),
        *_identity(facts, needs),
    ]


def _argo(facts: Facts) -> list[Lack]:
    found = []
    for plural in KINDS:
        name = f"{plural}.{_ARGO}"
        if facts.kinds is not None and _VERSION not in facts.kinds.get(name, frozenset()):
            what = f"The cluster has no resource kind {name} in version {_VERSION}."
            found.append(Lack(what=what, fix=f"It comes with {_product(plural)}. {_INSTALL}"))
    for name, (product, oldest) in CONTROLLERS.items():
        if facts.controllers is not None:
            found += _controller(name, product, oldest, facts.controllers)
    return found


def _product(plural: str) -> str:
    return "Argo Workflows" if plural.startswith("workflow") else "Argo Events"


def _controller(name: str, product: str, oldest: tuple[int, int], deployments: Sequence[Controller]) -> list[Lack]:
    named = controllers_named(name, deployments)
    running = [each for each in named if each.ready]
    least = ".".join(str(part) for part in oldest)
    if not running:
        where = f"; it is in {named[0].namespace}, but not ready" if named else ""
        fix = f"kubectl -n {named[0].namespace} describe deployment {named[0].name}" if named else _INSTALL
        return [Lack(what=f"No {name} of {product} {least} or newer runs{where}.", fix=fix)]
    versions = [version for each in running if (version := image_version(each.images)) is not None]
    if versions and max(versions)[:2] < oldest:
        is_now = ".".join(str(part) for part in max(versions))
        what = f"{product} is {is_now}, which is too old for the pipeline's templates."
        return [Lack(what=what, fix=f"Upgrade it to {least} or newer.")]
    return []


def controllers_named(name: str, deployments: Sequence[Controller]) -> list[Controller]:
    """The Deployments of one of Argo's controllers; Helm puts the release's name before its own."""
    named = [each for each in deployments if each.name == name or each.name.endswith(f"-{name}")]
    if name != "controller-manager":
        return named
    # Half of all operators call theirs so.
    return [each for each in named if any("argo-events" in said for said in (each.name, each.namespace, *each.images))]


def image_version(images: Sequence[str]) -> tuple[int, ...] | None:
    """The version that an image's tag gives; None for one by digest alone or with another kind of tag."""
    for image in images:
        tag = re.search(r":v?(\d+\.\d+(\.\d+)?)([-+][\w.]+)?(@|$)", image)
        if tag:
            return numbers(tag.group(1))
    return None


def _permissions(refused: Sequence[Ask]) -> list[Lack]:
    """One finding a kind of resource, with all verbs that are missing."""
    by_kind: dict[tuple[str, str | None], list[str]] = {}
    for ask in refused:
        by_kind.setdefault((ask.kind, ask.namespace), []).append(ask.verb)
    found = []
    for (kind, namespace), verbs in by_kind.items():
        where = f" -n {namespace}" if namespace else ""
        what = f"You may not {', '.join(verbs)} {kind}{f' in {namespace}' if namespace else ''}."
        fix = f"Ask for it; `kubectl auth can-i {verbs[0]} {kind}{where}` shows whether you have it."
        found.append(Lack(what=what, fix=fix))
    return found


def _storage(facts: Facts, needs: Needs) -> list[Lack]:
    if not needs.storage:
        return []
    if needs.storage_class is not None:
        if facts.storage_classes is None or needs.storage_class in facts.storage_classes:
            return []
        known = ", ".join(sorted(facts.storage_classes)) or "none"
        what = f"There is no StorageClass {needs.storage_class} for the EventBus; the cluster has {known}."
        return [Lack(what=what, fix="Make it, or choose another.")]
    if facts.default_storage is False:
        known = ", ".join(sorted(facts.storage_classes or ())) or "none"
        what = f"No StorageClass is the default, so the EventBus gets no volumes; the cluster has {known}."
        fix = (
            "Make one the default: kubectl annotate storageclass NAME storageclass.kubernetes.io/is-default-class=true"
        )
        return [Lack(what=what, fix=fix)]
    return []


def _ingress(facts: Facts, needs: Needs) -> list[Lack]:
    classes = facts.ingress_classes
    if needs.ingress_class is None or classes is None or needs.ingress_class in classes:
        return []
    known = ", ".join(sorted(classes)) or "none"
    what = f"There is no IngressClass {needs.ingress_class} for the webhook; the cluster has {known}."
    return [Lack(what=what, fix="Install its controller, or choose another.")]


def _identity(facts: Facts, needs: Needs) -> list[Lack]:
    if needs.pod_identity:
        if facts.pod_identity_agent is False:
            what = "The cluster has no EKS Pod Identity Agent, by which pods get their AWS roles."
            fix = "Add it: aws eks create-addon --cluster-name CLUSTER --addon-name eks-pod-identity-agent"
            return [Lack(what=what, fix=fix)]
        return []
    if needs.issuer is not None and facts.issuer_known is False:
        what = (
            f"IAM does not know the cluster's tokens, so pods cannot get AWS roles: it has no provider {needs.issuer}."
        )
        fix = (
            "Make the provider: aws iam create-open-id-connect-provider --client-id-list sts.amazonaws.com "
            f"--url {needs.issuer}"
        )
        return [Lack(what=what, fix=fix)]
    return []
