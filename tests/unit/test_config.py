"""The configuration: what it accepts, and what it says of what it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from aphex.loader import ConfigError, load_config, parse_config
from aphex.regions import partition_of
from aphex.schema import FILES, schema_text
from aphex.values import duration_seconds

MINIMAL = """\
version: "1.0"
build:
  commands: [npm ci, npm run build]
environments:
  - name: dev
    region: us-east-1
    account: "123456789012"
    stacks:
      - name: MyAppStack
        path: lib/my-app-stack.ts
    tests:
      commands: [npm run test:integration]
"""


def problems_of(text: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        parse_config(text)
    return str(raised.value).splitlines()


def test_the_minimal_file_is_enough() -> None:
    config = parse_config(MINIMAL)
    assert [command.run for command in config.build.commands] == ["npm ci", "npm run build"]
    assert config.environments[0].tests is not None
    assert config.pipeline.branch == "main"


def test_a_command_may_have_a_timeout() -> None:
    config = parse_config(MINIMAL.replace("[npm ci,", "[{run: npm ci, timeout: 90s},"))
    assert config.build.commands[0].timeout_seconds == 90


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("1h30m", 5400), ("1h0m5s", 3605)])
def test_durations(text: str, seconds: int) -> None:
    assert duration_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "0s", "10", "ten minutes", "1d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        duration_seconds(text)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "us-east-1",
            "us-east-7",
            [
                "aphex-config.yaml:6  environments[0].region",
                '  "us-east-7" is not an AWS region. Did you mean us-east-1 or us-east-2?',
            ],
        ),
        (
            '"123456789012"',
            "012345678901",
            [
                "aphex-config.yaml:7  environments[0].account",
                '  is a number here, which loses leading zeros. Put it in quotes: "012345678901".',
            ],
        ),
        (
            "lib/my-app-stack.ts",
            "../other/stack.ts",
            [
                "aphex-config.yaml:9  environments[0].stacks[0]",
                '  path "../other/stack.ts" leaves the repository. Write it relative to the repository\'s root.',
            ],
        ),
        (
            "    stacks:",
            "    stack:",
            [
                "aphex-config.yaml:5  environments[0].stacks",
                "  is required.",
                "aphex-config.yaml:8  environments[0].stack",
                "  is not a setting. Check its spelling, or remove it.",
            ],
        ),
    ],
)
def test_an_error_says_where_and_what_would_be_right(old: str, new: str, message: list[str]) -> None:
    assert problems_of(MINIMAL.replace(old, new)) == message


def test_all_problems_are_told_at_once_in_the_order_of_the_file() -> None:
    text = MINIMAL.replace('"1.0"', '"2.0"').replace("us-east-1", "mars-1").replace("dev", "Dev")
    fields = [line.split()[1] for line in problems_of(text) if line.startswith("aphex-config.yaml")]
    assert fields == ["version", "environments[0].name", "environments[0].region"]


def test_two_environments_of_one_name_are_refused() -> None:
    second = MINIMAL[MINIMAL.index("  - name: dev") :]
    assert any('environments has the name "dev" twice' in line for line in problems_of(MINIMAL + second))


def test_a_role_of_another_account_is_refused() -> None:
    text = MINIMAL.replace("    stacks:", "    role: arn:aws:iam::999999999999:role/deployer\n    stacks:")
    assert problems_of(text)[1] == "  role is in account 999999999999, but account is 123456789012."


def test_the_audit_trail_outlives_the_artifacts() -> None:
    text = MINIMAL.replace("build:", "pipeline: {retention: {artifact_days: 90, log_days: 30}}\nbuild:", 1)
    assert problems_of(text) == [
        "aphex-config.yaml:2  pipeline.retention",
        "  log_days (30) must not be shorter than artifact_days (90).",
    ]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="There is no such file"):
        load_config(tmp_path / "aphex-config.yaml")


@pytest.mark.parametrize(("region", "partition"), [("eu-west-1", "aws"), ("us-gov-west-1", "aws-us-gov")])
def test_partitions(region: str, partition: str) -> None:
    assert partition_of(region) == partition
    assert parse_config(MINIMAL.replace("us-east-1", region)).environments[0].region == region


def test_a_reference_to_a_secret_is_not_a_secret() -> None:
    text = MINIMAL.replace("npm ci", '"curl -H \\"Authorization: $TOKEN\\" --password=${PASSWORD} https://x.example"')
    assert parse_config(text).build.commands[0].run.startswith("curl")


def test_the_name_of_a_key_in_a_secret_is_not_a_secret_but_an_address_with_one_is() -> None:
    channel = "notifications: [{name: team, secret_key: slack}]\n"
    assert parse_config(MINIMAL + channel).notifications[0].secret_key == "slack"
    token = "https://hooks.slack.com/services/" + "T0000/B0000/abcdefgh"
    assert problems_of(MINIMAL + channel.replace("secret_key: slack", f"url: {token}"))[0].endswith("[0].url")


@pytest.mark.parametrize("file", FILES)
def test_the_published_schema_is_current(file: str) -> None:
    published = Path(__file__).parents[2] / "docs" / file.replace(".yaml", ".schema.json")
    assert published.read_text(encoding="utf-8") == schema_text(file), "renew it: make golden"
