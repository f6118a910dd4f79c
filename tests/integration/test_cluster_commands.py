"""The commands on a cluster as they are typed: the real engine on moto, a program of a few resources in its place."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from pathlib import Path

import pulumi
import pulumi_aws as aws
import pytest
from ruamel.yaml import YAML

from automation.home import StackHome
from sandbox.certificates import host_ca_bundle
from tests.integration.test_data_loss import FILE
from tests.integration.test_data_loss import pytestmark as pytestmark
from tests.support.cluster_home import stand_in_home
from tests.support.moto_endpoint import REGION, MotoEndpoint, moto_endpoint
from tests.support.typed import Type, typing

TABLE = "aphex-typed-runs"


def declare() -> None:
    """What a cluster leaves among its outputs, and a table that holds data."""
    attributes = [{"name": "id", "type": "S"}]
    kept = pulumi.ResourceOptions(protect=True)
    aws.dynamodb.Table(
        "runs", name=TABLE, billing_mode="PAY_PER_REQUEST", hash_key="id", attributes=attributes, opts=kept
    )
    aws.cloudwatch.LogGroup("logs", name="/aphex/typed", retention_in_days=7)
    # Where nobody listens: the cluster's API does not answer.
    bundle = host_ca_bundle()
    assert bundle is not None
    authority = base64.b64encode(bundle.read_bytes()).decode()
    server = {"server": "https://127.0.0.1:1", "certificate-authority-data": authority}
    outputs = {
        "cluster_name": "aphex-main",
        "region": REGION,
        "kubeconfig": {"clusters": [{"name": "it", "cluster": server}]},
        "kubernetes_version": "1.34",
        "argo_version": "3.7.18",
        "argo_events_version": "1.9.11",
    }
    for name, value in outputs.items():
        pulumi.export(name, value)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackHome]:
    moto: MotoEndpoint
    with (
        moto_endpoint() as moto,
        stand_in_home(moto, tmp_path_factory.mktemp("pulumi-home")) as home,
        pytest.MonkeyPatch.context() as patch,
    ):
        programs = tmp_path_factory.mktemp("programs")
        (programs / "aws").symlink_to("/bin/true")
        patch.setenv("PATH", f"{os.environ['PATH']}:{programs}")
        patch.setattr("automation.cluster.home_of", lambda config: home)
        patch.setattr("automation.cluster._program", lambda config: declare)
        yield home


@pytest.fixture
def typed(home: StackHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Type:
    """Type a command on a cluster, in a folder with the cluster's file."""
    (tmp_path / "aphex-cluster.yaml").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    return typing(monkeypatch, capsys, "cluster")


def test_without_the_aws_cli_nothing_is_begun(typed: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = typed("up", "--yes")
    assert (done.exit_code, done.output) == (2, "")
    assert done.errors == (
        "Error: The AWS CLI is not installed; a cluster cannot be made without it.\n"
        "Install it: https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html\n"
    )


def test_what_is_not_there_is_said_with_the_command_that_makes_it(typed: Type) -> None:
    for command in ("status", "kubeconfig", "destroy"):
        done = typed(command)
        assert done.exit_code == 1, done.errors
        assert 'There is no cluster "main"' in done.errors
        assert "python -m automation cluster up" in done.errors


def test_a_preview_shows_what_up_would_do_and_does_nothing(typed: Type) -> None:
    done = typed("preview", "--expect-no-changes")
    assert done.exit_code == 3, done.errors
    assert "+ create aws:dynamodb:Table runs" in " ".join(done.output.split())
    assert done.output.splitlines()[-1] == "Would be 2 created."
    refused = typed("up")
    assert refused.exit_code == 2
    assert refused.errors.endswith(
        "Error: Nobody is there to confirm this; nothing was done.\nSay so beforehand with --yes.\n"
    )
    assert typed("preview", "--json").document["changed"] is True


def test_up_says_what_to_do_next_and_again_changes_nothing(typed: Type) -> None:
    done = typed("up", "--yes")
    assert done.exit_code == 0, done.errors
    assert done.output.endswith(
        f"Reach it with kubectl:  python -m automation cluster kubeconfig --name main --region {REGION}\n"
        "Deploy a pipeline:      python -m automation up --cluster eks:main\n"
    )
    assert "127.0.0.1:1" not in done.output
    again = typed("up", "--yes", "--json")
    assert (again.exit_code, again.document["changed"]) == (0, False)
    assert typed("preview", "--expect-no-changes").exit_code == 0


def test_a_cluster_whose_api_does_not_answer_is_shown_as_not_ready(
    typed: Type, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    done = typed("status", "--json")
    assert done.exit_code == 1, done.errors
    parts = {each["name"]: each for each in done.document["parts"]}
    assert parts["API"]["ready"] is False
    assert "There is no token for the cluster aphex-main: Unable to locate credentials" in parts["API"]["detail"]
    assert "Traceback" not in parts["API"]["detail"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    done = typed("status")
    assert done.exit_code == 1
    assert "control plane" in done.output
    assert "The cluster of aphex-main does not answer: [Errno 111] Connection refused" in " ".join(done.output.split())


def test_the_kubeconfig_is_added_to_without_a_credential(typed: Type, tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    done = typed("kubeconfig", "--output", str(file), "--keep")
    assert done.exit_code == 0, done.errors
    assert done.output == (f"{file} has the context aphex-main. Try it: kubectl --context aphex-main get nodes\n")
    document = YAML(typ="safe").load(file)
    assert document["current-context"] == "aphex-main", "the only one"
    assert set(document["users"][0]["user"]) == {"exec"}
    file.write_text("{apiVersion: v1, kind: Config, current-context: mine, contexts: [{name: mine}]}")
    for choice, current in (("--keep", "mine"), ("--switch", "aphex-main")):
        done = typed("kubeconfig", "--output", str(file), choice, "--json")
        assert done.document == {"kubeconfig": str(file), "context": "aphex-main", "current": choice == "--switch"}
        assert YAML(typ="safe").load(file)["current-context"] == current


def test_the_file_and_the_options_have_to_agree(typed: Type) -> None:
    done = typed("status", "--region", "eu-west-3")
    assert done.exit_code == 2
    assert done.errors == (
        f"Error: aphex-cluster.yaml says {REGION}, but --region says eu-west-3.\nLeave one of them out.\n"
    )


def test_nothing_is_unlocked_where_nothing_is_locked(typed: Type) -> None:
    done = typed("unlock", "--yes")
    assert done.exit_code == 0, done.errors
    assert done.output == "Nobody has locked the cluster main.\n"


def test_destroy_keeps_data_unless_it_is_told(typed: Type, home: StackHome) -> None:
    tables = home.aws.client("dynamodb").list_tables
    refused = typed("destroy")
    assert (refused.exit_code, tables()["TableNames"]) == (2, [TABLE])
    kept = typed("destroy", "--yes")
    assert kept.exit_code == 0, kept.errors
    assert kept.output == "The cluster main is removed. Its data is kept.\n"
    assert tables()["TableNames"] == [TABLE]
    gone = typed("destroy", "--yes", "--allow-data-loss", "--json")
    assert gone.exit_code == 0, gone.errors
    assert gone.document["cluster"] == "main"
    assert tables()["TableNames"] == []
