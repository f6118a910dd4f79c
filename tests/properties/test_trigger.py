"""What a run takes from an event, by Argo Events' own code over the Sensors that are deployed: Property 1."""

from __future__ import annotations

import json
import re
import subprocess
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from aphex_platform.manifests.common import Manifest
from aphex_platform.manifests.sensors import pull_request_sensor, push_sensor
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.control_plane import tool
from tests.support.example import example_settings

pytestmark = pytest.mark.engine

shas = st.from_regex(r"[0-9a-f]{40}", fullmatch=True)
parts = st.from_regex(r"[A-Za-z0-9äß_+=#$%&;()'\"`!{}-]{1,12}", fullmatch=True).filter(
    lambda part: "{{" not in part and part != "-" and not part.startswith("-")
)
branches = st.lists(parts, min_size=1, max_size=3).map("/".join)
names = st.from_regex(r"[A-Za-z0-9_-]{1,20}", fullmatch=True)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)

# The last is in Unicode since version 15: newer than what some Pythons know.
AWKWARD = ["{{=1}}", "{{{{workflow.name}}", "a\x1b[31m\n\nb", '"\\', "\U00031350"]


@dataclass(frozen=True)
class Started:
    """What the Sensor makes of an event: whether it starts a run, of which name and with which parameters."""

    passed: bool
    parameters: dict[str, str]
    name: str = ""


Resolver = Callable[[Manifest, dict[str, Any]], Started]


