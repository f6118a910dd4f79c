"""Values of the Helm charts that a cluster is made with, as plain functions of its configuration."""

from __future__ import annotations

from typing import Any

from aphex.cluster_config import ClusterConfig
from aphex.names import ClusterNames

Values = dict[str, Any]

SSO_SECRET = "argo-login"
CLIENT_ID_KEY, CLIENT_SECRET_KEY = "client-id", "client-secret"
VIEWER, OPERATOR = "ui-viewer", "ui-operator"
UI_CLASS = "aphex-ui"
AUTOSCALER_ACCOUNT = "cluster-autoscaler"
BALANCER_ACCOUNT = "aws-load-balancer-controller"
AUTOSCALER_CHART, BALANCER_CHART = "9.59.0", "3.5.0"

# Annotations by which autoscalers leave a pod's node alone until the pod is done: nobody may move a deployment.
DO_NOT_DISRUPT = {
    "karpenter.sh/do-not-disrupt": "true",
    "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
}
_TLS_POLICY = "ELBSecurityPolicy-TLS13-1-2-2021-06"
_WORKFLOWS_USER, _EVENTS_USER = 8737, 9731  # those of Argo's own images
_SECCOMP = {"type": "RuntimeDefault"}
_POD: Values = {"runAsNonRoot": True, "seccompProfile": _SECCOMP}
_CONTAINER: Values = {
    "runAsNonRoot": True,
    "readOnlyRootFilesystem": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": _SECCOMP,
}


def token_secret(account: str) -> str:
    """The Secret with an account's token, by the name under which Argo's server looks for it."""
    return f"{account}.service-account-token"


def balancer_annotations(cidrs: list[str], health_path: str = "/") -> dict[str, str]:
    """Annotations of an Ingress on a load balancer: TLS alone, only from these addresses, to what answers at a path."""
    prefix = "alb.ingress.kubernetes.io"
    return {
        f"{prefix}/listen-ports": '[{"HTTPS": 443}]',
        f"{prefix}/target-type": "ip",
        f"{prefix}/healthcheck-path": health_path,
        f"{prefix}/ssl-policy": _TLS_POLICY,
        f"{prefix}/inbound-cidrs": ", ".join(cidrs),
    }


def workflows_values(config: ClusterConfig) -> Values:
    """Values of the argo-workflows chart."""
    argo = config.argo
    values: Values = {
        "images": {"tag": f"v{argo.workflows.version}", "pullPolicy": "IfNotPresent"},
        # Each pipeline brings the accounts and rights of its own runs.
        "workflow": {"serviceAccount": {"create": False}, "rbac": {"create": False}},
        "controller": _controller(config),
        "executor": {"securityContext": _CONTAINER, "resources": _resources("50m", "64Mi", "256Mi")},
        "mainContainer": {"securityContext": _CONTAINER, "resources": _resources("100m", "128Mi", "1Gi")},
        "server": _server(config),
        "useStaticCredentials": False,
    }
    if argo.artifact_repository is not None:
        values["artifactRepository"] = _artifact_repository(config)
    return values


def _controller(config: ClusterConfig) -> Values:
    argo = config.argo
    return {
        "parallelism": argo.parallelism,
        "namespaceParallelism": argo.namespace_parallelism,
        "workflowNamespaces": [],
        "extraEnv": [{"name": "DEFAULT_REQUEUE_TIME", "value": argo.requeue}],
        "workflowDefaults": workflow_defaults(config),
        "podSecurityContext": _POD,
        "securityContext": _CONTAINER,
        "resources": _resources("250m", "256Mi", "2Gi"),
    }


def workflow_defaults(config: ClusterConfig) -> Values:
    """What holds for every workflow that does not say otherwise: harmless, not moved, and not kept for ever."""
    argo = config.argo
    return {
        "spec": {
            "securityContext": {
                **_POD,
                "runAsUser": _WORKFLOWS_USER,
                "runAsGroup": _WORKFLOWS_USER,
                "fsGroup": _WORKFLOWS_USER,
            },
            "podMetadata": {"annotations": DO_NOT_DISRUPT},
            "ttlStrategy": {
                "secondsAfterSuccess": argo.keep_succeeded_seconds,
                "secondsAfterFailure": argo.keep_failed_seconds,
            },
            "podGC": {"strategy": "OnWorkflowCompletion", "deleteDelayDuration": f"{argo.keep_pods_seconds}s"},
        }
    }


