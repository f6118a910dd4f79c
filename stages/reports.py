"""Test reports in JUnit's XML: kept beside the stage's result, and counted."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from stages.artifact import walk
from stages.globs import matches
from stages.runner import Stage

_MAX_BYTES = 50_000_000


@dataclass(frozen=True)
class Counts:
    """How many tests there were, and how they ended."""

    tests: int = 0
    failures: int = 0
    errors: int = 0
    skipped: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.tests + other.tests,
            self.failures + other.failures,
            self.errors + other.errors,
            self.skipped + other.skipped,
        )


def find_reports(source: Path, globs: Sequence[str]) -> list[str]:
    """The files that the globs mean, in the order of their paths."""
    if not globs:
        return []
    return sorted(
        file.path for file in walk(source) if file.kind == "file" and any(matches(file.path, glob) for glob in globs)
    )


def count(report: Path) -> Counts | None:
    """What a report says; None when it is not JUnit's XML.

    Counted are the test cases themselves, because tools disagree on the attributes of the suites around them.
    """
    if report.stat().st_size > _MAX_BYTES:
        return None
    try:
        cases = list(ElementTree.parse(report).iter("testcase"))  # noqa: S314  # the team's own file, in its own pod
    except ElementTree.ParseError:
        return None
    return Counts(
        tests=len(cases),
        failures=sum(case.find("failure") is not None for case in cases),
        errors=sum(case.find("error") is not None for case in cases),
        skipped=sum(case.find("skipped") is not None for case in cases),
    )


def keep_reports(stage: Stage, globs: Sequence[str]) -> dict[str, Any]:
    """Store the reports that tests wrote; returns where they are and what they say, for the stage's result."""
    prefix = PurePosixPath(stage.context.keys.result(stage.context.stage)).with_suffix("")
    total, kept = Counts(), []
    for path in find_reports(stage.workspace.source, globs):
        file, key = stage.workspace.source / path, str(prefix / path)
        counts = count(file)
        stage.store.put_file(key, file, content_type="application/xml", metadata={}, tags={})
        kept.append(key)
        if counts is None:
            stage.console.line(f"{path}: kept, but it is not JUnit XML")
        else:
            total += counts
    if not globs:
        return {}
    if not kept:
        stage.console.line(f"No report is {', '.join(globs)}.")
    stage.console.line(
        f"Reports: {total.tests} tests, {total.failures} failures, {total.errors} errors, {total.skipped} skipped"
    )
    return {"reports": kept, **asdict(total)}
