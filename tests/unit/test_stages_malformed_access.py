"""A request that AWS cannot take is told as that, and not as a fault of the network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stages.access_errors import AccessProblem
from stages.assume import Assumption, assume, own_session
from tests.support.sts import Refusal, Sts
from tests.support.sts_pod import sts_pod

ROLE = "arn:aws:iam::222222222222:role/deployer"
HINT = (
    "A value in it is too short, too long or misspelled: compare it with role and external_id in aphex-config.yaml. "
    "If it is in neither, it is a fault of this program."
)


@pytest.fixture
def sts(tmp_path: Path) -> Iterator[Sts]:
    with sts_pod(tmp_path) as server:
        yield server


def refused(external_id: str | None) -> AccessProblem:
    wanted = Assumption(
        role=ROLE, session="run.stage", region="eu-west-1", sts_region="us-east-1", external_id=external_id
    )
    with pytest.raises(AccessProblem) as caught:
        assume(wanted, own_session())
    return caught.value


def test_a_value_that_botocore_refuses(sts: Sts) -> None:
    problem = refused("x")
    assert problem.message == (
        f"AWS takes no such request with the role {ROLE} in eu-west-1: ParamValidationError: Parameter validation "
        "failed:\nInvalid length for parameter ExternalId, value: 1, valid min length: 2"
    )
    assert problem.hint == HINT
    assert sts.assumed() == []


def test_a_value_that_sts_refuses(sts: Sts) -> None:
    said = "1 validation error detected: Value at 'roleArn' failed to satisfy constraint"
    sts.refuse = lambda request: Refusal("ValidationError", said, 400) if request["Action"] == "AssumeRole" else None
    problem = refused(None)
    assert problem.message == (f"AWS takes no such request with the role {ROLE} in eu-west-1: ValidationError: {said}")
    assert problem.hint == HINT
