"""Access to a cluster on EKS: kubeconfigs that hold no credential, and the tokens that they ask for."""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aphex.errors import AphexError

if TYPE_CHECKING:
    from automation.access import AwsAccess

_API = "client.authentication.k8s.io/v1beta1"
# What https://github.com/kubernetes-sigs/aws-iam-authenticator reads: the address of a signed request, for one minute;
# the token counts for fifteen.
_PREFIX = "k8s-aws-v1."
_CLUSTER_HEADER = "x-k8s-aws-id"
_SIGNED_SECONDS = 60
_VALID = timedelta(minutes=14)


def exec_credential(aws: AwsAccess, cluster: str, now: datetime | None = None) -> dict[str, Any]:
    """What kubectl and its kin expect of the program that a kubeconfig names: a token for one EKS cluster.

    Args:
        aws: with the credentials that the token stands for.
        cluster: EKS's name of it.
        now: the time; by default that of this machine.

    Raises:
        AphexError: there are no credentials, or they cannot be renewed.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    sts = aws.client("sts")
    events = sts.meta.events
    events.register("before-sign.sts.GetCallerIdentity", _add_cluster)
    events.register("provide-client-params.sts.GetCallerIdentity", _keep_cluster)
    try:
        url = sts.generate_presigned_url(
            "get_caller_identity", Params={"Cluster": cluster}, ExpiresIn=_SIGNED_SECONDS, HttpMethod="GET"
        )
    except (BotoCoreError, ClientError) as error:
        raise AphexError(
            f"There is no token for the cluster {cluster}: {error}", hint="Set credentials or AWS_PROFILE."
        ) from error
    token = _PREFIX + base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")
    ends = ((now or datetime.now(UTC)) + _VALID).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "kind": "ExecCredential",
        "apiVersion": _API,
        "spec": {},
        "status": {"token": token, "expirationTimestamp": ends},
    }


def _keep_cluster(params: dict[str, Any], context: dict[str, Any], **_more: Any) -> dict[str, Any]:
    """Take the cluster out of the request's own parameters: STS knows none of that name."""
    context["eks_cluster"] = params.pop("Cluster")
    return params


def _add_cluster(request: Any, **_more: Any) -> None:
    request.headers[_CLUSTER_HEADER] = request.context["eks_cluster"]


def kubeconfig(given: Mapping[str, Any], cluster: str, region: str, context: str) -> dict[str, Any]:
    """A kubeconfig of one context, whose token comes from this program, so that it needs no AWS CLI.

    Args:
        given: the kubeconfig among the outputs of the cluster's stack.
        cluster: EKS's name of it.
        region: where it is.
        context: what to call context, cluster and user.

    Raises:
        AphexError: `given` is no kubeconfig.
    """
    try:
        place = given["clusters"][0]["cluster"]
    except (KeyError, IndexError, TypeError) as error:
        raise AphexError("The kubeconfig among the cluster's outputs names no cluster.") from error
    arguments = ["-m", "automation", "cluster", "token", "--eks", cluster, "--region", region]
    profile = os.environ.get("AWS_PROFILE")
    call = {
        "apiVersion": _API,
        "command": sys.executable,
        "args": arguments,
        "env": [{"name": "AWS_PROFILE", "value": profile}] if profile else None,
        "interactiveMode": "Never",
    }
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": context, "cluster": dict(place)}],
        "users": [{"name": context, "user": {"exec": {key: value for key, value in call.items() if value}}}],
        "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
        "current-context": context,
    }


def merged(existing: Mapping[str, Any], added: Mapping[str, Any], *, switch: bool) -> dict[str, Any]:
    """A kubeconfig with another's clusters, users and contexts; entries of the same name are replaced.

    Args:
        existing: the user's kubeconfig; may be empty.
        added: what is added.
        switch: whether its current context becomes that of the result.
    """
    result: dict[str, Any] = {"apiVersion": "v1", "kind": "Config", **existing}
    for section in ("clusters", "users", "contexts"):
        new = list(added.get(section) or [])
        names = {each["name"] for each in new}
        result[section] = [each for each in result.get(section) or [] if each.get("name") not in names] + new
    if switch or not result.get("current-context"):
        result["current-context"] = added["current-context"]
    return result


def write_kubeconfig(path: Path, added: Mapping[str, Any], *, switch: bool) -> str:
    """Add a context to a kubeconfig file, which is made when it is not there, readable by its owner alone.

    Returns:
        The context that is now the current one.

    Raises:
        AphexError: the file is no kubeconfig, or cannot be written.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    yaml = YAML(typ="safe")
    yaml.default_flow_style = False
    try:
        existing = yaml.load(path.read_text(encoding="utf-8")) if path.exists() else {}
        if not isinstance(existing or {}, dict):
            raise AphexError(f"{path} is no kubeconfig.", hint="Set KUBECONFIG to another file.")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        fresh.touch(mode=0o600)
        with fresh.open("w", encoding="utf-8") as file:
            document = merged(existing or {}, added, switch=switch)
            yaml.dump(document, file)
        fresh.replace(path)
        return str(document["current-context"])
    except YAMLError as error:
        raise AphexError(f"{path} is no kubeconfig: {error}", hint="Set KUBECONFIG to another file.") from error
    except OSError as error:
        raise AphexError(f"The kubeconfig {path} cannot be written: {error.strerror}.") from error


def own_kubeconfig(cluster: str, region: str, added: Mapping[str, Any]) -> Path:
    """Keep a kubeconfig for this program alone, beside its other state; its path."""
    from sandbox.state import sandboxes_directory

    path = sandboxes_directory().with_name("clusters") / f"{region}.{cluster}.kubeconfig"
    path.unlink(missing_ok=True)
    write_kubeconfig(path, added, switch=True)
    return path
