"""The calls of GitHub's REST API about a repository's webhooks, and what its refusals mean.

https://docs.github.com/en/rest/repos/webhooks
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import httpx

from aphex.errors import AphexError

_VERSION = "2022-11-28"
_SECONDS = 20.0
_PAGE = 100
_NEXT = re.compile(r'<([^>]+)>;\s*rel="next"')


class GitHubError(AphexError):
    """GitHub refused a request, or could not be asked; `status` is None when there was no answer."""

    def __init__(self, message: str, *, hint: str = "", status: int | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status


class HooksOf:
    """The webhooks of one repository, by GitHub's API. To be closed, as a context."""

    def __init__(self, base: str, repository: str, token: str, *, proxies: bool = True) -> None:
        """Ask the API at `base` about the repository `owner/name`, with the proxies of the environment or without."""
        self.repository = repository
        self._path = f"{base}/repos/{repository}/hooks"
        self._client = httpx.Client(
            headers={
                "Accept": "application/vnd.github+json",
                "Authorization": f"Bearer {token}",
                "X-GitHub-Api-Version": _VERSION,
                "User-Agent": "AphexPipeline",
            },
            timeout=_SECONDS,
            trust_env=proxies,
        )

    def __enter__(self) -> HooksOf:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def all(self) -> list[dict[str, Any]]:
        """Every webhook of the repository."""
        found: list[dict[str, Any]] = []
        url: str | None = f"{self._path}?per_page={_PAGE}"
        while url is not None:
            answer = self._call("GET", url)
            found += answer.json()
            following = _NEXT.search(answer.headers.get("link", ""))
            url = following[1] if following else None
        return found

    def create(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Make a webhook; GitHub sends it a ping."""
        created: dict[str, Any] = self._call("POST", self._path, document).json()
        return created

    def update(self, hook: int, document: Mapping[str, Any]) -> dict[str, Any]:
        """Change a webhook."""
        changed: dict[str, Any] = self._call("PATCH", f"{self._path}/{hook}", document).json()
        return changed

    def ping(self, hook: int) -> None:
        """Have GitHub send a ping; it does not wait for the receiver."""
        self._call("POST", f"{self._path}/{hook}/pings")

    def deliveries(self, hook: int) -> list[dict[str, Any]]:
        """The newest deliveries of a webhook, newest first."""
        found: list[dict[str, Any]] = self._call("GET", f"{self._path}/{hook}/deliveries?per_page=50").json()
        return found

    def delivery(self, hook: int, number: int) -> dict[str, Any]:
        """One delivery with request and response."""
        found: dict[str, Any] = self._call("GET", f"{self._path}/{hook}/deliveries/{number}").json()
        return found

    def _call(self, method: str, url: str, document: Mapping[str, Any] | None = None) -> httpx.Response:
        try:
            answer = self._client.request(method, url, json=document)
        except httpx.TransportError as error:
            raise GitHubError(
                f"GitHub could not be asked at {httpx.URL(url).host}: {error or type(error).__name__}",
                hint="Look at the network of this machine: name resolution, proxy (HTTPS_PROXY), certificates.",
            ) from error
        if answer.is_success:
            return answer
        raise _refusal(answer, self.repository)


def _refusal(answer: httpx.Response, repository: str) -> GitHubError:
    """What a refused request means, and what to do."""
    said = _said(answer)
    host, status = answer.request.url.host, answer.status_code
    what = f"{answer.request.method} {answer.request.url.path}"
    if status == 401:
        message, hint = f"{host} does not take the token: {said}", "It is expired, revoked, or of another GitHub host."
    elif status in (403, 429) and _limited(answer):
        message = f"{host} takes no more requests with this token for now: {said}"
        hint = "Wait until the limit is reset, or use another token."
    elif status in (403, 404):
        message = f"The token may not administer the webhooks of {repository} on {host}, or there is none such: {said}"
        hint = (
            "It needs, as an administrator of the repository: fine-grained, the permission Webhooks (read and write); "
            "classic, the scope admin:repo_hook. A token for an organization with SSO has to be authorized for it."
        )
    elif status == 422:
        message, hint = f"{host} does not take the webhook: {said}", "See what it says about the webhook's address."
    elif status >= 500:
        message, hint = f"{host} is out of order: {status} for {what}. {said}", "Try again in a few minutes."
    else:
        message, hint = f"{host} answered {status} to {what}: {said}", ""
    return GitHubError(message, hint=hint, status=status)


def _limited(answer: httpx.Response) -> bool:
    return answer.headers.get("x-ratelimit-remaining") == "0" or "retry-after" in answer.headers


def _said(answer: httpx.Response) -> str:
    try:
        document = answer.json()
    except ValueError:
        return answer.text.strip()[:200] or answer.reason_phrase
    if not isinstance(document, dict):
        return answer.reason_phrase
    details = [str(each.get("message") or each.get("code")) for each in document.get("errors") or [] if each]
    return ": ".join([str(document.get("message", answer.reason_phrase)), *details])
