"""Globs over paths in a repository, with `**` for any depth."""

from __future__ import annotations

import re
from functools import lru_cache

_TOKENS = re.compile(r"\*\*/|\*\*|\*|\?|\[!?[^\]/]+\]|.", re.DOTALL)


@lru_cache(maxsize=256)
def pattern(glob: str) -> re.Pattern[str]:
    """The regular expression of a glob.

    `*` and `?` stay within a name, `**` crosses folders, `[abc]` is one of several characters; a folder's
    name stands for all that is in it.
    """
    translated = "".join(_translate(token) for token in _TOKENS.findall(glob.removeprefix("./").rstrip("/")))
    return re.compile(f"{translated}(?:/.*)?", re.DOTALL)


def _translate(token: str) -> str:
    if token.startswith("[") and len(token) > 1:
        return token.replace("[!", "[^", 1).replace("\\", "\\\\")
    return {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(token, re.escape(token))


def matches(path: str, glob: str) -> bool:
    """Whether a path, relative and with `/`, is what the glob means or lies in it."""
    return pattern(glob).fullmatch(path) is not None
