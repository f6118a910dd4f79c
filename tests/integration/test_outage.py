"""AWS refuses connections in the middle of a deployment, with the real CDK CLI: nothing is lost but the time.

The CLI asks STS whose credentials it has at most three times within half a second, and gives up. The role of a stack it
would try no longer, and then go on without the role. So some seconds are as much to it as half a minute is.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_stages_deployment import TARGET, commit, stacks_in, topic
from tests.support.cdk_app import path_with_cdk
from tests.support.moto_endpoint import MotoEndpoint, moto_endpoint
from tests.support.pod import RUN, Pod, make_stores
from tests.support.refusing_aws import refusing_aws
from tests.support.repository import new_repository

pytestmark = pytest.mark.engine

SECONDS = 4.0


@pytest.fixture
def aws() -> Iterator[MotoEndpoint]:
    with moto_endpoint() as endpoint:
        yield MotoEndpoint(endpoint.url.replace("127.0.0.1", "localhost"))


def with_role(name: str) -> dict[str, Any]:
    role = f"arn:aws:iam::{TARGET}:role/cdk-deploy-{name}"
    return {**topic(), "Assembly": {"Properties": {"assumeRoleArn": role}}}


def test_a_deployment_goes_on_after_aws_refused_connections(aws: MotoEndpoint, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    path = path_with_cdk(tmp_path / "bin")
    make_stores(aws)
    pod = Pod(aws, new_repository(tmp_path / "repository"), tmp_path)
    sha = commit(pod, {name: with_role(name) for name in ("Ant", "Created", "Zoo")})
    # `cdk deploy` asks whose credentials it has, after `cdk synth` has; then the second stack's role is assumed.
    moments = ["Action=GetCallerIdentity", "Action=GetCallerIdentity", "cdk-deploy-Created&RoleSessionName=aws-cdk"]

    def goes_down(body: str) -> bool:
        if not moments or moments[0] not in body:
            return False
        moments.pop(0)
        return len(moments) < 2

    with refusing_aws(aws.url, goes_down, SECONDS, downs=2) as proxy:
        ended = pod.run(
            "environment",
            sha,
            "deploy-outage",
            APHEX_ENVIRONMENT="dev",
            APHEX_OUTPUTS_PARAMETER=str(tmp_path / "outputs.json"),
            AWS_ENDPOINT_URL=proxy.url,
            AWS_ENDPOINT_URL_S3=aws.url.replace("localhost", "127.0.0.1"),
            PATH=path,
        )
    assert ended.exit_code == 0, ended.output
    assert (len(proxy.outages), moments) == (2, [])
    assert list(stacks_in(aws, TARGET)) == ["Zoo", "Created", "Ant"]
    assert set(pod.json(f"runs/{RUN}/outputs/dev.json")) == {"Zoo", "Created", "Ant"}
    lines = ended.output.splitlines()
    assert "The CDK CLI could not reach AWS. It is called again for Zoo, Created, Ant." in lines
    assert [line for line in lines if line.startswith("==> Deploying")][-2:] == [
        "==> Deploying Created (2 of 3)",
        "==> Deploying Ant (3 of 3)",
    ]
    assert not any("Proceeding anyway" in line for line in lines)
