"""What S3 says of an object that is not there, to a role that may list only a part of the bucket."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from botocore.exceptions import ClientError

from stages.clients import PipelineClients
from stages.store import RunStore
from stages.transfer import Download, DownloadError, ObjectMissing
from tests.support.faulty_endpoint import Fault, faulty_endpoint
from tests.support.moto_endpoint import MotoEndpoint, moto_endpoint
from tests.support.pod import BUCKET, make_stores

KEY = "runs/r1/errors/build.json"


@pytest.fixture(scope="module")
def aws() -> Iterator[MotoEndpoint]:
    with moto_endpoint() as endpoint:
        make_stores(endpoint)
        RunStore(PipelineClients("us-east-1", endpoint.url), BUCKET).put_json(f"{KEY}.older", {})
        yield endpoint


@pytest.fixture
def bucket(aws: MotoEndpoint) -> Iterator[Callable[[Fault, Fault], PipelineClients]]:
    """The bucket's clients, with what happens to requests for the object, and to those for the listing."""
    happens: dict[bool, Fault] = {}
    with faulty_endpoint(aws.url, lambda _, path: happens["list-type" in path]) as url:

        def clients(to_object: Fault, to_listing: Fault) -> PipelineClients:
            happens.update({False: to_object, True: to_listing})
            return PipelineClients("us-east-1", url)

        yield clients


def test_what_is_hidden_is_known_to_be_absent_by_the_listing(
    bucket: Callable[[Fault, Fault], PipelineClients],
) -> None:
    clients = bucket("hidden", None)
    assert RunStore(clients, BUCKET).get_json(KEY) is None
    with pytest.raises(ObjectMissing):
        Download(clients.s3, BUCKET, KEY)


def test_what_is_there_and_refused_is_not_taken_for_absent(bucket: Callable[[Fault, Fault], PipelineClients]) -> None:
    clients = bucket("denied", None)
    with pytest.raises(ClientError, match="AccessDenied"):
        RunStore(clients, BUCKET).get_json(f"{KEY}.older")
    with pytest.raises(DownloadError, match="Forbidden") as caught:
        Download(clients.s3, BUCKET, f"{KEY}.older")
    assert not isinstance(caught.value, ObjectMissing)


def test_what_nobody_can_tell_stays_refused(bucket: Callable[[Fault, Fault], PipelineClients]) -> None:
    clients = bucket("hidden", "denied")
    with pytest.raises(ClientError, match="AccessDenied"):
        RunStore(clients, BUCKET).get_json(KEY)
    with pytest.raises(DownloadError, match="Forbidden"):
        Download(clients.s3, BUCKET, KEY)
