"""Pipelines of one cluster and one account do not touch each other: Properties 26 and 27."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from uuid import NAMESPACE_DNS, uuid5

import pytest
from aphex_platform.belongings import Belongings
from aphex_platform.identities import Identity
from aphex_platform.monitoring import alarm_arn
from aphex_platform.policies import boundary_policy, stage_policy
from aphex_platform.settings import AwsSettings, PlatformSettings
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from aphex.names import PULUMI_PROJECT, PipelineNames
from tests.support.declared import Recorder, declare
from tests.support.example import everything, example_config, pod_identity, sandbox_aws

pytestmark = pytest.mark.filterwarnings("ignore:.*has been deprecated in favor of:DeprecationWarning")

CONFIG = example_config()
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


def settings_of(pipeline: str, aws: AwsSettings) -> PlatformSettings:
    """A pipeline with every option, beside all others on one cluster and in one account."""
    own = {"pipeline": pipeline, "namespace": PipelineNames(pipeline).namespace}
    return everything(**own, aws=aws, state_backend=f"s3://{STATE_BUCKET}")


@cache
def declared(pipeline: str) -> Recorder:
    return declare(settings_of(pipeline, sandbox_aws()), config=CONFIG)


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
        elif each.typ == "aws:kms/key:Key":
            yield each.typ, inputs["description"]  # the key has no name; whose it is, its description says
        elif each.typ.startswith("aws:"):
            name = inputs.get("bucket") or inputs.get("role") or inputs.get("dashboardName") or inputs["name"]
            yield each.typ, str(name)


def key_of(pipeline: str, settings: PlatformSettings) -> str:
    """A key's ARN as AWS could have made it up."""
    return f"arn:aws:kms:{settings.aws.region}:{settings.aws.account}:key/{uuid5(NAMESPACE_DNS, pipeline)}"


def keys_of(pipeline: str, settings: PlatformSettings) -> list[str]:
    """ARNs of what a pipeline has: buckets, objects, table, key, roles, policies, alarms, and its part of the state."""
    own, names = Belongings(settings, key_of(pipeline, settings)), PipelineNames(pipeline)
    state = f"arn:aws:s3:::{STATE_BUCKET}/.pulumi"
    managed = [names.managed_policy(identity, 1) for identity in Identity]
    return [
        own.bucket,
        own.log_bucket,
        own.key,
        own.boundary,
        f"{own.bucket}/runs/{pipeline}-abcde/logs/build.log",
        f"{own.bucket}/artifacts/{'a' * 40}/{pipeline}-abcde/artifact.tar.zst",
        f"{own.log_bucket}/access/2026/0f",
        own.table,
        own.arn("secretsmanager", f"secret:{names.secrets_prefix}slack-AbCdEf"),
        own.arn("cloudwatch", f"dashboard/{names.dashboard}", region=False),
        alarm_arn(settings.aws, names.alarm("failed-runs")),
        *(own.arn("iam", f"policy{names.policy_path}{name}", region=False) for name in managed),
        *(own.role(identity) for identity in Identity),
        f"{state}/stacks/{PULUMI_PROJECT}/{names.stack}.json",
        f"{state}/stacks/{PULUMI_PROJECT}/{names.stack}.json.bak",
        f"{state}/history/{PULUMI_PROJECT}/{names.stack}/{names.stack}-1.history.json",
        f"{state}/backups/{PULUMI_PROJECT}/{names.stack}/{names.stack}.1.json",
        f"{state}/locks/organization/{PULUMI_PROJECT}/{names.stack}/0f.json",
    ]


def reachable(pipeline: str, settings: PlatformSettings) -> list[str]:
    """Patterns of all that any of a pipeline's identities may do anything with, and of what it could be given.

    Left out are rights that are not limited by their resource: metrics by namespace, names of keys, the state's key by
    its alias, and roles to assume, which say themselves whom they trust.
    """
    key = key_of(pipeline, settings)
    documents = [stage_policy(identity, CONFIG, settings, key) for identity in Identity]
    return [
        pattern
        for document in (*documents, boundary_policy(settings, key))
        for statement in document["Statement"]
        if statement["Sid"] not in ("Metrics", "Aliases", "StateKey", "Roles", "Associations")
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
    for aws in (sandbox_aws(), pod_identity()):
        patterns = reachable(one, settings_of(one, aws))
        others = keys_of(other, settings_of(other, aws))
        assert [key for key in others if any(fnmatchcase(key, pattern) for pattern in patterns)] == []


# Property 26: nothing a pipeline deploys, changes or destroys belongs to another pipeline of the cluster
@given(one=names, other=names)
@settings(max_examples=150, deadline=None)
def test_webhooks_of_pipelines_never_meet(one: str, other: str) -> None:
    assume(one != other)
    (own,), (others,) = (ingress_paths(declared(each)) for each in (one, other))
    assert own != others


def ingress_paths(recorder: Recorder) -> list[tuple[str, str]]:
    """Host and path of every rule of every Ingress; each takes its path alone."""
    rules = [rule for each in recorder.of("kubernetes:networking.k8s.io/v1:Ingress") for rule in each["spec"]["rules"]]
    paths = [(rule["host"], path) for rule in rules for path in rule["http"]["paths"]]
    assert {path["pathType"] for _, path in paths} == {"Exact"}
    return [(host, path["path"]) for host, path in paths]


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
    assert [each["forceDestroy"] for each in made.of("aws:s3/bucket:Bucket")] == [True, True]
    assert made.one("aws:dynamodb/table:Table").get("deletionProtectionEnabled") is not True
