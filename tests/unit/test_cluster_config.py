"""aphex-cluster.yaml: what is accepted, and what is said of what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from aphex.cluster_config import ClusterConfig, NodeGroup
from aphex.loader import ConfigError, load_cluster_config, parse_cluster_config
from aphex.names import ClusterNames, PipelineNames

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples" / "cluster"
MINIMAL = """\
version: "1.0"
name: main
region: eu-west-1
account: "123456789012"
api: {cidrs: [203.0.113.0/24]}
ui: {reach: port-forward}
"""
CERTIFICATE = "arn:aws:acm:eu-west-1:123456789012:certificate/0f2c9a55"
BALANCED = MINIMAL.replace("port-forward", f"internal, host: argo.example.com, certificate: '{CERTIFICATE}'")


def problems_of(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_cluster_config(text)
    return str(caught.value).splitlines()


def test_the_smallest_file_is_safe_and_cheap() -> None:
    config = parse_cluster_config(MINIMAL)
    assert config.network.nat == "single"
    assert config.autoscaling.mode == "auto"
    assert config.kubernetes.extended_support is False
    assert config.deletion_protection is True
    assert config.registry.immutable_tags is True
    assert config.registry.scan_on_push is True
    assert config.ui.login.mode == "client"
    assert config.webhooks is None
    assert config.argo_url == "https://localhost:2746"
    assert config.webhook_url is None
    assert config.identity == "pod-identity"


@pytest.mark.parametrize("field", ["version", "name", "region", "account", "api", "ui"])
def test_what_cannot_be_guessed_is_required(field: str) -> None:
    text = "".join(line for line in MINIMAL.splitlines(keepends=True) if not line.startswith(f"{field}:"))
    assert problems_of(text) == [f"aphex-cluster.yaml:1  {field}", "  is required."]


def test_an_unknown_key_is_told_with_its_line() -> None:
    assert problems_of(MINIMAL + "network:\n  nats: single\n") == [
        "aphex-cluster.yaml:8  network.nats",
        "  is not a setting. Check its spelling, or remove it.",
    ]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"There is no such file. A cluster needs aphex-cluster.yaml"):
        load_cluster_config(tmp_path / "aphex-cluster.yaml")


def test_a_file_without_settings_says_what_it_begins_with() -> None:
    assert problems_of("[]")[1] == (
        "  has no settings. It must be a mapping that begins with version, name, region, account, api and ui."
    )


def test_a_credential_is_refused_and_not_repeated() -> None:
    secret = "AKIA" + "ABCDEFGHIJKLMNOP"
    told = "\n".join(problems_of(MINIMAL + f"tags: {{owner: {secret}}}\n"))
    assert "tags.owner" in told
    assert secret not in told


@pytest.mark.parametrize("block", ["0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1", "64.0.0.0/7"])
def test_nothing_is_ever_open_to_the_internet(block: str) -> None:
    for text in (
        MINIMAL.replace("203.0.113.0/24", block),
        BALANCED.replace("internal", f"internet, cidrs: [{block}]"),
        MINIMAL + f"webhooks: {{host: hooks.example.com, certificate: '{CERTIFICATE}', cidrs: [{block}]}}\n",
    ):
        assert problems_of(text)[1] == (
            f'  "{block}" is open to a large part of the internet. Name the networks that need access, each of /8 or '
            "narrower."
        )


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("203.0.113.5/24", '"203.0.113.5/24" is not a CIDR block. Did you mean 203.0.113.0/24?'),
        ("203.0.113.5", '"203.0.113.5" is not a CIDR block. Did you mean 203.0.113.5/32?'),
        ("office", '"office" is not a CIDR block. Write it as 203.0.113.0/24.'),
        (
            "'2001:db8::/32'",
            '"2001:db8::/32" is IPv6, which is not supported here. Write an IPv4 block such as 203.0.113.0/24.',
        ),
        (
            "10.0.0.0/8",
            "cidrs has 10.0.0.0/8, which no public endpoint ever sees. Write the public addresses of that network.",
        ),
    ],
)
def test_addresses_are_those_that_the_endpoint_sees(written: str, message: str) -> None:
    assert problems_of(MINIMAL.replace("203.0.113.0/24", written))[1] == f"  {message}"


WRONG = {
    "api: {access: private, cidrs: [203.0.113.0/24]}": (
        "cidrs has entries, but access is private. Remove them, or choose access: restricted."
    ),
    "api: {access: restricted}": (
        "needs cidrs: the public addresses from which you reach the cluster, such as [203.0.113.7/32]; "
        "or access: private."
    ),
    "ui: {reach: internal}": "needs host and certificate, because reach is internal.",
    "ui: {reach: internet}": "needs host and certificate and cidrs, because reach is internet.",
    "ui: {reach: port-forward, host: argo.example.com}": (
        "has host, but reach is port-forward. Choose internal or internet."
    ),
    "ui: {reach: port-forward, login: {mode: sso}}": (
        "needs issuer and client_id and client_secret, because mode is sso."
    ),
    "ui: {reach: port-forward, login: {viewer_groups: [all]}}": (
        "has viewer_groups, but mode is client. Choose mode: sso, or remove them."
    ),
    "kubernetes: {admins: ['arn:aws:iam::123456789012:role/a', 'arn:aws:iam::123456789012:role/a']}": (
        "admins has a role twice. Remove one of them."
    ),
    "network: {cidr: 203.0.0.0/16}": (
        "cidr 203.0.0.0/16 is not private. Choose one inside 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16."
    ),
    "network: {cidr: 10.0.0.0/24}": "cidr 10.0.0.0/24 is /24. It must be from /16 to /22.",
    "network: {zones: [eu-west-1a, eu-west-1a, eu-west-1b]}": "zones has a zone twice. Name three different ones.",
    "network: {zones: [eu-west-1a, eu-west-1b, eu-west-2c]}": (
        "network.zones has eu-west-2c, which is no zone of eu-west-1, such as eu-west-1a."
    ),
    "autoscaling: {mode: node-groups}": (
        "needs node_groups, because mode is node-groups. Add one, or choose mode: auto."
    ),
    "autoscaling: {node_groups: [{name: a, instance_types: [m7i.large]}]}": (
        "node_groups has entries, but mode is auto. Remove them, or choose mode: node-groups."
    ),
    "autoscaling: {mode: node-groups, auto: {max_cpus: 8}, node_groups: [{name: a, instance_types: [m7i.large]}]}": (
        "auto has settings, but mode is node-groups. Remove them, or choose mode: auto."
    ),
    "autoscaling: {mode: node-groups, node_groups: [{name: a, instance_types: [m7i.large], min: 9}]}": (
        "min (9) is above max (6)."
    ),
    "autoscaling: {mode: node-groups, node_groups: [{name: a, instance_types: [m7i.large, m7g.large]}]}": (
        "instance_types mixes processor architectures. Make a group for each."
    ),
    "argo: {parallelism: 2}": "namespace_parallelism (10) is above parallelism (2).",
    "argo: {workflows: {version: 3.5.1}}": (
        "version 3.5.1 needs chart, because only those of 3.7 and 4.0 are known. Name the version of the chart that "
        "installs it."
    ),
    f"webhooks: {{host: hooks.example.com, certificate: '{CERTIFICATE.replace('eu-west-1', 'us-east-1')}'}}": (
        "webhooks.certificate is in us-east-1, but the cluster is in eu-west-1."
    ),
}


@pytest.mark.parametrize(("line", "message"), WRONG.items(), ids=lambda text: text[:40])
def test_what_does_not_fit_together_is_told(line: str, message: str) -> None:
    kept = [each for each in MINIMAL.splitlines() if not each.startswith(line.partition(":")[0])]
    assert f"  {message}" in problems_of("\n".join([*kept, line]))


@pytest.mark.parametrize(
    ("instance_type", "architecture"),
    [
        ("m7i-flex.large", "amd64"),
        ("g4dn.xlarge", "amd64"),
        ("m7g.large", "arm64"),
        ("c7gn.xlarge", "arm64"),
        ("t4g.small", "arm64"),
        ("g5g.xlarge", "arm64"),
        ("a1.large", "arm64"),
    ],
)
def test_the_architecture_of_a_group_follows_from_its_instances(instance_type: str, architecture: str) -> None:
    assert NodeGroup(name="a", instance_types=[instance_type]).architecture == architecture


def test_sso_needs_an_address_to_come_back_to() -> None:
    secret = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:login"
    login = f"login: {{mode: sso, issuer: 'https://login.example.com', client_id: argo, client_secret: '{secret}'}}"
    assert problems_of(MINIMAL.replace("port-forward", f"port-forward, {login}"))[1] == (
        "  login.mode is sso, which needs an address for its redirects. Choose internal or internet."
    )
    config = parse_cluster_config(BALANCED.replace("internal", f"internal, {login}"))
    assert config.ui.login.scopes == ["groups"]
    assert config.argo_url == "https://argo.example.com"


@pytest.mark.parametrize(("version", "chart"), [("3.7.18", "0.47.5"), ("4.0.6", "1.0.18")])
def test_one_setting_upgrades_argo_with_the_chart_that_fits(version: str, chart: str) -> None:
    config = parse_cluster_config(MINIMAL + f"argo: {{workflows: {{version: {version}}}}}\n")
    assert config.argo.workflows.chart_version == chart


def test_a_chart_can_be_named() -> None:
    config = parse_cluster_config(MINIMAL + "argo: {events: {version: 2.0.0, chart: 3.0.1}}\n")
    assert config.argo.events.chart_version == "3.0.1"


def test_durations_are_seconds_where_they_are_used() -> None:
    config = ClusterConfig.model_validate(parse_cluster_config(MINIMAL).model_dump(exclude_unset=True))
    assert config.argo.keep_succeeded_seconds == 7 * 86400
    assert config.argo.keep_failed_seconds == 14 * 86400
    assert config.autoscaling.auto.consolidate_after_seconds == 300


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_configuration_survives_the_way_through_json(path: Path) -> None:
    config = load_cluster_config(path)
    assert ClusterConfig.model_validate_json(config.model_dump_json()) == config


def test_names_of_clusters_and_pipelines_never_clash() -> None:
    cluster, pipeline = ClusterNames("shop"), PipelineNames("shop")
    assert cluster.stack == "cluster-shop"
    assert cluster.stack != pipeline.stack
    assert cluster.role("deploy") != pipeline.role("deploy")
    assert cluster.control_plane_logs == "/aws/eks/aphex-shop/cluster"
    assert cluster.repository("builder") == "aphex-shop/aphex-builder"
    assert len(ClusterNames("a" * 30).role("load-balancer-controller")) <= 64
