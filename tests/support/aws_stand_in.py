"""Runs the sandbox's AWS stand-in as the sandbox does, in a process of its own, on a free port."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

ACCOUNT = "123456789012"
REGION = "us-east-1"
_ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class AwsStandIn:
    """A stand-in that runs."""

    endpoint: str

    def session(self, account: str = ACCOUNT, region: str = REGION, role: str = "tester") -> boto3.Session:
        """A session with the credentials of a role in an account."""
        arn = f"arn:aws:iam::{account}:role/{role}"
        given = self.client("sts").assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
        return boto3.Session(
            aws_access_key_id=given["AccessKeyId"],
            aws_secret_access_key=given["SecretAccessKey"],
            aws_session_token=given["SessionToken"],
            region_name=region,
        )

    def client(self, service: str, session: boto3.Session | None = None) -> Any:
        """A client, with credentials that nobody gave unless a session has better ones."""
        anyone = boto3.Session(aws_access_key_id="any", aws_secret_access_key="any", region_name=REGION)
        return (session or anyone).client(service, endpoint_url=self.endpoint)  # type: ignore[call-overload]


@contextmanager
def aws_stand_in(snapshot: Path | None = None) -> Iterator[AwsStandIn]:
    """Start it, and end it with the block."""
    command = [sys.executable, "-m", "sandbox.aws.server", "--port", "0", "--account", ACCOUNT, "--region", REGION]
    command += ["--snapshot", str(snapshot)] if snapshot else []
    process = subprocess.Popen(command, cwd=_ROOT, env={**os.environ}, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert "http://" in said, f"the AWS stand-in did not start: {said!r}"
        yield AwsStandIn(said.split()[-1])
    finally:
        process.terminate()
        process.wait(10)
        assert process.stdout is not None
        process.stdout.close()
