"""What is in an Apprise URL: which services are refused, and what of it must never be shown."""

from __future__ import annotations

import difflib
import re
from typing import Any
from urllib.parse import unquote, urlsplit

# These act on the machine that they run on instead of sending to a service.
LOCAL = frozenset(
    {"blink1", "dbus", "gio", "glib", "gnome", "kde", "macosx", "qt", "syslog", "windows", "file", "exec", "script"}
)
_SCHEMA = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://")
_LONG_ENOUGH = 4
_MASK = "****"
_PARTS = re.compile(r"[/?&=:@,;#\s]+")
_QUERY_KEYS = re.compile(r"[?&][^=&]*=")
# In the URLs of these, what stands where a host does is one; in those of others it may be a token.
_WITH_HOST = frozenset(
    {"form", "forms", "gotify", "gotifys", "http", "https", "json", "jsons", "mailto", "mailtos", "matrix", "matrixs"}
    | {"mmost", "mmosts", "ntfy", "ntfys", "rocket", "rockets", "workflow", "workflows", "xml", "xmls"}
)


def refusal(url: str) -> str:
    """Why nothing is sent to an address; empty when there is nothing against it."""
    found = _SCHEMA.match(url)
    if found is None:
        return "The address is not an Apprise URL: SCHEMA://…"
    schema = found[1].lower()
    if schema in LOCAL:
        return f"{schema}:// acts on the machine that it runs on; a channel is a service."
    if schema in ("http", "https"):
        return ""  # Apprise knows the services' own addresses, such as https://hooks.slack.com/…
    if schema not in (known := known_schemas()):
        close = difflib.get_close_matches(schema, [each for each in known if each not in LOCAL], n=3)
        meant = f" Did you mean {', '.join(f'{each}://' for each in close)}?" if close else ""
        return f"Apprise knows no service {schema}://.{meant}"
    return ""


def known_schemas() -> list[str]:
    """The schemas of all services. The first call loads their plugins: a second or more."""
    from apprise.manager_plugins import NotificationManager

    manager: Any = NotificationManager
    return sorted(manager().schemas())


def scrubbed(text: str, url: str) -> str:
    """A text without any part of the URL that may be secret: all but the schema and the host of web addresses."""
    secrets = _secret_parts(url)
    for secret in sorted(secrets, key=len, reverse=True):
        text = re.sub(re.escape(secret), _MASK, text, flags=re.IGNORECASE)
    return re.sub(r"([a-z][a-z0-9+.-]*://)[^\s/]*@", rf"\1{_MASK}@", text, flags=re.IGNORECASE)


def _secret_parts(url: str) -> set[str]:
    _, _, rest = url.partition("://")
    parts = {url, rest, *_PARTS.split(_QUERY_KEYS.sub("&", rest))}
    parts |= {unquote(each) for each in parts}
    shown = {"", *_harmless(url)}
    return {part for part in parts if len(part) >= _LONG_ENOUGH and part.lower() not in shown}


def _harmless(url: str) -> set[str]:
    """The host and port of an address that has them: of others the place of the host is a token."""
    try:
        split = urlsplit(url)
        host, port = split.hostname or "", split.port
    except ValueError:
        return set()
    known = split.scheme in _WITH_HOST and ("." in host or host == "localhost")
    return {host.lower(), f"{host.lower()}:{port}", str(port or "")} if known else set()
