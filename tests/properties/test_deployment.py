"""Properties of deployments, on real git, real processes and a moto endpoint, by any CDK CLI that heeds a manifest."""

from __future__ import annotations

import io
import itertools
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from aphex.config import Environment
from stages import prepare
from stages.access import AccountAccess
from stages.clients import PipelineClients
from stages.console import Console
from stages.context import StageContext
from stages.deployment import DeploymentFailed, deploy_stacks
from stages.outputs import PARAMETER_LIMIT, read_outputs, shortened, store_outputs, write_parameter
from stages.plan import StackNotFound, WrongOrder, deployment_plan
from stages.runner import Stage
from stages.store import RunStore
from stages.synthesis import Deployer, synthesize
from stages.table import RunTable
from stages.variables import MAX_TOTAL, MAX_VALUE, output_variables, variable
from stages.workspace import Workspace
from tests.support import any_cdk
from tests.support.moto_endpoint import REGION, MotoEndpoint, moto_endpoint
from tests.support.pod import PIPELINE_ACCOUNT, Pod, make_stores
from tests.support.repository import Repository, new_repository

EXAMPLES = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
_NUMBERS = itertools.count()
names = st.from_regex(r"[A-Za-z][A-Za-z0-9]{0,4}", fullmatch=True)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)

# An app of ten lines: its stacks come from a variable, its code from the commit, and each says which that was.
APP = """\
import json, os
out, stacks = os.environ["CDK_OUTDIR"], json.loads(os.environ["STACKS"])
code = open("code").read()
open("syntheses", "a").write("once\\n")
for name, (template, needs) in stacks.items():
    template["Description"] = code + " in " + os.environ["APHEX_RUN"]
    json.dump(template, open(f"{out}/{name}.json", "w"))
json.dump({"version": "36.0.0", "artifacts": {name: {
    "type": "aws:cloudformation:stack", "environment": "aws://unknown-account/unknown-region", "displayName": name,
    "properties": {"templateFile": name + ".json"}, "dependencies": needs,
} for name, (_, needs) in stacks.items()}}, open(f"{out}/manifest.json", "w"))
"""


@dataclass(frozen=True)
class World:
    """What all examples share: an AWS, a repository with a history, and a CDK CLI on a PATH."""

    aws: MotoEndpoint
    repository: Repository
    commits: list[str]
    path: str
    # To make an SDK's clients takes longer than all that an example asks of them.
    clients: PipelineClients
    access: AccountAccess
    cloudformation: Any

    @contextmanager
    def stage(self, folder: Path, commit: str) -> Iterator[Stage]:
        """A stage of a run that there was not yet: Hypothesis draws the same values more than once."""
        pod = Pod(self.aws, self.repository, folder)
        told = {"APHEX_RUN": f"run-{next(_NUMBERS)}", "APHEX_OUTPUTS_PARAMETER": str(folder / "outputs.json")}
        told |= {"APHEX_ENVIRONMENT": "dev", "APHEX_GIT_CREDENTIALS": str(folder / "no-credentials")}
        context = StageContext.from_environment({**pod.variables("deploy-dev", commit), **told})
        workspace = Workspace(folder / "workspace")
        workspace.prepare()
        with Console(workspace.log, io.StringIO()) as console:
            yield Stage(
                context=context,
                console=console,
                clients=self.clients,
                store=RunStore(self.clients, context.bucket),
                table=RunTable(self.clients, context),
                workspace=workspace,
            )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    program = folder / "bin" / "cdk"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S {any_cdk.__file__} "$@"\n')
    program.chmod(0o755)
    repository = new_repository(folder / "repository")
    app = {"app.py": APP, "cdk.json": json.dumps({"app": f"{sys.executable} -I -S app.py"})}
    commits = [repository.commit({**app, "code": f"code {number}"}) for number in range(12)]
    with moto_endpoint() as aws, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", aws.url)
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        make_stores(aws)
        yield World(
            aws,
            repository,
            commits,
            path=f"{program.parent}:/usr/bin:/bin",
            clients=PipelineClients(REGION),
            access=AccountAccess(region=REGION),
            cloudformation=aws.client("cloudformation"),
        )


def environment_of(stacks: list[str]) -> Environment:
    return Environment.model_validate(
        {
            "name": "dev",
            "region": REGION,
            "account": PIPELINE_ACCOUNT,
            "stacks": [{"name": stack, "path": "app.py"} for stack in stacks],
        }
    )


