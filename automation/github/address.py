"""Where the API of a repository's GitHub is, and the token for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from aphex.errors import UsageError

_GITHUB = "github.com"
# The names that GitHub's own command line uses; the first two are for an enterprise's host alone.
_ENTERPRISE_TOKENS = ("GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN")
_TOKENS = ("GITHUB_TOKEN", "GH_TOKEN")
_SCP_FORM = re.compile(r"(?:[^@/]+@)?(?P<host>[^:/]+):(?!//)")


class TokenMissing(UsageError):
    """There is no token for GitHub in the environment."""


def api_base(clone_url: str) -> str:
    """The base address of the API that belongs to a repository's clone URL.

    github.com has a host for its API, and so has each tenant of ghe.com; GitHub Enterprise Server has a path.
    https://docs.github.com/en/enterprise-server/rest/quickstart

    Raises:
        UsageError: the clone URL names no host.
    """
    scheme, place = _place(clone_url)
    host = place.partition(":")[0]
    if host in (_GITHUB, f"www.{_GITHUB}", f"ssh.{_GITHUB}"):
        return f"https://api.{_GITHUB}"
    if host.endswith(".ghe.com"):
        return f"https://api.{host.removeprefix('api.')}"
    return f"{scheme}://{place}/api/v3"


def _place(clone_url: str) -> tuple[str, str]:
    """The scheme for the API, and its host with the port where that is one of HTTP."""
    parts = urlsplit(clone_url)
    if parts.scheme in ("http", "https") and parts.hostname:
        return parts.scheme, parts.hostname + (f":{parts.port}" if parts.port else "")
    if parts.scheme in ("ssh", "git", "git+ssh") and parts.hostname:
        return "https", parts.hostname
    scp = _SCP_FORM.match(clone_url)
    if scp is None:
        raise UsageError(
            f'"{clone_url}" names no host whose GitHub could be asked.',
            hint="Set pipeline.repository to the repository's clone URL, such as https://github.com/OWNER/NAME.git.",
        )
    return "https", scp["host"]


def token_variables(base: str) -> tuple[str, ...]:
    """The variables that may hold the token for an API, the best first."""
    of_github = urlsplit(base).hostname == f"api.{_GITHUB}"
    return _TOKENS if of_github else (*_ENTERPRISE_TOKENS, *_TOKENS)


def token(base: str, repository: str, environment: Mapping[str, str]) -> str:
    """The token for an API, out of the environment.

    Raises:
        TokenMissing: there is none.
        UsageError: it would be sent where everybody on the network could read it.
    """
    names = token_variables(base)
    found = next((value for name in names if (value := environment.get(name, "").strip())), None)
    if found is None:
        raise TokenMissing(
            f"There is no token for {urlsplit(base).hostname} in the environment.",
            hint=f"Set {' or '.join(names)} to a token that may administer the webhooks of {repository}: "
            "a fine-grained one with the repository permission Webhooks (read and write), or a classic one with "
            "admin:repo_hook. "
            "Without a token: `python -m automation webhook` shows what to enter on the repository's page.",
        )
    if urlsplit(base).scheme != "https":
        raise UsageError(
            f"{base} is not encrypted, so the token is not sent there.",
            hint="Use the repository's https address as pipeline.repository.",
        )
    return found
