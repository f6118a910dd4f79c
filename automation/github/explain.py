"""Why an event did not arrive: GitHub's short words about a delivery, told so that somebody can act on them.

https://docs.github.com/en/webhooks/testing-and-troubleshooting-webhooks/troubleshooting-webhooks
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

_ANSWER_CHARACTERS = 300


@dataclass(frozen=True)
class Explanation:
    """What happened, and what to do."""

    message: str
    hint: str


def explain(status: str, code: int, answer: str, url: str, namespace: str) -> Explanation:
    """Explain a delivery that failed.

    Args:
        status: GitHub's words.
        code: the HTTP status of the receiver; 0 when there was no answer.
        answer: what the receiver answered.
        url: where the event was sent.
        namespace: of the EventSource that should have got it.
    """
    told = f"The ping to {url} did not arrive: {status or 'no answer'}"
    told += f" ({answer.strip()[:_ANSWER_CHARACTERS]})" if answer.strip() else ""
    return Explanation(f"{told}.", _of_code(code, url, namespace) if code else _of_words(status.lower(), url))


def _of_code(code: int, url: str, namespace: str) -> str:
    path = urlsplit(url).path or "/"
    if code == 400:
        return (
            "The EventSource refuses what is signed with another secret. Set the pipeline's own: "
            "python -m automation webhook create. If it stays so, the EventSource still has an older Secret: restart "
            "its pod."
        )
    if code in (401, 403):
        return (
            "Something before the EventSource wants a login: the ingress, a firewall (WAF), or a proxy. Let GitHub's "
        )
        "addresses through: https://api.github.com/meta lists them under `hooks`."
    if code == 404:
        return (
            f"Nothing is served at the path {path}. Compare it with the address that `python -m automation webhook` "
            "shows, and with the paths of the ingress."
        )
    if code == 405:
        return f"What answers at {path} takes no POST, so it is not the EventSource: look at the ingress."
    if 300 <= code < 400:
        return "The address leads elsewhere, and GitHub does not follow. Use the address that it leads to."
    if code in (502, 503, 504):
        return (
            "The ingress has nothing behind it: the EventSource's pod is not ready, or its service has another port. "
            f"`kubectl -n {namespace} get pods,services,ingresses` shows which."
        )
    return f"The EventSource's log says why: kubectl -n {namespace} logs -l eventsource-name --tail=20"


def _of_words(words: str, url: str) -> str:
    host = urlsplit(url).hostname or url
    if "certificate" in words or "ssl" in words or "tls" in words:
        return (
            f"GitHub does not trust the certificate of {host}: it is expired, for another name, self-signed, or its "
            f"chain is incomplete. Try: openssl s_client -connect {host}:443 -servername {host} -verify_return_error"
        )
    if "resolve" in words or "dns" in words:
        return f"{host} is no name that the internet knows. Make its DNS record, or wait until it has spread."
    if "time" in words:
        return (
            f"{host} takes no connection, or no answer came within ten seconds: a security group, a firewall or a "
            "load balancer that is only inside the network. GitHub comes from the addresses that "
            "https://api.github.com/meta lists under `hooks`."
        )
    return (
        f"Nothing listens at {host} where GitHub comes from. Look whether the name leads to the ingress's address, and "
        "whether the load balancer is open to the internet or to the addresses that https://api.github.com/meta lists "
        "under `hooks`."
    )
