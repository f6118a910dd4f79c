"""The stand-ins take no input that the real providers lack, demand what these do, and replace upon the same changes."""

from __future__ import annotations

import pytest

from sandbox.providers.aws.types import TYPES
from sandbox.providers.eks import inputs
from sandbox.providers.kubernetes import releases
from tests.support.published_schema import SdkInputs, extract, recorded, sdk_inputs, snake

AWS = recorded("aws")


def published(token: str) -> SdkInputs:
    _, module, kind = token.split(":")
    return sdk_inputs("aws", f"{module.split('/')[0]}/{snake(kind)}", kind)


@pytest.mark.parametrize("token", sorted(TYPES))
def test_an_aws_type_takes_what_the_real_provider_takes(token: str) -> None:
    schema, real = TYPES[token].schema, published(token)
    assert not schema.inputs - real.names, "inputs that the real provider does not have"
    assert schema.regional == ("region" in real.names)
    filled = {*schema.defaults, *([schema.name.property] if schema.name else ())}
    assert not real.required - schema.required - filled, "inputs that the real provider demands"
    named = {part.split(".")[0] for part in (*schema.sticky, *schema.documents, *schema.references, *schema.local)}
    assert not named - real.names, "settings of inputs that there are not"


@pytest.mark.parametrize("token", sorted(TYPES))
def test_an_aws_type_is_replaced_upon_the_changes_that_the_real_provider_replaces_it(token: str) -> None:
    schema, facts = TYPES[token].schema, AWS[token]
    known = {path for path in facts["replaces"] if path.split(".")[0] in schema.inputs}
    # The bridge makes a new resource for each region, whatever the type.
    assert {path for path in schema.replacing if path} == known | ({"region"} if schema.regional else set())
    by_kind = {path: {kind.value for kind in kinds} for path, kinds in schema.replaces_by.items()}
    assert by_kind == {path: set(kinds) for path, kinds in facts.get("replacesBy", {}).items()}


@pytest.mark.parametrize("token", sorted(AWS))
def test_the_recorded_facts_are_of_real_inputs(token: str) -> None:
    paths = {*AWS[token]["replaces"], *AWS[token].get("replacesBy", {})}
    assert token in TYPES
    assert not {path.split(".")[0] for path in paths} - published(token).names


def test_the_cluster_component_takes_what_the_real_one_does() -> None:
    real = recorded("eks")["eks:index:Cluster"]
    assert not inputs.CLUSTER - set(real["inputs"])
    assert not set(real["required"])
    known = sdk_inputs("eks", "cluster", "Cluster")
    assert {snake(name) for name in real["inputs"]} == {snake(name) for name in known.names}, "of another version"


def test_a_release_takes_what_the_real_provider_takes() -> None:
    real = sdk_inputs("kubernetes", "helm/v3/Release", "Release")
    assert not releases.INPUTS - real.names
    assert not real.required - releases.INPUTS


def test_a_published_schema_is_read() -> None:
    schema = {
        "types": {"x:index/part:Part": {"properties": {"size": {"willReplaceOnChanges": True}, "note": {}}}},
        "resources": {
            "x:index:Thing": {
                "inputProperties": {
                    "name": {"willReplaceOnChanges": True},
                    "part": {"$ref": "#/types/x:index/part:Part"},
                    "note": {"type": "string"},
                },
                "requiredInputs": ["name"],
            }
        },
    }
    assert extract(schema, ["x:index:Thing"]) == {
        "x:index:Thing": {"inputs": ["name", "note", "part"], "required": ["name"], "replaces": ["name", "part.size"]}
    }
