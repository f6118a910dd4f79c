"""What `python -m automation webhook` does between its options and its output."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aphex.errors import UsageError
from automation.console import Terminal
from automation.github import address
from automation.github.api import HooksOf
from automation.github.hooks import HookMissing, WantedHook, ensure_hook, find_hook, verify_hook
from automation.webhook import READY_SECONDS, register_webhook, webhook_address

if TYPE_CHECKING:
    from automation.github.hooks import EnsuredHook, Pinged
    from automation.options import TargetOptions
    from automation.target import Target


class NoWayIn(UsageError):
    """The pipeline's webhook cannot be reached from outside its cluster."""


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """A pipeline's webhook and the GitHub that has it.

    Attributes:
        wanted: the webhook that the pipeline needs.
        repository: `owner/name`.
        base: address of the API.
        page: where a person enters webhooks; empty when there is no such page.
        namespace: of the EventSource.
        secret_place: where the secret is kept, for a person.
        token: for the API, where it need not come from the environment.
    """

    wanted: WantedHook
    repository: str
    base: str
    page: str
    namespace: str
    secret_place: str
    token: str | None = field(default=None, repr=False)

    def connect(self) -> HooksOf:
        """The repository's webhooks, with the token of the environment.

        Raises:
            TokenMissing: there is none.
        """
        if self.token is not None:
            return HooksOf(self.base, self.repository, self.token, proxies=False)
        return HooksOf(self.base, self.repository, address.token(self.base, self.repository, os.environ))


def show(options: TargetOptions, terminal: Terminal, *, url: str | None, reveal: bool) -> None:
    """Show the webhook, and whether GitHub has it where that can be asked."""
    found = webhook_of(_find(options, terminal), terminal, url)
    secret = found.wanted.secret if reveal else None
    on_github = _on_github(found)
    rows: dict[str, str] = {
        "Repository": found.repository,
        "Payload URL": found.wanted.url,
        "Content type": "application/json",
        "Events": ", ".join(found.wanted.events),
        "Secret": secret or f"{found.secret_place}; --reveal prints it",
        "On GitHub": on_github,
    }
    if found.page:
        rows["Enter it at"] = found.page
    terminal.show(_grid(rows))
    document = {key.lower().replace(" ", "_"): value for key, value in rows.items() if key not in ("Secret", "Events")}
    more = {"events": list(found.wanted.events), "secret_kept_in": found.secret_place}
    terminal.result({**document, **more, **({"secret": secret} if secret else {})})


def create(options: TargetOptions, terminal: Terminal, *, url: str | None, ping: bool) -> None:
    """Make the webhook on GitHub or bring it up to date, and see that a ping arrives."""
    target = _find(options, terminal)
    if url is None:
        # The sandbox's git host needs more than an address where events go through an API server.
        register_webhook(target, terminal)
    found = webhook_of(target, terminal, url)
    ensured, pinged = create_hook(found, terminal, ping=ping)
    arrived = {"arrived": True, "seconds": pinged.seconds} if pinged else None
    terminal.result({"repository": found.repository, "url": found.wanted.url, **ensured.document(), "ping": arrived})


def create_hook(found: Webhook, terminal: Terminal, *, ping: bool) -> tuple[EnsuredHook, Pinged | None]:
    """Make the webhook or bring it up to date; with `ping` it is verified, too."""
    with found.connect() as hooks:
        ensured = ensure_hook(hooks, found.wanted)
        what = "made" if ensured.created else "brought up to date" if ensured.differences else "as it should be"
        terminal.show(f"The webhook {ensured.number} of {found.repository} is {what}: {found.wanted.url}")
        for difference in ensured.differences:
            terminal.show(f"  {difference}")
        return ensured, _verified(found, hooks, ensured.number, terminal) if ping else None


