"""The part of GitHub's REST API that is about webhooks, for the repositories of the git host.

Paths, bodies and statuses are those of https://docs.github.com/en/rest/repos/webhooks below `/api/v3`, where GitHub
Enterprise Server has them. A token is needed, since everybody on the network reaches the git host.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from sandbox.git_host.delivery import Delivery, deliver_to, deliveries
from sandbox.git_host.hooks import Hook
from sandbox.git_host.payloads import ping_payload
from sandbox.git_host.repository import WEBHOOK_SECRET_FILE, Repository, open_repository

API_PATH = "/api/v3"
_ROUTE = re.compile(
    API_PATH + r"/repos/(?P<owner>[\w.-]+)/(?P<name>[\w.-]+)/hooks"
    r"(?:/(?P<hook>\d+)(?:/(?P<what>pings|deliveries)(?:/(?P<delivery>\d+))?)?)?"
)
_PER_PAGE, _MOST_PER_PAGE = 30, 100
_HIDDEN = "********"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A response: a status, a document, and headers besides those that every response has."""

    status: int
    document: Any = None
    headers: dict[str, str] = field(default_factory=dict)


class _Wrong(Exception):
    """The request cannot be carried out."""

    def __init__(self, status: int, message: str, *, field: str = "") -> None:
        super().__init__(message)
        errors = [{"resource": "Hook", "code": "custom", "message": field}] if field else []
        self.answer = Answer(status=status, document={"message": message} | ({"errors": errors} if errors else {}))


def api_token(webhook_secret: str) -> str:
    """The token for the API of a sandbox's git host; who has the sandbox's secrets can compute it."""
    return hmac.new(webhook_secret.encode(), b"aphex git host api", hashlib.sha256).hexdigest()


class HooksApi:
    """Answers requests about webhooks of the repositories below a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def answer(self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Answer one request; `headers` by their names in lower case."""
        try:
            self._check_token(headers.get("authorization", ""))
            route = _ROUTE.fullmatch(path)
            if route is None:
                raise _Wrong(404, "Not Found")
            request = _Request(method, self._repository(route), route, parse_qs(query), body)
            return _METHODS[_kind(route)](request)
        except _Wrong as error:
            return error.answer

    def _check_token(self, authorization: str) -> None:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() not in ("bearer", "token"):
            raise _Wrong(401, "Requires authentication")
        try:
            secret = (self._root / WEBHOOK_SECRET_FILE).read_text().strip()
        except FileNotFoundError:
            raise _Wrong(401, "Bad credentials") from None
        if not hmac.compare_digest(token.strip(), api_token(secret)):
            raise _Wrong(401, "Bad credentials")

    def _repository(self, route: re.Match[str]) -> Repository:
        path = self._root / route["owner"] / f"{route['name']}.git"
        if ".." in (route["owner"], route["name"]) or not (path / "HEAD").exists():
            raise _Wrong(404, "Not Found")
        return open_repository(path)


@dataclass(frozen=True)
class _Request:
    method: str
    repository: Repository
    route: re.Match[str]
    query: dict[str, list[str]]
    body: bytes

    @property
    def hook(self) -> Hook:
        hook = self.repository.hooks.find(int(self.route["hook"]))
        if hook is None:
            raise _Wrong(404, "Not Found")
        return hook

    def document(self) -> dict[str, Any]:
        try:
            found = json.loads(self.body or b"{}")
        except ValueError:
            raise _Wrong(400, "Problems parsing JSON") from None
        if not isinstance(found, dict):
            raise _Wrong(400, "Body should be a JSON object")
        return found

    def values(self, *, new: bool) -> dict[str, Any]:
        """The webhook's values that it gives; a secret that is the sandbox's is not stored once more."""
        values = _values(self.document(), new=new)
        if values.get("secret") == self.repository.webhook_secret():
            values["secret"] = None
        return values

    def page(self, items: list[Any], path: str) -> Answer:
        """One page of a list, with GitHub's header for the next."""
        size = min(self._number("per_page", _PER_PAGE), _MOST_PER_PAGE)
        number = self._number("page", 1)
        rest = len(items) > number * size
        link = {"Link": f'<{path}?per_page={size}&page={number + 1}>; rel="next"'} if rest else {}
        return Answer(status=200, document=items[(number - 1) * size : number * size], headers=link)

    def _number(self, name: str, usual: int) -> int:
        text = self.query.get(name, [""])[0]
        return max(int(text), 1) if text.isdecimal() else usual

    def url(self, *more: object) -> str:
        """The API's address of the webhooks, or of something below them."""
        parts = urlsplit(self.repository.clone_url)
        base = f"{parts.scheme}://{parts.netloc}{API_PATH}/repos/{self.repository.full_name}/hooks"
        return "/".join([base, *(str(each) for each in more)])


def _kind(route: re.Match[str]) -> str:
    return route["what"] or ("hook" if route["hook"] else "hooks")


