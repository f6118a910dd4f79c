"""Keeps a run's item within what DynamoDB takes, 400 kB, however much the stages have to say.

What is cut here is whole in the artifact bucket: errors, results and outputs each have their own object there.
"""

from __future__ import annotations

import json
from typing import Any

TEXT_BYTES = 1_000
ENTRY_BYTES = 2_500
OUTPUTS_BYTES = 3_000
_CUT = " …"


def cut(text: str, limit: int = TEXT_BYTES) -> str:
    """The text's beginning, of at most so many bytes in UTF-8."""
    data = text.encode("utf-8", errors="replace")
    if len(data) <= limit:
        return text
    return data[: limit - len(_CUT.encode())].decode("utf-8", errors="ignore") + _CUT


def cut_tail(text: str, limit: int) -> str:
    """The text's last whole lines, of at most so many bytes in UTF-8."""
    kept: list[str] = []
    size = 0
    for line in reversed(text.splitlines()):
        short = cut(line, limit)
        size += len(short.encode("utf-8", errors="replace")) + 1
        if size > limit and kept:
            break
        kept.insert(0, short)
    return "\n".join(kept)


def size_of(value: Any) -> int:
    """About what a value takes in an item, in bytes."""
    return len(json.dumps(value, ensure_ascii=False, default=str).encode("utf-8", errors="replace"))


def bounded(value: Any, see: str, limit: int = ENTRY_BYTES) -> Any:
    """A JSON value with its texts cut; where it is when it is too large even so."""
    short = _shortened(value)
    return short if size_of(short) <= limit else {"see": see}


def bounded_error(error: dict[str, Any], see: str) -> dict[str, Any]:
    """An error with its texts cut, type and message kept whatever else goes."""
    short = _shortened(error)
    for key in ("events", "findings", "output", "command", "hint"):
        if size_of(short) > ENTRY_BYTES and key in short:
            short = {name: each for name, each in short.items() if name != key}
    if size_of(short) <= ENTRY_BYTES:
        return dict(short)
    return {"type": str(short.get("type", "")), "message": cut(str(short.get("message", ""))), "see": see}


def _shortened(value: Any) -> Any:
    if isinstance(value, str):
        return cut(value)
    if isinstance(value, dict):
        return {str(key): _shortened(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_shortened(each) for each in value]
    return value
