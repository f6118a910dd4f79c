"""The supervisor keeps real processes alive, starts them in order, and ends them all."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from sandbox.node.layout import Layout
from sandbox.node.plan import Component, NodePlan, Probe, ProbeKind
from sandbox.node.supervisor import backoff
from sandbox.state import ComponentState, ComponentStatus, SandboxStatus, read_model

SUPERVISE = """
import sys, pathlib
from sandbox.node.plan import NodePlan
from sandbox.node.supervisor import Supervisor
Supervisor(NodePlan.model_validate_json(pathlib.Path(sys.argv[1]).read_bytes())).run()
"""
LISTEN = """
import http.server, sys
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def component(name: str, code: str, port: int, *after: str) -> Component:
    command = (sys.executable, "-c", code, str(port))
    probe = Probe(kind=ProbeKind.http, target=f"http://127.0.0.1:{port}/")
    return Component(name=name, command=command, environment={"PATH": os.defpath}, after=after, probe=probe)


class Node:
    """A supervisor in a process of its own, without namespaces."""

    def __init__(self, folder: Path, *components: Component) -> None:
        self.layout = Layout(folder)
        self.layout.logs.mkdir(parents=True)
        plan = NodePlan(
            hostname="x", directory=folder, device="x", address="x", gateway="x", cgroup="x", components=components
        )
        self.layout.plan.write_text(plan.model_dump_json())
        self.process = subprocess.Popen([sys.executable, "-c", SUPERVISE, str(self.layout.plan)])

    def component(self, name: str) -> ComponentStatus | None:
        if not self.layout.status.exists():
            return None
        found = read_model(self.layout.status, SandboxStatus).components
        return next(c for c in found if c.name == name)

    def state(self, name: str) -> ComponentState | None:
        found = self.component(name)
        return found.state if found else None

    def events(self) -> str:
        return self.layout.events.read_text() if self.layout.events.exists() else ""

    def stop(self) -> list[psutil.Process]:
        """End the supervisor; returns what it left running."""
        children = psutil.Process(self.process.pid).children(recursive=True) if self.process.poll() is None else []
        self.process.terminate()
        self.process.wait(20)
        return [child for child in children if child.is_running()]


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Callable[..., Node]]:
    started: list[Node] = []

    def start(*components: Component) -> Node:
        started.append(Node(tmp_path / "node", *components))
        return started[-1]

    yield start
    assert [each.stop() for each in started] == [[] for _ in started]


def eventually(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_a_component_waits_for_those_it_needs(node: Callable[..., Node]) -> None:
    first, second = free_port(), free_port()
    running = node(component("second", LISTEN, second, "first"), component("first", LISTEN, first))
    assert eventually(lambda: running.state("second") is ComponentState.ready)
    events = running.layout.events.read_text().splitlines()
    order = [index for index, line in enumerate(events) if "first: ready" in line or "second: started" in line]
    assert "first: ready" in events[order[0]]


def test_what_is_killed_is_started_again(node: Callable[..., Node]) -> None:
    running = node(component("web", LISTEN, free_port()))
    assert eventually(lambda: running.state("web") is ComponentState.ready)
    before = running.component("web")
    assert before is not None
    assert before.pid is not None
    os.kill(before.pid, signal.SIGKILL)

    def back() -> bool:
        now = running.component("web")
        return now is not None and now.restarts == 1 and now.state is ComponentState.ready and now.pid != before.pid

    assert eventually(back)
    assert "ended with -9" in running.layout.events.read_text()


def test_what_cannot_start_is_tried_ever_more_rarely_and_its_output_is_kept(node: Callable[..., Node]) -> None:
    running = node(component("broken", "print('no luck'); raise SystemExit(3)", free_port()))
    assert eventually(lambda: "started again in 2 s" in running.events())
    log = (running.layout.logs / "broken.log").read_text()
    assert log.count("no luck") >= 3


def test_what_ignores_the_request_to_end_is_ended(node: Callable[..., Node]) -> None:
    code = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n{LISTEN}"
    running = node(component("stubborn", code, free_port()))
    assert eventually(lambda: running.state("stubborn") is ComponentState.ready)
    assert running.stop() == []
    assert running.process.returncode == 0
    assert "stubborn: ended with -9" in running.layout.events.read_text()


def test_backoff_grows_to_a_limit() -> None:
    assert [backoff(n) for n in (1, 2, 3, 20)] == [0.5, 1.0, 2.0, 30.0]