def template(fails: bool) -> dict[str, Any]:
    properties = {"DisplayName": {"Fn::ImportValue": "no-such-export"}} if fails else {}
    return {
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic", "Properties": properties}},
        "Outputs": {"Topic": {"Value": {"Ref": "Topic"}}},
    }


def states(client: Any, stacks: list[str]) -> dict[str, Any]:
    """Those of the stacks that CloudFormation has, in the order in which it received them."""
    found: list[Any] = []
    for stack in stacks:
        with suppress(client.exceptions.ClientError):  # there is no such stack
            found += client.describe_stacks(StackName=stack)["Stacks"]
    return {each["StackName"]: each for each in sorted(found, key=lambda each: each["CreationTime"])}


# Property 9: stacks are deployed in the configured order
# Property 10: N configured stacks give N synthesized stacks before the first deployment
# Property 11: every stack output is captured and readable by later stages
# Property 23: each deployment's template was synthesized in its own stage
# Property 24: a stage's outputs are inputs of every later stage
# Property 25: the synthesized code is that of the run's commit
@pytest.mark.timeout(600)
@EXAMPLES
@given(data=st.data(), position=st.integers(0, 11), count=st.integers(1, 4))
def test_an_environment_is_deployed_in_its_order_from_the_code_of_its_commit(
    world: World, data: st.DataObject, position: int, count: int
) -> None:
    prefix = f"Example{next(_NUMBERS)}-"
    configured = [f"{prefix}{number}" for number in range(count)]
    failing = data.draw(st.none() | st.integers(0, count - 1), label="failing")
    needs = [data.draw(st.sets(st.integers(0, number - 1))) if number else set() for number in range(count)]
    made = data.draw(st.permutations(range(count)), label="order in the app")
    app = {
        configured[number]: (template(number == failing), [configured[each] for each in sorted(needs[number])])
        for number in made
    }
    with tempfile.TemporaryDirectory() as folder, world.stage(Path(folder), world.commits[position]) as stage:
        prepare.clone(stage)
        variables = {"PATH": world.path, "STACKS": json.dumps(app), "AWS_ENDPOINT_URL": world.aws.url}
        variables["APHEX_RUN"] = stage.context.run
        deployer = Deployer(
            stage=stage,
            environment=environment_of(configured),
            access=world.access,
            variables=variables,
        )
        assembly = synthesize(deployer)["."]
        assert {each.path for each in assembly.stacks} == set(configured)
        assert states(world.cloudformation, configured) == {}

        wanted = deployer.environment
        plan = deployment_plan(wanted, wanted.account, [(each, assembly) for each in wanted.stacks])
        if failing is None:
            assert [each.stack for each in deploy_stacks(deployer, plan)] == configured
        else:
            with pytest.raises(DeploymentFailed) as caught:
                deploy_stacks(deployer, plan)
            assert caught.value.details["stack"] == configured[failing]
        found = states(world.cloudformation, configured)
        done = configured if failing is None else configured[:failing]
        assert list(found) == configured[: len(done) + (failing is not None)]
        assert [each["StackStatus"] for each in found.values()] == (
            ["CREATE_COMPLETE"] * len(done) + ["ROLLBACK_COMPLETE"] * (failing is not None)
        )
        assert {found[each]["Description"] for each in done} <= {f"code {position} in {stage.context.run}"}
        assert (stage.workspace.source / "syntheses").read_text() == "once\n"

        expected = {name: {"Topic": found[name]["Outputs"][0]["OutputValue"]} for name in done}
        later = prepare.share_outputs(stage)
        assert json.loads(Path(later["APHEX_OUTPUTS"]).read_text()) == ({"dev": expected} if done else {})
        assert {variable(name, "Topic"): expected[name]["Topic"] for name in done}.items() <= later.items()
        if done:
            assert json.loads(stage.context.outputs_parameter.read_text()) == expected


