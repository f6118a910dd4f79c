"""Credentials that expire in the middle of a deployment, with the real CDK CLI: what is lost, and what is said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.test_stages_deployment import TARGET, commit, stacks_in, topic
from tests.support.cdk_app import path_with_cdk
from tests.support.expiring_aws import expiring_aws
from tests.support.moto_endpoint import MotoEndpoint, moto_endpoint
from tests.support.pod import RUN, Ended, Pod, make_stores
from tests.support.repository import new_repository

pytestmark = pytest.mark.engine


@pytest.fixture
def aws() -> Iterator[MotoEndpoint]:
    with moto_endpoint() as endpoint:
        yield MotoEndpoint(endpoint.url.replace("127.0.0.1", "localhost"))


def deploy(pod: Pod, sha: str, path: str, stage: str, endpoint: str) -> Ended:
    return pod.run(
        "environment",
        sha,
        stage,
        APHEX_ENVIRONMENT="dev",
        APHEX_OUTPUTS_PARAMETER=str(pod.folder / "outputs.json"),
        AWS_ENDPOINT_URL=endpoint,
        AWS_ENDPOINT_URL_S3=pod.aws.url.replace("localhost", "127.0.0.1"),
        PATH=path,
    )


def test_what_was_deployed_before_is_kept_and_the_next_run_goes_on(aws: MotoEndpoint, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    path = path_with_cdk(tmp_path / "bin")
    make_stores(aws)
    pod = Pod(aws, new_repository(tmp_path / "repository"), tmp_path)
    sha = commit(pod, {"Ant": topic(), "Created": topic(), "Zoo": topic()})

    def second_stack_begins(body: str) -> bool:
        return "Action=CreateStack" in body and "StackName=Created" in body

    with expiring_aws(aws.url, second_stack_begins) as proxy:
        ended = deploy(pod, sha, path, "deploy-expired", proxy.url)
        assert proxy.refused > 0
    assert ended.exit_code == 1
    assert list(stacks_in(aws, TARGET)) == ["Zoo"]
    assert list(pod.json(f"runs/{RUN}/outputs/dev.json")) == ["Zoo"]
    error = pod.json(f"runs/{RUN}/errors/deploy-expired.json")
    assert error["stack"] == "Created"
    assert error["message"] == (
        "The deployment of Created failed with exit status 1.\n"
        "❌  Created failed to deploy\n"
        "‣ ExpiredToken: The security token included in the request is expired"
    )
    assert error["hint"] == (
        "The credentials expired and could not be renewed. Start a new run: it goes on from where this one ended, and "
        "waits for stacks that CloudFormation is still working on.\nStacks and environments after it were not begun."
    )
    again = deploy(pod, sha, path, "deploy-again", aws.url)
    assert again.exit_code == 0, again.output
    assert list(stacks_in(aws, TARGET)) == ["Zoo", "Created", "Ant"]
