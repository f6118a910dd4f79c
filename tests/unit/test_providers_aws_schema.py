"""Names, defaults and differences of AWS resources, as the real provider decides them."""

from __future__ import annotations

import importlib
import json

import pytest

from sandbox.providers.aws.comparison import changes, same, same_document
from sandbox.providers.aws.iam import Role
from sandbox.providers.aws.kms import Alias
from sandbox.providers.aws.logs import LogGroup
from sandbox.providers.aws.s3_bucket import Bucket
from sandbox.providers.aws.schema import DEFAULTS
from sandbox.providers.aws.shapes import from_aws, pairs, pruned, tag_map, to_aws
from sandbox.providers.aws.types import TYPES
from sandbox.providers.base import UNKNOWN, Kind, Naming, NamingMode, Properties

SEED = Naming(seed=bytes.fromhex("0123456789"))
TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})


def checked(schema: object, new: Properties, old: Properties | None = None, naming: Naming = SEED) -> Properties:
    result = schema.check("My-Thing", old, new, naming, {})  # type: ignore[attr-defined]
    assert not result.problems
    inputs: Properties = result.inputs
    return inputs


def test_an_automatic_name_is_the_resource_s_with_seven_digits() -> None:
    assert checked(Role.schema, {"assumeRolePolicy": TRUST})["name"] == "My-Thing-0123456"
    assert checked(Bucket.schema, {})["bucket"] == "my-thing-0123456", "bucket names are lower case"
    assert checked(Alias.schema, {"targetKeyId": "k"})["name"] == "alias/My-Thing-0123456"
    assert checked(Bucket.schema, {"bucketPrefix": "logs-"})["bucket"] == "logs-0123456"


def test_an_automatic_name_is_never_too_long() -> None:
    name = Bucket.schema.check("b" * 100, None, {}, SEED, {}).inputs["bucket"]
    assert len(name) == 63
    assert name.endswith("0123456")


def test_an_automatic_name_stays_until_the_program_gives_one() -> None:
    first = checked(Bucket.schema, {})
    later = Naming(seed=b"other seed")
    assert checked(Bucket.schema, {"tags": {"a": "b"}}, first, later)["bucket"] == first["bucket"]
    named = checked(Bucket.schema, {"bucket": "mine"}, first)
    assert checked(Bucket.schema, {}, named, later)["bucket"] != "mine"


def test_the_user_s_naming_is_followed() -> None:
    proposed = Naming(seed=b"", proposed="Chosen")
    assert checked(Bucket.schema, {}, naming=proposed)["bucket"] == "chosen"
    enforced = Naming(seed=b"", proposed="Chosen", mode=NamingMode.ENFORCE)
    assert checked(Bucket.schema, {}, naming=enforced)["bucket"] == "Chosen"
    (problem,) = Bucket.schema.check("b", None, {}, Naming(mode=NamingMode.DISABLE), {}).problems
    assert problem.property == "bucket"


def test_missing_and_unsupported_inputs_are_problems() -> None:
    problems = Role.schema.check("r", None, {"inlinePolicies": []}, SEED, {}).problems
    assert {problem.property for problem in problems} == {"assumeRolePolicy", "inlinePolicies"}
    assert any("inlinePolicies of aws:iam/role:Role" in problem.reason for problem in problems)


def test_default_tags_are_tags_unless_the_resource_says_otherwise() -> None:
    result = Bucket.schema.check("b", None, {"tags": {"a": "own"}}, SEED, {"a": "default", "b": "default"})
    assert result.inputs["tags"] == {"a": "own", "b": "default"}


def test_a_document_may_be_a_map() -> None:
    assert checked(Role.schema, {"assumeRolePolicy": json.loads(TRUST)})["assumeRolePolicy"] == TRUST


def test_a_change_of_the_path_replaces_a_role_and_frees_a_fixed_name_first() -> None:
    def difference(old: Properties, new: Properties) -> tuple[bool, bool]:
        before = checked(Role.schema, {"assumeRolePolicy": TRUST, **old})
        after = checked(Role.schema, {"assumeRolePolicy": TRUST, **new}, before)
        found = Role.schema.difference(before, after)
        return any(change.replaces for change in found.changes), found.delete_before_replace

    assert difference({"name": "a"}, {"name": "a", "path": "/new/"}) == (True, True)
    assert difference({"name": "a"}, {"name": "b", "path": "/new/"}) == (True, False)
    assert difference({}, {"path": "/new/"}) == (True, False)
    assert difference({}, {"description": "new"}) == (False, False)
    assert difference({"path": "/"}, {}) == (False, False)