# Property 10: configured stacks that were not synthesized are found before the first deployment
@EXAMPLES
@given(data=st.data(), made=st.lists(names, min_size=1, max_size=6, unique=True))
def test_what_was_not_synthesized_or_cannot_be_in_this_order_is_found_before_any_deployment(
    data: st.DataObject, made: list[str]
) -> None:
    from stages.assembly import CloudAssembly, StackArtifact

    needs = {name: data.draw(st.lists(st.sampled_from(made), max_size=2)) for name in made}
    assume(all(name not in needs[name] for name in made))
    artifacts = [StackArtifact(each, each, "", "", Path(each), each, Path(), tuple(needs[each])) for each in made]
    assembly = CloudAssembly(Path(), "app", tuple(artifacts))
    wanted = environment_of(data.draw(st.permutations(made)))
    order = [stack.name for stack in wanted.stacks]
    reached = {name: _reached(name, needs) for name in made}
    contradicted = any(late in reached[early] for early, late in itertools.combinations(order, 2))
    pairs = [(stack, assembly) for stack in wanted.stacks]
    if contradicted:
        with pytest.raises(WrongOrder):
            deployment_plan(wanted, wanted.account, pairs)
    else:
        assert [each.artifact.name for each in deployment_plan(wanted, wanted.account, pairs)] == order
    missing = data.draw(st.sampled_from(made))
    less = CloudAssembly(Path(), "app", tuple(stack for stack in assembly.stacks if stack.name != missing))
    with pytest.raises(StackNotFound) as caught:
        deployment_plan(wanted, wanted.account, [(stack, less) for stack in wanted.stacks])
    assert caught.value.details["missing"] == [missing]


def _reached(name: str, needs: dict[str, list[str]]) -> set[str]:
    """All that a stack needs, by trying paths of every length."""
    found: set[str] = set()
    for _ in needs:
        found |= {each for start in (name, *found) for each in needs[start]}
    return found


anything = st.dictionaries(
    st.from_regex(r"[a-z]([a-z0-9-]{0,3}[a-z0-9])?", fullmatch=True),
    st.dictionaries(
        st.from_regex(r"[A-Ba-b][A-Ba-b-]{0,3}(/[A-Ba-b-]{1,2})?", fullmatch=True),
        st.dictionaries(st.from_regex(r"[A-Ba-b0]{1,2}", fullmatch=True), texts, max_size=4),
        max_size=4,
    ),
    min_size=1,
    max_size=3,
)


# Property 11: every stack output is captured and readable by later stages
# Property 24: a stage's outputs are inputs of every later stage
@EXAMPLES
@given(outputs=anything)
def test_outputs_reach_every_later_stage(world: World, tmp_path: Path, outputs: dict[str, Any]) -> None:
    with world.stage(tmp_path, world.commits[0]) as stage:
        for environment, stacks in outputs.items():
            store_outputs(stage.store, stage.table, stage.context.keys.outputs(environment), environment, stacks)
        assert read_outputs(stage.store, stage.context.run) == outputs
        record = stage.table.read()
    assert record is not None
    assert record.outputs == outputs


# Property 24: ... and no two outputs share a variable
@EXAMPLES
@given(outputs=anything, current=st.data())
def test_a_variable_has_one_output_and_an_output_without_is_named(
    outputs: dict[str, Any], current: st.DataObject
) -> None:
    now = current.draw(st.sampled_from(sorted(outputs)))
    found = output_variables(outputs, now)
    candidates: dict[str, list[str]] = {}
    for environment, stacks in outputs.items():
        for stack, values in stacks.items():
            for key, value in values.items():
                candidates.setdefault(variable(environment, stack, key), []).append(value)
                if environment == now:
                    candidates.setdefault(variable(stack, key), []).append(value)
    assert found.variables == {name: values[0] for name, values in candidates.items() if len(values) == 1}
    assert {reason.split(" ")[0] for reason in found.left_out} == candidates.keys() - found.variables.keys()


# Property 24: ... whatever their size
@EXAMPLES
@given(sizes=st.lists(st.integers(0, 300_000), min_size=1, max_size=20))
def test_large_outputs_break_nothing(tmp_path: Path, sizes: list[int]) -> None:
    outputs = {"App": {f"Key{number}": "é" * (size // 2) for number, size in enumerate(sizes)}}
    found = output_variables({"dev": outputs}, "dev")
    assert all(len(name) + len(value.encode()) <= MAX_VALUE for name, value in found.variables.items())
    assert sum(len(name) + len(value.encode()) for name, value in found.variables.items()) <= MAX_TOTAL
    assert len(found.variables) + len(found.left_out) == 2 * len(sizes)
    write_parameter(tmp_path / "parameter.json", outputs, "runs/r/outputs/dev.json")
    text = (tmp_path / "parameter.json").read_text(encoding="utf-8")
    assert len(text.encode()) <= PARAMETER_LIMIT
    assert json.loads(text) in (outputs, {"see": "runs/r/outputs/dev.json"})
    assert len(json.dumps(shortened(outputs, 50_000))) <= 50_000
