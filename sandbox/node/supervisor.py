"""The first process of the node's namespaces: starts the components, restarts what crashes, reaps what is orphaned.

Run as `python -m sandbox.node.supervisor PLAN`. When it ends, the kernel ends everything else in its PID namespace
and with the last process go the mounts and the network, so stopping it is all there is to stopping a node.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from sandbox.node.enter import enter
from sandbox.node.layout import Layout
from sandbox.node.plan import Component, NodePlan
from sandbox.node.probes import answers
from sandbox.state import ComponentState, ComponentStatus, SandboxStatus

_TICK_SECONDS = 0.1
_PROBE_SECONDS = 0.3
_STOP_TICK_SECONDS = 0.02
_FIRST_BACKOFF = 0.5
_MAX_BACKOFF = 30.0
_STEADY_SECONDS = 60.0
_LOG_SECONDS = 60.0
_MAX_LOG_BYTES = 16 * 1024 * 1024


def backoff(failures: int) -> float:
    """Seconds to wait before the next start, after so many failures in a row."""
    return float(min(_FIRST_BACKOFF * 2 ** max(failures - 1, 0), _MAX_BACKOFF))


@dataclass
class Supervised:
    """A component and what is known about its process."""

    component: Component
    state: ComponentState = ComponentState.starting
    pid: int | None = None
    failures: int = 0
    restarts: int = 0
    since: float = 0.0
    started: float = 0.0
    not_before: float = 0.0
    next_probe: float = 0.0

    def status(self) -> ComponentStatus:
        """What the host is told about it."""
        return ComponentStatus(
            name=self.component.name,
            state=self.state,
            pid=self.pid,
            restarts=self.restarts,
            since=self.since,
            started=self.started,
        )


class Supervisor:
    """Keeps the components of one node alive until it is told to stop."""

    def __init__(self, plan: NodePlan) -> None:
        self._layout = Layout(plan.directory)
        self._name = plan.directory.name
        self._all = {c.name: Supervised(c, since=time.time()) for c in plan.components}
        self._stopping = False

    def run(self) -> None:
        """Supervise until SIGTERM or SIGINT, then stop the components, those that others need last."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop())
        self._event("node", "started")
        next_look = 0.0
        while not self._stopping:
            self._reap()
            if time.monotonic() >= next_look:
                self._shorten_logs()
                next_look = time.monotonic() + _LOG_SECONDS
            for supervised in self._all.values():
                self._advance(supervised, time.monotonic())
            time.sleep(_TICK_SECONDS)
        self._stop_all()
        self._event("node", "stopped")

    def _stop(self) -> None:
        self._stopping = True

    def _advance(self, one: Supervised, now: float) -> None:
        if one.pid is None:
            ready = all(self._all[name].state is ComponentState.ready for name in one.component.after)
            if (ready or one.restarts) and now >= one.not_before:
                one.pid = self._spawn(one.component)
                one.started = time.time()
                self._change(one, ComponentState.starting, f"started as process {one.pid}")
        elif one.state is ComponentState.starting and now >= one.next_probe:
            one.next_probe = now + _PROBE_SECONDS
            if answers(one.component.probe):
                self._change(one, ComponentState.ready, f"ready after {time.time() - one.since:.1f} s")

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for one in self._all.values():
                if one.pid == pid:
                    self._ended(one, os.waitstatus_to_exitcode(status))

    def _ended(self, one: Supervised, code: int) -> None:
        one.pid = None
        if self._stopping:
            self._change(one, ComponentState.stopped, f"ended with {code}")
            return
        steady = time.time() - one.since > _STEADY_SECONDS and one.state is ComponentState.ready
        one.failures = 1 if steady else one.failures + 1
        one.restarts += 1
        wait = backoff(one.failures)
        one.not_before = time.monotonic() + wait
        self._change(one, ComponentState.restarting, f"ended with {code}, is started again in {wait:g} s")

    def _shorten_logs(self) -> None:
        """Keep one earlier part of a log that has grown; its writer appends, and so goes on at the new start."""
        for log in self._layout.logs.glob("*.log"):
            if log.stat().st_size > _MAX_LOG_BYTES:
                shutil.copyfile(log, log.with_suffix(".log.1"))
                os.truncate(log, 0)

    def _spawn(self, component: Component) -> int:
        log = self._layout.logs / f"{component.name}.log"
        append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        return os.posix_spawn(
            component.command[0],
            component.command,
            component.environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(log), append, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )

    def _stop_all(self) -> None:
        remaining = dict(self._all)
        while remaining:
            needed = {name for one in remaining.values() for name in one.component.after}
            layer = [one for name, one in remaining.items() if name not in needed]
            for number in (signal.SIGTERM, signal.SIGKILL):
                self._signal_and_wait(layer, number)
            for one in layer:
                del remaining[one.component.name]

    def _signal_and_wait(self, layer: list[Supervised], number: signal.Signals) -> None:
        started = time.monotonic()
        for one in layer:
            if one.pid is not None:
                os.kill(one.pid, number)
        while any(one.pid and time.monotonic() < started + one.component.stop_seconds for one in layer):
            self._reap()
            time.sleep(_STOP_TICK_SECONDS)

    def _change(self, one: Supervised, state: ComponentState, what: str) -> None:
        one.state = state
        one.since = time.time()
        self._event(one.component.name, what)
        components = tuple(each.status() for each in self._all.values())
        SandboxStatus(name=self._name, running=True, components=components).save(self._layout.status)

    def _event(self, name: str, what: str) -> None:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        with self._layout.events.open("a") as file:
            file.write(f"{stamp} {name}: {what}\n")


def main(plan_file: Path) -> None:
    """Set up the namespaces as the plan says, then supervise."""
    os.umask(0o077)
    plan = NodePlan.model_validate_json(plan_file.read_bytes())
    enter(plan)
    os.umask(0o022)
    Supervisor(plan).run()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
