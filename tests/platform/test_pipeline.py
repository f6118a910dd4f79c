"""Every resource of a pipeline, as the program declares it: Pulumi's mocks take the engine's place."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pulumi
import pytest
from aphex_platform.components.access import EXECUTOR_RULES, SELF_UPDATE_RULES, SENSOR_RULES, Rule
from aphex_platform.identities import Identity
from aphex_platform.settings import EventBusSettings, PlatformSecrets, PlatformSettings

from aphex.errors import AphexError
from tests.support.declared import Recorder, declare
from tests.support.example import everything, example_config, example_secrets, example_settings, real_aws

pytestmark = pytest.mark.filterwarnings("ignore:.*has been deprecated in favor of:DeprecationWarning")

TAGGED = (
    "aws:cloudwatch/metricAlarm:MetricAlarm",
    "aws:dynamodb/table:Table",
    "aws:iam/policy:Policy",
    "aws:iam/role:Role",
    "aws:kms/key:Key",
    "aws:s3/bucket:Bucket",
)


@pytest.fixture(scope="module")
def pipeline() -> Recorder:
    return declare(example_settings())


def test_on_a_real_account_data_is_protected_from_the_engine_too(pipeline: Recorder) -> None:
    kept = {"aws:s3/bucket:Bucket", "aws:dynamodb/table:Table", "aws:kms/key:Key"}
    assert set(declare(example_settings(aws=real_aws())).protected) == kept
    assert pipeline.protected == []


def test_aws_is_the_configured_account_and_region(pipeline: Recorder) -> None:
    provider = pipeline.one("pulumi:providers:aws")
    assert provider["region"] == "us-east-1"
    assert json.loads(provider["allowedAccountIds"]) == ["123456789012"]
    aws = [each for each in pipeline.declared if each.typ.startswith("aws:")]
    assert aws
    assert {str(each.provider).rsplit("::", 2)[1] for each in aws} == {"aws"}


def test_each_identity_is_a_role_with_one_policy_and_a_service_account(pipeline: Recorder) -> None:
    roles = {each["name"] for each in pipeline.of("aws:iam/role:Role")}
    assert roles == {f"aphex-shop-{identity}" for identity in Identity}
    assert {each["role"] for each in pipeline.of("aws:iam/rolePolicy:RolePolicy")} == roles
    assert [each["name"] for each in pipeline.of("aws:iam/policy:Policy")] == ["aphex-shop-boundary"]
    assert not pipeline.of("aws:iam/rolePolicyAttachment:RolePolicyAttachment")
    assert not pipeline.of("aws:eks/podIdentityAssociation:PodIdentityAssociation")
    accounts = pipeline.named("kubernetes:core/v1:ServiceAccount")
    assert set(accounts) == {*Identity, "executor", "sensor", "event-source"}
    for identity in Identity:
        assert accounts[identity]["automountServiceAccountToken"] is (identity is Identity.SELF_UPDATE)


def test_roles_grant_what_their_accounts_need_and_nothing_in_the_whole_cluster(pipeline: Recorder) -> None:
    roles = pipeline.named("kubernetes:rbac.authorization.k8s.io/v1:Role")
    expected = {"executor": EXECUTOR_RULES, "sensor": SENSOR_RULES, "self-update": SELF_UPDATE_RULES}
    assert set(roles) == set(expected)
    for name, rules in expected.items():
        granted = [(each["apiGroups"], each["resources"], each["verbs"]) for each in roles[name]["rules"]]
        assert granted == [([rule.group], list(rule.resources), list(rule.verbs)) for rule in rules]
    bindings = pipeline.named("kubernetes:rbac.authorization.k8s.io/v1:RoleBinding")
    for name, binding in bindings.items():
        assert binding["roleRef"]["name"] == name
        (subject,) = binding["subjects"]
        assert (subject["kind"], subject["name"], subject["namespace"]) == ("ServiceAccount", name, "aphex-shop")
    assert not [each.typ for each in pipeline.declared if "ClusterRole" in each.typ]


def rights(rules: Sequence[Rule]) -> set[tuple[str, str, str]]:
    return {(rule.group, resource, verb) for rule in rules for resource in rule.resources for verb in rule.verbs}


def test_the_self_update_holds_all_that_it_may_grant() -> None:
    held = {
        (rule.group, resource, verb) for rule in SELF_UPDATE_RULES for resource in rule.resources for verb in rule.verbs
    }
    for rules in (EXECUTOR_RULES, SENSOR_RULES):
        for rule in rules:
            assert {(rule.group, resource, verb) for resource in rule.resources for verb in rule.verbs} <= held
    assert not [rule for rule in SELF_UPDATE_RULES if {"escalate", "bind", "*"} & set(rule.verbs)]


def test_the_executor_has_the_token_that_argo_looks_for(pipeline: Recorder) -> None:
    secret = pipeline.named("kubernetes:core/v1:Secret")["executor.service-account-token"]
    assert secret["type"] == "kubernetes.io/service-account-token"
    assert secret["metadata"]["annotations"] == {"kubernetes.io/service-account.name": "executor"}


def test_the_self_update_finds_its_settings_and_secrets(pipeline: Recorder) -> None:
    settings = pipeline.named("kubernetes:core/v1:ConfigMap")["aphex-settings"]["data"]["settings.json"]
    assert PlatformSettings.model_validate_json(settings) == example_settings()
    secrets = pipeline.secret("aphex-secrets", "secrets.json")
    assert PlatformSecrets.model_validate_json(secrets) == example_secrets()


def test_secrets_are_in_secrets_and_nowhere_else(pipeline: Recorder) -> None:
    for each in pipeline.declared:
        if each.typ != "kubernetes:core/v1:Secret":
            assert "sesame" not in json.dumps(each.inputs), each.name


def test_the_bus_is_the_existing_one_with_its_password(pipeline: Recorder) -> None:
    bus = pipeline.one("kubernetes:argoproj.io/v1alpha1:EventBus")
    assert bus["spec"]["jetstreamExotic"]["url"] == "nats://10.88.0.2:4222"
    reference = bus["spec"]["jetstreamExotic"]["accessSecret"]
    secret = pipeline.secret(reference["name"], reference["key"])
    assert json.loads(secret) == {"username": "sesame-user", "password": "sesame-password"}


def test_a_bus_of_the_namespaces_own_needs_no_secret_of_ours() -> None:
    declared = declare(example_settings(event_bus=EventBusSettings()))
    assert "jetstream" in declared.one("kubernetes:argoproj.io/v1alpha1:EventBus")["spec"]
    assert "event-bus" not in declared.named("kubernetes:core/v1:Secret")


def test_an_existing_bus_without_password_is_refused() -> None:
    secrets = example_secrets().model_copy(update={"nats_password": None})
    with pytest.raises(AphexError, match="nats_password"):
        declare(example_settings(), secrets)


def test_manifests_reach_kubernetes_unchanged() -> None:
    from aphex_platform.manifests import render

    for settings in (example_settings(), everything()):
        declared = declare(settings)
        for manifest in render(example_config(), settings):
            made = declared.named(f"kubernetes:{manifest['apiVersion']}:{manifest['kind']}")[
                manifest["metadata"]["name"]
            ]
            assert made["spec"] == manifest["spec"]
            assert made["metadata"] == manifest["metadata"]


def test_everything_lives_in_the_pipelines_namespace_and_says_whose_it_is(pipeline: Recorder) -> None:
    for each in pipeline.declared:
        if each.typ == "kubernetes:core/v1:Namespace":
            assert each.inputs["metadata"]["name"] == "aphex-shop"
        elif each.typ.startswith("kubernetes:"):
            assert each.inputs["metadata"]["namespace"] == "aphex-shop"
    for kind in TAGGED:
        assert pipeline.of(kind), kind
        assert all(each["tags"] == {"aphex:pipeline": "shop"} for each in pipeline.of(kind)), kind


def test_the_program_declares_only_kinds_that_are_expected(pipeline: Recorder) -> None:
    kinds = {each.typ for each in pipeline.declared if each.custom}
    assert {kind for kind in kinds if kind.startswith("aws:")} == {
        "aws:cloudwatch/dashboard:Dashboard",
        "aws:cloudwatch/metricAlarm:MetricAlarm",
        "aws:dynamodb/table:Table",
        "aws:iam/policy:Policy",
        "aws:iam/role:Role",
        "aws:iam/rolePolicy:RolePolicy",
        "aws:kms/alias:Alias",
        "aws:kms/key:Key",
        "aws:s3/bucket:Bucket",
        "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
        "aws:s3/bucketLogging:BucketLogging",
        "aws:s3/bucketOwnershipControls:BucketOwnershipControls",
        "aws:s3/bucketPolicy:BucketPolicy",
        "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
        "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
        "aws:s3/bucketVersioning:BucketVersioning",
    }
    assert pulumi.get_project() == "aphex"
