"""Two pipelines side by side in one sandbox: both deliver, one is destroyed, and the other does not notice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from lightkube.generic_resource import create_namespaced_resource
from lightkube.resources.core_v1 import ConfigMap, Namespace, Secret, ServiceAccount
from lightkube.resources.networking_v1 import NetworkPolicy
from lightkube.resources.rbac_authorization_v1 import Role, RoleBinding

from sandbox import git_host
from sandbox.state import SandboxState
from tests.support.delivery import Team, mini_application

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1500)]

# Places of their own, for both applications have a stack of the same name.
ACCOUNTS = {"twin": "222222222222", "twin-b": "333333333333"}
REGION = "eu-west-1"
_ARGO = {
    "EventBus": "eventbus",
    "EventSource": "eventsources",
    "Sensor": "sensors",
    "WorkflowTemplate": "workflowtemplates",
}
_OWN: tuple[Any, ...] = (
    *(ConfigMap, Secret, ServiceAccount, Role, RoleBinding, NetworkPolicy),
    *(create_namespaced_resource("argoproj.io", "v1alpha1", kind, plural) for kind, plural in _ARGO.items()),
)


def application(name: str, word: str) -> dict[str, str]:
    files = mini_application(name, word)
    config = files["aphex-config.yaml"].replace("222222222222", ACCOUNTS[name]).replace("us-east-1", REGION)
    return {**files, "aphex-config.yaml": config}


@pytest.fixture(scope="module")
def teams(sandbox: SandboxState, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Team, Team]]:
    """Two teams, one with a name that begins like the other's; both pipelines are up."""
    first, second = (Team(sandbox=sandbox, name=name, folder=tmp_path_factory.mktemp(name)) for name in ACCOUNTS)
    for team in (first, second):
        team.write(application(team.name, f"from {team.name}"))
        assert team.up()["changed"]
    yield first, second
    for team in (first, second):
        team.automation("destroy", "--pipeline", team.name, "--yes", check=False)


def in_cluster(team: Team) -> dict[str, Any]:
    """Everything in a pipeline's namespace that is its own, but for what the cluster keeps writing to it."""
    found = {}
    with team.target.kubernetes.client() as api:
        for kind in _OWN:
            for each in api.list(kind, namespace=f"aphex-{team.name}"):
                document = each.to_dict()
                document.pop("status", None)
                identity = {key: document["metadata"].get(key) for key in ("uid", "generation", "labels")}
                found[f"{kind.__name__} {document['metadata']['name']}"] = {**document, "metadata": identity}
    return found


def on_aws(team: Team) -> dict[str, Any]:
    """A pipeline's roles with their rights, its table, its buckets, and the version of its state."""
    iam, own = team.aws("iam"), f"aphex-{team.name}-"
    others = {f"aphex-{name}-" for name in ACCOUNTS if name != team.name and name.startswith(team.name)}
    found: dict[str, Any] = {}
    for role in iam.list_roles()["Roles"]:
        name = role["RoleName"]
        if name.startswith(own) and not name.startswith(tuple(others)):
            inline = iam.list_role_policies(RoleName=name)["PolicyNames"]
            found[name] = {
                "trust": role["AssumeRolePolicyDocument"],
                "inline": [iam.get_role_policy(RoleName=name, PolicyName=each)["PolicyDocument"] for each in inline],
                "attached": iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"],
            }
    s3 = team.aws("s3")
    buckets = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
    found["buckets"] = sorted(name for name in buckets if name.startswith(own) and not name.startswith(tuple(others)))
    found["table"] = team.aws("dynamodb").describe_table(TableName=f"{own}runs")["Table"]["CreationDateTime"]
    key = f".pulumi/stacks/aphex/pipeline-{team.name}.json"
    found["state"] = s3.head_object(Bucket=str(team.target.settings.state_bucket), Key=key)["ETag"]
    return found


def test_both_deliver_at_the_same_time_each_what_is_its_own(teams: tuple[Team, Team]) -> None:
    commits = [(team, team.push(f"The word of {team.name}")) for team in teams]
    for team, commit in commits:
        _view, record = team.delivered(commit)
        assert (record.pipeline, record.status) == (team.name, "succeeded")
        assert team.word(ACCOUNTS[team.name], REGION) == f"from {team.name}"
        [delivery] = team.deliveries()
        assert delivery.ok


def test_the_same_name_from_another_repository_is_refused_before_anything_is_changed(teams: tuple[Team, Team]) -> None:
    _first, second = teams
    before = in_cluster(second), on_aws(second)
    config = second.folder / "aphex-config.yaml"
    text = config.read_text()
    try:
        config.write_text(
            text.replace("  name: twin-b\n", "  name: twin-b\n  repository: https://git/acme/other.git\n")
        )
        for command in (("up", "--yes"), ("destroy", "--yes")):
            refused = second.automation(*command, "--config", str(config), check=False)
            assert refused.exit_code == 1
            assert "a pipeline twin-b already: that of the repository aphex/twin-b" in refused.error_output
            assert "pipeline.name" in refused.error_output
    finally:
        config.write_text(text)
    assert (in_cluster(second), on_aws(second)) == before
    with pytest.raises(Exception, match="other"):
        git_host.find_repository(second.sandbox, "other")


def test_one_is_destroyed_and_the_others_next_run_is_untouched(teams: tuple[Team, Team]) -> None:
    first, second = teams
    cluster, aws = in_cluster(second), on_aws(second)
    assert len(aws) > 8
    # The run is under way while the other pipeline goes, and goes on after that.
    commit = second.push("Another word", {"word.txt": "still here\n"})
    told = first.automation("destroy", "--pipeline", "twin", "--yes").error_output
    assert f"what dev has in account {ACCOUNTS['twin']}, {REGION}: Mini" in told
    assert in_cluster(second) == cluster
    assert on_aws(second) == aws

    view, _record = second.delivered(commit)
    assert [stage.status for stage in view.stages if stage.name == "self-update"] == ["succeeded"]
    assert second.word(ACCOUNTS["twin-b"], REGION) == "still here"
    assert second.up()["changes"] == []
    assert first.word(ACCOUNTS["twin"], REGION) == "from twin", "what a pipeline has deployed outlives it"
    with second.target.kubernetes.client() as api:
        names = {str(each.metadata.name) for each in api.list(Namespace) if each.metadata}
    assert "aphex-twin-b" in names
    assert "aphex-twin" not in names
    assert not [name for name in on_aws_names(first) if name.startswith("aphex-twin-") and "twin-b" not in name]


def on_aws_names(team: Team) -> list[str]:
    """Roles, tables and buckets of the account."""
    return [
        *(role["RoleName"] for role in team.aws("iam").list_roles()["Roles"]),
        *team.aws("dynamodb").list_tables()["TableNames"],
        *(bucket["Name"] for bucket in team.aws("s3").list_buckets()["Buckets"]),
    ]