def verify(options: TargetOptions, terminal: Terminal, *, url: str | None) -> None:
    """Have GitHub ping the webhook and see that it arrives.

    Raises:
        HookMissing: the repository has no such webhook.
        PingFailed: it does not arrive.
    """
    found = webhook_of(_find(options, terminal), terminal, url)
    with found.connect() as hooks:
        hook = find_hook(hooks.all(), found.wanted.url)
        if hook is None:
            raise HookMissing(
                f"{found.repository} has no webhook to {found.wanted.url}.",
                hint="Make it with: python -m automation webhook create",
            )
        pinged = _verified(found, hooks, int(hook["id"]), terminal)
    document = {"id": int(hook["id"]), "delivery": pinged.delivery, "arrived": True, "seconds": pinged.seconds}
    terminal.result({"repository": found.repository, "url": found.wanted.url, **document})


def _verified(found: Webhook, hooks: HooksOf, number: int, terminal: Terminal) -> Pinged:
    with terminal.step("Waiting for a ping to arrive"):
        pinged = verify_hook(hooks, number, found.wanted.url, found.namespace)
    terminal.show(f"A ping arrived, and was answered within {pinged.seconds:.2f} s.")
    return pinged


def webhook_of(target: Target, terminal: Terminal, url: str | None, *, patience: float = READY_SECONDS) -> Webhook:
    """The webhook of a pipeline that is deployed.

    Args:
        target: where it is.
        terminal: where progress is told.
        url: its address from outside; None takes that of the sandbox, or of the pipeline's Ingress.
        patience: seconds to wait at most until the sandbox's EventSource is ready.

    Raises:
        NoWayIn: the address is one of the cluster's own.
        AphexError: the secret is not where it should be.
    """
    from aphex_platform.manifests import events

    from automation.github.secret import webhook_secret

    settings, sandbox = target.settings, target.sandbox
    if url is None:
        here = sandbox is not None
        url = webhook_address(target, terminal, patience=patience) if here else outside_address(target)
    secret = webhook_secret(target)
    source = events.event_source(settings)["spec"]["github"][events.WEBHOOK_EVENT]
    wanted = WantedHook(url=url, secret=secret.value, events=tuple(source["events"]))
    common: dict[str, Any] = {"repository": settings.repository_full_name, "namespace": settings.namespace}
    if sandbox is not None:
        from sandbox.git_host.api import API_PATH, api_token

        own = target.secrets.webhook_secret.get_secret_value()
        base = f"{sandbox.git_url}{API_PATH}"
        return Webhook(wanted=wanted, base=base, page="", secret_place=secret.place, token=api_token(own), **common)
    page = settings_page(settings.repository, settings.repository_full_name)
    base = address.api_base(settings.repository)
    return Webhook(wanted=wanted, base=base, page=page, secret_place=secret.place, **common)


def outside_address(target: Target) -> str:
    """The webhook's address as GitHub reaches it.

    Raises:
        NoWayIn: the pipeline has only one inside the cluster.
    """
    if target.settings.webhook.host is None:
        raise NoWayIn(
            f"The pipeline's webhook has no address outside the cluster: {target.settings.webhook_url}.",
            hint="Give it an Ingress: `webhooks` in aphex-cluster.yaml. When something of your own leads there, name "
            f"its address: python -m automation webhook create --url https://HOST/PATH {target.options}",
        )
    return target.settings.webhook_url


def settings_page(clone_url: str, full_name: str) -> str:
    """The page on which a person enters a repository's webhooks."""
    base = address.api_base(clone_url)
    parts = urlsplit(base)
    host = parts.netloc.removeprefix("api.")
    return f"{parts.scheme}://{host}/{full_name}/settings/hooks"


def _on_github(found: Webhook) -> str:
    """Whether GitHub has the webhook, in words."""
    try:
        hooks = found.connect()
    except address.TokenMissing as error:
        return f"not asked: {error.message}"
    with hooks:
        hook = find_hook(hooks.all(), found.wanted.url)
    if hook is None:
        return "there is no webhook with this address: python -m automation webhook create"
    last = (hook.get("last_response") or {}).get("message")
    return f"webhook {hook['id']}, {'active' if hook.get('active') else 'not active'}" + (
        f"; last: {last}" * bool(last)
    )


def _find(options: TargetOptions, terminal: Terminal) -> Target:
    from automation.resolve import find

    return find(options, terminal)


def _grid(rows: dict[str, str]) -> Any:
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name, value)
    return table
