"""Faults that are rare, each provoked where it arises, with its whole message."""

from __future__ import annotations

import io
import socket
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
import zstandard
from botocore.config import Config
from botocore.exceptions import ClientError

from aphex.errors import UsageError
from aphex.notifications import Channel
from aphex.process import Completed
from stages.__main__ import main
from stages.access_errors import AccessProblem, Attempt, explain
from stages.archive import unpack
from stages.artifact import ArtifactError
from stages.check import _own_account
from stages.clients import PipelineClients
from stages.console import Console
from stages.context import StageContext
from stages.context_checks import app_context
from stages.git import CheckoutError, Git, Retries
from stages.git_content import _submodule_error
from stages.git_credentials import GitAccess
from stages.git_errors import Origin
from stages.notify.channels import Addresses, AddressUnknown, ChannelsUnreadable, parse_channels
from stages.runner import Stage
from stages.self_update import SelfUpdateFailed, _document, run
from stages.source import checkout
from stages.staging import Staging
from stages.store import RunStore
from stages.table import RunTable
from stages.workspace import Workspace
from tests.support.moto_endpoint import MotoEndpoint
from tests.support.pod import Pod
from tests.support.repository import new_repository

ORIGIN = Origin("https://git.example.com/ann/shop.git", GitAccess(), "shop", ssh=False)
CONFIG = """\
version: "1.0"
build: {commands: ["true"]}
environments: [{name: dev, region: us-east-1, account: "222222222222", stacks: [{name: App, path: app}]}]
"""


def told(error: Any) -> tuple[str, str, str]:
    return type(error).__name__, error.message, error.hint


def failed(*lines: str) -> Completed:
    output = "".join(f"{line}\n" for line in lines)
    return Completed(argv=("git",), exit_code=1, output=output, error_output="", seconds=0.1)


def test_a_stage_that_there_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["deploy"]) == 2
    assert capsys.readouterr().err == (
        'error: There is no stage "deploy".\nThe stages are validate, build, self-update, environment, test, exit.\n'
    )


def test_a_stage_outside_of_a_pod() -> None:
    with pytest.raises(UsageError) as caught:
        StageContext.from_environment({})
    assert caught.value.message.splitlines() == [
        "This is not the environment of a stage:",
        *(
            f"  {name} is not set."
            for name in (
                "APHEX_PIPELINE",
                "APHEX_RUN",
                "APHEX_STAGE",
                "APHEX_COMMIT",
                "APHEX_BRANCH",
                "APHEX_REPOSITORY",
                "APHEX_BUCKET",
                "APHEX_TABLE",
                "APHEX_ACCOUNT",
                "AWS_REGION",
            )
        ),
    ]
    assert caught.value.hint == "The pipeline's WorkflowTemplate sets these variables; docs/stages.md lists them."


def test_an_environment_stage_without_its_environment(tmp_path: Path) -> None:
    pod = Pod(MotoEndpoint("http://127.0.0.1:9"), new_repository(tmp_path / "repository"), tmp_path)
    context = StageContext.from_environment(pod.variables("deploy-dev", "a" * 40))
    with pytest.raises(UsageError) as caught:
        context.required_environment()
    assert caught.value.message == ("The stage deploy-dev is for an environment, but APHEX_ENVIRONMENT is not set.")


def test_own_credentials_that_are_expired() -> None:
    answer: Any = {"Error": {"Code": "ExpiredToken", "Message": "The security token is expired"}}
    error = explain(ClientError(answer, "GetCallerIdentity"), Attempt(role=None, region="eu-west-1"))
    assert told(error) == (
        "AccessProblem",
        "The stage's own AWS credentials are expired: ExpiredToken: The security token is expired",
        "In a pod they are renewed by Kubernetes: check the node's clock. Elsewhere, log in again.",
    )


def test_credentials_of_a_machine_that_aws_does_not_take(monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = (
        b"<ErrorResponse><Error><Code>InvalidClientTokenId</Code><Message>Not valid.</Message></Error></ErrorResponse>"
    )

    class Refuses(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(403)
            self.send_header("Content-Length", str(len(refusal)))
            self.end_headers()
            self.wfile.write(refusal)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with ThreadingHTTPServer(("127.0.0.1", 0), Refuses) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        with pytest.raises(AccessProblem) as caught:
            _own_account("us-east-1")
        server.shutdown()
        thread.join()
    assert told(caught.value) == (
        "AccessProblem",
        "AWS does not accept the credentials of this machine, so that accounts were not checked: An error occurred "
        "(InvalidClientTokenId) when calling the GetCallerIdentity operation: Not valid.",
        "Log in again, or leave out --accounts.",
    )


def test_an_archive_with_a_name_that_is_longer_than_any(tmp_path: Path) -> None:
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 1_000_000_000
    archive = zstandard.compress(header.tobuf(tarfile.GNU_FORMAT))
    with pytest.raises(ArtifactError) as caught, Staging(tmp_path / "staging") as staging:
        unpack(io.BytesIO(archive), staging)
    assert caught.value.message == "The artifact's archive is damaged: it has a name of 1000000000 bytes."


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("app/cdk.json", "[]", "app/cdk.json is not a JSON object."),
        ("app/cdk.json", '{"context": []}', '"context" in app/cdk.json is not a JSON object.'),
        ("app/cdk.context.json", "7", "app/cdk.context.json is not a JSON object."),
        (".cdk.json", '{"context": "x"}', '"context" in ~/.cdk.json is not a JSON object.'),
    ],
)
def test_a_file_with_context_that_is_no_object(tmp_path: Path, name: str, text: str, expected: str) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match="JSON") as caught:
        app_context(tmp_path, "app", tmp_path)
    assert str(caught.value) == expected


