"""Locks that Pulumi keeps beside its state: whose they are, and whether their holder still lives.

A process that is killed leaves its lock behind; Pulumi itself never removes such a lock. The file's format is that of
Pulumi's self-managed backends (pkg/backend/diy/lock.go): process id, user, host name and time as JSON.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any

from aphex.errors import AphexError
from automation.console import duration

if TYPE_CHECKING:
    from automation.console import Terminal
    from automation.target import Target

_POLL_SECONDS = 2.0
_CLOCK_SKEW_SECONDS = 60.0


class Holder(Enum):
    """What is known of a lock's holder."""

    ALIVE = "alive"
    GONE = "gone"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Lock:
    """One lock on a stack.

    Attributes:
        key: of its object in the state bucket.
        pid: of its holder, as the holder's own host counts.
        host: the holder's host name; a pod's is the pod's name.
        user: who ran it.
        since: when it was taken.
    """

    key: str
    pid: int
    host: str
    user: str
    since: datetime

    def __str__(self) -> str:
        return f"process {self.pid} of {self.user} on {self.host}, since {self.since:%Y-%m-%d %H:%M:%S} UTC"


@dataclass(frozen=True, kw_only=True)
class Witness:
    """What this process can see of holders.

    Attributes:
        host: this machine's name.
        started: when the process with an id began, None when there is none here; it must be Pulumi's to count.
        pod_exists: whether a pod of that name is there and not finished; None when that cannot be known.
    """

    host: str
    started: Callable[[int], datetime | None]
    pod_exists: Callable[[str], bool | None]


def parse_lock(key: str, body: bytes) -> Lock:
    """Read a lock's file. One that was cut short counts as held by nobody that is known."""
    try:
        document: dict[str, Any] = json.loads(body)
        since = datetime.fromisoformat(_microseconds(str(document["timestamp"]))).astimezone(UTC)
        return Lock(
            key=key, pid=int(document["pid"]), host=document["hostname"], user=document["username"], since=since
        )
    except (ValueError, KeyError, TypeError):
        return Lock(key=key, pid=0, host="", user="", since=datetime.now(UTC))


def _microseconds(stamp: str) -> str:
    """Cut Go's nanoseconds to what Python's parser takes."""
    head, dot, tail = stamp.partition(".")
    if not dot:
        return stamp
    digits = len(tail) - len(tail.lstrip("0123456789"))
    return f"{head}.{tail[:digits][:6].ljust(6, '0')}{tail[digits:]}"


def holder(lock: Lock, witness: Witness) -> Holder:
    """Whether the holder of a lock still lives, as far as `witness` can tell.

    A process id is used again sooner or later: a process that began after the lock was taken is another one.
    """
    pod = witness.pod_exists(lock.host) if lock.host else None
    if lock.host == witness.host and pod is None:
        began = witness.started(lock.pid)
        if began is None or (began - lock.since).total_seconds() > _CLOCK_SKEW_SECONDS:
            return Holder.GONE
        return Holder.ALIVE
    if pod is None:
        return Holder.UNKNOWN
    return Holder.ALIVE if pod else Holder.GONE


def abandoned(locks: Sequence[Lock], witness: Witness) -> tuple[list[Lock], list[Lock]]:
    """The locks whose holders are gone, and the others."""
    gone = [lock for lock in locks if holder(lock, witness) is Holder.GONE]
    return gone, [lock for lock in locks if lock not in gone]


class StackLocked(AphexError):
    """Somebody else works on the pipeline and did not finish in time."""

    def __init__(self, target: Target, locks: Sequence[Lock], waited: float) -> None:
        self.locks = tuple(locks)
        super().__init__(
            f"The pipeline {target.settings.pipeline} is being changed by somebody else, and still was after "
            f"{duration(waited)}:\n" + "\n".join(f"  {lock}" for lock in locks),
            hint="Wait for it to end. If you know that it is gone for good: "
            f"python -m automation unlock {target.options}",
        )


def clear_path(target: Target, stack: str, terminal: Terminal, *, wait: float) -> None:
    """Make sure that nobody works on the stack: remove locks whose holders are gone, wait for the others.

    Args:
        target: where the pipeline is.
        stack: its stack.
        terminal: where progress is told.
        wait: how many seconds to wait for a holder that lives.

    Raises:
        StackLocked: a lock was still held after `wait` seconds.
    """
    bucket = target.settings.state_bucket
    if bucket is None:
        return
    s3 = target.aws.client("s3")
    witness = this_machine(target)
    began = time.monotonic()
    told = False
    while True:
        gone, held = abandoned(read_locks(s3, bucket, stack), witness)
        for lock in gone:
            terminal.warn(f"a lock was left behind by a process that is gone ({lock}); it is removed.")
            s3.delete_object(Bucket=bucket, Key=lock.key)
        if not held:
            return
        waited = time.monotonic() - began
        if waited >= wait:
            raise StackLocked(target, held, waited)
        if not told:
            terminal.say(f"Waiting for {held[0]}, which is changing the pipeline (at most {duration(wait)}) ...")
            told = True
        time.sleep(_POLL_SECONDS)


def read_locks(s3: Any, bucket: str, stack: str) -> list[Lock]:
    """The locks that are on a stack now."""
    from automation.stack import PROJECT

    prefix = f".pulumi/locks/organization/{PROJECT}/{stack}/"
    locks = []
    for each in s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", []):
        try:
            body = s3.get_object(Bucket=bucket, Key=each["Key"])["Body"].read()
        except s3.exceptions.NoSuchKey:
            continue  # its holder has just finished
        locks.append(parse_lock(each["Key"], body))
    return locks


def this_machine(target: Target) -> Witness:
    """What can be seen from here: this machine's processes, and the pods of the pipeline's namespace."""
    return Witness(host=socket.gethostname(), started=pulumi_started, pod_exists=lambda name: _pod_exists(target, name))


def pulumi_started(pid: int) -> datetime | None:
    """When the Pulumi process with this id began; None when the id is nobody's or another program's."""
    from pathlib import Path

    process = Path(f"/proc/{pid}")
    try:
        program = (process / "comm").read_text().strip()
        state = (process / "stat").read_text().rpartition(")")[2].split()[0]
        began = process.stat().st_ctime
    except OSError:
        return None
    if state == "Z" or not program.startswith("pulumi"):
        return None
    return datetime.fromtimestamp(began, UTC)


def _pod_exists(target: Target, name: str) -> bool | None:
    """Whether a pod of the pipeline runs; None when no run of it ever was called so."""
    from lightkube.core.exceptions import ApiError
    from lightkube.resources.core_v1 import Pod

    if not name.startswith(f"{target.settings.pipeline}-"):
        return None
    try:
        with target.kubernetes.client() as api:
            pod = api.get(Pod, name, namespace=target.settings.namespace)
    except ApiError as error:
        return False if error.status.code == 404 else None
    return (pod.status.phase if pod.status else None) not in ("Succeeded", "Failed")
