"""The words that IAM policies are written in."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

Statement = dict[str, Any]
Document = dict[str, Any]

_VERSION = "2012-10-17"


def document(statements: Iterable[Statement]) -> Document:
    """A policy document of these statements."""
    return {"Version": _VERSION, "Statement": list(statements)}


def allow(sid: str, actions: Iterable[str], resources: Iterable[str], **more: Any) -> Statement:
    """A statement that allows the actions on the resources."""
    return {"Sid": sid, "Effect": "Allow", "Action": list(actions), "Resource": list(resources), **more}


def deny(sid: str, actions: Iterable[str], resources: Iterable[str], **more: Any) -> Statement:
    """A statement of a resource's policy that denies the actions to everybody."""
    return {
        "Sid": sid,
        "Effect": "Deny",
        "Principal": {"AWS": "*"},
        "Action": list(actions),
        "Resource": list(resources),
        **more,
    }


def text(policy: Document) -> str:
    """A document as AWS takes it, without white space, which counts in some of IAM's limits."""
    return json.dumps(policy, separators=(",", ":"))