def test_a_git_server_that_sends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.git.TIMEOUT", 0.5)
    git = Git(tmp_path, report=print, retries=Retries(attempts=1))
    git.run("init", "--quiet")
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(CheckoutError) as caught:
        git.run("fetch", f"git://127.0.0.1:{silent.getsockname()[1]}/ann/shop.git")
    assert told(caught.value) == (
        "NetworkFault",
        "git fetch did not end within 0.5 s and was stopped.",
        "The server sends too slowly, or not at all.",
    )


def test_a_complaint_of_git_that_nobody_knows() -> None:
    assert told(ORIGIN.error(failed("fatal: bad band #7"))) == (
        "CheckoutError",
        "https://git.example.com/ann/shop.git cannot be fetched.\nfatal: bad band #7",
        "Check the repository's address and that the pipeline may read it.",
    )


def test_submodules_of_which_git_names_none(tmp_path: Path) -> None:
    git = Git(tmp_path, report=print)
    assert told(_submodule_error(git, ORIGIN, failed("fatal: No url"))) == (
        "SubmoduleError",
        "The submodules of https://git.example.com/ann/shop.git cannot be fetched.\nfatal: No url",
        "",
    )


def test_a_sha_that_is_a_tags_own(tmp_path: Path) -> None:
    repository = new_repository(tmp_path / "repository")
    commit = repository.commit({"a": "1"})
    repository.git("tag", "--annotate", "--message", "first", "v1")
    tag = repository.git("rev-parse", "v1")
    with pytest.raises(CheckoutError) as caught:
        checkout(repository.url, tag, tmp_path / "clone", print)
    assert caught.value.message == f"The clone of {repository.url} is at {commit}, not at {tag}."


def test_channels_that_are_none() -> None:
    with pytest.raises(ChannelsUnreadable) as caught:
        parse_channels("[{}]")
    assert told(caught.value) == (
        "ChannelsUnreadable",
        "APHEX_CHANNELS cannot be read: 0.name: Field required",
        "The pipeline's WorkflowTemplate sets it from `notifications`; the next self-update writes it anew.",
    )


def test_a_secrets_manager_that_is_not_reached(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        session: Any = boto3.Session("test", "test", region_name="us-east-1")
        config = Config(retries={"mode": "standard", "total_max_attempts": 1})
        client = session.client("secretsmanager", endpoint_url=url, config=config)
        channel = Channel.model_validate({"name": "chat", "secrets_manager": {"name": "aphex/shop/chat"}})
        with pytest.raises(AddressUnknown) as caught:
            Addresses(tmp_path, lambda: client).of(channel)
    assert caught.value.message == "Secrets Manager was not reached for aphex/shop/chat: EndpointConnectionError."


def test_an_update_whose_result_is_no_json() -> None:
    with pytest.raises(SelfUpdateFailed) as caught:
        _document("Segmentation fault")
    assert caught.value.message == "The update succeeded, but its result cannot be read."


def test_an_update_that_does_not_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.self_update._TIMEOUT", 0.5)
    monkeypatch.setattr("stages.self_update.update_command", lambda *_: ["sleep", "600"])
    pod = Pod(MotoEndpoint("http://127.0.0.1:9"), new_repository(tmp_path / "repository"), tmp_path)
    sha = pod.repository.commit({"aphex-config.yaml": CONFIG})
    context = StageContext.from_environment(pod.variables("self-update", sha))
    workspace, clients = Workspace(tmp_path / "workspace"), PipelineClients("us-east-1")
    workspace.prepare()
    with Console(workspace.log, io.StringIO()) as console, pytest.raises(SelfUpdateFailed) as caught:
        run(
            Stage(
                context=context,
                console=console,
                clients=clients,
                store=RunStore(clients, context.bucket),
                table=RunTable(clients, context),
                workspace=workspace,
            )
        )
    assert told(caught.value) == (
        "SelfUpdateFailed",
        "The self-update did not end within 0.5 s and was stopped.",
        "What it had begun is looked at again by the next run, which tries again. This run goes on with the shape that "
        "the pipeline has.",
    )
