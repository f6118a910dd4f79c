"""Data that an update or a removal would lose: refused, kept, or lost with consent, by the real engine on moto."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pulumi
import pulumi_aws as aws
import pytest

from aphex.cluster_config import ClusterConfig
from aphex.loader import parse_cluster_config
from automation.cluster import bring_up_cluster, cluster_outputs, preview_cluster
from automation.cluster_removal import destroy_cluster
from automation.cluster_upgrade import UpgradeRefused
from automation.console import Terminal
from automation.data_loss import Consent, DataLossRefused
from automation.home import StackHome
from automation.stack import StackMissing, open_home
from automation.target import state_bucket
from tests.support.cluster_home import ACCOUNT, stand_in_home
from tests.support.moto_endpoint import REGION, MotoEndpoint, moto_endpoint

pytestmark = [
    pytest.mark.engine,
    pytest.mark.timeout(300),
    # pulumi_aws says so on its import, of resources that nobody uses.
    pytest.mark.filterwarnings("ignore:.*has been deprecated in favor of:DeprecationWarning"),
    # Pulumi's SDK leaves the event loop of a program that failed, or was not run, open until another one runs.
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:.*was never awaited:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

BUCKET, TABLE, LOGS = "aphex-precious", "aphex-precious-runs", "/aphex/precious"
FILE = f"""
version: "1.0"
name: main
region: {REGION}
account: "{ACCOUNT}"
api: {{access: private}}
ui: {{reach: port-forward}}
kubernetes: {{version: "1.34"}}
"""


def config(**versions: str) -> ClusterConfig:
    return parse_cluster_config(FILE.replace("1.34", versions.get("kubernetes", "1.34")))


def program(*, key: str = "run_id", with_bucket: bool = True) -> Callable[[], None]:
    """A small stack with data that is guarded in every way there is, and something without data."""

    def declare() -> None:
        if with_bucket:
            aws.s3.Bucket("precious", bucket=BUCKET, opts=pulumi.ResourceOptions(protect=True))
        aws.dynamodb.Table(
            "runs",
            name=TABLE,
            billing_mode="PAY_PER_REQUEST",
            hash_key=key,
            attributes=[{"name": key, "type": "S"}],
            deletion_protection_enabled=True,
        )
        aws.cloudwatch.LogGroup("logs", name=LOGS, retention_in_days=7)
        trust = '{"Version":"2012-10-17","Statement":[]}'
        aws.iam.Role("role", name="aphex-idle", assume_role_policy=trust)
        found = {"kubernetes_version": "1.34", "argo_version": "3.7.18", "argo_events_version": "1.9.11"}
        for name, value in {**found, "cluster_name": "aphex-main"}.items():
            pulumi.export(name, value)
        pulumi.export("word", pulumi.Output.secret("sesame"))

    return declare


@pytest.fixture(scope="module")
def endpoint() -> Iterator[MotoEndpoint]:
    with moto_endpoint() as running:
        yield running


@pytest.fixture(scope="module")
def home(endpoint: MotoEndpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackHome]:
    with stand_in_home(endpoint, tmp_path_factory.mktemp("pulumi-home")) as home:
        yield home


@pytest.fixture(scope="module")
def made(home: StackHome, endpoint: MotoEndpoint) -> MotoEndpoint:
    """The stack as it is at first, with something in its bucket; the tests go on from one another."""
    result = bring_up_cluster(config(), Terminal(), home=home, program=program())
    assert {change.operation for change in result.changes} == {"create"}
    endpoint.client("s3").put_object(Bucket=BUCKET, Key="a", Body=b"precious")
    return endpoint


def table_key(endpoint: MotoEndpoint) -> str:
    table = endpoint.client("dynamodb").describe_table(TableName=TABLE)["Table"]
    return str(table["KeySchema"][0]["AttributeName"])


def names(endpoint: MotoEndpoint) -> set[str]:
    return {
        *(bucket["Name"] for bucket in endpoint.client("s3").list_buckets()["Buckets"]),
        *endpoint.client("dynamodb").list_tables()["TableNames"],
        *(group["logGroupName"] for group in endpoint.client("logs").describe_log_groups()["logGroups"]),
        *(role["RoleName"] for role in endpoint.client("iam").list_roles()["Roles"]),
    }


def exported(home: StackHome) -> dict[str, Any]:
    with open_home(home, None, create=False) as opened:
        return dict(opened.stack.export_stack().deployment or {})


def test_the_state_is_encrypted_by_the_account_s_key_and_read_back(made: MotoEndpoint, home: StackHome) -> None:
    state = exported(home)
    assert state["secrets_providers"]["type"] == "cloud"
    assert state["secrets_providers"]["state"]["url"] == f"awskms://alias/aphex-state?region={REGION}"
    key = ".pulumi/stacks/aphex/cluster-main.json"
    stored = made.client("s3").get_object(Bucket=state_bucket(ACCOUNT, REGION), Key=key)["Body"].read()
    assert b"ciphertext" in stored
    assert b"sesame" not in stored
    assert bring_up_cluster(config(), Terminal(), home=home, program=program()).changes == ()
    outputs = cluster_outputs(home)
    assert outputs["cluster_name"] == "aphex-main"
    assert "word" not in outputs, "what is secret is not told"


def test_a_version_that_cannot_be_reached_changes_nothing(made: MotoEndpoint, home: StackHome) -> None:
    with pytest.raises(UpgradeRefused, match=r"1\.36: EKS goes one minor version at a time"):
        preview_cluster(config(kubernetes="1.36"), Terminal(), home=home, program=program(key="id"))
    with pytest.raises(UpgradeRefused, match=r"1\.33: a downgrade"):
        bring_up_cluster(
            config(kubernetes="1.33"), Terminal(), consent=Consent.GIVEN, home=home, program=program(key="id")
        )
    assert table_key(made) == "run_id"


def test_an_update_that_would_lose_data_changes_nothing_until_that_is_allowed(
    made: MotoEndpoint, home: StackHome
) -> None:
    other = program(key="id", with_bucket=False)
    found = preview_cluster(config(), Terminal(), home=home, program=other)
    assert sorted((loss.change.operation, loss.change.name, loss.protected) for loss in found.losses) == [
        ("delete", "precious", True),
        ("replace", "runs", True),
    ]
    for consent in (Consent.NEVER, Consent.ASK):
        with pytest.raises(DataLossRefused, match="replace aws:dynamodb:Table runs: loses every record in it"):
            bring_up_cluster(config(), Terminal(), consent=consent, home=home, program=other)
        assert (table_key(made), BUCKET in names(made)) == ("run_id", True)

    allowed = bring_up_cluster(config(), Terminal(), consent=Consent.GIVEN, home=home, program=other)
    assert {(change.operation, change.name) for change in allowed.changes} >= {("delete", "precious")}
    assert (table_key(made), BUCKET in names(made)) == ("id", False)


def test_a_removal_keeps_data_and_a_second_one_removes_it_when_that_is_allowed(
    made: MotoEndpoint, home: StackHome, capsys: pytest.CaptureFixture[str]
) -> None:
    bring_up_cluster(config(), Terminal(), home=home, program=program(key="id"))
    made.client("s3").put_object(Bucket=BUCKET, Key="a", Body=b"precious again")
    kept = destroy_cluster(home, Terminal(), delete_data=False, confirmed=True)
    assert [change.name for change in kept.removed] == ["role"]
    assert {BUCKET, TABLE, LOGS} <= names(made)
    assert "aphex-idle" not in names(made)
    assert "keep   aws:dynamodb:Table runs" in capsys.readouterr().err

    destroy_cluster(home, Terminal(), delete_data=True, confirmed=True)
    assert names(made) == {state_bucket(ACCOUNT, REGION)}
    with pytest.raises(StackMissing):
        destroy_cluster(home, Terminal(), delete_data=True, confirmed=True)
    with pytest.raises(StackMissing, match='no cluster "main"'):
        cluster_outputs(home)
