"""Which AWS the provider speaks to, and as whom: from its own configuration, the target's, or the environment."""

from __future__ import annotations

import functools
import json
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.credentials import AssumeRoleCredentialFetcher, CredentialProvider, DeferredRefreshableCredentials
from botocore.exceptions import BotoCoreError, ClientError

from sandbox.providers.base import Properties, ProviderError, has_unknown

_ATTEMPTS = 5
_CONNECT_SECONDS = 10
_READ_SECONDS = 60


@dataclass(frozen=True)
class AwsEndpoint:
    """Where AWS stands in, for a program that does not configure it itself.

    What is None comes from where boto3 looks: `AWS_ENDPOINT_URL`, `AWS_REGION`, a profile, keys, a web identity.

    Attributes:
        url: the endpoint of every service.
        region: the default region.
        s3_url: the endpoint of S3 where it differs.
        static_keys: access key id and secret access key.
    """

    url: str | None = None
    region: str | None = None
    s3_url: str | None = None
    static_keys: tuple[str, str] | None = field(default=None, repr=False)


class Aws:
    """The clients of one configured provider. Safe to use from several threads."""

    def __init__(self, endpoint: AwsEndpoint, config: Mapping[str, Any] | None = None) -> None:
        self._config = _parsed(config or {})
        self._endpoint = endpoint
        self._lock = threading.Lock()
        self._clients: dict[tuple[str, str], Any] = {}
        self._core = botocore.session.Session()
        # The stubs type clients by literal service names; here the name is a variable.
        self._session: Any = _session(self._core, self._config, endpoint)
        self.region: str = self._session.region_name or ""
        self.default_tags: dict[str, str] = dict((self._config.get("defaultTags") or {}).get("tags") or {})

    def client(self, service: str, region: str | None = None) -> Any:
        """A boto3 client of a service, in the provider's region when none is given."""
        key = (service, region or self.region)
        # boto3's sessions make clients in one thread at a time; the clients themselves may be shared.
        with self._lock:
            if key not in self._clients:
                self._clients[key] = self._new_client(*key)
            return self._clients[key]

    @functools.cached_property
    def identity(self) -> dict[str, str]:
        """The caller's `Account`, `Arn` and `UserId`.

        Raises:
            ProviderError: there are no credentials, or they are refused.
        """
        try:
            answer = self.client("sts").get_caller_identity()
        except (BotoCoreError, ClientError) as error:
            raise ProviderError(
                f"the caller's AWS identity cannot be read: {error}",
                hint="Set AWS credentials, a profile, or a web identity for the aws provider.",
            ) from error
        return {key: str(answer[key]) for key in ("Account", "Arn", "UserId")}

    @property
    def account(self) -> str:
        """The caller's account id."""
        return self.identity["Account"]

    def partition(self, region: str | None = None) -> str:
        """The partition of a region, such as `aws` or `aws-us-gov`."""
        return str(self._session.get_partition_for_region(region or self.region))

    def dns_suffix(self, region: str | None = None) -> str:
        """The domain of the services of a region, such as `amazonaws.com`."""
        return str(self._partition_data(region)["outputs"]["dnsSuffix"])

    def description(self, region: str) -> str:
        """What AWS calls a region, such as `US East (N. Virginia)`; empty when botocore does not know it."""
        return str(self._partition_data(region)["regions"].get(region, {}).get("description", ""))

    def require_allowed_account(self) -> None:
        """Refuse to work in an account that the configuration excludes.

        Raises:
            ProviderError: `allowedAccountIds` lacks the caller's account or `forbiddenAccountIds` has it.
        """
        allowed, forbidden = self._config.get("allowedAccountIds"), self._config.get("forbiddenAccountIds")
        if not allowed and not forbidden:
            return
        if (allowed and self.account not in allowed) or (forbidden and self.account in forbidden):
            raise ProviderError(f"the aws provider's configuration does not allow account {self.account}")

    def _partition_data(self, region: str | None) -> dict[str, Any]:
        name = self.partition(region)
        partitions = self._core.get_data("partitions")["partitions"]
        return next(partition for partition in partitions if partition["id"] == name)

    def _new_client(self, service: str, region: str) -> Any:
        url = self._url(service)
        options: dict[str, Any] = {"retries": {"mode": "standard", "max_attempts": _ATTEMPTS}}
        options |= {"connect_timeout": _CONNECT_SECONDS, "read_timeout": _READ_SECONDS}
        if service == "s3" and (url or self._config.get("s3UsePathStyle") in (True, "true")):
            options["s3"] = {"addressing_style": "path"}
        return self._session.client(service, region_name=region, endpoint_url=url, config=Config(**options))

    def _url(self, service: str) -> str | None:
        for endpoints in self._config.get("endpoints") or []:
            if endpoints.get(_ENDPOINT_NAMES.get(service, service)):
                return str(endpoints[_ENDPOINT_NAMES.get(service, service)])
        if service == "s3" and self._endpoint.s3_url:
            return self._endpoint.s3_url
        return self._endpoint.url


