"""A real git repository of the test's own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aphex.process import run

_IDENTITY = {
    "GIT_AUTHOR_NAME": "Ann",
    "GIT_AUTHOR_EMAIL": "ann@example.com",
    "GIT_COMMITTER_NAME": "Ann",
    "GIT_COMMITTER_EMAIL": "ann@example.com",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
}


@dataclass(frozen=True)
class Repository:
    """Where it is."""

    path: Path

    @property
    def url(self) -> str:
        """What to clone it from."""
        return f"file://{self.path}"

    def git(self, *arguments: str) -> str:
        """Run git in it; returns what it prints."""
        return run(["git", *arguments], cwd=self.path, env={**os.environ, **_IDENTITY}).output.strip()

    def commit(self, files: Mapping[str, str | None], message: str = "change") -> str:
        """Write files (None removes one) and commit them; returns the SHA."""
        for name, text in files.items():
            path = self.path / name
            if text is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")


def new_repository(path: Path) -> Repository:
    """Make an empty repository whose branch is main."""
    path.mkdir(parents=True)
    repository = Repository(path)
    repository.git("init", "--quiet", "--initial-branch=main")
    return repository
