"""Artifacts go to the bucket and come back whole, over a network that fails; a wrong one never reaches the clone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from aphex.run import RunKeys
from stages.artifact import ArtifactError, ArtifactManifest, ArtifactPlan, walk
from stages.artifact_store import ArtifactStore
from stages.transfer import PART, Download, UploadError
from tests.support.artifacts import fetched, known
from tests.support.faulty_endpoint import Fault, faulty_endpoint
from tests.support.moto_endpoint import MotoEndpoint, moto_endpoint
from tests.support.pod import BUCKET, make_stores

COMMIT = "a" * 40
ARCHIVE, MANIFEST = RunKeys("r1").artifact(COMMIT), RunKeys("r1").manifest(COMMIT)
AGAIN = "Start a new run. If it says so again, look for who else writes to the artifact bucket."
RETRY = "Start the run again. If it says so again, look at the bucket's policy and key, and the network."
_ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def server() -> Iterator[MotoEndpoint]:
    with moto_endpoint() as endpoint:
        yield endpoint


@pytest.fixture
def aws(server: MotoEndpoint) -> MotoEndpoint:
    server.reset()
    make_stores(server)
    return server


def store_at(url: str) -> ArtifactStore:
    session: Any = boto3.Session("test", "test", region_name="us-east-1")
    config = Config(retries={"mode": "standard", "total_max_attempts": 3}, read_timeout=10)
    return ArtifactStore(session.client("s3", endpoint_url=url, config=config), BUCKET)


def stored(store: ArtifactStore, source: Path, run: str = "r1") -> tuple[ArtifactManifest, bool]:
    plan = ArtifactPlan(files=tuple(walk(source)), deleted=())
    return store.store(source, plan, RunKeys(run).manifest(COMMIT), known(run, COMMIT))


@pytest.fixture
def small(tmp_path: Path) -> Path:
    folder = tmp_path / "small"
    folder.mkdir()
    (folder / "file").write_text("content")
    return folder


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """What makes an archive of three parts."""
    folder = tmp_path / "large"
    folder.mkdir()
    (folder / "random").write_bytes(os.urandom(2 * PART + 1000))
    return folder


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "work" / "target"
    folder.mkdir(parents=True)
    return folder


def stored_keys(aws: MotoEndpoint) -> set[str]:
    return {each["Key"] for each in aws.client("s3").list_objects_v2(Bucket=BUCKET).get("Contents", [])}


def open_uploads(aws: MotoEndpoint) -> list[Any]:
    found: list[Any] = aws.client("s3").list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
    return found


def first_times(count: int, fault: Fault, method: str, part: str) -> Callable[[str, str], Fault]:
    """A fault of the first requests of a kind; what is counted can be looked at."""
    seen: list[str] = []

    def decide(verb: str, path: str) -> Fault:
        if verb == method and part in path:
            seen.append(path)
            return fault if len(seen) <= count else None
        return None

    return decide


def test_a_second_run_of_a_commit_overwrites_nothing(aws: MotoEndpoint, small: Path, target: Path) -> None:
    store = store_at(aws.url)
    first, _ = stored(store, small, "r1")
    (small / "file").write_text("other")
    second, replaced = stored(store, small, "r2")
    assert not replaced
    assert first.key != second.key
    assert store.manifest(MANIFEST, "r1", COMMIT) == first
    assert fetched(store, "r1", COMMIT, target) == 1
    assert (target / "file").read_text() == "content"


@pytest.mark.parametrize("kind", ["small", "large"])
def test_a_second_attempt_of_the_same_run_replaces_the_first(
    aws: MotoEndpoint, kind: str, target: Path, request: pytest.FixtureRequest
) -> None:
    source: Path = request.getfixturevalue(kind)
    store = store_at(aws.url)
    assert stored(store, source)[1] is False
    (source / "more").write_text("later")
    assert stored(store, source)[1] is True
    assert fetched(store, "r1", COMMIT, target) == 2
    assert (target / "more").read_text() == "later"
    assert stored_keys(aws) == {ARCHIVE, MANIFEST}
    assert open_uploads(aws) == []


@pytest.mark.parametrize("fault", ["unavailable", "drop"])
@pytest.mark.parametrize(("method", "part"), [("POST", "?uploads"), ("PUT", "partNumber=2"), ("PUT", "manifest.json")])
def test_an_upload_survives_faults(
    aws: MotoEndpoint, large: Path, target: Path, fault: Fault, method: str, part: str
) -> None:
    with faulty_endpoint(aws.url, first_times(2, fault, method, part)) as url:
        stored(store_at(url), large)
    assert fetched(store_at(aws.url), "r1", COMMIT, target) == 1
    assert (target / "random").read_bytes() == (large / "random").read_bytes()


def test_an_upload_that_fails_leaves_nothing(aws: MotoEndpoint, large: Path) -> None:
    always = first_times(99, "unavailable", "PUT", "partNumber=2")
    with faulty_endpoint(aws.url, always) as url, pytest.raises(UploadError) as caught:
        stored(store_at(url), large)
    assert str(caught.value) == (
        f"{ARCHIVE} cannot be stored in the bucket {BUCKET}: An error occurred (503) when calling the UploadPart "
        f"operation (reached max retries: 2): Service Unavailable\n{RETRY}"
    )
    assert stored_keys(aws) == set()
    assert open_uploads(aws) == []


def test_an_upload_that_is_interrupted_leaves_nothing(aws: MotoEndpoint, large: Path) -> None:
    store, plan = store_at(aws.url), ArtifactPlan(files=tuple(walk(large)), deleted=())
    gone = ArtifactPlan(files=(*plan.files, plan.files[0].model_copy(update={"path": "z-gone"})), deleted=())
    with pytest.raises(ArtifactError, match="z-gone"):
        store.store(large, gone, MANIFEST, known("r1", COMMIT))
    assert stored_keys(aws) == set()
    assert open_uploads(aws) == []


@pytest.mark.parametrize("fault", ["unavailable", "drop", "cut"])
def test_a_download_survives_faults(aws: MotoEndpoint, large: Path, target: Path, fault: Fault) -> None:
    stored(store_at(aws.url), large)
    with faulty_endpoint(aws.url, first_times(2, fault, "GET", "artifact.tar.zst")) as url:
        assert fetched(store_at(url), "r1", COMMIT, target) == 1
    assert (target / "random").read_bytes() == (large / "random").read_bytes()


def test_a_download_that_fails_leaves_the_clone_as_it_is(aws: MotoEndpoint, large: Path, target: Path) -> None:
    stored(store_at(aws.url), large)
    always = first_times(99, "unavailable", "GET", "artifact.tar.zst")
    with faulty_endpoint(aws.url, always) as url, pytest.raises(ArtifactError) as caught:
        fetched(store_at(url), "r1", COMMIT, target)
    assert str(caught.value) == (
        f"{ARCHIVE} cannot be fetched from the bucket {BUCKET}: An error occurred (503) when calling the GetObject "
        f"operation (reached max retries: 2): Service Unavailable\n{RETRY}"
    )
    assert [path.name for path in target.parent.rglob("*")] == ["target"]


def replaced(aws: MotoEndpoint, body: Callable[[bytes], bytes], **metadata: str) -> None:
    """Put something else in the artifact's place."""
    s3 = aws.client("s3")
    there = s3.get_object(Bucket=BUCKET, Key=ARCHIVE)
    said = {**there["Metadata"], **metadata}
    s3.put_object(Bucket=BUCKET, Key=ARCHIVE, Body=body(there["Body"].read()), Metadata=said)


