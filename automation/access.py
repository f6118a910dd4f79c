"""How this process reaches the target's AWS and Kubernetes: the one place where their clients are made."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aphex.errors import AphexError

if TYPE_CHECKING:
    import lightkube

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, kw_only=True)
class AwsAccess:
    """AWS as this process reaches it.

    Attributes:
        region: of the pipeline's own resources.
        endpoint: of every service, when AWS is the stand-in.
        s3_endpoint: of S3 alone, when it differs.
        static_keys: access key and secret key, for the stand-in alone; otherwise the usual chain of credentials.
    """

    region: str
    endpoint: str | None = None
    s3_endpoint: str | None = None
    static_keys: tuple[str, str] | None = None

    def environment(self) -> dict[str, str]:
        """Environment for a program that finds AWS by the usual variables."""
        env = {"AWS_REGION": self.region, "AWS_DEFAULT_REGION": self.region}
        if self.endpoint:
            env["AWS_ENDPOINT_URL"] = self.endpoint
        if self.s3_endpoint or self.endpoint:
            env["AWS_ENDPOINT_URL_S3"] = self.s3_endpoint or self.endpoint or ""
        if self.static_keys:
            key, secret = self.static_keys
            env |= {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret}
            # A profile or session of the caller's must not be mixed with the stand-in's keys.
            env |= {"AWS_SESSION_TOKEN": "", "AWS_PROFILE": ""}
        return env

    def client(self, service: str) -> Any:
        """A boto3 client of a service."""
        import boto3
        from botocore.config import Config

        endpoint = (self.s3_endpoint or self.endpoint) if service == "s3" else self.endpoint
        options: dict[str, Any] = {"region_name": self.region}
        if endpoint:
            options["endpoint_url"] = endpoint
            options["config"] = Config(s3={"addressing_style": "path"}, connect_timeout=5)
        if self.static_keys:
            key, secret = self.static_keys
            options |= {"aws_access_key_id": key, "aws_secret_access_key": secret}
        make: Any = boto3.client  # its stubs know services by literal names alone
        return make(service, **options)


@dataclass(frozen=True, kw_only=True)
class KubernetesAccess:
    """The cluster as this process reaches it: by a kubeconfig's context, or as a pod by its service account."""

    kubeconfig: Path | None = None
    context: str | None = None

    @property
    def in_cluster(self) -> bool:
        """Whether this process is a pod of the cluster."""
        return self.kubeconfig is None

    def client(self, namespace: str | None = None) -> lightkube.Client:
        """A client whose calls without a namespace go to `namespace`; to be closed.

        Raises:
            AphexError: the kubeconfig or its context is missing.
        """
        import lightkube
        from lightkube.config import kubeconfig
        from lightkube.config.kubeconfig import KubeConfig
        from lightkube.core.exceptions import ConfigError

        library: Any = kubeconfig  # its import of the YAML library is not meant for others
        try:
            config = (
                KubeConfig.from_service_account() if self.kubeconfig is None else KubeConfig.from_file(self.kubeconfig)
            )
            single = config.get(context_name=self.context) if self.context else config.get()
        except ConfigError as error:
            hint = "`kubectl config get-contexts` lists the contexts that there are."
            raise AphexError(f"{self.kubeconfig or 'The service account'}: {error}", hint=hint) from error
        except (library.yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError) as error:
            what = f"{type(error).__name__}: {error}"
            raise AphexError(f"{self.kubeconfig} is no kubeconfig: {what}", hint="Set KUBECONFIG to yours.") from error
        if single is None:
            raise AphexError(
                f'{self.kubeconfig} has no context "{self.context}".',
                hint="`kubectl config get-contexts` lists those it has.",
            )
        return lightkube.Client(config=single, namespace=namespace, trust_env=False)


def kubernetes_errors() -> tuple[type[Exception], ...]:
    """What lightkube raises when an API server refuses or cannot be reached, or there is no token for it.

    The errors of its HTTP library are no OSErrors.
    """
    from lightkube.core import generic_client
    from lightkube.core.exceptions import ApiError, ConfigError, LoadResourceError

    library: Any = generic_client  # its import of the HTTP library is not meant for others
    return (ApiError, ConfigError, LoadResourceError, OSError, library.httpx.HTTPError)


def default_kubeconfig(env: Mapping[str, str] | None = None) -> Path:
    """Where kubectl would look: the first file of `KUBECONFIG`, else `~/.kube/config`."""
    paths = [part for part in (env or os.environ).get("KUBECONFIG", "").split(os.pathsep) if part]
    return Path(paths[0]) if paths else Path.home() / ".kube" / "config"
