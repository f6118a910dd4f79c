"""Locks that Pulumi keeps beside its state: whose they are, and whether their holder still lives.

A process that is killed leaves its lock behind; Pulumi itself never removes such a lock. The file's format is that of
Pulumi's self-managed backends (pkg/backend/diy/lock.go): process id, user, host name and time as JSON.

A self-update's host name is that of its pod, cut to the 63 characters that a host name may have.
"""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any

from aphex.errors import AphexError
from aphex.run import StageKind
from automation.console import duration

if TYPE_CHECKING:
    from automation.console import Terminal
    from automation.home import StackHome

_POLL_SECONDS = 2.0
_CLOCK_SKEW_SECONDS = 60.0
_REMIND_SECONDS = 30.0
_MAX_HOST_NAME = 63


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
        pods: the phase of each pod with that host name, by the pod's name; None when the host is no pod, or nothing
            can be known of pods.
    """

    host: str
    started: Callable[[int], datetime | None]
    pods: Callable[[str], Mapping[str, str] | None]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a lock's holder still lives, and how that is known, in words that go on after "it is gone:"."""

    holder: Holder
    reason: str


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


def judge(lock: Lock, witness: Witness) -> Verdict:
    """Whether the holder of a lock still lives, as far as `witness` can tell.

    A process id is used again sooner or later: a process that began after the lock was taken is another one.
    """
    pods = witness.pods(lock.host) if lock.host else None
    working = sorted(name for name, phase in (pods or {}).items() if phase not in ("Succeeded", "Failed"))
    if lock.host == witness.host:
        # A pod that was tried again can have the same host name, for long names are cut.
        return _judge_process(lock, witness) if len(working) <= 1 else _alive(working)
    if pods is None:
        return Verdict(holder=Holder.UNKNOWN, reason=f"nothing is known here of {lock.host or 'its holder'}")
    if working:
        return _alive(working)
    ended = ", ".join(f"its pod {name} has ended ({phase})" for name, phase in sorted(pods.items()))
    return Verdict(holder=Holder.GONE, reason=ended or f"its pod {lock.host} does not exist any more")


def _judge_process(lock: Lock, witness: Witness) -> Verdict:
    began = witness.started(lock.pid)
    if began is None:
        reason = f"no Pulumi with the process id {lock.pid} runs on this machine, {lock.host}"
        return Verdict(holder=Holder.GONE, reason=reason)
    if (began - lock.since).total_seconds() > _CLOCK_SKEW_SECONDS:
        reason = f"the process id {lock.pid} belongs to another process, which began later"
        return Verdict(holder=Holder.GONE, reason=reason)
    return Verdict(holder=Holder.ALIVE, reason=f"the process {lock.pid} runs")


def _alive(pods: Sequence[str]) -> Verdict:
    return Verdict(holder=Holder.ALIVE, reason=f"its pod {', '.join(pods)} runs")


def abandoned(locks: Sequence[Lock], witness: Witness) -> tuple[list[tuple[Lock, str]], list[Lock]]:
    """The locks whose holders are gone, each with how that is known, and the others."""
    verdicts = [(lock, judge(lock, witness)) for lock in locks]
    gone = [(lock, verdict.reason) for lock, verdict in verdicts if verdict.holder is Holder.GONE]
    return gone, [lock for lock, verdict in verdicts if verdict.holder is not Holder.GONE]


class StackLocked(AphexError):
    """Somebody else works on the stack and did not finish in time."""

    def __init__(self, home: StackHome, locks: Sequence[Lock], waited: float) -> None:
        self.locks = tuple(locks)
        super().__init__(
            f"The {home.noun} {home.owner} is being changed by somebody else, and still was after "
            f"{duration(waited)}:\n" + "\n".join(f"  {lock}" for lock in locks),
            hint=f"Wait for it to end. If you know that it is gone for good: {home.command('unlock')}",
        )


def clear_path(home: StackHome, terminal: Terminal, *, wait: float) -> None:
    """Make sure that nobody works on the stack: remove locks whose holders are gone, wait for the others.

    Args:
        home: where the stack is.
        terminal: where progress is told.
        wait: how many seconds to wait for a holder that lives.

    Raises:
        StackLocked: a lock was still held after `wait` seconds.
    """
    bucket = home.bucket
    if bucket is None:
        return
    s3 = home.aws.client("s3")
    witness = this_machine(home)
    began = time.monotonic()
    reminded = 0.0
    while True:
        gone, held = abandoned(read_locks(s3, bucket, home.name), witness)
        for lock, reason in gone:
            terminal.warn(f"a lock was left behind ({lock}). Its holder is gone: {reason}. The lock is removed.")
            s3.delete_object(Bucket=bucket, Key=lock.key)
        waited = time.monotonic() - began
        if not held:
            if reminded:
                terminal.say(f"The {home.noun} is free after {duration(waited)}.")
            return
        if waited >= wait:
            raise StackLocked(home, held, waited)
        if waited >= reminded:
            terminal.say(waiting_line(held[0], waited, wait, home.noun))
            reminded = waited + _REMIND_SECONDS
        time.sleep(min(_POLL_SECONDS, wait - waited))


def waiting_line(lock: Lock, waited: float, wait: float, noun: str = "pipeline") -> str:
    """What is said while a lock's holder is waited for: whose it is, since when, and for how long still."""
    so_far = f"for {duration(waited)} so far, " if waited >= 1 else ""
    return f"Waiting for {lock}, which is changing the {noun} ({so_far}at most {duration(wait)}) ..."


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


def this_machine(home: StackHome) -> Witness:
    """What can be seen from here: this machine's processes, and the pods of the pipeline's namespace."""
    return Witness(host=socket.gethostname(), started=pulumi_started, pods=lambda host: _pods(home, host))


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


def is_update_pod(host: str, pipeline: str) -> bool:
    """Whether a host is a pod of the pipeline's self-update: RUN-self-update-NUMBER, which Argo calls it."""
    return re.fullmatch(rf"{re.escape(pipeline)}-[a-z0-9-]+-{StageKind.SELF_UPDATE}-\d+", host) is not None


def _pods(home: StackHome, host: str) -> dict[str, str] | None:
    """The phases of the self-update's pods with that host name; None when it is no such pod's name."""
    # The HTTP library that lightkube uses, whichever it is.
    from lightkube.core.exceptions import httpx as http  # type: ignore[attr-defined]
    from lightkube.resources.core_v1 import Pod

    if home.namespace is None or home.kubernetes is None or not is_update_pod(host, home.owner):
        return None
    try:
        with home.kubernetes.client() as api:
            found = list(api.list(Pod, namespace=home.namespace))
    except http.HTTPError:
        return None
    return {
        str(pod.metadata.name): str((pod.status and pod.status.phase) or "Pending")
        for pod in found
        if pod.metadata and str(pod.metadata.name)[:_MAX_HOST_NAME].rstrip("-.") == host
    }