def manifest_with(aws: MotoEndpoint, text: str) -> None:
    aws.client("s3").put_object(Bucket=BUCKET, Key=MANIFEST, Body=text.encode())


def changed(manifest: ArtifactManifest, **values: object) -> str:
    return json.dumps({**json.loads(manifest.model_dump_json()), **values})


def flipped(archive: bytes) -> bytes:
    return archive[:-20] + bytes([archive[-20] ^ 1]) + archive[-19:]


def wrong(aws: MotoEndpoint, manifest: ArtifactManifest, how: str) -> str:
    """Make the artifact wrong; returns the message to expect, with its hint."""
    s3 = aws.client("s3")
    match how:
        case "no archive":
            s3.delete_object(Bucket=BUCKET, Key=ARCHIVE)
            hint = "Was it removed, by hand or by a lifecycle rule? Then start a new run."
            return f"{ARCHIVE} is not in the bucket {BUCKET}.\n{hint}"
        case "no manifest":
            s3.delete_object(Bucket=BUCKET, Key=MANIFEST)
            hint = "The build stage makes it. Was it removed by a lifecycle rule? Then start a new run."
            return f"The run has no artifact: {MANIFEST} is not in the bucket {BUCKET}.\n{hint}"
        case "truncated":
            replaced(aws, lambda archive: archive[:-7])
            return f"The artifact {ARCHIVE} is truncated: {manifest.size - 7} bytes, not {manifest.size}.\n{AGAIN}"
        case "empty":
            replaced(aws, lambda archive: b"")
            return f"The artifact {ARCHIVE} is truncated: 0 bytes, not {manifest.size}.\n{AGAIN}"
        case "longer":
            replaced(aws, lambda archive: archive + b"more")
            size = manifest.size
            return f"The artifact {ARCHIVE} is longer than it was: {size + 4} bytes, not {size}.\n{AGAIN}"
        case "exchanged":
            replaced(aws, lambda archive: archive, run="r9")
            return f"The artifact {ARCHIVE} was exchanged: it is that of the run r9 at the commit {COMMIT}.\n{AGAIN}"
        case "no JSON":
            manifest_with(aws, "{")
            reason = "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"
            return f"The artifact's manifest {MANIFEST} cannot be understood: {reason}.\n{AGAIN}"
        case "other JSON":
            manifest_with(aws, "{}")
            return f"The artifact's manifest {MANIFEST} cannot be understood: Field required.\n{AGAIN}"
        case "other run":
            manifest_with(aws, changed(manifest, run="r9"))
            return (
                f"The artifact's manifest {MANIFEST} is that of the run r9 at the commit {COMMIT}, "
                f"not of the run r1 at {COMMIT}.\n{AGAIN}"
            )
        case _:
            raise AssertionError(how)


