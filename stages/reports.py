"""Test reports in JUnit's XML: kept beside the stage's result, and counted."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from xml.parsers import expat

from stages.artifact import walk
from stages.globs import matches
from stages.runner import Stage

_MAX_BYTES = 50_000_000
_CHUNK = 1 << 20


class NotJUnit(Exception):
    """Why a file is no report that can be counted."""


@dataclass(frozen=True)
class Counts:
    """How many tests there were, and how they ended.

    Attributes:
        tests: all of them.
        failures: those whose assertions failed.
        errors: those that broke.
        skipped: those that were not run.
        seconds: how long they took together.
    """

    tests: int = 0
    failures: int = 0
    errors: int = 0
    skipped: int = 0
    seconds: float = 0.0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.tests + other.tests,
            self.failures + other.failures,
            self.errors + other.errors,
            self.skipped + other.skipped,
            round(self.seconds + other.seconds, 3),
        )

    def __str__(self) -> str:
        return (
            f"{self.tests} tests, {self.failures} failures, {self.errors} errors, {self.skipped} skipped "
            f"in {self.seconds:g} s"
        )


def find_reports(source: Path, globs: Sequence[str]) -> dict[str, list[str]]:
    """The files that each glob means, in the order of their paths."""
    files = [file.path for file in walk(source) if file.kind == "file"] if globs else []
    return {glob: sorted(path for path in files if matches(path, glob)) for glob in globs}


def count(report: Path) -> Counts:
    """What a report says.

    Counted are the test cases themselves, because tools disagree on the attributes of the suites around them.

    Raises:
        NotJUnit: it is not JUnit's XML, or could not be read safely.
    """
    size = report.stat().st_size
    if size > _MAX_BYTES:
        raise NotJUnit(f"it has {size} bytes, and no more than {_MAX_BYTES} are read")
    try:
        root = _parse(report)
    except (ElementTree.ParseError, expat.ExpatError) as error:
        raise NotJUnit(f"it is not XML: {error}") from None
    except (ValueError, LookupError) as error:
        raise NotJUnit(f"it cannot be read: {error}") from None
    if root.tag not in ("testsuites", "testsuite"):
        raise NotJUnit(f"its root is <{root.tag}>, and that of JUnit's XML is <testsuites> or <testsuite>")
    cases = list(root.iter("testcase"))
    return Counts(
        tests=len(cases),
        failures=sum(case.find("failure") is not None for case in cases),
        errors=sum(case.find("error") is not None for case in cases),
        skipped=sum(case.find("skipped") is not None for case in cases),
        seconds=round(sum(_seconds(case.get("time")) for case in cases), 3),
    )


def _parse(report: Path) -> ElementTree.Element:
    """Read XML without entities, by which a small file becomes endless or reads other files."""
    builder = ElementTree.TreeBuilder()
    parser = expat.ParserCreate()

    def refuse(name: str, *_: object) -> None:
        raise NotJUnit(f'it declares the entity "{name}", and files with entities are not read')

    parser.EntityDeclHandler = refuse
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    with report.open("rb") as file:
        while chunk := file.read(_CHUNK):
            parser.Parse(chunk, False)
        parser.Parse(b"", True)
    return builder.close()


def _seconds(text: str | None) -> float:
    """A case's time; tools write 1,234.5 too."""
    try:
        value = float((text or "0").replace(",", ""))
    except ValueError:
        return 0.0
    return value if math.isfinite(value) and value > 0 else 0.0


def keep_reports(stage: Stage, globs: Sequence[str]) -> dict[str, Any]:
    """Store the reports that tests wrote; returns where they are and what they say, for the stage's result.

    A glob that means nothing and a file that is no report are warnings, and are part of the result.
    """
    if not globs:
        return {}
    prefix = PurePosixPath(stage.context.keys.result(stage.context.stage)).with_suffix("")
    found = find_reports(stage.workspace.source, globs)
    warnings = [f'No file is a report of the glob "{glob}".' for glob, paths in found.items() if not paths]
    total, kept = Counts(), []
    for path in sorted({path for paths in found.values() for path in paths}):
        file, key = stage.workspace.source / path, str(prefix / path)
        stage.store.put_file(key, file, content_type="application/xml", metadata={}, tags={})
        kept.append(key)
        try:
            total += count(file)
        except NotJUnit as error:
            warnings.append(f"{path} is kept, and not counted: {error}.")
    for warning in warnings:
        stage.console.line(f"warning: {warning}")
    stage.console.line(f"Reports: {total}")
    return {"reports": kept, **asdict(total), **({"report_warnings": warnings} if warnings else {})}
