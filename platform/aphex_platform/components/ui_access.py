"""Who looks at Argo's UI acts as one of two service accounts: one that may look, and one that may also act on runs."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

from aphex.cluster_access import Login
from aphex_platform.charts import OPERATOR, VIEWER, token_secret
from aphex_platform.components.access import Rule

_LOOK = ("get", "list", "watch")
_WORKFLOWS = ("workflows", "workflowtemplates", "clusterworkflowtemplates", "cronworkflows", "workflowtaskresults")

VIEWER_RULES = (
    Rule("argoproj.io", (*_WORKFLOWS, "eventbus", "eventsources", "sensors"), _LOOK),
    Rule("", ("pods", "pods/log", "events"), _LOOK),
)
# A run is changed by its Workflow alone: nobody edits a template, an event source or a pod in the UI.
OPERATOR_RULES = (*VIEWER_RULES, Rule("argoproj.io", ("workflows",), ("create", "delete", "patch", "update")))
_RULES = {VIEWER: VIEWER_RULES, OPERATOR: OPERATOR_RULES}


@dataclass(frozen=True, kw_only=True)
class UiAccessArgs:
    """What the access needs to know.

    Attributes:
        namespace: that of Argo's server.
        login: how people log in, and which groups may do what.
    """

    namespace: pulumi.Input[str]
    login: Login


class UiAccess(pulumi.ComponentResource):
    """The accounts with their rights and, for a login by OpenID Connect, whom of the people each stands for."""

    def __init__(self, name: str, args: UiAccessArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("aphex:cluster:UiAccess", name, None, opts)
        rules = login_rules(args.login)
        for account in (VIEWER, OPERATOR):
            self._account(name, account, args, rules.get(account))
        self.register_outputs({})

    def _account(self, name: str, account: str, args: UiAccessArgs, annotations: dict[str, str] | None) -> None:
        made = kubernetes.core.v1.ServiceAccount(
            f"{name}-{account}",
            metadata=kubernetes.meta.v1.ObjectMetaArgs(name=account, namespace=args.namespace, annotations=annotations),
            automount_service_account_token=False,
            opts=pulumi.ResourceOptions(parent=self),
        )
        if args.login.mode == "sso":
            # The server reads it to act as the account; without SSO tokens are made on demand and do not last.
            kubernetes.core.v1.Secret(
                f"{name}-{account}-token",
                metadata=kubernetes.meta.v1.ObjectMetaArgs(
                    name=token_secret(account),
                    namespace=args.namespace,
                    annotations={"kubernetes.io/service-account.name": account},
                ),
                type="kubernetes.io/service-account-token",
                opts=pulumi.ResourceOptions(parent=self, depends_on=[made]),
            )
        self._grant(name, account, args.namespace)

    def _grant(self, name: str, account: str, namespace: pulumi.Input[str]) -> None:
        cluster_role = f"aphex-{account}"
        metadata = kubernetes.meta.v1.ObjectMetaArgs(name=cluster_role)
        role = kubernetes.rbac.v1.ClusterRole(
            f"{name}-{account}",
            metadata=metadata,
            rules=[
                kubernetes.rbac.v1.PolicyRuleArgs(
                    api_groups=[rule.group], resources=list(rule.resources), verbs=list(rule.verbs)
                )
                for rule in _RULES[account]
            ],
            opts=pulumi.ResourceOptions(parent=self),
        )
        kubernetes.rbac.v1.ClusterRoleBinding(
            f"{name}-{account}",
            metadata=metadata,
            role_ref=kubernetes.rbac.v1.RoleRefArgs(
                api_group="rbac.authorization.k8s.io", kind="ClusterRole", name=cluster_role
            ),
            subjects=[kubernetes.rbac.v1.SubjectArgs(kind="ServiceAccount", name=account, namespace=namespace)],
            opts=pulumi.ResourceOptions(parent=self, depends_on=[role]),
        )


def login_rules(login: Login) -> dict[str, dict[str, str]]:
    """Annotations by which Argo's server chooses an account for who logged in; the higher precedence is tried first.

    The form is that of the Argo Server's documentation, "SSO RBAC".
    """
    if login.mode != "sso":
        return {}
    looks = _in_groups(login.viewer_groups) if login.viewer_groups else "true"
    rules = {VIEWER: _annotations(looks, 1)}
    if login.operator_groups:
        rules[OPERATOR] = _annotations(_in_groups(login.operator_groups), 2)
    return rules


def _annotations(rule: str, precedence: int) -> dict[str, str]:
    return {
        "workflows.argoproj.io/rbac-rule": rule,
        "workflows.argoproj.io/rbac-rule-precedence": str(precedence),
    }


def _in_groups(groups: list[str]) -> str:
    # JSON's strings are those of the expression language, too: no name of a group ends its quotes.
    return " || ".join(f"{json.dumps(group)} in groups" for group in groups)