@pytest.mark.parametrize(
    "how",
    [
        "no archive",
        "no manifest",
        "truncated",
        "empty",
        "longer",
        "exchanged",
        "no JSON",
        "other JSON",
        "other run",
    ],
)
def test_each_way_of_being_wrong_has_its_own_error(aws: MotoEndpoint, small: Path, target: Path, how: str) -> None:
    store = store_at(aws.url)
    manifest, _ = stored(store, small)
    message = wrong(aws, manifest, how)
    with pytest.raises(ArtifactError) as caught:
        fetched(store, "r1", COMMIT, target)
    assert str(caught.value) == message
    assert [path.name for path in target.parent.rglob("*")] == ["target"]


@pytest.mark.parametrize("kind", ["small", "large"])
def test_a_corrupted_archive_is_told_by_its_checksum(
    aws: MotoEndpoint, kind: str, target: Path, request: pytest.FixtureRequest
) -> None:
    store = store_at(aws.url)
    manifest, _ = stored(store, request.getfixturevalue(kind))
    replaced(aws, flipped)
    with Download(store.s3, BUCKET, ARCHIVE) as download:
        download.drain()
    with pytest.raises(ArtifactError) as caught:
        fetched(store, "r1", COMMIT, target)
    assert str(caught.value) == (
        f"The artifact {ARCHIVE} is not what the build stored: SHA-256 {download.sha256}, not {manifest.sha256}.\n"
        f"{AGAIN}"
    )
    assert [path.name for path in target.parent.rglob("*")] == ["target"]


def test_an_archive_exchanged_during_the_download_is_told_so(aws: MotoEndpoint, large: Path, target: Path) -> None:
    stored(store_at(aws.url), large)

    def exchange(method: str, path: str) -> Fault:
        if method == "GET" and path.endswith("artifact.tar.zst"):
            replaced(aws, lambda archive: archive[::-1])
        return None

    with faulty_endpoint(aws.url, exchange) as url, pytest.raises(ArtifactError) as caught:
        fetched(store_at(url), "r1", COMMIT, target)
    assert str(caught.value) == (f"{ARCHIVE} was exchanged in the bucket {BUCKET} while it was downloaded.\n{AGAIN}")


_MEMORY = """
import sys
from pathlib import Path
from tests.support.memory import peak_kilobytes
from tests.unit.test_stages_artifact_store import fetched, store_at, stored
store, folder = store_at(sys.argv[1]), Path(sys.argv[2])
stored(store, folder / sys.argv[3], sys.argv[3])
fetched(store, sys.argv[3], "a" * 40, folder / "work" / sys.argv[3])
print(peak_kilobytes() // 1024)
"""


def test_memory_does_not_grow_with_the_artifact(aws: MotoEndpoint, tmp_path: Path) -> None:
    peaks = {}
    # Both fill every buffer there is; what they take beside that depends on which parts are on their way together.
    for name, size in (("medium", 200), ("big", 800)):
        (tmp_path / name).mkdir()
        (tmp_path / "work" / name).mkdir(parents=True)
        with (tmp_path / name / "file").open("wb") as file:
            # A quarter that cannot be compressed, so that the archive has many parts, and holes.
            for number in range(size):
                file.seek(number << 20)
                file.write(os.urandom(1 << 18))
            file.truncate(size << 20)
        command = [sys.executable, "-c", _MEMORY, aws.url, str(tmp_path), name]
        env = {**os.environ, "PYTHONPATH": f"{_ROOT}:{_ROOT / 'platform'}"}
        peaks[name] = int(subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout)
        assert (tmp_path / "work" / name / "file").stat().st_size == size << 20
    # The archive of the big one is larger by 150 MB.
    assert peaks["big"] - peaks["medium"] < 75, peaks
