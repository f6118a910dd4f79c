"""How images get into a registry that wants to know who pushes: ECR by the caller's AWS credentials."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from automation.images.login import (
    Ecr,
    RegistryError,
    ecr_of,
    is_loopback,
    logged_in,
    require_repositories,
    with_token,
)
from tests.support.moto_endpoint import MotoEndpoint, moto_endpoint

HOST = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"


@pytest.mark.parametrize(
    ("registry", "region"),
    [
        (HOST, "eu-central-1"),
        (f"{HOST}/team/aphex", "eu-central-1"),
        ("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("123456789012.dkr-ecr.eu-west-1.on.aws", "eu-west-1"),
    ],
)
def test_a_private_ecr_registry_is_known_by_its_name(registry: str, region: str) -> None:
    assert ecr_of(registry) == Ecr(host=registry.partition("/")[0], account="123456789012", region=region)


@pytest.mark.parametrize("registry", ["ghcr.io/team", "public.ecr.aws/x", f"evil.test/{HOST}", f"{HOST}.evil.test"])
def test_no_other_registry_gets_a_token_of_ecr(registry: str) -> None:
    assert ecr_of(registry) is None


def test_only_registries_of_this_machine_are_spoken_to_without_tls() -> None:
    assert all(is_loopback(name) for name in ("localhost:5000/x", "127.0.0.1:1/x:tag", "localhost"))
    assert not any(is_loopback(name) for name in ("localhost.evil.test", "registry.test:5000/127.0.0.1", HOST))


def test_one_more_login_leaves_the_users_own_as_they_are() -> None:
    own = {
        "auths": {"one.test": {}, HOST: {"auth": "old"}},
        "credsStore": "desktop",
        "credHelpers": {"two.test": "pass", HOST: "ecr-login"},
        "currentContext": "remote",
    }
    assert with_token(own, HOST, "new") == {
        "auths": {"one.test": {}, HOST: {"auth": "new"}},
        "credHelpers": {"one.test": "desktop", "two.test": "pass"},
        "currentContext": "remote",
    }
    assert with_token({}, HOST, "new") == {"auths": {HOST: {"auth": "new"}}}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[MotoEndpoint]:
    with moto_endpoint() as running:
        yield running


@pytest.fixture
def aws(endpoint: MotoEndpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The AWS stand-in, and a home folder with what docker keeps there."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    endpoint.reset()
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    for name in ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / ".docker/cli-plugins").mkdir(parents=True)
    (tmp_path / ".docker/config.json").write_text(json.dumps({"auths": {"one.test": {"auth": "own"}}}))
    return tmp_path


def test_the_token_of_ecr_is_in_files_of_the_owner_that_go_with_the_push(aws: Path) -> None:
    token = boto3.client("ecr", region_name="eu-central-1").get_authorization_token()
    with logged_in(f"{HOST}/team", None) as environment:
        folder = Path(environment["DOCKER_CONFIG"])
        expected = {
            "one.test": {"auth": "own"},
            HOST: {"auth": token["authorizationData"][0]["authorizationToken"]},
        }
        for file in (folder / "config.json", Path(environment["REGISTRY_AUTH_FILE"])):
            assert json.loads(file.read_text())["auths"] == expected
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
        # buildx is one of docker's plugins: it is found where docker looks for its own.
        assert (folder / "cli-plugins").samefile(aws / ".docker/cli-plugins")
    assert not folder.exists()
    assert json.loads((aws / ".docker/config.json").read_text())["auths"] == {"one.test": {"auth": "own"}}


def test_another_registry_is_used_with_the_login_that_the_user_has(aws: Path) -> None:
    with logged_in("ghcr.io/team", None) as environment:
        assert environment == {}


def test_without_credentials_it_is_said_which_registry_and_which_right(
    aws: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(RegistryError) as caught, logged_in(HOST, None):
        pass
    assert caught.value.message.startswith(f"AWS gives no access to the registry {HOST}: ")
    assert "ecr:GetAuthorizationToken" in caught.value.hint


def test_a_missing_repository_is_named_and_made_only_when_asked_for(aws: Path) -> None:
    names = [f"{HOST}/team/builder", f"{HOST}/team/deployer"]
    client = boto3.client("ecr", region_name="eu-central-1")
    client.create_repository(repositoryName="team/builder")
    with pytest.raises(RegistryError) as caught:
        require_repositories(names, None, create=False)
    assert caught.value.message == f"The registry {HOST} has no repository team/deployer."
    assert require_repositories(names, None, create=True) == ["team/deployer"]
    assert require_repositories(names, None, create=True) == []
    (made,) = client.describe_repositories(repositoryNames=["team/deployer"])["repositories"]
    assert made["imageTagMutability"] == "IMMUTABLE"
    assert made["imageScanningConfiguration"] == {"scanOnPush": True}
    assert require_repositories(["ghcr.io/team/builder"], None, create=False) == []
