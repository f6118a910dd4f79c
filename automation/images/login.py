"""Access to a registry while it is needed: ECR's by the caller's AWS credentials, any other by the user's login.

A token reaches the tools in a file that only its owner can read, never as an argument.
Format of the file: https://github.com/containers/image/blob/main/docs/containers-auth.json.5.md
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aphex.errors import AphexError

if TYPE_CHECKING:
    import boto3

_ECR = re.compile(r"(?P<account>\d{12})\.dkr[.-]ecr(-fips)?\.(?P<region>[a-z0-9-]+)\.(amazonaws\.com(\.cn)?|on\.aws)")
_LOOPBACK = re.compile(r"(localhost|127\.[0-9.]+|\[::1\])(:\d+)?")


class RegistryError(AphexError):
    """A registry cannot be used."""


@dataclass(frozen=True, kw_only=True)
class Ecr:
    """A private registry of Amazon ECR."""

    host: str
    account: str
    region: str


def host_of(registry: str) -> str:
    """The host, with its port, of a registry and prefix or of a reference."""
    return registry.partition("/")[0]


def is_loopback(registry: str) -> bool:
    """Whether a registry is on this machine, where tools speak plain HTTP to it."""
    return _LOOPBACK.fullmatch(host_of(registry)) is not None


def ecr_of(registry: str) -> Ecr | None:
    """The ECR registry that a name means; None for a registry of another kind."""
    host = host_of(registry)
    match = _ECR.fullmatch(host)
    return Ecr(host=host, account=match["account"], region=match["region"]) if match else None


@contextmanager
def logged_in(registry: str, profile: str | None) -> Iterator[dict[str, str]]:
    """The variables by which docker, buildah and skopeo find their way into a registry.

    Raises:
        RegistryError: AWS gives no token.
    """
    ecr = ecr_of(registry)
    if ecr is None:
        yield {}
        return
    token = _token(_session(profile), ecr)
    with tempfile.TemporaryDirectory(prefix="aphex-registry-") as name:
        folder = Path(name)
        docker = _docker_folder(os.environ)
        # What else is in the folder, such as buildx and its builders, stays the user's.
        for each in docker.iterdir() if docker.is_dir() else ():
            if each.name != "config.json":
                (folder / each.name).symlink_to(each.absolute())
        _write(folder / "config.json", with_token(_document(docker / "config.json"), ecr.host, token))
        _write(folder / "auth.json", with_token(_document(_containers_file(os.environ)), ecr.host, token))
        yield {"DOCKER_CONFIG": str(folder), "REGISTRY_AUTH_FILE": str(folder / "auth.json")}


def with_token(document: Mapping[str, Any], host: str, token: str) -> dict[str, Any]:
    """The user's own logins and one more.

    A store that keeps all passwords would win over the file, so it keeps those alone that it has.
    """
    known = dict(document.get("auths") or {})
    helpers = dict(document.get("credHelpers") or {})
    if store := document.get("credsStore"):
        helpers = dict.fromkeys(known, store) | helpers
    helpers.pop(host, None)
    rest = {key: value for key, value in document.items() if key not in ("credsStore", "credHelpers")}
    merged = {**rest, "auths": {**known, host: {"auth": token}}}
    return merged | ({"credHelpers": helpers} if helpers else {})


def require_repositories(wanted: Sequence[str], profile: str | None, *, create: bool) -> list[str]:
    """See that an ECR registry has the repositories; a registry of another kind makes them when they are pushed to.

    Args:
        wanted: repositories of one registry, as `HOST/NAME`.
        profile: the AWS profile to use.
        create: whether to make those that are missing: tags that cannot be moved, scanned when pushed.

    Returns:
        The repositories that were made.

    Raises:
        RegistryError: there are some missing, and `create` is not set.
    """
    ecr = ecr_of(wanted[0])
    if ecr is None:
        return []
    client = _session(profile).client("ecr", region_name=ecr.region)
    names = [each.partition("/")[2] for each in wanted]
    missing = [name for name in names if not _repository_exists(client, ecr, name)]
    if missing and not create:
        raise RegistryError(
            f"The registry {ecr.host} has no repository {' and no '.join(missing)}.",
            hint="The cluster stack makes them; without it: --create-repositories.",
        )
    for name in missing:
        client.create_repository(
            registryId=ecr.account,
            repositoryName=name,
            imageTagMutability="IMMUTABLE",
            imageScanningConfiguration={"scanOnPush": True},
        )
    return missing


def _repository_exists(client: Any, ecr: Ecr, name: str) -> bool:
    try:
        client.describe_repositories(registryId=ecr.account, repositoryNames=[name])
    except client.exceptions.RepositoryNotFoundException:
        return False
    return True


def _session(profile: str | None) -> boto3.Session:
    import boto3

    return boto3.Session(profile_name=profile)


def _token(session: boto3.Session, ecr: Ecr) -> str:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        answer = session.client("ecr", region_name=ecr.region).get_authorization_token()
    except (BotoCoreError, ClientError) as error:
        raise RegistryError(
            f"AWS gives no access to the registry {ecr.host}: {error}",
            hint="The caller needs ecr:GetAuthorizationToken. Who that is: aws sts get-caller-identity",
        ) from error
    return str(answer["authorizationData"][0]["authorizationToken"])


def _document(file: Path | None) -> dict[str, Any]:
    if file is None or not file.is_file():
        return {}
    try:
        document = json.loads(file.read_text())
    except ValueError as error:
        raise RegistryError(f"{file} is not JSON: {error}", hint="Mend it, or log in anew.") from error
    return document if isinstance(document, dict) else {}


def _write(file: Path, document: Mapping[str, Any]) -> None:
    file.touch(mode=0o600)
    file.write_text(json.dumps(document))


def _docker_folder(environment: Mapping[str, str]) -> Path:
    return Path(environment.get("DOCKER_CONFIG") or Path.home() / ".docker")


def _containers_file(environment: Mapping[str, str]) -> Path | None:
    """Where buildah and skopeo keep the user's logins, the first that there is."""
    runtime = environment.get("XDG_RUNTIME_DIR") or f"/run/containers/{os.getuid()}"
    places = [environment.get("REGISTRY_AUTH_FILE"), f"{runtime}/containers/auth.json", f"{runtime}/auth.json"]
    named = [Path(place) for place in places if place]
    return next((path for path in (*named, _docker_folder(environment) / "config.json") if path.is_file()), None)
