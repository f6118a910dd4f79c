"""Pipelines of one cluster and one account do not touch each other: Properties 26 and 27."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache

import pytest
from aphex_platform.identities import Identity, role_arn
from aphex_platform.policies import stage_policy
from aphex_platform.settings import PlatformSettings
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from aphex.names import PULUMI_PROJECT, PipelineNames
from tests.support.declared import Recorder, declare
from tests.support.example import example_config, example_settings

pytestmark = pytest.mark.filterwarnings("ignore:.*has been deprecated in favor of:DeprecationWarning")

MAX_NAME = 40
STATE_BUCKET = "aphex-state-123456789012-us-east-1"
SUFFIXES = ["", "-2", "-pr", "-push", "-pull-request", "-runs", "-self-update", "-deploy", "-exit", "x"]

# Names that could be mistaken for one another: each the beginning of the next, at their greatest length, and with
# what this project itself adds to names.
names = st.builds(
    lambda base, suffix: base[: MAX_NAME - len(suffix)] + suffix,
    st.sampled_from(["a", "shop", "s" * MAX_NAME]),
    st.sampled_from(SUFFIXES),
)


def settings_of(pipeline: str) -> PlatformSettings:
    own = {"pipeline": pipeline, "namespace": PipelineNames(pipeline).namespace}
    return example_settings().model_copy(update={**own, "state_backend": f"s3://{STATE_BUCKET}"})


@cache
def declared(pipeline: str) -> Recorder:
    return declare(settings_of(pipeline))


@cache
def belongings(pipeline: str) -> frozenset[tuple[str, str]]:
    """Everything that the pipeline's program makes: its kind, and the name that must be its own."""
    return frozenset(_belongings(declared(pipeline)))


def _belongings(recorder: Recorder) -> Iterator[tuple[str, str]]:
    for each in recorder.declared:
        inputs = each.inputs
        if each.typ.startswith("kubernetes:"):
            metadata = inputs["metadata"]
            yield each.typ, f"{metadata.get('namespace', '')}/{metadata['name']}"
        elif each.typ.startswith("aws:"):
            name = inputs.get("bucket") or inputs.get("role") or inputs["name"]
            yield each.typ, str(name)


def keys_of(pipeline: str) -> list[str]:
    """ARNs of what a pipeline has: its bucket's objects, table, roles, secrets and its part of the state bucket."""
    where, names = settings_of(pipeline).aws, PipelineNames(pipeline)
    bucket = f"arn:aws:s3:::{names.bucket(where.account, where.region)}"
    state = f"arn:aws:s3:::{STATE_BUCKET}/.pulumi"
    return [
        bucket,
        f"{bucket}/runs/{pipeline}-abcde/logs/build.log",
        f"{bucket}/artifacts/{'a' * 40}/{pipeline}-abcde/artifact.tar.zst",
        f"arn:aws:dynamodb:{where.region}:{where.account}:table/{names.table}",
        f"arn:aws:secretsmanager:{where.region}:{where.account}:secret:{names.secrets_prefix}slack-AbCdEf",
        *(role_arn(where, pipeline, identity) for identity in Identity),
        f"{state}/stacks/{PULUMI_PROJECT}/{names.stack}.json",
        f"{state}/stacks/{PULUMI_PROJECT}/{names.stack}.json.bak",
        f"{state}/history/{PULUMI_PROJECT}/{names.stack}/{names.stack}-1.history.json",
        f"{state}/backups/{PULUMI_PROJECT}/{names.stack}/{names.stack}.1.json",
        f"{state}/locks/organization/{PULUMI_PROJECT}/{names.stack}/0f.json",
    ]


def reachable(pipeline: str) -> list[str]:
    """Patterns of all that any of a pipeline's identities may do anything with."""
    where = settings_of(pipeline)
    return [
        pattern
        for identity in Identity
        for statement in stage_policy(identity, example_config(), where)["Statement"]
        if statement["Action"] != ["cloudwatch:PutMetricData"]  # metrics have no resources, see its condition
        for pattern in statement["Resource"]
    ]


# Property 26: nothing a pipeline deploys, changes or destroys belongs to another pipeline of the cluster
@given(one=names, other=names)
@settings(max_examples=150, deadline=None)
def test_two_pipelines_have_nothing_in_common(one: str, other: str) -> None:
    assume(one != other)
    assert not belongings(one) & belongings(other)


# Property 26: nothing a pipeline deploys, changes or destroys belongs to another pipeline of the cluster
@given(one=names, other=names)
@settings(max_examples=150, deadline=None)
def test_no_identity_of_a_pipeline_reaches_what_is_anothers(one: str, other: str) -> None:
    assume(one != other)
    patterns = reachable(one)
    assert [key for key in keys_of(other) if any(fnmatchcase(key, pattern) for pattern in patterns)] == []


# Property 27: destroying a pipeline removes all that is its own and leaves the cluster
@given(pipeline=names)
@settings(max_examples=100, deadline=None)
def test_all_that_is_in_the_cluster_is_the_pipelines_own_namespace_and_in_it(pipeline: str) -> None:
    namespace = PipelineNames(pipeline).namespace
    objects = [(kind, name) for kind, name in belongings(pipeline) if kind.startswith("kubernetes:")]
    assert ("kubernetes:core/v1:Namespace", f"/{namespace}") in objects
    others = [name for kind, name in objects if kind != "kubernetes:core/v1:Namespace"]
    assert others
    assert all(name.startswith(f"{namespace}/") for name in others)


# Property 27: destroying a pipeline removes all that is its own and leaves the cluster
@given(pipeline=names)
@settings(max_examples=100, deadline=None)
def test_nothing_in_the_sandbox_keeps_itself_from_being_removed(pipeline: str) -> None:
    made = declared(pipeline)
    assert made.one("aws:s3/bucket:Bucket")["forceDestroy"] is True
    assert made.one("aws:dynamodb/table:Table").get("deletionProtectionEnabled") is not True