def _server(config: ClusterConfig) -> Values:
    ui = config.ui
    values: Values = {
        # Without "server" among the modes nobody gets in without a login.
        "authModes": [ui.login.mode],
        # Behind a load balancer, too: what passes the network is encrypted to the end.
        "secure": True,
        "podSecurityContext": _POD,
        "securityContext": _CONTAINER,
        "resources": _resources("100m", "128Mi", "512Mi"),
    }
    if ui.reach != "port-forward":
        values["ingress"] = {
            "enabled": True,
            "ingressClassName": UI_CLASS,
            "hosts": [ui.host],
            "annotations": {
                **balancer_annotations(ui.cidrs or [config.network.cidr]),
                "alb.ingress.kubernetes.io/backend-protocol": "HTTPS",
            },
        }
    if ui.login.mode == "sso":
        values["sso"] = _sso(config)
    return values


def _sso(config: ClusterConfig) -> Values:
    login = config.ui.login
    return {
        "enabled": True,
        "issuer": login.issuer,
        "clientId": {"name": SSO_SECRET, "key": CLIENT_ID_KEY},
        "clientSecret": {"name": SSO_SECRET, "key": CLIENT_SECRET_KEY},
        "redirectUrl": f"{config.argo_url}/oauth2/callback",
        "scopes": login.scopes,
        "sessionExpiry": login.session,
        # Who logs in acts as one of two accounts, by their groups; the server reads no other secret.
        "rbac": {
            "enabled": True,
            "secretWhitelist": [SSO_SECRET, token_secret(VIEWER), token_secret(OPERATOR)],
        },
    }


def _artifact_repository(config: ClusterConfig) -> Values:
    repository = config.argo.artifact_repository
    assert repository is not None
    region = repository.region or config.region
    return {
        "archiveLogs": repository.archive_logs,
        "s3": {
            "bucket": repository.bucket,
            "region": region,
            "endpoint": f"s3.{region}.{'amazonaws.com.cn' if config.partition == 'aws-cn' else 'amazonaws.com'}",
            "insecure": False,
            "keyFormat": repository.key_format,
            "useSDKCreds": True,
        },
    }


def events_values(config: ClusterConfig) -> Values:
    """Values of the argo-events chart."""
    return {
        "global": {
            "image": {"tag": f"v{config.argo.events.version}", "imagePullPolicy": "IfNotPresent"},
            "securityContext": {**_POD, "runAsUser": _EVENTS_USER, "runAsGroup": _EVENTS_USER},
        },
        "controller": {
            "containerSecurityContext": _CONTAINER,
            "resources": _resources("100m", "128Mi", "512Mi"),
        },
    }


def autoscaler_values(config: ClusterConfig) -> Values:
    """Values of the cluster-autoscaler chart."""
    eks = ClusterNames(config.name).eks
    return {
        "awsRegion": config.region,
        "autoDiscovery": {"clusterName": eks},
        # The autoscaler's minor version has to be that of Kubernetes.
        "image": {"tag": f"v{config.kubernetes.version}.0"},
        "fullnameOverride": AUTOSCALER_ACCOUNT,
        "rbac": {"serviceAccount": {"name": AUTOSCALER_ACCOUNT}},
        "extraArgs": {"balance-similar-node-groups": True, "skip-nodes-with-system-pods": False},
        "securityContext": {**_POD, "runAsUser": 65534, "runAsGroup": 65534},
        "containerSecurityContext": _CONTAINER,
        "resources": _resources("100m", "256Mi", "512Mi"),
    }


def balancer_values(config: ClusterConfig, vpc_id: Any) -> Values:
    """Values of the aws-load-balancer-controller chart; `vpc_id` may be known only later."""
    return {
        "clusterName": ClusterNames(config.name).eks,
        "region": config.region,
        "vpcId": vpc_id,
        "serviceAccount": {"name": BALANCER_ACCOUNT},
        # The classes are ours.
        "createIngressClassResource": False,
        "ingressClassParams": {"create": False},
        "defaultTargetType": "ip",
        "enableShield": False,
        "enableWaf": False,
        "enableWafv2": False,
        # Otherwise each change of the release makes new certificates, and Ingresses are refused for a while.
        "keepTLSSecret": True,
        "podSecurityContext": {**_POD, "fsGroup": 65534},
        "securityContext": _CONTAINER,
        "resources": _resources("100m", "128Mi", "512Mi"),
    }


def _resources(cpu: str, memory: str, memory_limit: str) -> Values:
    return {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": memory_limit}}
