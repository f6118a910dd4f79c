"""An environment stage of five stacks against the CDK CLI called by hand, on the same AWS stand-in.

The app is in the shape of `cdk init --language typescript`. Each side synthesizes it from source; measured is the time
that a person waits, since most of the work is done by other programs.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from aphex import process
from aphex.config import Environment
from benchmarks.measure import ROOT, Ratio
from sandbox.aws import cdk_cli
from sandbox.toolchain.cache import cache_root, placed
from stages import cdk
from stages.access import AccountAccess
from stages.clients import PipelineClients
from stages.console import Console
from stages.context import StageContext
from stages.deployment import deploy_stacks
from stages.plan import deployment_plan
from stages.runner import Stage
from stages.store import RunStore
from stages.synthesis import Deployer, synthesize
from stages.table import RunTable
from stages.workspace import Workspace
from tests.support.cdk_app import path_with_cdk
from tests.support.moto_endpoint import REGION, MotoEndpoint, moto_endpoint
from tests.support.pod import PIPELINE_ACCOUNT, Pod, make_stores
from tests.support.repository import Repository

_APP = ROOT / "benchmarks" / "apps" / "five-stacks"
_STACKS = ("A", "B", "C", "D", "E")
_ROUNDS = 2
_NPM = ("npm", "npx")


def run() -> list[Ratio]:
    """Measure the stage against `cdk deploy X` five times, and against `cdk deploy A B C D E`."""
    app = _installed()
    with tempfile.TemporaryDirectory() as folder, moto_endpoint() as local:
        # The stand-in finds templates by addresses with the word localhost.
        aws = MotoEndpoint(local.url.replace("127.0.0.1", "localhost"))
        variables = _variables(aws, local.url, Path(folder))
        rounds = [
            (
                _measured(lambda: _stage(aws, app, variables, Path(folder)), aws, variables),
                _measured(lambda: _by_hand(app, variables, *([each] for each in _STACKS)), aws, variables),
                _measured(lambda: _by_hand(app, variables, _STACKS), aws, variables),
            )
            for _ in range(_ROUNDS)
        ]
    stage, apart, together = (min(each[index] for each in rounds) for index in range(3))
    return [
        Ratio(
            name="environment stage of five stacks, against `cdk deploy` once a stack",
            value=stage / apart,
            target=0.5,
            better="lower",
            detail=f"{stage:.1f} s against {apart:.1f} s",
        ),
        Ratio(
            name="environment stage of five stacks, against one `cdk deploy A B C D E`",
            value=stage / together,
            target=1.1,
            better="lower",
            detail=f"{stage:.1f} s against {together:.1f} s",
        ),
    ]


def _installed() -> Path:
    """The app with its dependencies, in the cache."""
    locked = (_APP / "package-lock.json").read_bytes()
    folder = cache_root() / "benchmarks" / f"five-stacks-{hashlib.sha256(locked).hexdigest()[:12]}"
    if not folder.is_dir():
        npm = cdk_cli.node_folder() / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        command: list[str | Path] = [cdk_cli.ensure().node, npm, "ci", "--no-audit", "--no-fund", "--loglevel=error"]
        with placed(folder) as partial:
            for name in ("package.json", "package-lock.json"):
                shutil.copy(_APP / name, partial / name)
            process.run(command, cwd=partial, env=cdk_cli.ensure().environment(), timeout=900, label="npm ci")
    shutil.copytree(_APP, folder, dirs_exist_ok=True)
    return folder


def _variables(aws: MotoEndpoint, address: str, folder: Path) -> dict[str, str]:
    """What both sides see: the CDK CLI and Node on the PATH, the stand-in, the account."""
    (folder / "bin").mkdir()
    path = path_with_cdk(folder / "bin")
    for name in _NPM:
        script = cdk_cli.node_folder() / "lib" / "node_modules" / "npm" / "bin" / f"{name}-cli.js"
        (folder / "bin" / name).write_text(f'#!/bin/sh\nexec node {script} "$@"\n')
        (folder / "bin" / name).chmod(0o755)
    return {
        **cdk_cli.ensure().environment(),
        "PATH": path,
        "AWS_ENDPOINT_URL": aws.url,
        "AWS_ENDPOINT_URL_S3": address,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "CDK_DEFAULT_ACCOUNT": PIPELINE_ACCOUNT,
        "CDK_DEFAULT_REGION": REGION,
    }


def _measured(work: Callable[[], None], aws: MotoEndpoint, variables: dict[str, str]) -> float:
    """Seconds that a piece of work takes in an account that is bootstrapped and otherwise empty."""
    aws.reset()
    make_stores(aws)
    target = f"aws://{PIPELINE_ACCOUNT}/{REGION}"
    process.run(["cdk", "bootstrap", target, "--no-notices"], cwd=Path("/"), env=variables, timeout=120)
    started = time.monotonic()
    work()
    seconds = time.monotonic() - started
    found = aws.client("cloudformation").describe_stacks()["Stacks"]
    made = {stack["StackName"] for stack in found if stack["StackStatus"] == "CREATE_COMPLETE"}
    if not made.issuperset(_STACKS):
        raise RuntimeError(f"Only {', '.join(sorted(made))} were deployed.")
    return seconds


def _by_hand(app: Path, variables: dict[str, str], *calls: Sequence[str]) -> None:
    """Call the CDK CLI as a person does, from source."""
    for stacks in calls:
        command = ["cdk", "deploy", "--require-approval", "never", "--no-notices", "--no-color", "--ci", *stacks]
        process.run([*command, "--progress", "events", "--output", "cdk.out"], cwd=app, env=variables, timeout=300)


def _stage(aws: MotoEndpoint, app: Path, variables: dict[str, str], folder: Path) -> None:
    """Synthesize and deploy as the environment stage does."""
    stacks = [{"name": name, "path": "bin/app.ts"} for name in _STACKS]
    environment = Environment.model_validate(
        {"name": "dev", "region": REGION, "account": PIPELINE_ACCOUNT, "stacks": stacks}
    )
    with _process_variables(variables):
        deployer = Deployer(
            stage=_new_stage(aws, app, folder),
            environment=environment,
            access=AccountAccess(region=REGION),
            variables=variables,
        )
        assembly = synthesize(deployer)["."]
        source = deployer.stage.workspace.source
        plan = deployment_plan(environment, environment.account, [(stack, assembly) for stack in environment.stacks])
        if cdk.app_folder(source, environment.stacks[0]) != "." or len(deploy_stacks(deployer, plan)) != len(_STACKS):
            raise RuntimeError("Not all stacks were deployed.")


def _new_stage(aws: MotoEndpoint, app: Path, folder: Path) -> Stage:
    pod = Pod(aws, Repository(folder), folder)
    told = {"APHEX_CDK_METHOD": "change-set", "APHEX_OUTPUTS_PARAMETER": str(folder / "outputs.json")}
    context = StageContext.from_environment({**pod.variables("deploy-dev", "a" * 40), **told})
    workspace = Workspace(folder / "workspace")
    workspace.prepare()
    if not workspace.source.exists():
        workspace.source.symlink_to(app)
    clients = PipelineClients(REGION)
    return Stage(
        context=context,
        console=Console(workspace.log, io.StringIO()),
        clients=clients,
        store=RunStore(clients, context.bucket),
        table=RunTable(clients, context),
        workspace=workspace,
    )


@contextmanager
def _process_variables(variables: dict[str, str]) -> Iterator[None]:
    """Have the stage's variables in this process, as they are in a pod."""
    before = dict(os.environ)
    os.environ.update({key: value for key, value in variables.items() if key.startswith("AWS_")})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
