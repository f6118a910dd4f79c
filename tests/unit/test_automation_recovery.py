"""What a killed `up` leaves behind, and how it is settled."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from automation.locks import (
    Holder,
    Lock,
    Verdict,
    Witness,
    abandoned,
    is_update_pod,
    judge,
    parse_lock,
    pulumi_started,
    waiting_line,
)
from automation.pending import plan_repair, resource_id

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
RUN = "urn:pulumi:pipeline-shop::aphex::aphex:Pipeline"


def lock(**changes: Any) -> Lock:
    values = {"key": "k", "pid": 4711, "host": "here", "user": "me", "since": NOW}
    return Lock(**{**values, **changes})


def witness(started: dict[int, datetime] | None = None, pods: dict[str, dict[str, str]] | None = None) -> Witness:
    return Witness(host="here", started=(started or {}).get, pods=(pods or {}).get)


POD = "shop-x-self-update-1"


@pytest.mark.parametrize(
    ("held", "seen", "expected"),
    [
        (
            lock(),
            witness(),
            Verdict(holder=Holder.GONE, reason="no Pulumi with the process id 4711 runs on this machine, here"),
        ),
        (
            lock(),
            witness(started={4711: NOW - timedelta(seconds=3)}),
            Verdict(holder=Holder.ALIVE, reason="the process 4711 runs"),
        ),
        (
            lock(),
            witness(started={4711: NOW + timedelta(hours=1)}),
            Verdict(holder=Holder.GONE, reason="the process id 4711 belongs to another process, which began later"),
        ),
        (
            lock(host=POD),
            witness(pods={POD: {POD: "Running"}}),
            Verdict(holder=Holder.ALIVE, reason=f"its pod {POD} runs"),
        ),
        (
            lock(host=POD),
            witness(pods={POD: {POD: "Failed"}}),
            Verdict(holder=Holder.GONE, reason=f"its pod {POD} has ended (Failed)"),
        ),
        (
            lock(host=POD),
            witness(pods={POD: {}}),
            Verdict(holder=Holder.GONE, reason=f"its pod {POD} does not exist any more"),
        ),
        (
            lock(host="elsewhere"),
            witness(),
            Verdict(holder=Holder.UNKNOWN, reason="nothing is known here of elsewhere"),
        ),
        # Two attempts of one stage, whose long names were cut to the same host name; this is one of them.
        (
            lock(),
            witness(pods={"here": {"here-1": "Running", "here-2": "Running"}}),
            Verdict(holder=Holder.ALIVE, reason="its pod here-1, here-2 runs"),
        ),
        (
            lock(),
            witness(pods={"here": {"here-1": "Failed", "here-2": "Running"}}),
            Verdict(holder=Holder.GONE, reason="no Pulumi with the process id 4711 runs on this machine, here"),
        ),
    ],
)
def test_whether_a_lock_s_holder_lives_and_how_that_is_known(held: Lock, seen: Witness, expected: Verdict) -> None:
    assert judge(held, seen) == expected


def test_nothing_is_known_of_other_hosts_so_their_locks_stay() -> None:
    theirs = lock(host="elsewhere")
    mine = lock()
    reason = "no Pulumi with the process id 4711 runs on this machine, here"
    assert abandoned([theirs, mine], witness()) == ([(mine, reason)], [theirs])


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("shop-abc12-self-update-1234567890", True),
        ("shop-abc12-rerun-self-update-1234567890", True),
        ("shop-laptop", False),
        ("shop-abc12-build-1234567890", False),
        ("store-abc12-self-update-1234567890", False),
    ],
)
def test_only_a_self_update_s_pod_is_taken_for_one(host: str, expected: bool) -> None:
    assert is_update_pod(host, "shop") is expected


def test_a_waiting_update_says_for_whom_since_when_and_how_long_still() -> None:
    assert waiting_line(lock(), 0.02, 600) == (
        "Waiting for process 4711 of me on here, since 2026-01-02 03:04:05 UTC, which is changing the pipeline "
        "(at most 10 min 00 s) ..."
    )
    assert waiting_line(lock(), 30.2, 600) == (
        "Waiting for process 4711 of me on here, since 2026-01-02 03:04:05 UTC, which is changing the pipeline "
        "(for 30 s so far, at most 10 min 00 s) ..."
    )


def test_pulumi_s_lock_files_are_read() -> None:
    body = json.dumps(
        {"pid": 7, "username": "u", "hostname": "h", "timestamp": "2026-01-02T04:04:05.123456789+01:00"}
    ).encode()
    read = parse_lock("locks/a.json", body)
    assert (read.pid, read.user, read.host) == (7, "u", "h")
    assert read.since == datetime(2026, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)


def test_a_lock_file_that_was_cut_short_is_nobody_s_and_stays() -> None:
    verdict = judge(parse_lock("locks/a.json", b'{"pid": 7'), witness())
    assert verdict == Verdict(holder=Holder.UNKNOWN, reason="nothing is known here of its holder")


def test_only_a_pulumi_process_counts_as_holder() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        assert pulumi_started(other.pid) is None
    assert pulumi_started(os.getpid()) is None
    assert socket.gethostname()


def resource(kind: str, logical: str, /, **inputs: Any) -> dict[str, Any]:
    return {"urn": f"{RUN}${kind}::{logical}", "type": kind, "custom": True, "inputs": inputs}


def pending(kind: str, *resources: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"type": kind, "resource": each} for each in resources]


def test_a_state_without_unfinished_operations_needs_no_repair() -> None:
    assert plan_repair({"resources": [], "pending_operations": None}) is None


def test_a_creation_whose_id_is_known_is_looked_at() -> None:
    bucket = resource("aws:s3/bucket:Bucket", "artifacts", bucket="shop-artifacts")
    repair = plan_repair({"resources": [], "pending_operations": pending("creating", bucket)})
    assert repair is not None
    assert repair.look == (bucket["urn"],)
    assert repair.deployment["pending_operations"] == []
    assert [each["id"] for each in repair.deployment["resources"]] == ["shop-artifacts"]


def test_a_creation_whose_id_only_the_provider_knows_is_dropped() -> None:
    key = resource("aws:kms/key:Key", "key", description="of the artifacts")
    repair = plan_repair({"resources": [], "pending_operations": pending("creating", key)})
    assert repair is not None
    assert (repair.look, repair.dropped) == ((), (key["urn"],))
    assert repair.deployment["resources"] == []


@pytest.mark.parametrize("kind", ["updating", "deleting"])
def test_what_was_being_changed_is_looked_at_again(kind: str) -> None:
    table = {**resource("aws:dynamodb/table:Table", "runs", name="runs"), "id": "runs"}
    repair = plan_repair({"resources": [table], "pending_operations": pending(kind, table)})
    assert repair is not None
    assert repair.look == (table["urn"],)
    assert repair.deployment["resources"] == [table]


def test_the_replacement_of_a_resource_does_not_enter_it_twice() -> None:
    old = {**resource("aws:iam/role:Role", "build", name="old"), "id": "old"}
    new = resource("aws:iam/role:Role", "build", name="new")
    repair = plan_repair({"resources": [old], "pending_operations": pending("creating", new)})
    assert repair is not None
    assert repair.deployment["resources"] == [old]


@pytest.mark.parametrize(
    ("kind", "inputs", "expected"),
    [
        ("kubernetes:core/v1:Namespace", {"metadata": {"name": "aphex-shop"}}, "aphex-shop"),
        ("kubernetes:core/v1:Secret", {"metadata": {"name": "s", "namespace": "n"}}, "n/s"),
        ("kubernetes:core/v1:Secret", {"metadata": {}}, None),
        ("aws:iam/rolePolicy:RolePolicy", {"role": "r", "name": "p"}, "r:p"),
        ("aws:iam/role:Role", {"name": "r"}, "r"),
        ("aws:iam/role:Role", {"name": {"4dabf18193072939515e22adb298388d": "unknown"}}, None),
        ("aws:lambda/function:Function", {"name": "f"}, None),
    ],
)
def test_ids_follow_from_inputs_where_the_provider_makes_them_so(
    kind: str, inputs: dict[str, Any], expected: str | None
) -> None:
    assert resource_id({"type": kind, "inputs": inputs}) == expected
