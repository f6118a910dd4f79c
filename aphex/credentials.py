"""Finds credentials in a configuration, where they must never be. What is found is named, and never repeated.

Forms: AWS identifiers (IAM User Guide, "Understanding unique ID prefixes"), GitHub tokens ("Behind GitHub's new
authentication token formats"), Slack tokens and webhooks, PEM private keys, JSON web tokens (RFC 7519), and userinfo in
a URL (RFC 3986).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

# What is secret in a match is its group `secret`, or all of it.
FORMS = (
    ("an AWS access key id", re.compile(r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b")),
    ("a private key", re.compile(r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----")),
    ("a GitHub token", re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,})")),
    ("a GitLab token", re.compile(r"\bglpat-[A-Za-z0-9_-]{20,}")),
    ("a Slack token", re.compile(r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}")),
    ("a Slack webhook", re.compile(r"hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/_-]{10,}")),
    ("an npm token", re.compile(r"\bnpm_[A-Za-z0-9]{36}\b")),
    ("a JSON web token", re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}")),
    ("a password in a URL", re.compile(r"[a-z][a-z0-9+.-]*://[^\s/:@$]*:(?P<secret>[^\s/@$]+)@", re.IGNORECASE)),
    (
        "a secret that is assigned in the text",
        re.compile(
            r"(?i)\b(?:aws_)?(?:secret_?access_?key|session_?token|password|passwd|api_?key|auth_?token|client_?secret)"
            r"[\"']?\s*[=:]\s*[\"']?(?![$<{\"'\s])(?P<secret>[^\s\"']{8,})"
        ),
    ),
)
_SECRET_KEY = re.compile(
    r"(?i)(?:^|[._-])(?:aws_?)?(?:secret(?:_?access)?_?key|access_?key(?:_?id)?|session_?token|password|passwd|api_?key"
    r"|auth_?token|client_?secret|private_?key|token|secret)$"
)
_SECRET_ACCESS_KEY = re.compile(
    r"(?<![A-Za-z0-9/+])(?=[A-Za-z0-9/+]*[A-Z])(?=[A-Za-z0-9/+]*[a-z])(?=[A-Za-z0-9/+]*\d)"
    r"[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])"
)
# `notifications[].secret_key` is the name of a key in a Kubernetes Secret.
_NAMES = (("notifications", "secret_key"),)
_REFERENCE = re.compile(r"^\s*(?:\$\{?[A-Za-z_]|\{\{|arn:aws[a-z-]*:(?:secretsmanager|ssm):|$)")


@dataclass(frozen=True)
class FoundCredential:
    """Where a credential is, and what kind of thing it looks like; never the thing itself."""

    path: tuple[str | int, ...]
    kind: str

    @property
    def message(self) -> str:
        """What to say of it."""
        return (
            f"holds what looks like {self.kind}. Credentials do not belong in a repository: "
            "remove it, treat it as leaked, and use a role, a Kubernetes Secret or Secrets Manager."
        )


def find_credentials(document: Any, path: tuple[str | int, ...] = ()) -> list[FoundCredential]:
    """Find every value, and every key, that is or contains a credential."""
    return list(_walk(document, path))


def _walk(value: Any, path: tuple[str | int, ...]) -> Iterator[FoundCredential]:
    if isinstance(value, dict):
        for key, each in value.items():
            kind = credential_kind(str(key))
            if kind is not None:
                yield FoundCredential(path, kind)
            else:
                yield from _walk(each, (*path, str(key)))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _walk(each, (*path, index))
    elif isinstance(value, str):
        kind = credential_kind(value) or _by_key(path, value)
        if kind is not None:
            yield FoundCredential(path, kind)


def credential_kind(text: str) -> str | None:
    """What kind of credential a text contains; None when it contains none that can be told."""
    found = next((kind for kind, form in FORMS if form.search(text)), None)
    if found is None and _SECRET_ACCESS_KEY.search(text):
        return "an AWS secret access key"
    return found


def _by_key(path: tuple[str | int, ...], value: str) -> str | None:
    key = next((part for part in reversed(path) if isinstance(part, str)), "")
    if tuple(part for part in path if isinstance(part, str)) in _NAMES:
        return None
    if _SECRET_KEY.search(key) and not _REFERENCE.search(value):
        return f"the value of a secret ({key})"
    return None