_ENDPOINT_NAMES = {"logs": "cloudwatchlogs"}


def _parsed(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with its compound values, which the SDK sends as JSON text, read."""
    return {key: _value(value) for key, value in config.items()}


def _value(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in ("{", "["):
        return json.loads(value)
    return value


def _session(core: botocore.session.Session, config: Mapping[str, Any], endpoint: AwsEndpoint) -> Any:
    keys = (config.get("accessKey"), config.get("secretKey"))
    if not all(keys):
        keys = endpoint.static_keys if endpoint.static_keys and not config.get("profile") else (None, None)
    # AWS_REGION is every SDK's variable but boto3's own, which reads AWS_DEFAULT_REGION.
    region = config.get("region") or endpoint.region or os.environ.get("AWS_REGION")
    session: Any = boto3.Session(
        aws_access_key_id=keys[0],
        aws_secret_access_key=keys[1],
        aws_session_token=config.get("token"),
        region_name=region,
        profile_name=config.get("profile"),
        botocore_session=core,
    )
    for role in config.get("assumeRoles") or []:
        session = _assumed(session, role, endpoint)
    return session


def _assumed(session: Any, role: Mapping[str, Any], endpoint: AwsEndpoint) -> Any:
    """A session that assumes a role with the given one's credentials, and again before they run out."""
    if not role.get("roleArn"):
        raise ProviderError("assumeRoles has an entry without roleArn")
    source = session.get_credentials()
    if source is None:
        raise ProviderError(f"there are no AWS credentials to assume {role['roleArn']} with")
    names = {"sessionName": "RoleSessionName", "externalId": "ExternalId", "policy": "Policy"}
    fetcher = AssumeRoleCredentialFetcher(
        client_creator=functools.partial(session.client, endpoint_url=endpoint.url),
        source_credentials=source,
        role_arn=role["roleArn"],
        extra_args={names[key]: value for key, value in role.items() if key in names and value},
    )
    core = botocore.session.Session()
    core.get_component("credential_provider").providers.insert(0, _RoleCredentials(fetcher))
    return boto3.Session(botocore_session=core, region_name=session.region_name)


class _RoleCredentials(CredentialProvider):
    """Makes a session's credentials those of one role."""

    METHOD = "assume-role"

    def __init__(self, fetcher: AssumeRoleCredentialFetcher) -> None:
        super().__init__()
        self._fetcher = fetcher

    def load(self) -> DeferredRefreshableCredentials:
        """The role's credentials, fetched when first used and again before they run out."""
        return DeferredRefreshableCredentials(method=self.METHOD, refresh_using=self._fetcher.fetch_credentials)


def problems(config: Properties, endpoint: AwsEndpoint) -> list[tuple[str, str]]:
    """What is wrong with a provider's configuration: property and reason."""
    found = [
        (key, f"the stand-in aws provider does not support {key}")
        for key, value in sorted(_parsed(config).items())
        if key not in _HONOURED | _HARMLESS and value not in (None, "", False, [], {})
    ]
    # What depends on a resource that does not exist yet is checked when it is known.
    if found or has_unknown(config):
        return found
    try:
        region = Aws(endpoint, config).region
    except (BotoCoreError, ProviderError, ValueError) as error:
        return [("", str(error))]
    if not region:
        return [("region", "no AWS region: set aws:region, AWS_REGION, or the profile's region")]
    return []


_HONOURED = frozenset(
    {
        "accessKey",
        "allowedAccountIds",
        "assumeRoles",
        "defaultTags",
        "endpoints",
        "forbiddenAccountIds",
        "profile",
        "region",
        "s3UsePathStyle",
        "secretKey",
        "token",
    }
)
# They make the real provider leave out a check that the stand-in does not have, or tune what botocore tunes.
_HARMLESS = frozenset(
    {
        "maxRetries",
        "retryMode",
        "skipCredentialsValidation",
        "skipMetadataApiCheck",
        "skipRegionValidation",
        "skipRequestingAccountId",
        "tokenBucketRateLimiterCapacity",
        "userAgents",
        "version",
    }
)
