"""Commands as they are typed, run in the test's own process."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from automation import cli


@dataclass(frozen=True)
class Typed:
    """What came of a command."""

    exit_code: int
    output: str
    errors: str

    @property
    def document(self) -> Any:
        """What it printed with `--json`."""
        return json.loads(self.output)


Type = Callable[..., Typed]


def typing(patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str) -> Type:
    """What types one of the program's commands with more words."""

    def enter(*words: str) -> Typed:
        patch.setattr(sys, "argv", ["automation", command, *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return Typed(int(ended.value.code or 0), printed.out, printed.err)

    return enter
