"""What a pipeline's service accounts may do in Kubernetes: nothing outside their namespace, and little inside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

from aphex_platform.identities import EVENT_SOURCE, EXECUTOR, EXECUTOR_TOKEN, SENSOR, Identity


@dataclass(frozen=True)
class Rule:
    """One rule of a Role: these verbs on these resources of one API group."""

    group: str
    resources: tuple[str, ...]
    verbs: tuple[str, ...]


_MANAGE = ("create", "delete", "get", "list", "patch", "update", "watch")

EXECUTOR_RULES = (Rule("argoproj.io", ("workflowtaskresults",), ("create", "patch")),)
# It looks for a run of the event's name before it makes one, see `manifests.sensors`.
SENSOR_RULES = (Rule("argoproj.io", ("workflows",), ("create", "get", "patch")),)

# It holds what the other Roles give, because Kubernetes lets nobody grant what they do not have; that way it can
# restore every Role of the pipeline and needs neither `escalate` nor `bind`.
SELF_UPDATE_RULES = (
    # Requests for a namespace itself are judged in that namespace, so this is the pipeline's own and no other.
    Rule("", ("namespaces",), ("get", "patch")),
    Rule("", ("configmaps", "secrets", "serviceaccounts"), _MANAGE),
    Rule("rbac.authorization.k8s.io", ("roles", "rolebindings"), _MANAGE),
    Rule("argoproj.io", ("eventbus", "eventsources", "sensors", "workflowtemplates"), _MANAGE),
    Rule("networking.k8s.io", ("ingresses", "networkpolicies"), _MANAGE),
    Rule("policy", ("poddisruptionbudgets",), _MANAGE),
    # Whether the holder of a lock still runs, and whether a run waits that will have the new shape.
    Rule("", ("pods",), ("get", "list")),
    Rule("argoproj.io", ("workflows",), ("get", "list")),
    *EXECUTOR_RULES,
    *SENSOR_RULES,
)


@dataclass(frozen=True, kw_only=True)
class NamespaceAccessArgs:
    """What the access needs to know: the pipeline's namespace."""

    namespace: pulumi.Input[str]


class NamespaceAccess(pulumi.ComponentResource):
    """The Roles of the namespace, their bindings, and the service accounts of Argo's own helpers."""

    def __init__(self, name: str, args: NamespaceAccessArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("aphex:identity:NamespaceAccess", name, None, opts)
        self._namespace = args.namespace
        accounts = [self._account(name, account) for account in (EXECUTOR, SENSOR, EVENT_SOURCE)]
        self._executor_token(name, accounts[0])
        self._grant(name, EXECUTOR, EXECUTOR_RULES)
        self._grant(name, SENSOR, SENSOR_RULES)
        self._grant(name, Identity.SELF_UPDATE.value, SELF_UPDATE_RULES)
        self.register_outputs({})

    def _metadata(self, name: str, annotations: dict[str, str] | None = None) -> kubernetes.meta.v1.ObjectMetaArgs:
        return kubernetes.meta.v1.ObjectMetaArgs(name=name, namespace=self._namespace, annotations=annotations)

    def _account(self, name: str, account: str) -> kubernetes.core.v1.ServiceAccount:
        return kubernetes.core.v1.ServiceAccount(
            f"{name}-{account}", metadata=self._metadata(account), opts=pulumi.ResourceOptions(parent=self)
        )

    def _executor_token(self, name: str, account: kubernetes.core.v1.ServiceAccount) -> None:
        """The token that Argo mounts into its own container alone, so that a stage's commands have none."""
        kubernetes.core.v1.Secret(
            f"{name}-{EXECUTOR}-token",
            metadata=self._metadata(EXECUTOR_TOKEN, {"kubernetes.io/service-account.name": EXECUTOR}),
            type="kubernetes.io/service-account-token",
            opts=pulumi.ResourceOptions(parent=self, depends_on=[account]),
        )

    def _grant(self, name: str, account: str, rules: Sequence[Rule]) -> None:
        child = pulumi.ResourceOptions(parent=self)
        role = kubernetes.rbac.v1.Role(
            f"{name}-{account}",
            metadata=self._metadata(account),
            rules=[
                kubernetes.rbac.v1.PolicyRuleArgs(
                    api_groups=[rule.group], resources=list(rule.resources), verbs=list(rule.verbs)
                )
                for rule in rules
            ],
            opts=child,
        )
        kubernetes.rbac.v1.RoleBinding(
            f"{name}-{account}",
            metadata=self._metadata(account),
            role_ref=kubernetes.rbac.v1.RoleRefArgs(api_group="rbac.authorization.k8s.io", kind="Role", name=account),
            subjects=[kubernetes.rbac.v1.SubjectArgs(kind="ServiceAccount", name=account, namespace=self._namespace)],
            opts=pulumi.ResourceOptions(parent=self, depends_on=[role]),
        )
