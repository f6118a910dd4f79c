"""What the configuration accepts and what it refuses: Properties 8, 15 and 19."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from aphex.loader import ConfigError, load_config, parse_config
from aphex.run import StageKind, run_stages
from aphex.schema import json_schema
from tests.support.strategies import documents

BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
ALPHANUMERIC = BASE64[:-2]


def written(document: dict[str, Any], folder: Path) -> Path:
    path = folder / "aphex-config.yaml"
    with path.open("w", encoding="utf-8") as stream:
        YAML(typ="safe").dump(document, stream)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("configuration")


# Property 8: an environment without region, account or at least one stack is rejected
@settings(max_examples=150, deadline=None)
@given(document=documents(), data=st.data())
def test_environment_needs_region_account_and_stack(
    folder: Path, document: dict[str, Any], data: st.DataObject
) -> None:
    assert load_config(written(document, folder)).environments
    index = data.draw(st.integers(0, len(document["environments"]) - 1))
    field = data.draw(st.sampled_from(["region", "account", "stacks", "no stack"]))
    broken = copy.deepcopy(document)
    if field == "no stack":
        field = "stacks"
        broken["environments"][index]["stacks"] = []
    else:
        del broken["environments"][index][field]
    with pytest.raises(ConfigError) as raised:
        load_config(written(broken, folder))
    assert [problem.field for problem in raised.value.problems] == [f"environments[{index}].{field}"]
    assert raised.value.problems[0].line > 0


def aws_secret_keys() -> st.SearchStrategy[str]:
    mixed = st.tuples(st.sampled_from("ABCXYZ"), st.sampled_from("abcxyz"), st.sampled_from("0123456789"))
    return st.tuples(mixed, st.text(BASE64, min_size=37, max_size=37)).map(lambda parts: "".join(parts[0]) + parts[1])


credentials = st.one_of(
    st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", min_size=16, max_size=16).map(lambda text: f"AKIA{text}"),
    st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", min_size=16, max_size=16).map(lambda text: f"ASIA{text}"),
    aws_secret_keys(),
    st.text(ALPHANUMERIC, min_size=36, max_size=36).map(lambda text: f"ghp_{text}"),
    st.text(ALPHANUMERIC, min_size=24, max_size=24).map(lambda text: f"xoxb-{text}"),
    st.text(ALPHANUMERIC, min_size=8, max_size=20).map(lambda text: f"https://user:{text}@example.com/repo.git"),
    st.just("-----BEGIN RSA PRIVATE KEY-----"),
)


def planted(document: dict[str, Any], place: str, secret: str) -> dict[str, Any]:
    broken = copy.deepcopy(document)
    environment = broken["environments"][-1]
    if place == "command":
        broken["build"]["commands"].append(f"deploy --with {secret} now")
    elif place == "hook":
        environment["hooks"] = {"pre": [{"run": f"export KEY={secret}", "timeout": "5m"}]}
    elif place == "context":
        environment["context"] = {"nested": {"list": ["harmless", secret]}}
    elif place == "unknown setting":
        environment["surprise"] = secret
    else:
        environment[secret] = "value"
    return broken


# Property 15: a configuration with a credential in it is rejected
@settings(max_examples=300, deadline=None)
@given(
    document=documents(max_environments=3),
    secret=credentials,
    place=st.sampled_from(["command", "hook", "context", "unknown setting", "key"]),
)
def test_credential_is_rejected_and_never_repeated(
    folder: Path, document: dict[str, Any], secret: str, place: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        load_config(written(planted(document, place, secret), folder))
    message = str(raised.value)
    assert "holds what looks like" in message
    assert secret not in message


SCHEMA = jsonschema.Draft202012Validator(json_schema())


def mutated(document: dict[str, Any], mutation: str, junk: object) -> tuple[dict[str, Any], str]:
    """Break a document in one way; returns it with the field that is wrong then."""
    broken = copy.deepcopy(document)
    environment = broken["environments"][0]
    match mutation:
        case "version":
            broken["version"] = junk
            return broken, "version"
        case "no build":
            del broken["build"]
            return broken, "build"
        case "unknown":
            broken["enviroments"] = junk
            return broken, "enviroments"
        case "commands":
            broken["build"]["commands"] = junk
            return broken, "build.commands"
        case "stack":
            environment["stacks"][0] = {"name": environment["stacks"][0]["name"]}
            return broken, "environments[0].stacks[0].path"
        case _:
            environment["name"] = "No_Such Name!"
            return broken, "environments[0].name"


# Property 19: any configuration is checked against the schema before a stage runs
@settings(max_examples=200, deadline=None)
@given(
    document=documents(max_environments=3),
    mutation=st.sampled_from(["version", "no build", "unknown", "commands", "stack", "name"]),
    junk=st.one_of(st.none(), st.booleans(), st.integers(), st.just("text"), st.just([]), st.just({"a": "b"})),
)
def test_every_configuration_is_checked_before_a_stage(
    folder: Path, document: dict[str, Any], mutation: str, junk: object
) -> None:
    config = load_config(written(document, folder))
    assert SCHEMA.is_valid(document)
    assert run_stages(config)[0].kind is StageKind.VALIDATE

    broken, field = mutated(document, mutation, junk)
    with pytest.raises(ConfigError) as raised:
        load_config(written(broken, folder))
    assert any(problem.field.startswith(field) for problem in raised.value.problems), str(raised.value)
    assert not SCHEMA.is_valid(broken)


@settings(max_examples=300, deadline=None)
@given(text=st.text(max_size=200))
def test_no_text_makes_the_loader_fail_in_another_way(text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_config(text)
    assert raised.value.problems
