"""What an existing cluster has to have for a pipeline, and how what is missing is told."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from aphex_platform.settings import EventBusSettings, WebhookSettings

from automation.cluster_check import Ask, Controller, Facts, Needs, asks_of, image_version, lacks, needs_of
from automation.cluster_facts import has_agent
from automation.cluster_status import argo_part, node_part
from tests.support.declared import declare
from tests.support.example import example_settings, real_aws

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


def test_the_parts_of_a_cluster_are_told_with_their_versions() -> None:
    part = argo_part("workflow-controller", "Argo Workflows", CONTROLLERS)
    assert (part.version, part.ready, part.detail) == ("3.7.18", True, "argo/argo-workflow-controller")
    assert argo_part("workflow-controller", "Argo Workflows", ()).detail == "not installed"
    nodes = node_part([("v1.34.1", True), ("v1.34.1", False)])
    assert (nodes.ready, nodes.detail) == (False, "1 of 2 ready")
    assert node_part([]).ready


def test_what_is_needed_of_a_cluster_follows_from_the_settings() -> None:
    assert needs_of(example_settings()) == Needs()
    native = example_settings(aws=real_aws(), event_bus=EventBusSettings(storage_class="fast"))
    issuer = real_aws().oidc_issuer
    assert needs_of(native) == Needs(storage=True, storage_class="fast", issuer=issuer)
    by_agent = real_aws().model_copy(update={"identity": "pod-identity", "cluster": "c"})
    webhook = WebhookSettings(host="hooks.example.com", ingress_class="alb")
    wanted = example_settings(aws=by_agent, event_bus=EventBusSettings(persistent=False), webhook=webhook)
    assert needs_of(wanted) == Needs(pod_identity=True, ingress_class="alb")
