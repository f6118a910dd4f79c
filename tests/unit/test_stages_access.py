"""Access to an account as stages have it: who gets credentials, how they are renewed, and what is on the disk."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from stages.access import account_access
from stages.access_errors import AccessProblem
from tests.support.sts import Refusal, Request, Sts
from tests.support.sts_pod import CALLER, OWN_ROLE, sts_pod

ROLE = "arn:aws:iam::222222222222:role/deployer"
# A program with an SDK of its own: it asks who it is, once for each line of its input.
PROGRAM = """\
import sys, boto3
client = boto3.client("sts")
for line in sys.stdin:
    print(client.get_caller_identity()["Arn"], flush=True)
"""


@pytest.fixture
def sts(tmp_path: Path) -> Iterator[Sts]:
    with sts_pod(tmp_path) as server:
        yield server


def trust(*callers: str, condition: str = "") -> str:
    names = ",\n".join(f'      "{caller}"' for caller in callers)
    return (
        '{\n  "Effect": "Allow",\n  "Principal": {\n    "AWS": [\n'
        + names
        + '\n    ]\n  },\n  "Action": [\n    "sts:AssumeRole",\n    "sts:TagSession"\n  ]'
        + condition
        + "\n}"
    )


def test_a_session_goes_on_when_its_credentials_expire(sts: Sts, tmp_path: Path) -> None:
    sts.lifetime = 60
    with account_access(tmp_path / "aws-config", ROLE, "eu-west-1", "s1") as access:
        client = access.session.client("sts")
        assert client.get_caller_identity()["Account"] == "222222222222"
        sts.expire()
        assert client.get_caller_identity()["Account"] == "222222222222"
    assert sts.assumed() == [ROLE, ROLE]


def test_credentials_that_expire_before_their_time_are_refused_by_aws(sts: Sts, tmp_path: Path) -> None:
    with account_access(tmp_path / "aws-config", ROLE, "eu-west-1", "s1") as access:
        client = access.session.client("sts")
        client.get_caller_identity()
        sts.expire()
        with pytest.raises(ClientError, match="ExpiredToken"):
            client.get_caller_identity()
    assert sts.assumed() == [ROLE]


def test_a_program_goes_on_when_its_credentials_expire(sts: Sts, tmp_path: Path) -> None:
    sts.lifetime = 60
    with (
        account_access(tmp_path / "aws-config", ROLE, "eu-west-1", "s1", external_id="id-7") as access,
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            env=access.environment(os.environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        asked = [0]
        for _ in range(2):
            print("who?", file=process.stdin, flush=True)
            assert process.stdout.readline() == "arn:aws:sts::222222222222:assumed-role/deployer/session\n"
            sts.expire()
            asked.append(len(sts.assumed()))
    assert process.returncode == 0
    assert asked[0] < asked[1] < asked[2]
    assert set(sts.assumed()) == {ROLE}
    assert {each["ExternalId"] for each in sts.requests if each["Action"] == "AssumeRole"} == {"id-7"}


def credentials(file: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-m", "stages", "credentials", str(file)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_the_profiles_files_have_no_secret_and_last_as_long_as_the_stage(sts: Sts, tmp_path: Path) -> None:
    config, beside = tmp_path / "aws-config", tmp_path / "aws-config.json"
    beside.write_text("left by a stage that was killed")
    with account_access(
        config, ROLE, "eu-west-1", "s1", external_id="id-7", tags={"aphex:run": "shop-1"}, callers=(OWN_ROLE,)
    ) as access:
        access.session.client("sts").get_caller_identity()
        assert [stat.S_IMODE(file.stat().st_mode) for file in (config, beside)] == [0o600, 0o600]
        assert config.read_text() == (
            f"[profile target]\ncredential_process = {sys.executable} -I -m stages credentials {beside}\n"
            "region = eu-west-1\n"
        )
        assert json.loads(beside.read_text()) == {
            "role": ROLE,
            "session": "s1",
            "region": "eu-west-1",
            "sts_region": "us-east-1",
            "external_id": "id-7",
            "tags": {"aphex:run": "shop-1"},
            "callers": [OWN_ROLE],
        }
        environment = access.environment(os.environ)
        assert environment.keys() & {"AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"} == set()
        assert environment["AWS_CONFIG_FILE"] == str(config)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["token"]
    late = credentials(beside, environment)
    assert (late.returncode, late.stdout, late.stderr) == (
        1,
        "",
        "The stage is over: credentials are given as long as it runs.\n",
    )


def test_the_profiles_files_are_removed_when_a_stage_fails(sts: Sts, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), account_access(tmp_path / "aws-config", ROLE, "eu-west-1", "s1"):
        raise ZeroDivisionError
    assert sorted(file.name for file in tmp_path.iterdir()) == ["token"]


def test_without_a_role_a_stage_acts_as_itself_and_writes_nothing(sts: Sts, tmp_path: Path) -> None:
    with account_access(tmp_path / "aws-config", None, "eu-west-1", "s1") as access:
        assert access.environment({"PATH": "/bin", "AWS_ROLE_ARN": OWN_ROLE}) == {
            "PATH": "/bin",
            "AWS_ROLE_ARN": OWN_ROLE,
            "AWS_REGION": "eu-west-1",
            "AWS_DEFAULT_REGION": "eu-west-1",
        }
        assert sorted(file.name for file in tmp_path.iterdir()) == ["token"]
        assert access.session.client("sts").get_caller_identity()["Account"] == "123456789012"
    assert sts.assumed() == []


def no_tags(request: Request) -> Refusal | None:
    if request["Action"] != "AssumeRole" or "Tags.member.1.Key" not in request:
        return None
    message = f"User: {CALLER} is not authorized to perform: sts:TagSession on resource: {ROLE}"
    return Refusal("AccessDenied", message)


def test_a_role_that_takes_no_tags_is_assumed_without_them_and_that_is_told_once(sts: Sts, tmp_path: Path) -> None:
    sts.refuse, sts.lifetime = no_tags, 60
    told: list[str] = []
    with account_access(
        tmp_path / "aws-config", ROLE, "eu-west-1", "s1", tags={"aphex:run": "shop-1"}, report=told.append
    ) as access:
        client = access.session.client("sts")
        for _ in range(2):
            assert client.get_caller_identity()["Account"] == "222222222222"
        given = credentials(tmp_path / "aws-config.json", access.environment(os.environ))
    assert (given.returncode, given.stderr) == (0, "")
    assert json.loads(given.stdout)["SessionToken"] == ROLE
    assert told == [
        f"warning: the trust policy of the role {ROLE} does not allow sts:TagSession: it is assumed without tags, and "
        "CloudTrail shows the run in the session's name alone. This statement allows both:\n" + trust(OWN_ROLE)
    ]


def no_room(request: Request) -> Refusal | None:
    if request["Action"] != "AssumeRole" or "Tags.member.1.Key" not in request:
        return None
    return Refusal("PackedPolicyTooLarge", "Packed size of session tags consumes 112% of allotted space.")


def test_a_session_that_has_no_room_for_tags_beside_those_of_pod_identity_goes_without(
    sts: Sts, tmp_path: Path
) -> None:
    sts.refuse = no_room
    told: list[str] = []
    with account_access(
        tmp_path / "aws-config", ROLE, "eu-west-1", "s1", tags={"aphex:run": "shop-1"}, report=told.append
    ) as access:
        assert access.session.client("sts").get_caller_identity()["Account"] == "222222222222"
    assert told == [
        f"warning: a session of the role {ROLE} has no room for the run's tags beside those of EKS Pod Identity: it is "
        "assumed without them, and CloudTrail shows the run in the session's name alone."
    ]


def test_a_program_is_told_why_it_gets_no_credentials(sts: Sts, tmp_path: Path) -> None:
    sts.refuse = lambda request: Refusal("AccessDenied", "No.") if request["Action"] == "AssumeRole" else None
    with account_access(tmp_path / "aws-config", ROLE, "eu-west-1", "s1", external_id="id-7") as access:
        given = credentials(tmp_path / "aws-config.json", access.environment(os.environ))
    condition = ',\n  "Condition": {\n    "StringEquals": {\n      "sts:ExternalId": "id-7"\n    }\n  }'
    assert (given.returncode, given.stdout) == (1, "")
    assert given.stderr == (
        f'{OWN_ROLE} may not assume the role {ROLE} with the external id "id-7": AccessDenied: No.\n'
        "AWS gives this answer also when there is no such role, or when its trust policy asks for another external "
        "id.\n"
        "1. Check that the role exists: its name, path and account are part of the ARN.\n"
        "2. If its trust policy asks for sts:ExternalId, set environments[].external_id to the same value.\n"
        f"3. Its trust policy needs this statement:\n{trust(OWN_ROLE, condition=condition)}\n"
    )


def test_a_pod_without_an_identity_is_told_at_once(sts: Sts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name)
    with (
        pytest.raises(AccessProblem) as caught,
        account_access(tmp_path / "aws-config", ROLE, "eu-west-1", "s1"),
    ):
        pass
    assert str(caught.value) == (
        "The stage has no AWS identity: neither a web identity (IRSA) nor container credentials (EKS Pod Identity).\n"
        "Check that the stage's pod has its service account, and that the service account has its role: the annotation "
        "eks.amazonaws.com/role-arn or a Pod Identity association. On a machine of your own, log in to AWS."
    )
    assert sts.requests == []


def test_an_sts_that_is_not_reached_is_no_refusal(sts: Sts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        with (
            account_access(tmp_path / "aws-config", ROLE, "eu-west-1", "s1") as access,
            pytest.raises(AccessProblem) as caught,
        ):
            access.session.client("sts").get_caller_identity()
    assert str(caught.value) == (
        f"AWS could not be asked with the role {ROLE} in eu-west-1: EndpointConnectionError: Could not connect to the "
        f'endpoint URL: "{url}/"\n'
        "Check the network of the pod: proxy, DNS, and the VPC endpoint of STS if there is one; then start again."
    )


@pytest.mark.parametrize(
    ("token", "why"),
    [
        (None, "FileNotFoundError: [Errno 2] No such file or directory: '{file}'"),
        (
            "",
            "ParamValidationError: Parameter validation failed: Invalid length for parameter WebIdentityToken, value: "
            "0, valid min length: 4",
        ),
    ],
)
def test_a_token_file_that_is_not_there_or_empty(
    sts: Sts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token: str | None, why: str
) -> None:
    file = tmp_path / "given"
    if token is not None:
        file.write_text(token)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(file))
    with (
        account_access(tmp_path / "aws-config", ROLE, "eu-west-1", "s1") as access,
        pytest.raises(AccessProblem) as caught,
    ):
        access.session.client("sts").get_caller_identity()
    assert str(caught.value) == (
        f"The stage's web identity token cannot be used: {why.format(file=file)}\n"
        "The kubelet writes AWS_WEB_IDENTITY_TOKEN_FILE when the service account of the pod has the annotation "
        "eks.amazonaws.com/role-arn. Check the pod's volumes; on a machine of your own, unset the variable or correct "
        "it."
    )
