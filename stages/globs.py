"""Globs over paths in a repository, with `**` for any depth."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_TOKENS = re.compile(r"\*\*/|\*\*|\*|\?|\[!?[^\]/]+\]|.", re.DOTALL)


@lru_cache(maxsize=256)
def pattern(glob: str) -> re.Pattern[str]:
    """The regular expression of a glob.

    `*` and `?` stay within a name, `**` crosses folders, `[abc]` is one of several characters; all of them also
    mean names that begin with a dot. A folder's name stands for all that is in it.
    """
    relative = _composed(glob).removeprefix("./").rstrip("/")
    translated = "".join(_translate(token) for token in _TOKENS.findall(relative))
    return re.compile(f"{translated}(?:/.*)?", re.DOTALL)


def _translate(token: str) -> str:
    if token.startswith("[") and len(token) > 1:
        return _one_of(token[1:-1])
    return {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(token, re.escape(token))


def _one_of(characters: str) -> str:
    negated = characters.startswith("!")
    inside = re.sub(r"([\[\]\\^&~|])", r"\\\1", characters.removeprefix("!"))
    return f"(?!/)[{'^' if negated else ''}{inside}]"


def _composed(text: str) -> str:
    # An accent is one character with some editors and systems, and a character of its own with others.
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def matches(path: str, glob: str) -> bool:
    """Whether a path, relative and with `/`, is what the glob means or lies in it."""
    return pattern(glob).fullmatch(_composed(path)) is not None
