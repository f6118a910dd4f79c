"""Replaces secrets by `***` in everything that a stage shows or stores.

Two kinds are known: values that the stage was given (mounted Secrets, variables with the name of a secret), also in
the forms in which tools print them, and what has the form of a credential (`aphex.credentials`).
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from aphex.credentials import FORMS

MASK = "***"
# A shorter value is a word that would be replaced in the middle of others.
SHORTEST = 6
_SHORTEST_IN_BASE64 = 8
_LARGEST_FILE = 64 * 1024
# Where the platform mounts what only the deploying stages get.
OTHER_SECRETS = Path("/etc/aphex/secrets")

_SECRET_NAME = re.compile(
    r"(?:^|_)(?:TOKEN|PASSWORD|PASSWD|PASSPHRASE|SECRET|CREDENTIALS?|APIKEY|(?<!PUBLIC_)KEY|PAT|WEBHOOK)(?:$|_(?!FILE|PATH|ARN|"
    r"NAME|ID$|DIR|HOST|REGION|VERSION|URI?|SOCK|MARK|PROMPT))",
    re.IGNORECASE,
)
# For each form (by the first words of its kind) texts of which one is in every match, the last ones in any case:
# looking for them costs far less than the form.
_SIGNS: Mapping[str, tuple[str, ...]] = {
    "an AWS access key id": ("AKIA", "ASIA", "ABIA", "ACCA"),
    "a private key": ("PRIVATE",),
    "a GitHub token": ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
    "a GitLab token": ("glpat-",),
    "a Slack token": ("xox",),
    "a Slack webhook": ("slack.com/",),
    "an npm token": ("npm_",),
    "a JSON web token": ("eyJ",),
    "a password in a URL": ("://",),
}
_ANY_SIGN = tuple(sign for signs in _SIGNS.values() for sign in signs if sign != "://")
_SIGNS_IN_LOWER_CASE = ("passw", "api_key", "apikey", "token", "secret")
_KEY_BEGINS = re.compile(r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----")
_KEY_ENDS = re.compile(r"-----END (?:[A-Z0-9]+ )*PRIVATE KEY-----")
_KEY_LINE = re.compile(r"[A-Za-z0-9+/=:, -]{0,200}")


class Masker:
    """Replaces secrets in texts."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._values: set[str] = set()
        self._known: re.Pattern[str] | None = None
        self._within_key = False
        self.add(*values)

    def add(self, *values: str) -> None:
        """Mask these values too: each of their lines, and the forms in which tools print them."""
        added = {form for value in values for line in value.splitlines() for form in _printed(line.strip())}
        if added <= self._values:
            return
        self._values |= added
        # The longest first: of two values of which one begins with the other, all of the longer has to go.
        longest_first = sorted(self._values, key=lambda value: (-len(value), value))
        self._known = re.compile("|".join(map(re.escape, longest_first)))

    def __call__(self, text: str) -> str:
        """A text without its secrets."""
        if self._known is not None and any(map(text.__contains__, self._values)):
            text = self._known.sub(MASK, text)
        signs = any(map(text.__contains__, _ANY_SIGN)) or ("@" in text and "://" in text)
        lowered = text.lower()
        if not signs and not any(map(lowered.__contains__, _SIGNS_IN_LOWER_CASE)):
            return text
        for kind, form in FORMS:
            if any(map(text.__contains__, _SIGNS.get(kind, ()))) or kind not in _SIGNS:
                text = form.sub(_without_secret, text)
        return text

    def line(self, text: str) -> str:
        """A line without its secrets; a private key, which is several lines, is masked up to its end."""
        if self._within_key:
            self._within_key = not _KEY_ENDS.search(text) and _KEY_LINE.fullmatch(text) is not None
            if self._within_key or _KEY_ENDS.search(text):
                return MASK
        elif "-----BEGIN" in text and _KEY_BEGINS.search(text):
            self._within_key = not _KEY_ENDS.search(text)
            return _KEY_BEGINS.split(self(text))[0] if not self._within_key else MASK
        return self(text)

    def text(self, text: str) -> str:
        """A text of several lines without its secrets."""
        if "\n" not in text:
            return self(text)
        masker = self._copy()
        return "\n".join(masker.line(line) for line in text.split("\n"))

    def deep(self, value: Any) -> Any:
        """A JSON value in which every text is without its secrets."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.deep(key): self.deep(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.deep(each) for each in value]
        return value

    def _copy(self) -> Masker:
        """One with the same values, that is in the middle of no key."""
        copy = Masker()
        copy._values, copy._known = self._values, self._known
        return copy


def stage_secrets(environment: Mapping[str, str], folders: Iterable[Path]) -> Iterator[str]:
    """The secrets that a stage is given.

    Args:
        environment: its variables; those with the name of a secret count, and passwords in addresses.
        folders: where Kubernetes Secrets are mounted; every file below counts.
    """
    for name, value in environment.items():
        if _SECRET_NAME.search(name) and not value.startswith("/"):
            yield value
        if "://" in value and "@" in value:
            yield from _password(value)
    files = [path for folder in folders for path in _files(folder)]
    token = environment.get("AWS_WEB_IDENTITY_TOKEN_FILE") or environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
    for path in [*files, *([Path(token)] if token else [])]:
        yield from _content(path)


def _files(folder: Path) -> list[Path]:
    # What people see of a mounted Secret; beside it Kubernetes has the same once more in folders with dots.
    if not folder.is_dir():
        return []
    # A host's key is public, a user name is mostly a word such as `git`.
    return [
        path for path in sorted(folder.iterdir()) if path.is_file() and path.name not in ("known_hosts", "username")
    ]


def _content(path: Path) -> Iterator[str]:
    try:
        if path.stat().st_size <= _LARGEST_FILE:
            yield path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return  # a mounted Secret may be replaced at this moment; what has the form of a credential is masked anyway


def _password(address: str) -> Iterator[str]:
    try:
        parts = urlsplit(address)
    except ValueError:
        return
    if parts.password:
        yield parts.password


def _printed(value: str) -> Iterator[str]:
    """A value as tools print it: as it is, in JSON, in a URL, in base64 at each of its three offsets."""
    if len(value) < SHORTEST or value.startswith("-----"):
        return
    yield value
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield quote(value, safe="")
    if len(value) >= _SHORTEST_IN_BASE64:
        raw = value.encode(errors="replace")
        for offset in range(3):
            # The first and last characters hold bits of what is before and after the value.
            begin = (offset * 8 + 5) // 6
            end = (len(raw) + offset) * 8 // 6
            encoded = base64.b64encode(b"\0" * offset + raw).decode()[begin:end]
            yield encoded
            yield encoded.replace("+", "-").replace("/", "_")


def _without_secret(found: re.Match[str]) -> str:
    groups = found.groupdict()
    if groups.get("secret") is None:
        return MASK
    begin, end = found.span("secret")
    whole = found.group()
    return whole[: begin - found.start()] + MASK + whole[end - found.start() :]