def _hooks(request: _Request) -> Answer:
    store = request.repository.hooks
    if request.method == "GET":
        return request.page([_shown(request, hook) for hook in store.all()], request.url())
    if request.method != "POST":
        raise _Wrong(404, "Not Found")
    values = request.values(new=True)
    if any(hook.url == values["url"] for hook in store.all()):
        raise _Wrong(422, "Validation Failed", field="Hook already exists on this repository")
    hook = store.add(**values)
    _ping(request, hook)  # as GitHub does for a new webhook
    return Answer(status=201, document=_shown(request, hook))


def _hook(request: _Request) -> Answer:
    hook = request.hook
    if request.method == "GET":
        return Answer(status=200, document=_shown(request, hook))
    if request.method == "PATCH":
        changed = request.repository.hooks.change(hook.id, **request.values(new=False))
        return Answer(status=200, document=_shown(request, changed or hook))
    if request.method == "DELETE":
        request.repository.hooks.remove(hook.id)
        return Answer(status=204)
    raise _Wrong(404, "Not Found")


def _pings(request: _Request) -> Answer:
    if request.method != "POST":
        raise _Wrong(404, "Not Found")
    _ping(request, request.hook)
    return Answer(status=204)


def _deliveries(request: _Request) -> Answer:
    hook = request.hook
    if request.method != "GET":
        raise _Wrong(404, "Not Found")
    own = [each for each in reversed(deliveries(request.repository)) if each.hook == hook.id]
    if request.route["delivery"] is None:
        return request.page([delivery_item(each) for each in own], request.url(hook.id, "deliveries"))
    found = next((each for each in own if each.number == int(request.route["delivery"])), None)
    if found is None:
        raise _Wrong(404, "Not Found")
    details = {
        "url": found.url,
        "request": {"headers": {"X-GitHub-Event": found.event}, "payload": found.payload},
        "response": {"headers": {}, "payload": found.error},
    }
    return Answer(status=200, document=delivery_item(found) | details)


_METHODS: dict[str, Callable[[_Request], Answer]] = {
    "hooks": _hooks,
    "hook": _hook,
    "pings": _pings,
    "deliveries": _deliveries,
}


def _ping(request: _Request, hook: Hook) -> None:
    payload = ping_payload(request.repository, hook.id, _shown(request, hook))
    # The answer does not wait for it: GitHub's does not either.
    send = lambda: deliver_to(request.repository, hook, "ping", payload, patience=0.0)  # noqa: E731
    threading.Thread(target=send, daemon=True).start()


def _values(document: Mapping[str, Any], *, new: bool) -> dict[str, Any]:
    """A webhook's values as a request gives them."""
    config = document.get("config") or {}
    values: dict[str, Any] = {}
    if url := config.get("url"):
        if urlsplit(str(url)).scheme not in ("http", "https"):
            raise _Wrong(422, "Validation Failed", field="url must be http or https")
        values["url"] = str(url)
    elif new:
        raise _Wrong(422, "Validation Failed", field="url cannot be blank")
    if "content_type" in config or new:
        kind = config.get("content_type", "form")
        if kind not in ("json", "form"):
            raise _Wrong(422, "Validation Failed", field="content_type must be json or form")
        values["content_type"] = kind
    if "secret" in config or new:
        values["secret"] = str(config.get("secret", ""))
    if "events" in document or new:
        values["events"] = tuple(str(each) for each in document.get("events", ["push"]))
    if "active" in document:
        values["active"] = bool(document["active"])
    return values


def _shown(request: _Request, hook: Hook) -> dict[str, Any]:
    """A webhook as GitHub shows it: never its secret."""
    secret = {} if hook.secret == "" else {"secret": _HIDDEN}
    return {
        "type": "Repository",
        "id": hook.id,
        "name": "web",
        "active": hook.active,
        "events": list(hook.events),
        "config": {"url": hook.url, "content_type": hook.content_type, "insecure_ssl": "0", **secret},
        "created_at": hook.created_at,
        "updated_at": hook.updated_at,
        "url": request.url(hook.id),
        "ping_url": request.url(hook.id, "pings"),
        "deliveries_url": request.url(hook.id, "deliveries"),
    }


def delivery_item(delivery: Delivery) -> dict[str, Any]:
    """A delivery as GitHub lists it."""
    return {
        "id": delivery.number,
        "guid": delivery.id,
        "delivered_at": delivery.at,
        "redelivery": False,
        "duration": delivery.seconds,
        "status": status_words(delivery),
        "status_code": delivery.status or 0,
        "event": delivery.event,
        "action": delivery.payload.get("action"),
    }


def status_words(delivery: Delivery) -> str:
    """What became of a delivery, in GitHub's words."""
    if delivery.ok:
        return "OK"
    if delivery.status is not None:
        return f"Invalid HTTP Response: {delivery.status}"
    error = delivery.error.lower()
    if "certificate" in error or "ssl" in error:
        return "peer certificate cannot be authenticated with given CA certificates"
    if "timed out" in error:
        return "timed out"
    if "name or service" in error or "name resolution" in error or "no address" in error:
        return "couldn't resolve host name"
    return "failed to connect to host"
