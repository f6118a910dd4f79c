"""Properties of artifacts, on a real git clone, real files and a moto endpoint."""

from __future__ import annotations

import itertools
import os
import stat
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aphex.run import RunKeys
from stages.artifact import ArtifactManifest, ArtifactPlan, plan_artifact, walk
from stages.artifact_store import ArtifactStore
from tests.support.artifacts import Clone, fetched, known, new_clone, snapshot
from tests.support.moto_endpoint import MotoEndpoint, moto_endpoint
from tests.support.pod import BUCKET, make_stores

EXAMPLES = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
_RUNS = itertools.count()
_TRACKED = ("number", "lib/kept", "lib/deep/other", "bin/tool")

# Names in any script, names with dots, newlines and quotes, bytes that are no text at all, and very long ones.
_texts = st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=12).map(os.fsencode)
_bytes = st.binary(min_size=1, max_size=12).filter(lambda name: not {0, 47} & set(name))
_odd = st.sampled_from(
    [b".hidden", b"a\nb", b'"quoted"', b"back\\slash", b"-rf", b"caf\xe9", "日本語".encode(), b"n" * 130, b" "]
)
_names = st.one_of(_texts, _bytes, _odd).filter(lambda name: name not in (b".", b"..", b".git"))
_paths = st.lists(_names, min_size=1, max_size=4).map(b"/".join).map(os.fsdecode)
_file = st.tuples(st.just("file"), st.binary(max_size=3000), st.sampled_from([0o644, 0o755, 0o600, 0o640, 0o444]))
_link = st.tuples(st.just("link"), st.one_of(_paths.map(os.fsencode), st.just(b"/usr/bin/python3")), st.just(0))
_folder = st.tuples(st.just("folder"), st.just(b""), st.sampled_from([0o755, 0o700, 0o555]))
Made = dict[str, tuple[str, bytes, int]]
_made: st.SearchStrategy[Made] = st.dictionaries(_paths, st.one_of(_file, _file, _link, _folder), max_size=8)


@pytest.fixture(scope="module")
def aws() -> Iterator[MotoEndpoint]:
    with moto_endpoint() as endpoint:
        make_stores(endpoint)
        yield endpoint


@pytest.fixture(scope="module")
def store(aws: MotoEndpoint) -> ArtifactStore:
    return ArtifactStore(aws.client("s3"), BUCKET)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    return new_clone(tmp_path_factory.mktemp("history"), dict.fromkeys(_TRACKED, "1"))


def build(folder: Path, made: Made, removed: set[str]) -> None:
    """Leave in a clone what a build may leave there."""
    for path in removed:
        (folder / path).unlink()
    modes: list[tuple[Path, int]] = []
    for path, (kind, content, mode) in made.items():
        place = folder / path
        if os.path.lexists(place) or not all(
            stat.S_ISDIR(parent.lstat().st_mode) for parent in place.parents if os.path.lexists(parent)
        ):
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        if kind == "link":
            place.symlink_to(os.fsdecode(content))
            continue
        if kind == "folder":
            place.mkdir()
        else:
            place.write_bytes(content)
        modes.append((place, mode))
    for place, mode in modes:
        place.chmod(mode)


def let_go(folder: Path) -> None:
    """Make every folder one that can be removed."""
    for parent, folders, _ in os.walk(folder):
        for name in folders:
            if not (Path(parent) / name).is_symlink():
                (Path(parent) / name).chmod(0o755)


# Property 5: any artifact uploaded is retrieved by the same path with identical content
@EXAMPLES
@given(made=_made, removed=st.sets(st.sampled_from(_TRACKED)))
def test_an_artifact_comes_back_identical(store: ArtifactStore, clone: Clone, made: Made, removed: set[str]) -> None:
    run = f"run-{next(_RUNS)}"
    with tempfile.TemporaryDirectory() as folder:
        built, later = clone.copy(Path(folder) / "built"), clone.copy(Path(folder) / "later")
        build(built, made, removed)
        plan = plan_artifact(built, clone.commit, None)
        before = known(run, clone.commit, commit_timestamp=clone.timestamp)
        manifest, replaced = store.store(built, plan, RunKeys(run).manifest(clone.commit), before)

        assert fetched(store, run, clone.commit, later) == len(manifest.files)

        assert not replaced
        assert before.key == f"artifacts/{clone.commit}/{run}/artifact.tar.zst"
        assert snapshot(later) == snapshot(built)
        assert {os.lstat(later / file.path).st_mtime for file in manifest.files} <= {clone.timestamp}
        assert not (Path(folder) / "staging").exists()
        let_go(Path(folder))


# Property 4: every artifact is tagged with commit SHA and timestamp
@EXAMPLES
@given(
    commit=st.from_regex(r"[0-9a-f]{40}", fullmatch=True),
    time=st.datetimes(min_value=datetime(2000, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    branch=st.text(st.characters(codec="utf-8"), max_size=30),
    content=st.binary(max_size=200),
)
def test_an_artifact_is_tagged_with_commit_and_time(
    aws: MotoEndpoint, store: ArtifactStore, commit: str, time: datetime, branch: str, content: bytes
) -> None:
    run, stamp = f"run-{next(_RUNS)}", time.isoformat()
    key, manifest_key = RunKeys(run).artifact(commit), RunKeys(run).manifest(commit)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "content").write_bytes(content)
        plan = ArtifactPlan(files=tuple(walk(Path(folder))), deleted=())
        stored, _ = store.store(Path(folder), plan, manifest_key, known(run, commit, branch=branch, created_at=stamp))
    s3 = aws.client("s3")
    for each in (key, manifest_key):
        tags = {tag["Key"]: tag["Value"] for tag in s3.get_object_tagging(Bucket=BUCKET, Key=each)["TagSet"]}
        assert tags == {"commit": commit, "timestamp": stamp, "pipeline": "shop"}
        assert s3.head_object(Bucket=BUCKET, Key=each)["Metadata"] == {**tags, "run": run}
    found = store.manifest(manifest_key, run, commit)
    assert isinstance(found, ArtifactManifest)
    assert found == stored
    assert (found.commit, found.created_at, found.branch) == (commit, stamp, branch)
