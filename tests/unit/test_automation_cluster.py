"""A shared cluster: its upgrades, what an existing one lacks, its kubeconfig, and the settings of a pipeline on it."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from aphex_platform.settings import ImageSettings
from ruamel.yaml import YAML

from aphex.cluster_config import ClusterConfig
from aphex.errors import AphexError
from aphex.loader import parse_cluster_config
from automation.access import AwsAccess
from automation.cluster import cluster_home
from automation.cluster_removal import is_on, is_protected, pipelines_remain
from automation.cluster_upgrade import Versions, plan_upgrades, refusals, versions_of, wanted_versions
from automation.eks_access import exec_credential, kubeconfig, merged, write_kubeconfig
from automation.eks_target import eks_settings
from automation.stack import StackMissing
from automation.target import Subject, choose

FILE = """
version: "1.0"
name: main
region: eu-west-1
account: "123456789012"
api: {access: private}
ui: {reach: port-forward}
"""
RUNNING = Versions(kubernetes="1.34", argo_workflows="3.7.18", argo_events="1.9.11")


def config(more: str = "") -> ClusterConfig:
    return parse_cluster_config(FILE + more)


def versions(kubernetes: str = "1.34", workflows: str = "3.7.18", events: str = "1.9.11") -> Versions:
    return Versions(kubernetes=kubernetes, argo_workflows=workflows, argo_events=events)


@pytest.mark.parametrize(
    "wanted",
    [
        versions(),
        versions("1.35"),
        versions(workflows="3.8.0"),
        versions(workflows="4.0.1"),
        versions("1.35", events="1.10.0"),
    ],
)
def test_what_can_be_reached_is_not_refused(wanted: Versions) -> None:
    assert refusals(RUNNING, wanted) is None


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        (
            versions("1.36"),
            "Kubernetes 1.34 -> 1.36: EKS goes one minor version at a time. Set kubernetes.version to 1.35 first.",
        ),
        (
            versions("1.33"),
            "Kubernetes 1.34 -> 1.33: a downgrade, and EKS never goes back. Set kubernetes.version to 1.34 or newer.",
        ),
        (
            versions(workflows="3.7.9"),
            "Argo Workflows 3.7.18 -> 3.7.9: a downgrade, and what the newer version stored may not be readable. "
            "Set argo.workflows.version to 3.7.18 or newer.",
        ),
        (
            versions(events="3.0.0"),
            "Argo Events 1.9.11 -> 3.0.0: skips the major version 2. Set argo.events.version to one of it first.",
        ),
    ],
)
def test_a_version_that_cannot_be_reached_is_refused(wanted: Versions, problem: str) -> None:
    error = refusals(RUNNING, wanted)
    assert error is not None
    assert error.message == f"The cluster cannot get these versions; nothing was changed:\n  {problem}"
    assert error.exit_code == 2


def test_every_version_that_is_refused_is_told_at_once() -> None:
    error = refusals(RUNNING, versions("1.36", "3.6.0", "1.8.0"))
    assert error is not None
    assert len(error.message.splitlines()) == 4


def test_an_upgrade_of_kubernetes_says_what_is_replaced_and_how_old_kubelets_may_be() -> None:
    [upgrade] = plan_upgrades(RUNNING, versions("1.35"), config())
    lines = upgrade.lines()
    assert lines[0] == "Kubernetes 1.34 -> 1.35"
    assert "control plane is replaced first" in lines[1]
    assert "Auto Mode replaces every node" in lines[2]
    assert any("none may be older than 1.32" in line for line in lines)


def test_an_upgrade_names_the_node_groups_that_are_replaced() -> None:
    groups = "autoscaling: {mode: node-groups, node_groups: [{name: general, instance_types: [m7i.large]}]}\n"
    [upgrade] = plan_upgrades(RUNNING, versions("1.35"), config(groups))
    assert "node by node: general." in upgrade.effects[1]


def test_an_upgrade_of_argo_says_what_is_restarted_and_what_to_read() -> None:
    patch, minor = plan_upgrades(RUNNING, versions(workflows="3.7.19", events="1.10.0"), config())
    assert "controller and server are restarted" in patch.effects[0]
    assert len(patch.effects) == 2
    assert minor.effects[-1].startswith("It is another minor version; read https://")
    assert plan_upgrades(RUNNING, RUNNING, config()) == []


def test_versions_are_those_of_the_outputs_and_of_the_file() -> None:
    assert versions_of({}) is None
    outputs = {"kubernetes_version": "1.34", "argo_version": "3.7.18", "argo_events_version": "1.9.11"}
    assert versions_of(outputs) == RUNNING
    wanted = wanted_versions(config("kubernetes: {version: '1.34'}\n"))
    assert (wanted.kubernetes, wanted.argo_workflows) == ("1.34", "3.7.18")


GIVEN = {"clusters": [{"name": "k", "cluster": {"server": "https://eks", "certificate-authority-data": "Q0E="}}]}


def test_a_kubeconfig_holds_no_credential_but_the_way_to_one() -> None:
    document = kubeconfig(GIVEN, "aphex-main", "eu-west-1", "aphex-main")
    assert document["clusters"][0]["cluster"] == GIVEN["clusters"][0]["cluster"]
    call = document["users"][0]["user"]["exec"]
    assert call["args"] == ["-m", "automation", "cluster", "token", "--eks", "aphex-main", "--region", "eu-west-1"]
    with pytest.raises(AphexError, match="names no cluster"):
        kubeconfig({}, "aphex-main", "eu-west-1", "aphex-main")


def test_a_token_is_a_signed_question_for_one_cluster() -> None:
    access = AwsAccess(region="eu-west-1", static_keys=("AKIDEXAMPLE", "key"))
    made = exec_credential(access, "aphex-main", datetime(2026, 1, 2, 3, 4, tzinfo=UTC))
    assert made["status"]["expirationTimestamp"] == "2026-01-02T03:18:00Z"
    encoded = made["status"]["token"].removeprefix("k8s-aws-v1.")
    url = urlsplit(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode())
    query = parse_qs(url.query)
    assert url.hostname == "sts.eu-west-1.amazonaws.com"
    assert query["Action"] == ["GetCallerIdentity"]
    assert "x-k8s-aws-id" in query["X-Amz-SignedHeaders"][0]
    assert query["X-Amz-Expires"] == ["60"]
    other = exec_credential(access, "aphex-other")["status"]["token"]
    assert other != made["status"]["token"]


def test_a_cluster_is_added_to_a_kubeconfig_beside_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / ".kube" / "config"
    added = kubeconfig(GIVEN, "aphex-main", "eu-west-1", "aphex-main")
    write_kubeconfig(path, added, switch=True)
    assert path.stat().st_mode & 0o777 == 0o600
    mine = {"clusters": [{"name": "mine"}], "contexts": [{"name": "mine"}], "users": [], "current-context": "mine"}
    both = merged(mine, added, switch=False)
    assert [each["name"] for each in both["contexts"]] == ["mine", "aphex-main"]
    assert both["current-context"] == "mine"
    assert merged(both, added, switch=True)["current-context"] == "aphex-main"
    assert len(merged(both, added, switch=True)["clusters"]) == 2
    write_kubeconfig(path, added, switch=True)
    assert YAML(typ="safe").load(path.read_text())["current-context"] == "aphex-main"


def test_a_file_that_is_no_kubeconfig_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("- a\n- b\n")
    with pytest.raises(AphexError, match="is no kubeconfig"):
        write_kubeconfig(path, kubeconfig(GIVEN, "a", "eu-west-1", "a"), switch=True)
    assert path.read_text() == "- a\n- b\n"


def test_a_cluster_s_stack_lives_in_its_account_and_region() -> None:
    home = cluster_home("main", "123456789012", "eu-west-1")
    assert (home.name, home.bucket) == ("cluster-main", "aphex-state-123456789012-eu-west-1")
    assert home.secrets_key == "awskms://alias/aphex-state?region=eu-west-1"
    assert home.command("destroy") == "python -m automation cluster destroy --name main --region eu-west-1"
    assert home.command("up", "--allow-data-loss") == "python -m automation cluster up --allow-data-loss"


def test_a_cluster_that_is_not_there_is_told_with_the_command_that_makes_it() -> None:
    error = StackMissing(cluster_home("main", "123456789012", "eu-west-1"))
    assert error.message == 'There is no cluster "main" in this account and region.'
    assert error.hint == "`python -m automation cluster up` makes it."


def test_a_cluster_on_eks_can_be_named() -> None:
    assert choose(None, "eks:main", None, "default").eks == "main"
    assert choose("eks", None, None, "default").eks == ""
    assert choose("eks", None, None, "default").aws == "account"
    assert choose(None, "context:main", None, "default").eks is None


def test_a_cluster_with_pipelines_says_how_to_remove_them() -> None:
    error = pipelines_remain(cluster_home("main", "123456789012", "eu-west-1"), ["shop", "store"])
    assert error.message == "The cluster main has pipelines: shop, store; nothing was changed."
    assert error.hint.splitlines()[1] == "  python -m automation destroy --pipeline shop --cluster eks:main"


def test_a_pipeline_is_on_a_cluster_as_long_as_it_has_something_there() -> None:
    stack = {"type": "pulumi:pulumi:Stack", "outputs": {"token_issuer": "https://a"}}
    namespace = {"type": "kubernetes:core/v1:Namespace"}
    assert is_on({"resources": [stack, namespace]}, "https://a")
    assert not is_on({"resources": [stack, namespace]}, "https://b")
    assert not is_on({"resources": [stack]}, "https://a")
    assert not is_on({}, "https://a")


def test_a_cluster_s_protection_is_seen() -> None:
    cluster = {"type": "aws:eks/cluster:Cluster", "inputs": {"deletionProtection": True}}
    assert is_protected({"resources": [cluster]})
    assert is_protected({"resources": [{"type": "eks:index:Cluster", "protect": True}]})
    assert not is_protected({"resources": [{"type": "aws:eks/cluster:Cluster", "inputs": {}}]})


OUTPUTS = {
    "account": "123456789012",
    "region": "eu-west-1",
    "cluster_name": "aphex-main",
    "oidc_issuer": "https://oidc.eks.eu-west-1.amazonaws.com/id/A",
    "argo_url": "https://argo.example.com",
    "identity": "pod-identity",
    "kubeconfig": json.dumps(GIVEN),
}


def test_a_pipeline_on_eks_has_its_settings_from_the_cluster_s_outputs() -> None:
    subject = Subject(pipeline="shop", repository="acme/shop", clone_url="https://github.com/acme/shop.git")
    made = eks_settings(OUTPUTS, subject, ImageSettings(builder="b:1", deployer="d:1"))
    assert (made.aws.kind, made.aws.account, made.aws.region) == ("account", "123456789012", "eu-west-1")
    assert made.aws.oidc_issuer == OUTPUTS["oidc_issuer"]
    assert made.argo_url == "https://argo.example.com"
    assert made.state_bucket == "aphex-state-123456789012-eu-west-1"
    assert made.namespace == "aphex-shop"
    assert (made.aws.identity, made.aws.cluster) == ("pod-identity", "aphex-main")
    assert made.webhook.host is None
    reached = {
        "webhook_url": "https://hooks.example.com",
        "webhook_ingress_class": "aphex-webhooks",
        "webhook_ingress_annotations": {"alb.ingress.kubernetes.io/target-type": "ip"},
        "vpc_cidr": "10.64.0.0/16",
        "storage_class": "aphex",
    }
    made = eks_settings({**OUTPUTS, **reached}, subject, ImageSettings(builder="b:1", deployer="d:1"))
    assert made.webhook_url == "https://hooks.example.com/shop"
    assert (made.webhook.ingress_class, made.webhook.sources) == ("aphex-webhooks", ("10.64.0.0/16",))
    assert made.webhook.annotations == reached["webhook_ingress_annotations"]
    assert made.event_bus.storage_class == "aphex"
