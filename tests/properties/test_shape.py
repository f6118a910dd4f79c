"""The shape of a run follows the configuration: Property 6."""

from __future__ import annotations

from typing import Any

from aphex_platform.manifests import render
from aphex_platform.manifests.common import Manifest
from hypothesis import given, settings

from aphex.config import PipelineConfig
from tests.support.example import example_settings
from tests.support.strategies import documents

SETTINGS = example_settings()


def rendered(document: dict[str, Any], name: str) -> tuple[PipelineConfig, Manifest]:
    config = PipelineConfig.model_validate(document)
    manifests = render(config, SETTINGS)
    return config, next(
        each for each in manifests if each["kind"] == "WorkflowTemplate" and each["metadata"]["name"] == name
    )


def tasks_of(template: Manifest) -> list[dict[str, Any]]:
    entrypoint = template["spec"]["entrypoint"]
    dag = next(each for each in template["spec"]["templates"] if each["name"] == entrypoint)
    tasks: list[dict[str, Any]] = dag["dag"]["tasks"]
    return tasks


def environment_of(task: dict[str, Any]) -> str:
    (parameter,) = task["arguments"]["parameters"]
    assert parameter["name"] == "environment"
    return str(parameter["value"])


# Property 6: N environments give exactly N environment stages
@given(document=documents(max_environments=12))
@settings(max_examples=200, deadline=None)
def test_each_environment_has_exactly_one_stage(document: dict[str, Any]) -> None:
    config, template = rendered(document, SETTINGS.pipeline)
    deployments = [task for task in tasks_of(template) if task["template"] == "environment"]
    assert [environment_of(task) for task in deployments] == [each.name for each in config.environments]
    assert [task["name"] for task in deployments] == [f"deploy-{each.name}" for each in config.environments]


# Property 6: N environments give exactly N environment stages
@given(document=documents(max_environments=12))
@settings(max_examples=100, deadline=None)
def test_stages_follow_one_another_and_tests_their_environment(document: dict[str, Any]) -> None:
    config, template = rendered(document, SETTINGS.pipeline)
    names = [task["name"] for task in tasks_of(template)]
    expected = ["validate", "build", "self-update"]
    for environment in config.environments:
        expected.append(f"deploy-{environment.name}")
        if environment.tests is not None:
            expected.append(f"test-{environment.name}")
    assert names == expected
    for before, task in zip(names, tasks_of(template)[1:], strict=False):
        assert task["depends"].split(" || ")[0] == f"{before}.Succeeded"


@given(document=documents(max_environments=12))
@settings(max_examples=100, deadline=None)
def test_pull_requests_have_no_environment_stage_whatever_the_configuration(document: dict[str, Any]) -> None:
    _, template = rendered(document, f"{SETTINGS.pipeline}-pull-request")
    assert [task["name"] for task in tasks_of(template)] == ["validate", "build"]
    assert {each["name"] for each in template["spec"]["templates"]} == {"run", "validate", "build", "exit"}