@pytest.fixture(scope="module")
def resolve() -> Iterator[Resolver]:
    """Asks the Argo Events binary, which answers every line of JSON with one."""
    argo_events = tool("argo-events")
    with subprocess.Popen(
        [argo_events, "resolve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def ask(sensor: Manifest, event: dict[str, Any]) -> Started:
            (dependency,) = sensor["spec"]["dependencies"]
            (trigger,) = sensor["spec"]["triggers"]
            k8s = trigger["template"]["k8s"]
            question = {
                "dependencies": [dependency],
                "parameters": k8s["parameters"],
                "events": {dependency["name"]: event},
                "resource": k8s["source"]["resource"],
            }
            process.stdin.write(json.dumps(question) + "\n")  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]
            answer = json.loads(process.stdout.readline())  # type: ignore[union-attr]
            passed = answer["passed"][dependency["name"]]
            if not passed:
                return Started(passed=False, parameters={})
            assert not answer.get("error"), answer["error"]
            arguments = answer["resource"]["spec"]["arguments"]["parameters"]
            parameters = {each["name"]: each["value"] for each in arguments}
            return Started(passed=True, parameters=parameters, name=answer["resource"]["metadata"]["name"])

        yield ask
        process.stdin.close()


@st.composite
def pushes(draw: st.DrawFn) -> dict[str, Any]:
    """A push as the EventSource hands it on, with the fields of GitHub's payload that a run could take."""
    owner, name = draw(names), draw(names)
    deleted = draw(st.booleans())
    author = st.fixed_dictionaries({"name": texts, "email": texts})
    commit = st.fixed_dictionaries({"id": shas, "message": texts, "author": author})
    return {
        "headers": {"X-Github-Event": ["push"], "X-Github-Delivery": [draw(st.uuids().map(str))]},
        "body": {
            "ref": "refs/heads/" + draw(branches),
            "before": draw(shas),
            "after": "0" * 40 if deleted else draw(shas),
            "deleted": deleted,
            "head_commit": None if deleted else draw(st.none() | commit),
            "repository": {
                "full_name": f"{owner}/{name}",
                "clone_url": f"https://git.example.com/{owner}/{name}.git",
            },
        },
    }


@st.composite
def pull_requests(draw: st.DrawFn) -> dict[str, Any]:
    """A pull request's event as the EventSource hands it on."""
    owner, name = draw(names), draw(names)
    return {
        "headers": {"X-Github-Event": ["pull_request"], "X-Github-Delivery": [draw(st.uuids().map(str))]},
        "body": {
            "action": draw(st.sampled_from(["opened", "synchronize", "reopened"])),
            "number": draw(st.integers(min_value=1, max_value=2_000_000)),
            "pull_request": {
                "title": draw(texts),
                "user": {"login": draw(names)},
                "head": {"sha": draw(shas), "ref": draw(branches)},
            },
            "repository": {
                "full_name": f"{owner}/{name}",
                "clone_url": f"https://git.example.com/{owner}/{name}.git",
            },
        },
    }


def survives_argo(text: str) -> bool:
    """Whether a parameter's value can be put into a template: printable, and with no variable of Argo's in it."""
    return "{{" not in text and not any(unprintable(character) for character in text)


def unprintable(character: str) -> bool:
    """Whether Go would write a character as an escape.

    Go's tables and Python's are of different versions of Unicode: a character that Python does not know may be
    one that Go prints, so only what Python does know is judged.
    """
    category = unicodedata.category(character)
    return (category.startswith("C") and category != "Cn") or (category.startswith("Z") and character != " ")


def known_everywhere(text: str) -> bool:
    """Whether a text's characters are all of a version of Unicode that every Go and Python in use knows."""
    return all(unicodedata.ucd_3_2_0.category(character) != "Cn" for character in text)


# Property 1: commit SHA, branch and repository are extracted from a push as the Sensor does it
@given(event=pushes())
@settings(max_examples=300, deadline=None)
def test_a_push_starts_a_run_for_its_commit(event: dict[str, Any], resolve: Resolver) -> None:
    body = event["body"]
    branch = body["ref"].removeprefix("refs/heads/")
    sensor = push_sensor(example_settings(branch=branch, repository_full_name=body["repository"]["full_name"]))
    started = resolve(sensor, event)
    assert started.passed is not body["deleted"]
    if started.passed:
        assert started.parameters["commit"] == body["after"]
        assert started.parameters["branch"] == branch
        assert started.parameters["repository"] == body["repository"]["clone_url"]
        assert started.parameters["trigger"] == "push"
        assert started.parameters["pull_request"] == ""


# Property 1: commit SHA, branch and repository are extracted from a pull request as the Sensor does it
@given(event=pull_requests())
@settings(max_examples=300, deadline=None)
def test_a_pull_request_starts_a_validation_of_its_head(event: dict[str, Any], resolve: Resolver) -> None:
    body = event["body"]
    started = resolve(
        pull_request_sensor(example_settings(repository_full_name=body["repository"]["full_name"])), event
    )
    assert started.passed
    assert started.parameters["commit"] == body["pull_request"]["head"]["sha"]
    assert started.parameters["branch"] == body["pull_request"]["head"]["ref"]
    assert started.parameters["repository"] == body["repository"]["clone_url"]
    assert started.parameters["trigger"] == "pull_request"
    assert started.parameters["pull_request"] == str(body["number"])


# Property 1: what anyone may write into an event cannot break the run that it starts
@given(event=pushes(), message=texts | st.sampled_from(AWKWARD))
@settings(max_examples=300, deadline=None)
def test_free_text_is_made_harmless(event: dict[str, Any], message: str, resolve: Resolver) -> None:
    body = event["body"]
    body["deleted"] = False
    body["head_commit"] = {"message": message, "author": {"name": message}}
    branch = body["ref"].removeprefix("refs/heads/")
    sensor = push_sensor(example_settings(branch=branch, repository_full_name=body["repository"]["full_name"]))
    parameters = resolve(sensor, event).parameters
    assert survives_argo(parameters["message"])
    assert survives_argo(parameters["author"])
    if (
        survives_argo(message)
        and known_everywhere(message)
        and len(message.encode()) <= 200
        and "\ufffd" not in message
    ):
        assert parameters["message"] == message


def sensor_of(event: dict[str, Any]) -> Manifest:
    """The Sensor that takes the event."""
    body = event["body"]
    repository = body["repository"]["full_name"]
    if "pull_request" in body:
        return pull_request_sensor(example_settings(repository_full_name=repository))
    body["deleted"] = False
    branch = body["ref"].removeprefix("refs/heads/")
    return push_sensor(example_settings(branch=branch, repository_full_name=repository))


@given(event=pushes() | pull_requests(), other=st.uuids().map(str))
@settings(max_examples=200, deadline=None)
def test_a_run_is_named_by_its_delivery(event: dict[str, Any], other: str, resolve: Resolver) -> None:
    sensor, prefix = sensor_of(event), "shop-pr-" if "pull_request" in event["body"] else "shop-"
    first, again = resolve(sensor, event), resolve(sensor, event)
    assert first.name == again.name
    assert re.fullmatch(prefix + "[0-9a-f]{12}", first.name)
    redelivered = {**event, "headers": {**event["headers"], "X-Github-Delivery": [other]}}
    assert (resolve(sensor, redelivered).name == first.name) is ([other] == event["headers"]["X-Github-Delivery"])


@given(event=pushes() | pull_requests(), other=shas)
@settings(max_examples=100, deadline=None)
def test_an_event_without_a_delivery_is_known_by_what_it_says(
    event: dict[str, Any], other: str, resolve: Resolver
) -> None:
    sensor, body = sensor_of(event), event["body"]
    for headers in ({}, {"X-Github-Delivery": [""]}):
        unnamed = {"headers": {"X-Github-Event": event["headers"]["X-Github-Event"], **headers}, "body": body}
        changed = {**unnamed, "body": {**body, "before": other}}
        assert resolve(sensor, unnamed).name == resolve(sensor, unnamed).name
        assert (resolve(sensor, changed).name == resolve(sensor, unnamed).name) is (body.get("before") == other)


def test_the_longest_pipelines_runs_have_names_that_are_labels(resolve: Resolver) -> None:
    settings = example_settings(pipeline="s" * 40)
    event = {
        "headers": {"X-Github-Event": ["pull_request"], "X-Github-Delivery": ["72d3162e-cc78-11e3-81ab-4c9367dc0958"]},
        "body": {
            "action": "opened",
            "number": 1,
            "pull_request": {"title": "", "user": {"login": "a"}, "head": {"sha": "a" * 40, "ref": "b"}},
            "repository": {"full_name": "aphex/shop", "clone_url": "https://git.example.com/aphex/shop.git"},
        },
    }
    assert len(resolve(pull_request_sensor(settings), event).name) <= 63


@given(event=pushes(), branch=branches)
@settings(max_examples=100, deadline=None)
def test_pushes_to_other_branches_start_nothing(event: dict[str, Any], branch: str, resolve: Resolver) -> None:
    body = event["body"]
    sensor = push_sensor(example_settings(branch=branch, repository_full_name=body["repository"]["full_name"]))
    assert resolve(sensor, event).passed is (body["ref"] == f"refs/heads/{branch}" and not body["deleted"])


@given(event=pull_requests(), action=st.sampled_from(["closed", "labeled", "edited", "review_requested", "re-opened"]))
@settings(max_examples=100, deadline=None)
def test_other_actions_on_pull_requests_start_nothing(event: dict[str, Any], action: str, resolve: Resolver) -> None:
    event["body"]["action"] = action
    sensor = pull_request_sensor(example_settings(repository_full_name=event["body"]["repository"]["full_name"]))
    assert not resolve(sensor, event).passed


@given(push=pushes(), pull_request=pull_requests())
@settings(max_examples=100, deadline=None)
def test_each_sensor_takes_only_its_own_events(
    push: dict[str, Any], pull_request: dict[str, Any], resolve: Resolver
) -> None:
    branch = push["body"]["ref"].removeprefix("refs/heads/")
    of_push = example_settings(branch=branch, repository_full_name=push["body"]["repository"]["full_name"])
    of_pull = example_settings(repository_full_name=pull_request["body"]["repository"]["full_name"])
    assert not resolve(push_sensor(of_pull), pull_request).passed
    assert not resolve(pull_request_sensor(of_push), push).passed
