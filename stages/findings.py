"""What a check found: the field, what is wrong, and how to mend it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from aphex.config import CONFIG_FILE
from aphex.loader import ConfigError, field_lines


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One reason not to run, or, as a warning, one that may turn out to be.

    Attributes:
        field: where in the configuration, such as `environments[1].role`; empty when it is no field's fault.
        cause: what is wrong.
        fix: what to do about it.
        line: line of the configuration, from 1; 0 when unknown.
        warning: whether it stops nothing.
    """

    field: str
    cause: str
    fix: str
    line: int = 0
    warning: bool = False

    def as_json(self) -> dict[str, object]:
        """For the result and the error record."""
        return asdict(self)

    def lines(self, file: str = CONFIG_FILE) -> list[str]:
        """For people; `file` is what the configuration is called."""
        place = f"{file}:{self.line}" if self.line else file
        first = f"{'warning: ' if self.warning else ''}{place}  {self.field}".rstrip()
        return [first, *(f"  {line}" for text in (self.cause, self.fix) for line in text.splitlines())]


def configuration_findings(error: ConfigError) -> list[Finding]:
    """Every problem of the configuration."""
    fix = f"Correct {CONFIG_FILE} and push again."
    return [
        Finding(field=problem.field, cause=problem.message, fix=fix, line=problem.line) for problem in error.problems
    ]


def with_lines(findings: Iterable[Finding], config: Path) -> list[Finding]:
    """The findings with the lines of their fields in the configuration file."""
    known: Sequence[Finding] = list(findings)
    lines = field_lines(config, [finding.field for finding in known if finding.field])
    return [replace(each, line=each.line or lines.get(each.field, 0)) for each in known]
