"""What holds for every cluster that its file can describe."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network
from typing import Any

import jsonschema
import pytest
from aphex_platform.charts import (
    autoscaler_values,
    balancer_annotations,
    balancer_values,
    events_values,
    workflows_values,
)
from aphex_platform.cluster_policies import (
    REASONS,
    autoscaler_policy,
    flow_logs_policy,
    flow_logs_trust,
    key_policy,
    load_balancer_policy,
    pod_trust,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.compat import StringIO

from aphex.cluster_config import CLUSTER_FILE, ClusterConfig
from aphex.loader import ConfigError, parse_cluster_config
from aphex.schema import json_schema
from tests.support.charts import known_keys, unknown
from tests.support.strategies import clusters

SCHEMA = jsonschema.Draft202012Validator(json_schema(CLUSTER_FILE))
WIDEST = 8


def written(document: dict[str, Any]) -> str:
    stream = StringIO()
    YAML(typ="safe").dump(document, stream)
    return stream.getvalue()


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        value = value.values()
    if isinstance(value, str):
        yield value
    elif not isinstance(value, int | float | None):
        for each in value:
            yield from texts(each)


# A cluster that the loader accepts is one that editors accept, and it survives being written down.
@settings(max_examples=100, deadline=None)
@given(document=clusters())
def test_loader_and_schema_accept_the_same_clusters(document: dict[str, Any]) -> None:
    config = parse_cluster_config(written(document))
    SCHEMA.validate(document)
    assert ClusterConfig.model_validate_json(config.model_dump_json()) == config


# A file without what cannot be guessed, or with a key that there is not, is rejected and the field is named.
@settings(max_examples=100, deadline=None)
@given(document=clusters(), data=st.data())
def test_what_cannot_be_guessed_is_asked_for(document: dict[str, Any], data: st.DataObject) -> None:
    broken = copy.deepcopy(document)
    field = data.draw(st.sampled_from(["name", "region", "account", "api", "ui", "spelling"]))
    if field == "spelling":
        broken[field] = 1
    else:
        del broken[field]
    with pytest.raises(ConfigError) as raised:
        parse_cluster_config(written(broken))
    assert field in [problem.field for problem in raised.value.problems]
    assert not SCHEMA.is_valid(broken)


# However a cluster is reached, it is not open to the internet as a whole, and its UI asks for a login.
@settings(max_examples=100, deadline=None)
@given(document=clusters(), wide=st.integers(0, WIDEST - 1), data=st.data())
def test_no_cluster_is_open(document: dict[str, Any], wide: int, data: st.DataObject) -> None:
    config = parse_cluster_config(written(document))
    server = workflows_values(config)["server"]
    assert server["authModes"] in (["client"], ["sso"])
    ways = [server.get("ingress", {}).get("annotations", {})]
    ways += [balancer_annotations(config.webhooks.cidrs)] if config.webhooks else []
    inbound = [way["alb.ingress.kubernetes.io/inbound-cidrs"] for way in ways if way]
    sources = [*(source for each in inbound for source in each.split(", ")), *config.api.cidrs]
    assert all(IPv4Network(source).prefixlen >= WIDEST for source in sources)

    places = [section for section in ("api", "ui", "webhooks") if "cidrs" in document.get(section, {})]
    if places:
        broken = copy.deepcopy(document)
        section = data.draw(st.sampled_from(places))
        broken[section]["cidrs"].append(str(IPv4Network(f"64.0.0.0/{wide}", strict=False)))
        with pytest.raises(ConfigError, match="open to a large part of the internet"):
            parse_cluster_config(written(broken))


# Every chart knows every value that it is given.
@settings(max_examples=100, deadline=None)
@given(document=clusters())
def test_charts_know_their_values(document: dict[str, Any]) -> None:
    config = parse_cluster_config(written(document))
    workflows = known_keys("argo-workflows", config.argo.workflows.chart_version)
    assert list(unknown(workflows_values(config), workflows)) == []
    events = known_keys("argo-events", config.argo.events.chart_version)
    assert list(unknown(events_values(config), events)) == []
    assert json.loads(json.dumps(autoscaler_values(config))) == autoscaler_values(config)
    assert json.loads(json.dumps(balancer_values(config, "vpc-1"))) == balancer_values(config, "vpc-1")


# Every wildcard of a policy has a written reason, and every ARN is one of the cluster's partition and account.
@settings(max_examples=100, deadline=None)
@given(document=clusters())
def test_policies_name_the_cluster(document: dict[str, Any]) -> None:
    config = parse_cluster_config(written(document))
    policies = [key_policy(config), flow_logs_policy(config), autoscaler_policy(config), load_balancer_policy(config)]
    for statement in (each for policy in policies for each in policy["Statement"]):
        if any("*" in text for text in (*statement["Action"], *statement["Resource"])):
            assert statement["Sid"] in REASONS
    trusts = [flow_logs_trust(config), pod_trust(config, "kube-system", "cluster-autoscaler")]
    for arn in (text for text in texts([*policies, *trusts]) if text.startswith("arn:")):
        partition, _service, region, account = arn.split(":")[1:5]
        assert (partition, account) == (config.partition, config.account)
        assert region in ("", config.region)
