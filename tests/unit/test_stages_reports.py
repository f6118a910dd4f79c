"""Test reports: what is counted, what is refused, and what the stage keeps and says of them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from stages.clients import PipelineClients
from stages.console import Console
from stages.context import StageContext
from stages.reports import Counts, NotJUnit, count, keep_reports
from stages.runner import Stage
from stages.store import RunStore
from stages.table import RunTable
from stages.workspace import Workspace
from tests.support.moto_endpoint import MotoEndpoint, moto_endpoint
from tests.support.pod import RUN, Pod, make_stores
from tests.support.repository import Repository

# As pytest and Gradle write them: with suites in suites and wrong sums in their attributes.
PYTEST = """\
<?xml version="1.0" encoding="utf-8"?>
<testsuites><testsuite name="pytest" tests="99" failures="9"><properties/>
<testcase classname="a" name="one" time="0.25"/>
<testcase classname="a" name="two" time="1,000.5"><failure message="x">assert</failure></testcase>
<testsuite name="inner"><testcase name="three" time="nan"><error/></testcase></testsuite>
<testcase classname="a" name="four" time=""><skipped/></testcase>
</testsuite></testsuites>
"""
ONE = '<testsuite><testcase name="é" time="0.1"/></testsuite>'
BOMB = """\
<?xml version="1.0"?>
<!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;">]>
<testsuites><testsuite><testcase name="&lol2;"/></testsuite></testsuites>
"""
OUTSIDE = """\
<!DOCTYPE x [<!ENTITY passwords SYSTEM "file:///etc/passwd">]>
<testsuite><testcase name="&passwords;"/></testsuite>
"""


@pytest.fixture(scope="module")
def aws() -> Iterator[MotoEndpoint]:
    with moto_endpoint() as endpoint:
        make_stores(endpoint)
        yield endpoint


def test_cases_are_counted_and_their_times_summed(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(PYTEST)
    (tmp_path / "b.xml").write_text(ONE, encoding="utf-8")
    found = [count(tmp_path / name) for name in ("a.xml", "b.xml")]
    assert found == [Counts(4, 1, 1, 1, 1000.75), Counts(1, 0, 0, 0, 0.1)]
    assert str(found[0] + found[1]) == "5 tests, 1 failures, 1 errors, 1 skipped in 1000.85 s"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is not XML: no element found: line 1, column 0"),
        ("<testsuite><testcase>", "it is not XML: no element found: line 1, column 21"),
        ("<testsuite></testcase>", "it is not XML: mismatched tag: line 1, column 13"),
        ("<html/>", "its root is <html>, and that of JUnit's XML is <testsuites> or <testsuite>"),
        (BOMB, 'it declares the entity "lol", and files with entities are not read'),
        (OUTSIDE, 'it declares the entity "passwords", and files with entities are not read'),
        ('<?xml version="1.0" encoding="x-none"?><testsuite/>', "it cannot be read: unknown encoding: x-none"),
    ],
)
def test_what_is_no_report_is_refused_with_its_reason(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(NotJUnit) as caught:
        count(tmp_path / "a.xml")
    assert str(caught.value) == why


def test_a_report_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "a.xml").open("wb") as file:
        file.truncate(50_000_001)
    with pytest.raises(NotJUnit) as caught:
        count(tmp_path / "a.xml")
    assert str(caught.value) == "it has 50000001 bytes, and no more than 50000000 are read"


def test_reports_are_kept_and_what_cannot_be_counted_is_told(
    aws: MotoEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("AWS_ENDPOINT_URL", aws.url), ("AWS_ACCESS_KEY_ID", "k"), ("AWS_SECRET_ACCESS_KEY", "s")):
        monkeypatch.setenv(name, value)
    pod = Pod(aws, Repository(tmp_path / "repository"), tmp_path)
    context = StageContext.from_environment(pod.variables("test-dev", "a" * 40))
    workspace = Workspace(tmp_path / "workspace")
    workspace.prepare()
    files = {"a/one.xml": PYTEST, "a/b/two.xml": ONE, "a/b/bomb.xml": BOMB, "broken.xml": "<", "other.txt": "x"}
    for name, text in files.items():
        (workspace.source / name).parent.mkdir(parents=True, exist_ok=True)
        (workspace.source / name).write_text(text, encoding="utf-8")
    clients, printed = PipelineClients(context.region), io.StringIO()
    with Console(workspace.log, printed) as console:
        stage = Stage(
            context=context,
            console=console,
            clients=clients,
            store=RunStore(clients, context.bucket),
            table=RunTable(clients, context),
            workspace=workspace,
        )
        assert keep_reports(stage, []) == {}
        result = keep_reports(stage, ["a/**/*.xml", "a/one.xml", "broken.xml", "none/*.xml"])
    kept = [
        f"runs/{RUN}/results/test-dev/{name}" for name in ("a/b/bomb.xml", "a/b/two.xml", "a/one.xml", "broken.xml")
    ]
    warnings = [
        'No file is a report of the glob "none/*.xml".',
        'a/b/bomb.xml is kept, and not counted: it declares the entity "lol", and files with entities are not read.',
        "broken.xml is kept, and not counted: it is not XML: unclosed token: line 1, column 0.",
    ]
    assert result == {
        "reports": kept,
        "tests": 5,
        "failures": 1,
        "errors": 1,
        "skipped": 1,
        "seconds": 1000.85,
        "report_warnings": warnings,
    }
    assert printed.getvalue().splitlines() == [
        *(f"warning: {warning}" for warning in warnings),
        "Reports: 5 tests, 1 failures, 1 errors, 1 skipped in 1000.85 s",
    ]
    assert {key: pod.text(key) for key in kept} == {
        key: files[key.removeprefix(f"runs/{RUN}/results/test-dev/")] for key in kept
    }
