"""The webhook: on the sandbox's git host made and pinged; on GitHub too, when there is a token, else told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aphex.errors import AphexError
from automation.bootstrap.context import Context
from automation.bootstrap.step import Finding, by_hand, done, to_do

if TYPE_CHECKING:
    from automation.github.commands import Webhook


@dataclass(frozen=True, kw_only=True)
class WebhookStep:
    """The webhook of the pipeline's repository.

    Attributes:
        url: its address from outside; None takes the pipeline's ingress.
    """

    context: Context
    url: str | None = None
    name: str = "webhook"
    title: str = "Webhook"

    @property
    def makes(self) -> str:
        """What is made."""
        where = "the sandbox's git host" if self.context.in_sandbox else self.context.subject.repository or "GitHub"
        return f"a webhook on {where}, with the pipeline's secret; its ping has to arrive"

    def check(self) -> Finding:
        """Whether the repository has the webhook, as it should be, and its last ping arrived."""
        from automation.github import address, hooks
        from automation.github.commands import NoWayIn

        try:
            found = self._webhook(patience=0.0)
        except NoWayIn as error:
            return by_hand(error.message.rstrip("."), error.hint)
        except AphexError as error:
            return to_do(error.message.rstrip("."))
        try:
            api = found.connect()
        except address.TokenMissing as error:
            return by_hand(error.message.rstrip("."), _by_hand(found, self.context))
        with api:
            hook = hooks.find_hook(api.all(), found.wanted.url)
            if hook is None:
                return to_do(f"{found.repository} has no webhook to {found.wanted.url}")
            if lacks := hooks.differences(hook, found.wanted):
                return to_do(f"webhook {hook['id']} of {found.repository}: {', '.join(lacks)}")
            if not hooks.last_ping_arrived(api.deliveries(int(hook["id"]))):
                return to_do(f"no ping of the webhook {hook['id']} of {found.repository} has arrived")
        return done(f"webhook {hook['id']} of {found.repository}, to {found.wanted.url}")

    def do(self) -> None:
        """Make it, and see that a ping arrives."""
        from automation.github.commands import create_hook
        from automation.webhook import READY_SECONDS, register_webhook

        if self.url is None:
            register_webhook(self.context.prepared(), self.context.terminal)
        create_hook(self._webhook(READY_SECONDS), self.context.terminal, ping=True)

    def _webhook(self, patience: float) -> Webhook:
        from automation.github.commands import webhook_of

        return webhook_of(self.context.found(), self.context.terminal, self.url, patience=patience)


def _by_hand(found: Webhook, context: Context) -> str:
    options = f"--config {context.options.config}"
    return (
        f"Enter it at {found.page}: payload URL {found.wanted.url}, content type application/json, events "
        f"{' and '.join(found.wanted.events)}, and the secret that this prints: python -m automation webhook --reveal "
        f"{options}. Or set the token, and run: python -m automation webhook create {options}"
    )
