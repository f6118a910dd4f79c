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

from automation.locks import Holder, Lock, Witness, abandoned, holder, parse_lock, pulumi_started
from automation.pending import plan_repair, resource_id

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
RUN = "urn:pulumi:pipeline-shop::aphex::aphex:Pipeline"


def lock(**changes: Any) -> Lock:
    values = {"key": "k", "pid": 4711, "host": "here", "user": "me", "since": NOW}
    return Lock(**{**values, **changes})


def witness(started: dict[int, datetime] | None = None, pods: dict[str, bool] | None = None) -> Witness:
    return Witness(host="here", started=(started or {}).get, pod_exists=(pods or {}).get)


def test_a_lock_of_a_dead_process_on_this_host_is_abandoned() -> None:
    assert holder(lock(), witness()) is Holder.GONE


def test_a_lock_of_a_living_process_is_held() -> None:
    assert holder(lock(), witness(started={4711: NOW - timedelta(seconds=3)})) is Holder.ALIVE


def test_a_process_that_began_after_the_lock_is_another_one() -> None:
    assert holder(lock(), witness(started={4711: NOW + timedelta(hours=1)})) is Holder.GONE


@pytest.mark.parametrize(("exists", "expected"), [(True, Holder.ALIVE), (False, Holder.GONE)])
def test_a_lock_of_a_pod_is_held_as_long_as_the_pod_runs(exists: bool, expected: Holder) -> None:
    assert holder(lock(host="shop-x-self-update-1"), witness(pods={"shop-x-self-update-1": exists})) is expected


def test_nothing_is_known_of_other_hosts_so_their_locks_stay() -> None:
    theirs = lock(host="elsewhere")
    mine = lock()
    assert abandoned([theirs, mine], witness()) == ([mine], [theirs])


def test_pulumi_s_lock_files_are_read() -> None:
    body = json.dumps(
        {"pid": 7, "username": "u", "hostname": "h", "timestamp": "2026-01-02T04:04:05.123456789+01:00"}
    ).encode()
    read = parse_lock("locks/a.json", body)
    assert (read.pid, read.user, read.host) == (7, "u", "h")
    assert read.since == datetime(2026, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)


def test_a_lock_file_that_was_cut_short_is_nobody_s_and_stays() -> None:
    assert holder(parse_lock("locks/a.json", b'{"pid": 7'), witness()) is Holder.UNKNOWN


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
