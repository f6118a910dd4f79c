"""The AWS stand-in of a local run: a process on a free port, with the pipeline's bucket and table."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aphex.errors import AphexError
from aphex.process import end_group

if TYPE_CHECKING:
    from aphex.config import PipelineConfig

_START_SECONDS = 60.0
_ATTEMPTS = 3
_POLL_SECONDS = 0.05
_BOOTSTRAPS_AT_ONCE = 4


@dataclass(frozen=True, kw_only=True)
class StandIn:
    """A stand-in that runs.

    Attributes:
        port: on 127.0.0.1.
        account: of callers whose credentials no role gave them.
        region: of requests that name none.
    """

    port: int
    account: str
    region: str

    @property
    def s3_url(self) -> str:
        """Its address for S3; by an address and not a name, so that buckets are parts of the path."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Its address for every other service; moto finds templates by addresses with the word localhost."""
        return f"http://localhost:{self.port}"

    def client(self, service: str) -> Any:
        """A boto3 client."""
        import boto3

        session: Any = boto3.Session("local", "local", region_name=self.region)
        return session.client(service, endpoint_url=self.s3_url)


@contextmanager
def stand_in(folder: Path, account: str, region: str, *, keep: bool) -> Iterator[StandIn]:
    """Run it as long as the block.

    Args:
        folder: for its log, and what it holds when that is kept.
        account: see `StandIn`.
        region: see `StandIn`.
        keep: whether what it holds is written to a file.

    Raises:
        AphexError: it did not start.
    """
    process, port = _started(folder, account, region, keep=keep)
    try:
        yield StandIn(port=port, account=account, region=region)
    finally:
        end_group(process, grace=20.0)


def restart_command(folder: Path, running: StandIn) -> str:
    """What starts it again with what it held."""
    return (
        f"python -m sandbox.aws.server --port {running.port} --account {running.account} "
        f"--region {running.region} --snapshot {snapshot_file(folder)}"
    )


def snapshot_file(folder: Path) -> Path:
    """Where what it holds is kept."""
    return folder / "aws.snapshot"


def _started(folder: Path, account: str, region: str, *, keep: bool) -> tuple[subprocess.Popen[str], int]:
    log = folder / "aws.log"
    for _ in range(_ATTEMPTS):
        # Chosen beforehand: moto has to know its port before it listens. Another program may take it in between.
        port = _free_port()
        words = [sys.executable, "-m", "sandbox.aws.server", "--port", str(port)]
        words += ["--account", account, "--region", region]
        words += ["--snapshot", str(snapshot_file(folder))] if keep else []
        with log.open("w", encoding="utf-8") as output:
            process = subprocess.Popen(
                words,
                cwd=folder,
                env=_own_variables(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                # An interruption at the terminal is not for it: the stages need it to end well.
                start_new_session=True,
            )
        try:
            if _answers(process, port):
                return process, port
        except BaseException:
            end_group(process)
            raise
        end_group(process)
    tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:])
    raise AphexError(f"The AWS stand-in did not start.\n{tail}".rstrip())


def _own_variables() -> dict[str, str]:
    """Nothing of the caller's AWS: it would be asked for credentials and profiles."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MOTO_"))}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(process: subprocess.Popen[str], port: int) -> bool:
    """Wait for it; False when it ended instead."""
    import httpx

    from sandbox.aws import HEALTH_PATH

    deadline = time.monotonic() + _START_SECONDS
    with httpx.Client(trust_env=False, timeout=5.0) as client:
        while time.monotonic() < deadline and process.poll() is None:
            try:
                if client.get(f"http://127.0.0.1:{port}{HEALTH_PATH}").text.startswith("ok"):
                    return True
            except httpx.TransportError:
                time.sleep(_POLL_SECONDS)
    return False


def make_stores(running: StandIn, bucket: str, table: str) -> None:
    """The bucket and the table that the platform makes for a pipeline."""
    where = {} if running.region == "us-east-1" else {"LocationConstraint": running.region}
    running.client("s3").create_bucket(Bucket=bucket, **({"CreateBucketConfiguration": where} if where else {}))
    make_run_table(running.client("dynamodb"), table)


def make_run_table(dynamodb: Any, table: str) -> None:
    """The run table as the platform makes it."""
    dynamodb.create_table(
        TableName=table,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "run_id", "KeyType": "HASH"}],
        AttributeDefinitions=[
            {"AttributeName": name, "AttributeType": "S"} for name in ("run_id", "pipeline", "started_at")
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-start",
                "KeySchema": [
                    {"AttributeName": "pipeline", "KeyType": "HASH"},
                    {"AttributeName": "started_at", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )


def prepare_accounts(
    running: StandIn, config: PipelineConfig, environments: Iterable[str], report: Callable[[str], None]
) -> None:
    """Make the environments' accounts ready for deployments, several at a time.

    Raises:
        sandbox.aws.accounts.AccountNotReady: the bootstrap failed.
    """
    from sandbox.aws import accounts

    wanted = set(environments)
    places = sorted({(each.account, each.region) for each in config.environments if each.name in wanted})
    with ThreadPoolExecutor(_BOOTSTRAPS_AT_ONCE) as pool:
        waiting = [
            pool.submit(accounts.prepare_at, running.url, account, region, running.account, report)
            for account, region in places
        ]
        try:
            for each in waiting:
                each.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
