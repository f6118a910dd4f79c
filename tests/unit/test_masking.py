"""No secret is shown or stored, in whatever form a tool prints it."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.console import Console
from stages.masking import Masker, stage_secrets

SECRET = "p@ss/wörd+4711"
KEY = (
    "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\nBG5vbmUAAAAEbm9uZQ==\n"
    + "-----END OPENSSH PRIVATE KEY-----"
)


@pytest.mark.parametrize("shown", [SECRET, json.dumps(SECRET)[1:-1], quote(SECRET, safe="")])
def test_a_value_is_masked_in_the_forms_in_which_tools_print_it(shown: str) -> None:
    assert Masker([SECRET])(f"before {shown} after") == "before *** after"


@given(before=st.binary(max_size=9), value=st.text(min_size=8, max_size=30), after=st.binary(max_size=9))
@settings(max_examples=200, deadline=None)
def test_a_value_within_base64_is_masked(before: bytes, value: str, after: bytes) -> None:
    value = "x" + value.replace("\r", "").replace("\n", "").strip() + "x12345"
    value = "".join(value.splitlines())
    text = base64.b64encode(before + value.encode(errors="replace") + after).decode()
    masked = Masker([value])(text)
    assert "***" in masked
    assert len(masked) <= len(text) - len(value) * 8 // 6 + 8


def test_the_longer_of_two_values_is_masked_whole() -> None:
    assert Masker(["secret-one", "secret-one-more"])("secret-one-more, secret-one") == "***, ***"


def test_short_values_are_words() -> None:
    assert Masker(["true", "admin"])("true for admin") == "true for admin"


@pytest.mark.parametrize(
    ("line", "masked"),
    [
        ("key AKIAIOSFODNN7EXAMPLE.", "key ***."),
        ("token ghp_" + "a1B2" * 9, "token ***"),
        ("clone https://ann:hunter2@example.com/x", "clone https://ann:***@example.com/x"),
        ('  "SecretAccessKey": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",', '  "SecretAccessKey": "***",'),
        ("AWS_SESSION_TOKEN=FwoGZXIvYXdzEBYaD", "AWS_SESSION_TOKEN=***"),
        ("password: correct-horse", "password: ***"),
        ("jwt eyJhbGciOiJI.eyJzdWIiOiIx.SflKxwRJSMeKKF2QT4", "jwt ***"),
        (
            "a SHA 0123456789abcdef0123456789abcdef01234567 stays",
            "a SHA 0123456789abcdef0123456789abcdef01234567 stays",
        ),
        (
            "npm warn deprecated inflight@1.0.6: use token-bucket",
            "npm warn deprecated inflight@1.0.6: use token-bucket",
        ),
    ],
)
def test_what_has_the_form_of_a_credential_is_masked(line: str, masked: str) -> None:
    assert Masker()(line) == masked


def test_a_private_key_is_masked_up_to_its_end() -> None:
    masker = Masker()
    assert [masker.line(line) for line in ["before", *KEY.splitlines(), "after"]] == ["before", *["***"] * 4, "after"]
    assert masker.text(f"a\n{KEY}\nb") == "a\n***\n***\n***\n***\nb"


def test_a_key_that_breaks_off_does_not_mask_the_rest() -> None:
    masker = Masker()
    lines = ["-----BEGIN RSA PRIVATE KEY-----", "MIIEow", "error: (no end)", "more"]
    assert [masker.line(line) for line in lines] == ["***", "***", "error: (no end)", "more"]


def test_the_secrets_of_a_stage_are_found(tmp_path: Path) -> None:
    git = tmp_path / "git"
    git.mkdir()
    for name, text in {"username": "ann-the-admin", "password": "mounted-1\n", "ssh-privatekey": KEY}.items():
        (git / name).write_text(text)
    token = tmp_path / "token"
    token.write_text("web-identity")
    environment = {
        "NPM_TOKEN": "value-1",
        "DB_PASSWORD_FILE": "not-this-1",
        "AWS_ROLE_ARN": "not-this-2",
        "PUBLIC_KEY": "not-this-3",
        "AWS_SECRET_ACCESS_KEY": "value-2",
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
        "APHEX_REPOSITORY": "https://ann:value-3@example.com/shop.git",
        "APHEX_PROCESS_MARK": "not-this-4",
        "MONKEY": "not-this-5",
    }
    found = list(stage_secrets(environment, [git, tmp_path / "absent"]))
    assert found == ["value-1", "value-2", "value-3", "mounted-1\n", KEY, "web-identity"]


def test_results_are_masked_all_the_way_down() -> None:
    masker = Masker([SECRET])
    assert masker.deep({"a": [f"x {SECRET}", {"b": SECRET, SECRET: 1}], "c": None}) == {
        "a": ["x ***", {"b": "***", "***": 1}],
        "c": None,
    }


def test_console_and_log_are_plain_and_without_secrets(tmp_path: Path) -> None:
    shown = io.StringIO()
    with Console(tmp_path / "log", shown, Masker([SECRET])) as console:
        console.line(f"\x1b[32mok\x1b[0m {SECRET[:4]}\x1b[1m{SECRET[4:]}\x1b[0m")
        console.line(" 10 %\r 50 %\r100 %")
        console.log_only(f"Traceback\n  of {SECRET}\n")
    assert shown.getvalue() == "ok ***\n100 %\n"
    assert (tmp_path / "log").read_text() == "ok ***\n100 %\nTraceback\n  of ***\n"
