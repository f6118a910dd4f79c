"""A shared cluster: its upgrades, what an existing one lacks, its kubeconfig, and the settings of a pipeline on it."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from aphex_platform.settings import EventBusSettings, ImageSettings, WebhookSettings
from ruamel.yaml import YAML

from aphex.cluster_config import ClusterConfig
from aphex.errors import AphexError
from aphex.loader import parse_cluster_config
from automation.access import AwsAccess
from automation.cluster import cluster_home
from automation.cluster_check import Ask, Controller, Facts, Needs, asks_of, image_version, lacks, needs_of
from automation.cluster_facts import has_agent
from automation.cluster_removal import is_on, is_protected, pipelines_remain
from automation.cluster_status import argo_part, node_part
from automation.cluster_upgrade import Versions, plan_upgrades, refusals, versions_of, wanted_versions
from automation.eks_access import exec_credential, kubeconfig, merged, write_kubeconfig
from automation.eks_target import eks_settings
from automation.stack import StackMissing
from automation.target import Subject, choose
from tests.support.declared import declare
from tests.support.example import example_settings, real_aws

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


ARGO = {
    f"{kind}.argoproj.io": frozenset({"v1alpha1"})
    for kind in ("workflows", "workflowtemplates", "eventbus", "eventsources", "sensors")
}
CONTROLLERS = (
    Controller(
        name="argo-workflow-controller", namespace="argo", images=("quay.io/a/workflow-controller:v3.7.18",), ready=True
    ),
    Controller(
        name="controller-manager", namespace="argo-events", images=("quay.io/argoproj/argo-events:v1.9.11",), ready=True
    ),
)


def facts(**changes: Any) -> Facts:
    values: dict[str, Any] = {
        "kinds": ARGO,
        "controllers": CONTROLLERS,
        "ingress_classes": frozenset({"nginx"}),
        "storage_classes": frozenset({"gp3"}),
        "default_storage": True,
        "pod_identity_agent": True,
        "issuer_known": True,
    }
    return Facts(**{**values, **changes})


EVERYTHING = Needs(storage=True, ingress_class="nginx", issuer="https://issuer.example/id/A")


def test_a_cluster_that_has_everything_lacks_nothing() -> None:
    assert lacks(facts(), EVERYTHING) == []


def test_what_the_caller_may_not_see_is_not_taken_for_missing() -> None:
    unseen = Facts(
        kinds=None,
        controllers=None,
        ingress_classes=None,
        storage_classes=None,
        default_storage=None,
        pod_identity_agent=None,
    )
    assert lacks(unseen, EVERYTHING) == []


def test_the_nodes_of_auto_mode_have_the_agent_without_a_daemon_set() -> None:
    agent, auto = (
        SimpleNamespace(metadata=SimpleNamespace(name=name))
        for name in ("eks-pod-identity-agent", "nodeclasses.eks.amazonaws.com")
    )
    seen = [([auto], []), (None, [agent]), ([], []), ([], None)]
    assert [has_agent(kinds, daemons) for kinds, daemons in seen] == [True, True, False, None]


REFUSED = Ask(verb="create", resource="roles", group="rbac.authorization.k8s.io", namespace="aphex-shop")


def old(version: str) -> tuple[Controller, ...]:
    image = f"quay.io/argoproj/workflow-controller:{version}"
    return (Controller(name="workflow-controller", namespace="argo", images=(image,), ready=True), CONTROLLERS[1])


@pytest.mark.parametrize(
    ("changes", "needs", "what"),
    [
        ({"kinds": {**ARGO, "sensors.argoproj.io": frozenset()}}, Needs(), "no resource kind sensors.argoproj.io"),
        ({"controllers": CONTROLLERS[1:]}, Needs(), "No workflow-controller of Argo Workflows 3.7 or newer runs."),
        ({"controllers": old("v3.6.2")}, Needs(), "Argo Workflows is 3.6.2, which is too old"),
        ({"refused": (REFUSED,)}, Needs(), "You may not create roles.rbac.authorization.k8s.io in aphex-shop."),
        ({"default_storage": False}, Needs(storage=True), "No StorageClass is the default"),
        ({}, Needs(storage=True, storage_class="fast"), "no StorageClass fast for the EventBus; the cluster has gp3"),
        ({}, Needs(ingress_class="alb"), "no IngressClass alb for the webhook; the cluster has nginx"),
        ({"issuer_known": False}, Needs(issuer="https://issuer.example"), "it has no provider https://issuer.example"),
        ({"pod_identity_agent": False}, Needs(pod_identity=True), "no EKS Pod Identity Agent"),
    ],
)
def test_what_is_missing_is_said_with_a_remedy(changes: dict[str, Any], needs: Needs, what: str) -> None:
    [lack] = lacks(facts(**changes), needs)
    assert what in lack.what
    assert lack.fix


def test_everything_that_is_missing_is_said_at_once() -> None:
    bare = facts(kinds={}, controllers=(), ingress_classes=frozenset(), default_storage=False, issuer_known=False)
    assert len(lacks(bare, EVERYTHING)) == 5 + 2 + 3


def test_the_controllers_of_other_operators_are_not_argo_s() -> None:
    policies = Controller(
        name="gatekeeper-controller-manager", namespace="gatekeeper-system", images=("gatekeeper:v3.14.0",), ready=True
    )
    apis = Controller(name="controller-manager", namespace="team", images=("operator:v0.5.0",), ready=True)
    helm = Controller(
        name="argo-events-controller-manager", namespace="argo", images=("mirror/events:v1.9.11",), ready=True
    )
    for events in (CONTROLLERS[1], helm):
        assert lacks(facts(controllers=(CONTROLLERS[0], policies, apis, events)), Needs()) == []
    [lack] = lacks(facts(controllers=(CONTROLLERS[0], policies, apis)), Needs())
    assert lack.what == "No controller-manager of Argo Events 1.9 or newer runs."


def test_a_controller_that_is_not_ready_is_shown_where_it_is() -> None:
    stuck = (Controller(name="workflow-controller", namespace="argo", images=(), ready=False), CONTROLLERS[1])
    [lack] = lacks(facts(controllers=stuck), Needs())
    assert "it is in argo, but not ready" in lack.what
    assert lack.fix == "kubectl -n argo describe deployment workflow-controller"


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("quay.io/argoproj/argo-events:v1.9.11", (1, 9, 11)),
        ("registry:5000/argo:3.7", (3, 7)),
        ("argo:v3.7.18-rc1@sha256:abc", (3, 7, 18)),
        ("argo@sha256:abc", None),
        ("registry:5000/argo:latest", None),
    ],
)
def test_a_version_is_read_from_an_image_s_tag(image: str, version: tuple[int, ...] | None) -> None:
    assert image_version([image]) == version


@pytest.mark.filterwarnings("ignore:.*has been deprecated in favor of:DeprecationWarning")
def test_what_is_asked_covers_all_that_the_program_makes() -> None:
    asked = {(ask.group, ask.resource) for ask in asks_of("aphex-shop") if ask.verb == "create"}
    made = {each.typ for each in declare(example_settings()).declared if each.typ.startswith("kubernetes:")}
    plurals = {"EventBus": "eventbus", "NetworkPolicy": "networkpolicies", "Ingress": "ingresses"}
    for token in made:
        group, _, kind = token.removeprefix("kubernetes:").partition(":")
        group = group.rpartition("/")[0].replace("core", "")
        assert (group, plurals.get(kind, f"{kind.lower()}s")) in asked


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


def test_the_parts_of_a_cluster_are_told_with_their_versions() -> None:
    part = argo_part("workflow-controller", "Argo Workflows", CONTROLLERS)
    assert (part.version, part.ready, part.detail) == ("3.7.18", True, "argo/argo-workflow-controller")
    assert argo_part("workflow-controller", "Argo Workflows", ()).detail == "not installed"
    nodes = node_part([("v1.34.1", True), ("v1.34.1", False)])
    assert (nodes.ready, nodes.detail) == (False, "1 of 2 ready")
    assert node_part([]).ready


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


def test_what_is_needed_of_a_cluster_follows_from_the_settings() -> None:
    assert needs_of(example_settings()) == Needs()
    native = example_settings(aws=real_aws(), event_bus=EventBusSettings(storage_class="fast"))
    issuer = real_aws().oidc_issuer
    assert needs_of(native) == Needs(storage=True, storage_class="fast", issuer=issuer)
    by_agent = real_aws().model_copy(update={"identity": "pod-identity", "cluster": "c"})
    webhook = WebhookSettings(host="hooks.example.com", ingress_class="alb")
    wanted = example_settings(aws=by_agent, event_bus=EventBusSettings(persistent=False), webhook=webhook)
    assert needs_of(wanted) == Needs(pod_identity=True, ingress_class="alb")
