"""Changes that would lose data, what a pipeline leaves behind, and whose a pipeline's name is."""

from __future__ import annotations

from typing import Any

import pytest

from automation.access import AwsAccess, KubernetesAccess
from automation.changes import PropertyChange, ResourceChange
from automation.console import Terminal
from automation.data_loss import (
    EVENT_BUS,
    HOLDERS,
    Consent,
    DataLossRefused,
    agree_to_losses,
    losses,
    protected_urns,
)
from automation.left_behind import deployed_before, left_behind
from automation.ownership import NamespaceView, NotOurs, check_cluster, judge_namespace
from automation.target import Target
from tests.support.example import example_secrets, example_settings


def change(operation: str, kind: str = "aws:s3/bucket:Bucket", *properties: PropertyChange) -> ResourceChange:
    urn = f"urn:pulumi:pipeline-shop::aphex::{kind}::shop"
    return ResourceChange(operation=operation, type=kind, name="shop", urn=urn, properties=properties)


def target() -> Target:
    return Target(
        settings=example_settings(),
        secrets=example_secrets(),
        aws=AwsAccess(region="us-east-1"),
        kubernetes=KubernetesAccess(),
    )


@pytest.mark.parametrize("kind", sorted(HOLDERS))
@pytest.mark.parametrize(("operation", "expected"), [("create", 0), ("update", 0), ("replace", 1), ("delete", 1)])
def test_what_holds_data_loses_it_by_deletion_and_by_replacement(kind: str, operation: str, expected: int) -> None:
    assert len(losses([change(operation, kind)])) == expected


@pytest.mark.parametrize(
    "kind", ["aws:iam/role:Role", "kubernetes:core/v1:ConfigMap", "aws:s3/bucketPolicy:BucketPolicy"]
)
def test_what_holds_nothing_loses_nothing(kind: str) -> None:
    assert losses([change("delete", kind), change("replace", kind)]) == []


@pytest.mark.parametrize(
    ("path", "kind", "loses"),
    [
        ("spec.jetstream.persistence.storageClassName", "update", True),
        ("spec.jetstream.persistence", "delete", True),
        ("spec.jetstream", "delete", True),
        ("spec.jetstreamExotic", "add", True),
        ("spec.jetstream.replicas", "update", False),
        ("spec.jetstreamExotic.url", "update", False),
        ("metadata.labels", "update", False),
    ],
)
def test_an_event_bus_can_lose_its_events_though_it_stays(path: str, kind: str, loses: bool) -> None:
    found = losses([change("update", EVENT_BUS, PropertyChange(path=path, kind=kind))])
    assert bool(found) is loses


def test_a_loss_says_what_goes_and_why() -> None:
    moved = change("replace", "aws:dynamodb/table:Table", PropertyChange(path="hashKey", kind="update", replaces=True))
    [loss] = losses([moved], protected=[moved.urn])
    assert str(loss) == (
        "replace aws:dynamodb:Table shop: loses every record in it, because hashKey cannot be changed in place. "
        "It is protected."
    )


def test_protection_is_the_engine_s_and_that_of_aws() -> None:
    def resource(name: str, kind: str, **more: Any) -> dict[str, Any]:
        return {"urn": name, "type": kind, "custom": True, **more}

    deployment = {
        "resources": [
            resource("by-engine", "aws:s3/bucket:Bucket", protect=True),
            resource("by-aws", "aws:dynamodb/table:Table", inputs={"deletionProtectionEnabled": True}),
            resource("by-eks", "aws:eks/cluster:Cluster", inputs={"deletionProtection": True}),
            resource("open", "aws:dynamodb/table:Table", inputs={"deletionProtectionEnabled": False}),
            resource("no-data", "aws:iam/role:Role", protect=True),
        ]
    }
    assert protected_urns(deployment) == ["by-engine", "by-aws", "by-eks"]


def test_an_update_without_losses_needs_nobody_s_consent() -> None:
    agree_to_losses([], target().home, Consent.NEVER, Terminal())


def test_a_self_update_refuses_and_says_how_a_person_would_do_it(capsys: pytest.CaptureFixture[str]) -> None:
    found = losses([change("delete")])
    with pytest.raises(DataLossRefused) as refused:
        agree_to_losses(found, target().home, Consent.NEVER, Terminal())
    assert refused.value.message == (
        "The pipeline shop would lose data; nothing was changed:\n"
        "  delete aws:s3:Bucket shop: loses every object in it, with all versions."
    )
    assert refused.value.hint == (
        "A self-update never does that: take the change back, or, when the data may go, deploy it by hand from a "
        "checkout of this commit: python -m automation up --allow-data-loss --pipeline shop"
    )
    assert "! delete aws:s3:Bucket shop" in capsys.readouterr().err


