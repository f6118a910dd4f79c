"""The webhooks of one repository: where its events go, and how they are signed; as GitHub keeps them."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

EVENTS = ("push", "pull_request")
ANY_EVENT = "*"
_FILE = "webhooks.json"


class Hook(BaseModel):
    """One webhook."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: int
    url: str
    events: tuple[str, ...] = EVENTS
    active: bool = True
    content_type: Literal["json", "form"] = "json"
    secret: str | None = Field(default=None, repr=False, description="None: the sandbox's; empty: nothing is signed")
    own: bool = Field(default=False, description="Whether `up` made it, for the pipeline of the repository")
    kubeconfig: str | None = Field(default=None, description="Has the credentials, when the URL is an API server's")
    context: str | None = Field(default=None, description="Of the kubeconfig; None is its current one")
    created_at: str = ""
    updated_at: str = ""

    def takes(self, event: str) -> bool:
        """Whether an event is sent to it. A ping always is."""
        return event == "ping" or (self.active and (event in self.events or ANY_EVENT in self.events))


class _Hooks(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    hooks: tuple[Hook, ...] = ()


class HookStore:
    """The webhooks of the repository in a folder, in a file that only its owner can read."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / _FILE

    def all(self) -> list[Hook]:
        """All of them, oldest first."""
        if not self._file.exists():
            return []
        return list(_Hooks.model_validate_json(self._file.read_bytes()).hooks)

    def find(self, number: int) -> Hook | None:
        """The one with that id."""
        return next((each for each in self.all() if each.id == number), None)

    def add(self, url: str, **values: Any) -> Hook:
        """Add one."""
        with self._locked():
            return self._add(self.all(), url, values)

    def change(self, number: int, **values: Any) -> Hook | None:
        """Give one other values; None when there is none with that id."""
        with self._locked():
            return self._change(self.all(), number, values)

    def remove(self, number: int) -> bool:
        """Remove one; whether it was there."""
        with self._locked():
            present = self.all()
            left = [each for each in present if each.id != number]
            self._save(left)
            return len(left) < len(present)

    def set_own(self, url: str, kubeconfig: Path | None, context: str | None) -> Hook:
        """Let the webhook of the repository's own pipeline go to a URL from now on."""
        values: dict[str, Any] = {"own": True, "kubeconfig": str(kubeconfig.absolute()) if kubeconfig else None}
        values["context"] = context if kubeconfig else None
        with self._locked():
            present = self.all()
            former = next((each for each in present if each.own or each.url == url), None)
            if former is None:
                return self._add(present, url, values)
            if all(getattr(former, name) == value for name, value in {**values, "url": url}.items()):
                return former
            changed = self._change(present, former.id, {**values, "url": url})
            assert changed is not None
            return changed

    def _add(self, present: list[Hook], url: str, values: dict[str, Any]) -> Hook:
        number, now = max((each.id for each in present), default=0) + 1, _now()
        hook = Hook(id=number, url=url, created_at=now, updated_at=now, **values)
        self._save([*present, hook])
        return hook

    def _change(self, present: list[Hook], number: int, values: dict[str, Any]) -> Hook | None:
        former = next((each for each in present if each.id == number), None)
        if former is None:
            return None
        hook = Hook.model_validate(former.model_dump() | values | {"updated_at": _now()})
        self._save([hook if each.id == number else each for each in present])
        return hook

    def _save(self, hooks: list[Hook]) -> None:
        temporary = self._file.with_suffix(f".{os.getpid()}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(_Hooks(hooks=tuple(hooks)).model_dump_json(indent=2) + "\n")
        temporary.replace(self._file)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._file.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
