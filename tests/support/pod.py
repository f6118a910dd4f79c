"""What a stage's pod is to the stage: variables, a volume, an identity, a bucket and a table."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from boto3.dynamodb.types import TypeDeserializer

from automation.local.stand_in import make_run_table
from tests.support.moto_endpoint import MotoEndpoint
from tests.support.repository import Repository

ROOT = Path(__file__).parents[2]
PIPELINE_ACCOUNT = "123456789012"
BUCKET, TABLE, RUN = "aphex-shop", "aphex-shop-runs", "shop-abc12"


@dataclass(frozen=True)
class Ended:
    """A stage that ended."""

    exit_code: int
    output: str
    result: dict[str, Any]


@dataclass(frozen=True)
class Pod:
    """Runs stages of one run as its pods do, each with a volume of its own."""

    aws: MotoEndpoint
    repository: Repository
    folder: Path

    def variables(self, stage: str, commit: str, **more: str) -> dict[str, str]:
        """The stage's variables."""
        token = self.folder / "token"
        token.write_text("a token")
        system = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
        return {
            **system,
            "APHEX_PIPELINE": "shop",
            "APHEX_RUN": RUN,
            "APHEX_STAGE": stage,
            "APHEX_COMMIT": commit,
            "APHEX_BRANCH": "main",
            "APHEX_REPOSITORY": self.repository.url,
            "APHEX_AUTHOR": "Ann",
            "APHEX_MESSAGE": 'it\'s "quoted"; $(false)',
            "APHEX_TRIGGER": "push",
            "APHEX_PULL_REQUEST": "",
            "APHEX_BUCKET": BUCKET,
            "APHEX_TABLE": TABLE,
            "APHEX_ACCOUNT": PIPELINE_ACCOUNT,
            "APHEX_ARGO_URL": "http://argo.example",
            "APHEX_NAMESPACE": "aphex-shop",
            "APHEX_CDK_METHOD": "direct",
            "APHEX_STARTED": "2026-01-02T03:04:05Z",
            "APHEX_WORKSPACE": str(self.folder / stage),
            "APHEX_RESULT": str(self.folder / "result.json"),
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.aws.url,
            "AWS_ROLE_ARN": f"arn:aws:iam::{PIPELINE_ACCOUNT}:role/aphex-shop-deploy",
            "AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
            "PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}",
            **more,
        }

    def run(self, kind: str, commit: str, stage: str = "", **more: str) -> Ended:
        """Run a stage to its end."""
        process = self.start(kind, commit, stage, **more)
        output, _ = process.communicate(timeout=120)
        return self.ended(process.returncode, output)

    def start(self, kind: str, commit: str, stage: str = "", **more: str) -> subprocess.Popen[str]:
        """Start a stage without waiting for it."""
        return subprocess.Popen(
            [sys.executable, "-m", "stages", kind],
            cwd=self.folder,
            env=self.variables(stage or kind, commit, **more),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def ended(self, exit_code: int, output: str) -> Ended:
        """How a stage ended, with the result that Argo would read."""
        file = self.folder / "result.json"
        return Ended(exit_code, output, json.loads(file.read_text()) if file.exists() else {})

    def item(self) -> dict[str, Any]:
        """The run's item in the table."""
        answer = self.aws.client("dynamodb").get_item(TableName=TABLE, Key={"run_id": {"S": RUN}})
        restore = TypeDeserializer()
        return {key: restore.deserialize(value) for key, value in answer.get("Item", {}).items()}

    def text(self, key: str) -> str:
        """An object of the bucket."""
        body: bytes = self.aws.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return body.decode()

    def json(self, key: str) -> Any:
        """A JSON object of the bucket."""
        return json.loads(self.text(key))

    def stored(self) -> set[str]:
        """All keys of the bucket."""
        return {each["Key"] for each in self.aws.client("s3").list_objects_v2(Bucket=BUCKET).get("Contents", [])}


def make_stores(aws: MotoEndpoint) -> None:
    """The bucket and the table that the platform makes."""
    aws.client("s3").create_bucket(Bucket=BUCKET)
    make_run_table(aws.client("dynamodb"), TABLE)


def bootstrap(aws: MotoEndpoint, account: str, region: str = "us-east-1", version: str = "28") -> None:
    """What the validation looks for of `cdk bootstrap`."""
    role = {"RoleArn": f"arn:aws:iam::{account}:role/admin", "RoleSessionName": "bootstrap"}
    given = aws.client("sts").assume_role(**role)["Credentials"]
    keys = (given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
    session: Any = boto3.Session(*keys, region_name=region)
    client = session.client("ssm", endpoint_url=aws.url)
    client.put_parameter(Name="/cdk-bootstrap/hnb659fds/version", Value=version, Type="String", Overwrite=True)


def end_by_signal(process: subprocess.Popen[str], marker: str, number: signal.Signals = signal.SIGTERM) -> str:
    """Wait until a stage prints a line with `marker`, send it a signal, and return all that it printed."""
    assert process.stdout is not None
    lines: list[str] = []
    deadline = time.monotonic() + 60
    for line in process.stdout:
        lines.append(line)
        if marker in line or time.monotonic() > deadline:
            break
    process.send_signal(number)
    rest, _ = process.communicate(timeout=60)
    return "".join(lines) + rest
