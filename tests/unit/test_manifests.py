"""What the manifests promise, whatever the golden files say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aphex_platform.manifests import render
from aphex_platform.manifests.common import Manifest
from aphex_platform.manifests.workflow_templates import pull_request_template, workflow_template

from aphex.config import PipelineConfig
from tests.support.example import example_config, example_secrets, example_settings, real_aws

STAGE_VARIABLES = {
    "APHEX_PIPELINE", "APHEX_RUN", "APHEX_STAGE", "APHEX_COMMIT", "APHEX_BRANCH", "APHEX_REPOSITORY", "APHEX_AUTHOR",
    "APHEX_MESSAGE", "APHEX_TRIGGER", "APHEX_PULL_REQUEST", "APHEX_BUCKET", "APHEX_TABLE", "APHEX_ACCOUNT",
    "APHEX_ARGO_URL", "APHEX_NAMESPACE", "APHEX_CDK_METHOD", "APHEX_STARTED", "APHEX_WORKSPACE", "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_REGION",
}  # fmt: skip


def config_with(environments: int) -> PipelineConfig:
    return PipelineConfig.model_validate(
        {
            "version": "1.0",
            "build": {"commands": ["make"]},
            "environments": [
                {
                    "name": f"environment-{number}",
                    "region": "us-east-1",
                    "account": "222222222222",
                    "stacks": [{"name": "App", "path": "app.py"}],
                    "tests": {"commands": ["make check"]},
                }
                for number in range(environments)
            ],
        }
    )


def pods_of(template: Manifest) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in template["spec"]["templates"] if "container" in each}


def variables_of(pod: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in pod["container"]["env"] if "value" in each}


@pytest.fixture(params=["run", "pull request"])
def template(request: pytest.FixtureRequest) -> Manifest:
    make = workflow_template if request.param == "run" else pull_request_template
    return make(example_config(), example_settings())


def test_every_stage_gets_its_context_as_environment_variables(template: Manifest) -> None:
    for name, pod in pods_of(template).items():
        assert set(variables_of(pod)) >= STAGE_VARIABLES, name


def test_nothing_from_outside_reaches_a_command_line(template: Manifest) -> None:
    for name, pod in pods_of(template).items():
        assert pod["container"]["command"] == ["/opt/aphex/bin/python", "-m", "stages", name]
        assert "args" not in pod["container"]
        assert "script" not in pod


def test_stages_of_an_environment_name_it_and_their_task() -> None:
    pods = pods_of(workflow_template(example_config(), example_settings()))
    environment, test = variables_of(pods["environment"]), variables_of(pods["test"])
    assert environment["APHEX_ENVIRONMENT"] == test["APHEX_ENVIRONMENT"] == "{{inputs.parameters.environment}}"
    assert environment["APHEX_STAGE"] == "deploy-{{inputs.parameters.environment}}"
    assert test["APHEX_STAGE"] == "test-{{inputs.parameters.environment}}"


def test_the_exit_handler_knows_how_the_run_went(template: Manifest) -> None:
    assert template["spec"]["onExit"] == "exit"
    variables = variables_of(pods_of(template)["exit"])
    assert variables["APHEX_WORKFLOW_STATUS"] == "{{workflow.status}}"
    assert variables["APHEX_WORKFLOW_FAILURES"] == "{{workflow.failures}}"
    assert variables["APHEX_WORKFLOW_DURATION"] == "{{workflow.duration}}"


def test_runs_take_turns_and_pull_requests_do_not_wait() -> None:
    run = workflow_template(example_config(), example_settings())
    assert run["spec"]["synchronization"] == {"mutexes": [{"name": "shop"}]}
    assert "synchronization" not in pull_request_template(example_config(), example_settings())["spec"]


def test_a_failed_self_update_does_not_hold_up_the_deployment() -> None:
    spec = workflow_template(example_config(), example_settings())["spec"]
    tasks = {task["name"]: task for task in spec["templates"][0]["dag"]["tasks"]}
    assert tasks["deploy-dev"]["depends"] == "self-update.Succeeded || self-update.Failed || self-update.Errored"
    assert tasks["self-update"]["depends"] == "build.Succeeded"
    assert tasks["deploy-prod"]["depends"] == "test-dev.Succeeded"


def test_pull_requests_act_as_an_identity_of_their_own() -> None:
    pods = pods_of(pull_request_template(example_config(), example_settings()))
    for kind in ("validate", "build"):
        assert pods[kind]["serviceAccountName"] == "pull-request"
        assert variables_of(pods[kind])["AWS_ROLE_ARN"].endswith(":role/aphex-shop-pull-request")


def test_only_the_self_update_has_a_token_for_kubernetes_settings_and_secrets() -> None:
    spec = workflow_template(example_config(), example_settings())["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["executor"] == {"serviceAccountName": "executor"}
    for name, pod in pods_of({"spec": spec}).items():
        mounted = {mount["name"] for mount in pod["container"]["volumeMounts"]}
        assert pod.get("automountServiceAccountToken", False) is (name == "self-update")
        assert ({"settings", "secrets"} <= mounted) is (name == "self-update")


def test_pods_are_not_root_and_gain_nothing(template: Manifest) -> None:
    security = template["spec"]["securityContext"]
    assert security["runAsNonRoot"] is True
    assert security["runAsUser"] == security["fsGroup"] == 10001
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    helpers = json.loads(template["spec"]["podSpecPatch"])
    assert {each["name"]: each["securityContext"] for each in (*helpers["initContainers"], *helpers["containers"])} == {
        name: {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}} for name in ("init", "wait")
    }
    for pod in pods_of(template).values():
        assert pod["container"]["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": False,
        }


def test_pods_exchange_a_projected_token_and_hold_no_key(template: Manifest) -> None:
    (token,) = [each for each in template["spec"]["volumes"] if each["name"] == "aws-token"]
    (source,) = token["projected"]["sources"]
    assert source["serviceAccountToken"]["audience"] == "sts.amazonaws.com"
    for pod in pods_of(template).values():
        variables = variables_of(pod)
        assert variables["AWS_WEB_IDENTITY_TOKEN_FILE"] == "/var/run/secrets/aphex.aws/token"
        assert not {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"} & set(variables)


def test_endpoints_are_set_in_the_sandbox_alone() -> None:
    inside = variables_of(pods_of(workflow_template(example_config(), example_settings()))["build"])
    assert inside["AWS_ENDPOINT_URL"] == "http://aws-localhost:5000"
    assert inside["AWS_ENDPOINT_URL_S3"] == "http://10.88.0.2:5000"
    outside = variables_of(pods_of(workflow_template(example_config(), example_settings(aws=real_aws())))["build"])
    assert not [name for name in outside if name.startswith("AWS_ENDPOINT")]


def test_every_run_ends_and_is_cleaned_up(template: Manifest) -> None:
    spec = template["spec"]
    assert spec["activeDeadlineSeconds"] == 6 * 3600
    assert spec["ttlStrategy"] == {"secondsAfterSuccess": 7 * 86400, "secondsAfterFailure": 14 * 86400}
    assert spec["podGC"] == {"strategy": "OnWorkflowCompletion", "deleteDelayDuration": "86400s"}
    for pod in pods_of(template).values():
        assert pod["activeDeadlineSeconds"] <= 2 * 3600
        assert pod["container"]["resources"]["limits"]["memory"]


def test_a_failed_command_is_not_tried_again(template: Manifest) -> None:
    for pod in pods_of(template).values():
        assert pod["retryStrategy"] == {"limit": 2, "retryPolicy": "OnError"}


def test_images_of_the_configuration_win() -> None:
    config = example_config().model_dump(mode="json", exclude_none=True)
    config["pipeline"]["images"] = {"builder": "mine/builder:7"}
    pods = pods_of(workflow_template(PipelineConfig.model_validate(config), example_settings()))
    assert pods["build"]["container"]["image"] == "mine/builder:7"
    assert pods["environment"]["container"]["image"] == "registry.aphex.internal/deployer:1"


def test_an_environment_adds_a_few_hundred_bytes() -> None:
    def size(environments: int) -> int:
        return len(json.dumps(workflow_template(config_with(environments), example_settings())))

    assert (size(101) - size(1)) / 100 < 450
    assert size(1000) < 1_000_000


def test_no_secret_is_in_a_manifest() -> None:
    text = json.dumps(render(example_config(), example_settings()))
    for secret in example_secrets().revealed().values():
        assert secret not in text


def test_every_object_says_whose_it_is() -> None:
    for each in render(example_config(), example_settings()):
        assert each["metadata"]["namespace"] == "aphex-shop"
        assert each["metadata"]["labels"]["aphex/pipeline"] == "shop"
