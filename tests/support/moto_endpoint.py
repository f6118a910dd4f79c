"""An AWS of the test's own: the sandbox's stand-in as a process on a free port, empty at the start."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import httpx

from sandbox.providers.aws.endpoint import AwsEndpoint

REGION = "us-east-1"
KEYS = ("test", "test")
_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class MotoEndpoint:
    """Where it is."""

    url: str

    @property
    def provider(self) -> AwsEndpoint:
        """The same, for the stand-in provider."""
        return AwsEndpoint(url=self.url, region=REGION, static_keys=KEYS)

    def client(self, service: str, region: str = REGION) -> Any:
        """A boto3 client, to look at what really happened."""
        session: Any = boto3.Session(*KEYS, region_name=region)
        return session.client(service, endpoint_url=self.url)

    def reset(self) -> None:
        """Forget everything that was made."""
        httpx.post(f"{self.url}/moto-api/reset", trust_env=False).raise_for_status()


@contextmanager
def moto_endpoint() -> Iterator[MotoEndpoint]:
    """Run it as long as the block."""
    command = [sys.executable, "-m", "sandbox.aws.server", "--port", "0"]
    with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield MotoEndpoint(process.stdout.readline().rpartition(" ")[2].strip())
        finally:
            process.terminate()
