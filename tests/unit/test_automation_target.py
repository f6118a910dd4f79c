"""Where a pipeline is deployed, and what a saved plan is good for."""

from __future__ import annotations

from pathlib import Path

import pytest
from aphex_platform.settings import AwsSettings, ImageSettings, PlatformSettings

from aphex.config import PipelineConfig
from aphex.errors import AphexError, UsageError
from aphex.loader import load_config, parse_config
from aphex.names import PipelineNames, pipeline_name_problem
from automation.access import AwsAccess, KubernetesAccess, default_kubeconfig
from automation.resolve import target_from_files
from automation.target import (
    choose,
    pipeline_name,
    repository_full_name,
    state_backend,
    state_bucket,
    subject_of,
)
from automation.target_file import load_overrides, overridden
from automation.update_plan import SavedPlan, digest, load_plan
from tests.support.example import real_aws

MINIMAL = """
version: "1.0"
build: {commands: [make]}
environments: [{name: dev, region: us-east-1, account: "222222222222", stacks: [{name: App, path: app.py}]}]
"""


def settings(pipeline: str = "shop") -> PlatformSettings:
    return PlatformSettings(
        pipeline=pipeline,
        namespace=f"aphex-{pipeline}",
        repository="http://git/aphex/shop.git",
        repository_full_name="aphex/shop",
        aws=AwsSettings(kind="sandbox", account="123456789012", region="us-east-1", oidc_issuer="https://issuer"),
        images=ImageSettings(builder="b:1", deployer="d:1"),
        state_backend="s3://state",
        argo_url="http://argo",
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((None, None, None), ("sandbox", "sandbox")),
        (("sandbox", None, None), ("sandbox", "sandbox")),
        (("existing", None, None), ("context:", "account")),
        (("eks", None, None), ("eks", "account")),
        ((None, "context:kind", None), ("context:kind", "account")),
        ((None, "context:kind", "sandbox"), ("context:kind", "sandbox")),
        (("existing", "context:prod", None), ("context:prod", "account")),
    ],
)
def test_a_target_is_a_pair_whose_parts_can_be_replaced(
    options: tuple[str | None, str | None, str | None], expected: tuple[str, str]
) -> None:
    chosen = choose(*options, "default")
    assert (chosen.cluster, chosen.aws) == expected


@pytest.mark.parametrize(
    "options", [("kind", None, None), (None, "minikube", None), (None, None, "moto"), ("eks", None, "sandbox")]
)
def test_a_choice_that_makes_no_sense_is_refused(options: tuple[str | None, str | None, str | None]) -> None:
    with pytest.raises(UsageError):
        choose(*options, "default")


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://github.com/acme/shop.git", "acme/shop"),
        ("https://github.com/acme/shop/", "acme/shop"),
        ("git@github.com:acme/shop.git", "acme/shop"),
        ("ssh://git@host:22/acme/shop", "acme/shop"),
        ("http://10.0.0.2:8080/git/acme/shop.git", "acme/shop"),
        ("", ""),
    ],
)
def test_a_repository_s_name_follows_from_its_clone_url(url: str, name: str) -> None:
    assert repository_full_name(url) == name


def test_a_pipeline_is_named_by_its_configuration_its_repository_or_its_folder(tmp_path: Path) -> None:
    file = tmp_path / "My_Service" / "aphex-config.yaml"
    plain = parse_config(MINIMAL)
    assert pipeline_name(plain, file) == "my-service"
    with_repository = parse_config(f"{MINIMAL}pipeline: {{repository: 'https://github.com/acme/Shop.git'}}\n")
    assert pipeline_name(with_repository, file) == "shop"
    assert subject_of(with_repository, file).repository == "acme/Shop"
    named = parse_config(f"{MINIMAL}pipeline: {{name: store, repository: 'https://github.com/acme/shop.git'}}\n")
    assert pipeline_name(named, file) == "store"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("health", "Argo Events' own health check"),
        ("state", "the bucket of the Pulumi state"),
        ("2-shops", "a name begins with a letter"),
        ("s" * 41, "it has 41 characters, and 40 is the most"),
    ],
)
def test_a_name_that_no_pipeline_can_have_is_refused_wherever_it_comes_from(
    name: str, why: str, tmp_path: Path
) -> None:
    from_repository = f"{MINIMAL}pipeline: {{repository: 'https://github.com/acme/{name}.git'}}\n"
    with pytest.raises(UsageError) as caught:
        subject_of(parse_config(from_repository), tmp_path / "aphex-config.yaml")
    assert caught.value.message.startswith(f"A pipeline cannot be called {name}: ")
    assert why in caught.value.message
    assert "pipeline.name" in str(caught.value.hint)


def test_the_pipeline_that_cannot_be_called_state_would_have_the_state_s_bucket() -> None:
    place = ("123456789012", "us-east-1")
    assert PipelineNames("state").bucket(*place) == state_bucket(*place)
    assert pipeline_name_problem("state")


def test_a_stand_in_s_backend_is_addressed_by_path() -> None:
    assert state_backend("b", "us-east-1", None) == "s3://b?region=us-east-1"
    assert state_backend("b", "us-east-1", "http://10.0.0.2:5000") == (
        "s3://b?region=us-east-1&endpoint=http://10.0.0.2:5000&use_path_style=true"
    )


def test_a_stand_in_never_gets_the_caller_s_own_session() -> None:
    access = AwsAccess(region="us-east-1", endpoint="http://10.0.0.2:5000", static_keys=("a", "b"))
    environment = access.environment()
    assert environment["AWS_ENDPOINT_URL_S3"] == "http://10.0.0.2:5000"
    assert (environment["AWS_SESSION_TOKEN"], environment["AWS_PROFILE"]) == ("", "")
    assert "AWS_ACCESS_KEY_ID" not in AwsAccess(region="us-east-1").environment()


