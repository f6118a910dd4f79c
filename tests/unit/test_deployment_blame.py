"""Whose failure a failed call of the CDK CLI is: decided from facts, and from nothing else."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest

from aphex.config import Stack
from stages.assembly import CloudAssembly, StackArtifact, StackDeployment
from stages.blame import Blame, Course, blame, course
from stages.failure import Ended, unexplained
from stages.outage import speaks_of_outage, unreachable, wait_until_reachable

ARN = "arn:aws:cloudformation:us-east-1:222222222222:stack/Cow/1"
INNER = "arn:aws:cloudformation:us-east-1:222222222222:stack/Cow-Inner/2"
DEPLOYED, FAILED, BEGUN, UNTOUCHED = Course.DEPLOYED, Course.FAILED, Course.BEGUN, Course.UNTOUCHED


def stack(name: str) -> StackDeployment:
    artifact = StackArtifact(path=name, name=name, account="", region="", template=Path("t.json"), id=name)
    return StackDeployment(Stack(name=name, path="."), artifact, CloudAssembly(Path(), ".", (artifact,)))


DOG, COW, ANT = stack("Dog"), stack("Cow"), stack("Ant")


def event(status: str, physical: str = ARN, kind: str = "AWS::CloudFormation::Stack") -> Any:
    return {"StackId": ARN, "ResourceType": kind, "PhysicalResourceId": physical, "ResourceStatus": status}


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([], UNTOUCHED),
        ([event("CREATE_COMPLETE"), event("CREATE_IN_PROGRESS")], DEPLOYED),
        ([event("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"), event("UPDATE_IN_PROGRESS")], DEPLOYED),
        ([event("UPDATE_ROLLBACK_COMPLETE"), event("UPDATE_FAILED"), event("UPDATE_IN_PROGRESS")], FAILED),
        ([event("ROLLBACK_IN_PROGRESS"), event("CREATE_IN_PROGRESS")], FAILED),
        ([event("CREATE_FAILED"), event("CREATE_IN_PROGRESS")], FAILED),
        ([event("REVIEW_IN_PROGRESS")], BEGUN),
        ([event("CREATE_IN_PROGRESS"), event("DELETE_COMPLETE")], BEGUN),
        # The newest event is about a nested stack, which is a resource of this one.
        ([event("CREATE_COMPLETE", INNER), event("UPDATE_IN_PROGRESS")], BEGUN),
        ([event("CREATE_COMPLETE", "topic", "AWS::SNS::Topic")], BEGUN),
    ],
)
def test_what_became_of_a_stack_is_read_from_its_own_events(events: list[Any], expected: Course) -> None:
    assert course(events) is expected


@pytest.mark.parametrize(
    ("courses", "named", "begun", "expected"),
    [
        # CloudFormation knows whose failure it is, whatever the CLI says.
        ((DEPLOYED, FAILED, UNTOUCHED), None, None, Blame((True,), COW)),
        ((DEPLOYED, BEGUN, UNTOUCHED), None, DOG, Blame((True,), COW)),
        ((UNTOUCHED, UNTOUCHED, FAILED), COW, COW, Blame((False, False), ANT)),
        # It has heard of no failure: the one that the CLI names has failed before that.
        ((DEPLOYED, UNTOUCHED, UNTOUCHED), COW, COW, Blame((True,), COW)),
        ((UNTOUCHED, UNTOUCHED, UNTOUCHED), ANT, None, Blame((), ANT)),
        ((DEPLOYED, DEPLOYED, UNTOUCHED), COW, COW, Blame((True,), COW)),
        # The CLI names none, but said what it was about to deploy.
        ((UNTOUCHED, UNTOUCHED, UNTOUCHED), None, DOG, Blame((), DOG)),
        ((DEPLOYED, UNTOUCHED, UNTOUCHED), None, DOG, Blame((True,), None)),
        # Nothing speaks against any of them.
        ((UNTOUCHED, DEPLOYED, UNTOUCHED), None, None, Blame((False, True), None)),
        ((UNTOUCHED, UNTOUCHED, UNTOUCHED), None, None, Blame((), None)),
        # CloudFormation cannot be asked.
        (None, COW, DOG, Blame((), COW, known=False)),
        (None, None, DOG, Blame((), DOG, known=False)),
        (None, None, None, Blame((), None, known=False)),
    ],
)
def test_the_blame_is_decided_from_facts(
    courses: tuple[Course, ...] | None, named: StackDeployment | None, begun: StackDeployment | None, expected: Blame
) -> None:
    known = dict(zip(("Dog", "Cow", "Ant"), courses, strict=True)) if courses is not None else None
    assert blame([DOG, COW, ANT], known, named, begun) == expected


def test_where_nothing_is_known_nobody_is_blamed() -> None:
    ended = Ended(command=["cdk"], since=datetime(2026, 1, 1, tzinfo=UTC), exit_code=7, output="boo\n")
    error = unexplained([COW, ANT], ended, known=False)
    assert (error.message, error.hint) == (
        "The deployment of Cow, Ant failed with exit status 7.\n"
        "boo\n"
        "CloudFormation cannot be asked about them, and the CDK CLI says of none that it failed.",
        "What is still going on, the next run waits for.",
    )
    assert "stack" not in error.details


@pytest.mark.parametrize(
    ("complaint", "expected"),
    [
        ("❌  Ant failed to deploy\n‣ Error: connect ECONNREFUSED 127.0.0.1:33099", True),
        ("‣ getaddrinfo EAI_AGAIN cloudformation.eu-west-1.amazonaws.com", True),
        ('‣ Could not connect to the endpoint URL: "https://sts.eu-west-1.amazonaws.com/"', True),
        ("‣ NoCredentials: Need to perform AWS calls for account 1, but no credentials have been configured", True),
        ("‣ AccessDenied: User is not authorized to perform: cloudformation:CreateStack", False),
        ("", False),
    ],
)
def test_a_connection_that_failed_is_recognised(complaint: str, expected: bool) -> None:
    assert speaks_of_outage(complaint) is expected


def test_an_outage_is_waited_for_and_that_is_said() -> None:
    answers = iter(["refused.", "refused.", ""])
    said: list[str] = []
    assert wait_until_reachable(lambda: next(answers), said.append, float("inf"), poll=0)
    assert said == ["AWS cannot be reached: refused. Waiting until it answers."]


def test_waiting_for_an_outage_has_an_end() -> None:
    assert not wait_until_reachable(lambda: "refused.", lambda _: None, 0.0)


def test_whether_aws_answers_is_seen_without_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refuses(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(403)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    session: Any = boto3.Session(region_name="us-east-1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Refuses) as server:
        url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        assert unreachable(session, "us-east-1") == ""
        server.shutdown()
        thread.join()
    assert unreachable(session, "us-east-1") == f'Could not connect to the endpoint URL: "{url}"'
