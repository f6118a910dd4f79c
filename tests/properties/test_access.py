"""Properties of the access to accounts, against an STS that records every request."""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aphex.loader import parse_config
from stages.access import AccountAccess, account_access
from stages.account_checks import AccountCheck, account_checks, account_findings
from stages.assume import own_session
from tests.support.sts import Refusal, Sts
from tests.support.sts_pod import OWN_ROLE, sts_pod

EXAMPLES = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
PIPELINE = "123456789012"
accounts = st.from_regex(r"[0-9]{12}", fullmatch=True)
names = st.from_regex(r"[A-Za-z][A-Za-z0-9+=,.@_-]{0,12}", fullmatch=True)
regions = st.sampled_from(["us-east-1", "eu-west-1", "ap-east-1"])


@pytest.fixture(scope="module")
def sts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sts]:
    with sts_pod(tmp_path_factory.mktemp("pod")) as server:
        yield server


# Property 14: another account means that its role, and no other, is assumed
@EXAMPLES
@given(account=accounts, role=names, region=regions, external_id=st.none() | st.just("id-7"), tag=st.text(max_size=300))
def test_another_account_is_reached_by_its_role_alone(
    sts: Sts, account: str, role: str, region: str, external_id: str | None, tag: str
) -> None:
    sts.requests.clear()
    arn = f"arn:aws:iam::{account}:role/{role}"
    with tempfile.TemporaryDirectory() as folder:
        tags = {"aphex:run": "shop-1", "aphex:message": tag}
        with account_access(Path(folder) / "c", arn, region, "s1", external_id=external_id, tags=tags) as access:
            caller = access.session.client("sts").get_caller_identity()
    assert caller["Account"] == account
    assert [each["Action"] for each in sts.requests] == [
        "AssumeRoleWithWebIdentity",
        "AssumeRole",
        "GetCallerIdentity",
    ]
    web, assumed, called = sts.requests
    assert (web["RoleArn"], assumed["RoleArn"], called["role"]) == (
        OWN_ROLE,
        arn,
        arn,
    )
    assert (assumed["RoleSessionName"], assumed.get("ExternalId")) == ("s1", external_id)
    assert [assumed[f"Tags.member.{number}.Key"] for number in (1, 2)] == ["aphex:message", "aphex:run"]
    assert not any("Transitive" in key for key in assumed)


def document(places: list[tuple[str, str, bool, bool]]) -> Any:
    environments = []
    for number, (account, region, role, tested) in enumerate(places):
        each: dict[str, Any] = {"name": f"e{number}", "region": region, "account": account}
        each["stacks"] = [{"name": "App", "path": "."}]
        if role:
            each["role"] = f"arn:aws:iam::{account}:role/deployer"
        if tested:
            each["tests"] = {"commands": ["true"], "role": f"arn:aws:iam::{account}:role/tester"}
        environments.append(each)
    return {"version": "1.0", "build": {"commands": ["true"]}, "environments": environments}


places = st.lists(
    st.tuples(
        st.sampled_from(["222222222222", "333333333333", PIPELINE]),
        st.sampled_from(["us-east-1", "ap-east-1"]),
        st.booleans(),
        st.booleans(),
    ),
    min_size=1,
    max_size=3,
)


# Property 20: credentials for every referenced account are checked before any deployment
@EXAMPLES
@given(places=places, refused=st.sampled_from(["222222222222", "333333333333", "none"]))
def test_every_account_is_reached_for_and_each_that_is_not_reached_is_told(
    sts: Sts, places: list[tuple[str, str, bool, bool]], refused: str
) -> None:
    sts.requests.clear()

    def refuse(request: dict[str, str]) -> Refusal | None:
        denied = request["Action"] == "AssumeRole" and f"::{refused}:" in request["RoleArn"]
        return Refusal("AccessDenied", "no") if denied else None

    sts.refuse = refuse
    # Bootstrap versions are another service's; without the apps' folders there is none to look for but by the roles.
    config = parse_config(json.dumps({**document(places), "cdk": {"bootstrap": False}}))
    numbers, lock = iter(range(1000)), threading.Lock()
    with tempfile.TemporaryDirectory() as folder:
        own = own_session("us-east-1")

        def connect(check: AccountCheck) -> AbstractContextManager[AccountAccess]:
            with lock:
                file = Path(folder) / str(next(numbers))
            return account_access(file, check.role, check.environment.region, "s1", own=own)

        checks = account_checks(config, Path(folder))
        findings = account_findings(
            checks, connect, pipeline_account=PIPELINE, assumable=None, report=lambda _line: None
        )
    sts.refuse = lambda _request: None
    wanted = {f"arn:aws:iam::{account}:role/deployer" for account, _, role, _ in places if role} | {
        f"arn:aws:iam::{account}:role/tester" for account, _, _, tested in places if tested
    }
    assert set(sts.assumed()) == wanted
    exchanged = [each for each in sts.requests if each["Action"] == "AssumeRoleWithWebIdentity"]
    assert len(exchanged) <= 1 + len([check for check in checks if check.role is None])
    told = {check.role for check in checks if any(each.field == check.field for each in findings)}
    unreachable = {role for role in wanted if f"::{refused}:" in role}
    assert {role for role in told if role is not None} == unreachable
    without = [check for check in checks if check.role is None and check.environment.account != PIPELINE]
    assert (None in told) == bool(without)