def test_where_nobody_can_answer_the_flag_is_needed() -> None:
    found = losses([change("delete")])
    with pytest.raises(DataLossRefused, match="would lose data"):
        agree_to_losses(found, target().home, Consent.ASK, Terminal())
    agree_to_losses(found, target().home, Consent.GIVEN, Terminal())


class Person(Terminal):
    """Somebody who answers."""

    def __init__(self, answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        monkeypatch.setattr("sys.stdin.isatty", lambda: True)
        monkeypatch.setattr(self.err, "input", lambda _question: answer)


def test_a_person_agrees_by_the_name_and_not_by_habit(monkeypatch: pytest.MonkeyPatch) -> None:
    found = losses([change("delete")])
    agree_to_losses(found, target().home, Consent.ASK, Person("shop", monkeypatch))
    for answer in ("y", "yes", "", "store"):
        with pytest.raises(Exception, match=r"Nothing was done\."):
            agree_to_losses(found, target().home, Consent.ASK, Person(answer, monkeypatch))


def test_what_is_protected_is_not_lost_by_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    [doomed] = [change("delete")]
    found = losses([doomed], protected=[doomed.urn])
    with pytest.raises(DataLossRefused, match="It is protected"):
        agree_to_losses(found, target().home, Consent.ASK, Person("shop", monkeypatch))


def environment(name: str, *stacks: str, account: str = "222222222222", region: str = "eu-west-1") -> dict[str, Any]:
    return {"name": name, "account": account, "region": region, "stacks": list(stacks)}


def test_an_environment_that_is_removed_stays_deployed_and_is_told_by_name() -> None:
    before = [environment("dev", "Data", "Service"), environment("old", "Data", "App/Service", account="333333333333")]
    [left] = left_behind(before, before[:1])
    assert left.gone
    assert left.lines() == [
        "The environment old is not in the configuration any more. What it deployed stays in account 333333333333, "
        "eu-west-1: Data, App/Service.",
        "To remove it, with credentials of account 333333333333:",
        "  aws cloudformation delete-stack --region eu-west-1 --stack-name App-Service",
        "  aws cloudformation delete-stack --region eu-west-1 --stack-name Data",
    ]


def test_a_stack_that_is_removed_and_an_environment_that_moves_leave_theirs_behind() -> None:
    before = [environment("dev", "Data", "Service")]
    [fewer] = left_behind(before, [environment("dev", "Service")])
    assert (fewer.stacks, fewer.gone) == (("Data",), False)
    [moved] = left_behind(before, [environment("dev", "Data", "Service", region="us-east-1")])
    assert (moved.stacks, moved.region) == (("Data", "Service"), "eu-west-1")


def test_an_environment_that_is_renamed_leaves_nothing_behind() -> None:
    assert left_behind([environment("dev", "Data")], [environment("development", "Data")]) == []


def test_what_was_deployed_is_read_from_the_state() -> None:
    stack = {"type": "pulumi:pulumi:Stack", "urn": "u", "outputs": {"environments": [environment("dev", "Data")]}}
    assert deployed_before({"resources": [stack]}) == [environment("dev", "Data")]
    assert deployed_before({}) == []
    assert deployed_before({"resources": [{**stack, "outputs": {}}]}) == []


def namespace(repository: str | None = "aphex/shop", *, pipeline: str = "shop", ending: bool = False) -> NamespaceView:
    annotations = {} if repository is None else {"aphex/repository": repository}
    return NamespaceView(labels={"aphex/pipeline": pipeline}, annotations=annotations, ending=ending)


@pytest.mark.parametrize("found", [None, namespace(), namespace(None)])
def test_a_pipeline_may_take_its_own_namespace_and_one_that_is_not_there(found: NamespaceView | None) -> None:
    assert judge_namespace(example_settings(), found) is None


def test_a_pipeline_of_the_same_name_from_another_repository_is_refused() -> None:
    error = judge_namespace(example_settings(), namespace("acme/shop"))
    assert error is not None
    assert error.message == (
        "The cluster has a pipeline shop already: that of the repository acme/shop. This one is for aphex/shop; "
        "nothing was changed."
    )
    assert "pipeline.name" in error.hint
    assert "kubectl annotate --overwrite namespace aphex-shop aphex/repository=aphex/shop" in error.hint


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (namespace(pipeline="store"), "no pipeline's"),
        (NamespaceView(labels={}, annotations={}), "no pipeline's"),
        (namespace(ending=True), "still being removed"),
    ],
)
def test_a_namespace_that_is_not_free_is_refused(found: NamespaceView, words: str) -> None:
    error = judge_namespace(example_settings(), found)
    assert error is not None
    assert words in error.message


def test_a_pipeline_stays_on_its_cluster() -> None:
    settings = example_settings()
    check_cluster(settings, {})
    check_cluster(settings, {"token_issuer": settings.aws.oidc_issuer})
    with pytest.raises(NotOurs, match="on another cluster"):
        check_cluster(settings, {"token_issuer": "https://oidc.eks.eu-west-1.amazonaws.com/id/A"})