def test_a_default_spelled_out_or_left_out_is_no_difference() -> None:
    before = checked(LogGroup.schema, {"retentionInDays": 0, "logGroupClass": "STANDARD", "tags": {}})
    assert not LogGroup.schema.difference(before, checked(LogGroup.schema, {}, before)).changes


def test_changes_are_named_by_their_paths() -> None:
    old = {"tags": {"a b": "1", "c": "2"}, "rules": [{"id": "x", "days": 1}], "gone": "g", "zero": 0}
    new = {"tags": {"a b": "9", "d": "2"}, "rules": [{"id": "x", "days": UNKNOWN}, {"id": "y"}], "empty": []}
    assert [(change.path, change.kind) for change in changes(old, new)] == [
        ("gone", Kind.DELETE),
        ("rules[0].days", Kind.UPDATE),
        ("rules[1]", Kind.ADD),
        ('tags["a b"]', Kind.UPDATE),
        ("tags.c", Kind.DELETE),
        ("tags.d", Kind.ADD),
    ]


def test_what_says_nothing_is_no_change() -> None:
    assert not changes({"a": {"b": ""}, "c": False}, {"d": {"e": False, "f": 0}})
    assert [change.kind for change in changes({"a": True}, {"a": False})] == [Kind.UPDATE]
    assert same({"prefix": ""}, None)
    assert not same({"prefix": ""}, {"prefix": "p"})


def test_policies_are_compared_by_what_they_say() -> None:
    one = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["a", "b"], "Resource": "*"}]}'
    other = '{"Statement": {"Resource": ["*"], "Action": ["b", "a"], "Effect": "Allow"}, "Version": "2012-10-17"}'
    assert same_document(one, other)
    assert not same_document(one, other.replace('"b", "a"', '"b"'))
    assert not same_document(one, "{broken")
    assert same([{"a": 1}, {"b": 2}], [{"b": 2, "added": False}, {"a": 1}])
    assert not same([{"a": 1}], [{"a": 1, "added": True}])
    assert not same(UNKNOWN, UNKNOWN)


def test_inputs_are_read_off_a_resource_for_an_import_and_corrected_by_a_refresh() -> None:
    live = {"name": "n", "retentionInDays": 7, "kmsKeyId": "", "logGroupClass": "STANDARD", "tags": {}, "region": "r"}
    imported = LogGroup.schema.inputs_of(live, {})
    assert imported["name"] == "n"
    assert imported["retentionInDays"] == 7
    assert "tags" not in imported
    old = {"name": "n", "retentionInDays": 3, "skipDestroy": True, DEFAULTS: []}
    corrected = LogGroup.schema.inputs_of({**live, "tags": {"theirs": "x"}}, old)
    assert corrected == {**old, "retentionInDays": 7, "tags": {"theirs": "x"}}


def test_shapes_follow_the_rule_and_its_exceptions() -> None:
    pulumi = {"id": "a", "filter": {"prefix": "p"}, "noncurrentVersionTransitions": [{"storageClass": "GLACIER"}]}
    api = {"ID": "a", "Filter": {"Prefix": "p"}, "NoncurrentVersionTransitions": [{"StorageClass": "GLACIER"}]}
    assert to_aws(pulumi, {"id": "ID"}) == api
    assert from_aws(api, {"id": "ID"}) == pulumi
    assert pruned({"a": {"b": ""}, "c": [{"d": []}], "e": 0}) == {"c": [{}], "e": 0}
    assert tag_map([*pairs({"b": "2", "a": "1"}), {"Key": "aws:x", "Value": "y"}]) == {"a": "1", "b": "2"}


@pytest.mark.filterwarnings("ignore:.*has been deprecated:DeprecationWarning")
@pytest.mark.parametrize("token", sorted(TYPES))
def test_every_schema_agrees_with_the_sdk(token: str) -> None:
    """The tokens and property names are those of the package that the programs are written with."""
    service, kind = token.split(":")[1].split("/")[0], token.rpartition(":")[2]
    cls = getattr(importlib.import_module(f"pulumi_aws.{service}"), kind)
    module = importlib.import_module(cls.__module__)
    # `InitArgs` where a nested type has taken the other name.
    arguments = getattr(module, f"{kind}InitArgs", None) or getattr(module, f"{kind}Args")
    schema = TYPES[token].schema
    assert cls.pulumi_type == token
    prefix = {schema.name.prefix_property} - {""} if schema.name else set()
    assert {_snake(name) for name in schema.known | schema.required | schema.defaults.keys() | prefix} <= set(
        dir(arguments)
    )
    assert {_snake(name.partition(".")[0]) for name in schema.computed} <= set(dir(cls))


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