def test_the_kubeconfig_is_where_kubectl_would_look() -> None:
    assert default_kubeconfig({"KUBECONFIG": ":/a/b:/c"}) == Path("/a/b")
    assert default_kubeconfig({"HOME": "/h"}).name == "config"


def config(tmp_path: Path) -> PipelineConfig:
    file = tmp_path / "aphex-config.yaml"
    file.write_text(MINIMAL)
    return load_config(file)


def saved_plan(tmp_path: Path) -> Path:
    made_from = {"configuration": digest(config(tmp_path)), "settings": digest(settings())}
    plan = SavedPlan(pipeline="shop", **made_from, changes=[], plan={"manifest": {}})
    path = tmp_path / "plan.json"
    plan.save(path)
    return path


def test_a_plan_is_read_back_and_is_its_owner_s_alone(tmp_path: Path) -> None:
    path = saved_plan(tmp_path)
    assert load_plan(path, config(tmp_path), settings()).plan == {"manifest": {}}
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_plan_for_another_configuration_or_pipeline_is_refused(tmp_path: Path) -> None:
    path = saved_plan(tmp_path)
    other = parse_config(MINIMAL.replace("make", "make all"))
    with pytest.raises(UsageError, match="another configuration"):
        load_plan(path, other, settings())
    with pytest.raises(UsageError, match="other images"):
        load_plan(
            path, config(tmp_path), settings().model_copy(update={"images": ImageSettings(builder="b:2", deployer="d")})
        )
    with pytest.raises(UsageError, match="for the pipeline shop, not for store"):
        load_plan(path, config(tmp_path), settings("store"))


@pytest.mark.parametrize("content", [None, "", "{}", "[1]"])
def test_a_file_that_is_no_plan_is_refused(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "other.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UsageError, match="plan"):
        load_plan(path, config(tmp_path), settings())


def test_a_self_update_finds_its_target_in_the_mounted_files(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text(settings().model_dump_json())
    (tmp_path / "secrets.json").write_text('{"webhook_secret": "w", "passphrase": "p"}')
    target = target_from_files(tmp_path / "settings.json", tmp_path / "secrets.json")
    assert target.settings == settings()
    assert target.kubernetes.in_cluster
    assert target.aws.static_keys is None
    assert "'p'" not in repr(target)


def test_files_that_are_missing_or_wrong_are_named(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text('{"pipeline": "shop"}')
    with pytest.raises(UsageError, match="cannot be read"):
        target_from_files(tmp_path / "nothing.json", tmp_path / "secrets.json")
    with pytest.raises(UsageError, match=r"wrong: namespace, repository"):
        target_from_files(tmp_path / "settings.json", tmp_path / "secrets.json")
    with pytest.raises(UsageError, match="needs --secrets"):
        target_from_files(tmp_path / "settings.json", None)


def test_what_is_special_about_a_target_is_in_its_file(tmp_path: Path) -> None:
    file = tmp_path / "aphex-target.yaml"
    file.write_text("event_bus: {replicas: 5}\nrun: {resources: {memory_limit: 8Gi}}\nargo_url: https://argo.example\n")
    made = overridden(settings(), load_overrides(file))
    assert made.event_bus.replicas == 5
    assert (made.run.resources.memory_limit, made.run.resources.cpu_request) == ("8Gi", "250m")
    assert made.argo_url == "https://argo.example"
    assert made.aws == settings().aws
    assert overridden(settings(), {}) is not None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("pipeline: other\n", "has pipeline, which it does not decide"),
        ("aws: {account: '222222222222'}\n", r"has aws\.account, which it does not decide"),
        ("[1]\n", "is not a mapping"),
        ("a: [\n", "is not YAML"),
    ],
)
def test_a_target_s_file_says_nothing_else(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "aphex-target.yaml"
    file.write_text(text)
    with pytest.raises(UsageError, match=words):
        load_overrides(file)


def test_a_target_s_file_that_does_not_fit_is_told_with_its_fields(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"event_bus\.replicas: .*greater than or equal to 3"):
        overridden(settings(), {"event_bus": {"replicas": 1}})
    with pytest.raises(UsageError, match="cannot be read"):
        load_overrides(tmp_path / "nothing.yaml")


def test_the_documented_target_file_can_be_used(tmp_path: Path) -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "other-clusters.md").read_text()
    [block] = [part.split("```")[0] for part in text.split("```yaml\n")[1:] if part.startswith("event_bus:")]
    file = tmp_path / "aphex-target.yaml"
    file.write_text(block)
    on_account = settings().model_copy(update={"aws": real_aws()})
    made = overridden(on_account, load_overrides(file))
    assert (made.event_bus.storage_class, made.aws.identity) == ("fast", "pod-identity")
    assert made.webhook_url == "https://hooks.example.com/shop"


@pytest.mark.parametrize(
    "text",
    ["{{{", "[]", "only words", "{contexts: 3}", "{contexts: [{}], current-context: c}", "\0", "{clusters: [1]}"],
)
def test_a_file_that_is_no_kubeconfig_is_said_to_be_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(text)
    with pytest.raises(AphexError) as caught:
        KubernetesAccess(kubeconfig=file).client()
    assert str(caught.value).startswith(f"{file} is no kubeconfig: ")
    assert caught.value.hint == "Set KUBECONFIG to yours."
