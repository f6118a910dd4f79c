"""The stages' identity in a local run: SDKs get the caller's credentials, and nobody else does."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import botocore.session
import httpx
import pytest

from aphex.errors import AphexError
from automation.local.identity import caller_credentials, identity, stand_in_credentials


@pytest.fixture(autouse=True)
def _no_identity(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def found(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> tuple[str | None, str | None, str | None]:
    """The credentials that an AWS SDK finds with these variables."""
    with monkeypatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        credentials = botocore.session.Session().get_credentials()
        assert credentials is not None
        frozen = credentials.get_frozen_credentials()
        return frozen.access_key, frozen.secret_key, frozen.token


def test_an_sdk_finds_the_credentials_of_the_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moment = {"AccessKeyId": "first", "SecretAccessKey": "s", "Token": "t", "Expiration": "2999-01-01T00:00:00Z"}
    with identity(tmp_path, lambda: moment) as variables:
        assert found(variables, monkeypatch) == ("first", "s", "t")
        moment["AccessKeyId"] = "second"
        assert found(variables, monkeypatch) == ("second", "s", "t")


def test_profiles_of_the_caller_are_not_preferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").write_text("[default]\naws_access_key_id = mine\naws_secret_access_key = mine\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "mine"))
    with identity(tmp_path, stand_in_credentials) as variables:
        assert found(variables, monkeypatch) == ("local", "local", "local")


def test_nobody_gets_them_without_the_token_which_only_the_owner_can_read(tmp_path: Path) -> None:
    with identity(tmp_path, stand_in_credentials) as variables:
        url = variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
        token = Path(variables["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"])
        assert stat.S_IMODE(token.stat().st_mode) == 0o600
        with httpx.Client(trust_env=False) as client:
            refused = {"code": "AccessDenied", "message": "The token is missing or wrong."}
            for headers in ({}, {"Authorization": "guess"}):
                answer = client.get(url, headers=headers)
                assert (answer.status_code, answer.json()) == (403, refused)
            assert client.get(url + "/more", headers={"Authorization": token.read_text()}).status_code == 403
            assert client.get(url, headers={"Authorization": token.read_text()}).status_code == 200
    with httpx.Client(trust_env=False) as client, pytest.raises(httpx.ConnectError):
        client.get(url)


def test_credentials_that_cannot_be_renewed_are_an_answer(tmp_path: Path) -> None:
    def expired() -> dict[str, str]:
        raise RuntimeError("The login has expired.")

    with identity(tmp_path, expired) as variables, httpx.Client(trust_env=False) as client:
        token = Path(variables["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"]).read_text()
        answer = client.get(variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"], headers={"Authorization": token})
        assert (answer.status_code, json.loads(answer.text)) == (
            500,
            {"code": "RuntimeError", "message": "The login has expired."},
        )


def test_the_callers_own_credentials_are_those_of_any_aws_program(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AphexError) as raised:
        caller_credentials("us-east-1")
    assert str(raised.value) == (
        "There are no AWS credentials on this machine.\n"
        "Log in first, for example with `aws sso login`, and choose a profile with AWS_PROFILE."
    )
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ada")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    current = caller_credentials("us-east-1")()
    assert (current["AccessKeyId"], current["SecretAccessKey"], current["Token"]) == ("ada", "secret", "")
