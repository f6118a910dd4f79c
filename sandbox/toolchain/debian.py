"""Programs from Debian packages: some installed on the host, some only extracted so that no service appears."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from aphex.errors import AphexError
from aphex.process import ProcessError, run
from sandbox.toolchain.cache import Report, locked, placed, silent

# The program that shows that a package, or another one with the same purpose (Docker's containerd.io), is installed.
HOST_PACKAGES: Mapping[str, str] = MappingProxyType(
    {
        "containerd": "containerd",
        "runc": "runc",
        "containernetworking-plugins": "/usr/lib/cni/bridge",
        "iptables": "iptables",
        "conntrack": "conntrack",
        "buildah": "buildah",
        "skopeo": "skopeo",
        "debootstrap": "debootstrap",
        "busybox-static": "busybox",
        "iproute2": "ip",
    }
)
# Programs that are only extracted, with their packages: installing nats-server and docker-registry would enable system
# services, and an installed busybox may be one that is not static. git-lfs is for tests of clones alone.
EXTRACTED: Mapping[str, str] = MappingProxyType(
    {
        "nats-server": "nats-server",
        "docker-registry": "docker-registry",
        "busybox": "busybox-static",
        "git-lfs": "git-lfs",
    }
)
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/cni/bin"
# The exit status by which policy-rc.d forbids that a package starts its service.
_FORBIDDEN = 101


class PackagesUnavailable(AphexError):
    """Debian packages that the sandbox needs could not be had."""


def program(name: str) -> Path | None:
    """A program of the host, also where a user's PATH lacks the `sbin` folders; None when it is not installed."""
    if name.startswith("/"):
        path = Path(name)
        other = Path("/opt/cni/bin") / path.name
        return next((place for place in (path, other) if place.exists()), None)
    found = shutil.which(name, path=os.environ.get("PATH", "") + os.pathsep + _SYSTEM_PATH)
    return Path(found) if found else None


def missing_packages() -> list[str]:
    """The host packages whose program is not installed."""
    return [package for package, probe in HOST_PACKAGES.items() if program(probe) is None]


def host_packages(report: Report | None = None) -> None:
    """Install the packages that the node and the image builds need and that are missing, without any service.

    Raises:
        PackagesUnavailable: not on Debian or Ubuntu, not root, or apt failed; names the packages.
    """
    missing = missing_packages()
    if not missing:
        return
    say = report or silent
    names = " ".join(missing)
    if shutil.which("apt-get") is None:
        raise PackagesUnavailable(
            f"These programs are missing and apt-get is not there to install them: {names}.",
            hint="Install them with this system's package manager, or use another cluster: --cluster context:NAME.",
        )
    if os.geteuid() != 0:
        raise PackagesUnavailable(
            f"These Debian packages are missing and only root can install them: {names}.",
            hint=f"Run: sudo apt-get install --no-install-recommends {names}",
        )
    say(f"installing Debian packages: {names}")
    _refresh(say, missing[0])
    try:
        with _no_services():
            run(
                ["apt-get", "install", "-y", "-q", "--no-install-recommends", *missing],
                env=_apt_environment(),
                on_line=lambda line: say(f"apt: {line}") if line.startswith(("Get:", "Setting up")) else None,
            )
    except ProcessError as error:
        raise PackagesUnavailable(str(error), hint=f"Run by hand: apt-get install {names}") from error


def extracted(tool: str, root: Path, report: Report) -> Path:
    """The folder with a program from a Debian package in `bin`, which is downloaded and extracted, not installed.

    Raises:
        PackagesUnavailable: apt is not there, or the package cannot be had.
    """
    final = root / f"debian-{tool}"
    if (final / "bin" / tool).exists():
        return final
    installed = program(tool) if tool == EXTRACTED[tool] else None
    with locked(root / "lock", report, "toolchain"):
        if (final / "bin" / tool).exists():
            return final
        with placed(final) as folder:
            (folder / "bin").mkdir()
            if installed:
                (folder / "bin" / tool).symlink_to(installed)
            else:
                report(f"downloading {tool}")
                _extract(EXTRACTED[tool], tool, folder, report)
    return final


def _extract(package: str, tool: str, folder: Path, report: Report) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise PackagesUnavailable(
            f"{package} is missing and apt-get is not there to get it.", hint=f"Install {package}, its version is free."
        )
    _refresh(report, package)
    # apt downloads as the user _apt, which may not write below a private home folder; root may.
    unsandboxed = ["-o", "APT::Sandbox::User=root"]
    try:
        run(["apt-get", "download", "-q", *unsandboxed, package], cwd=folder, env=_apt_environment())
    except ProcessError as error:
        raise PackagesUnavailable(str(error), hint=f"Install {package} by hand.") from error
    archive = next(folder.glob("*.deb"))
    run(["dpkg-deb", "-x", archive, folder / "root"])
    archive.unlink()
    # Not the service's script in /etc/init.d, which has the same name.
    places = [*(folder / "root").glob(f"usr/*bin/{tool}"), *(folder / "root").glob(f"*bin/{tool}")]
    places[0].rename(folder / "bin" / tool)
    shutil.rmtree(folder / "root")


def _refresh(report: Report, package: str) -> None:
    """Fetch the package lists when this machine has none, as in a fresh container."""
    policy = run(["apt-cache", "policy", package], env=_apt_environment(), check=False).output
    if "Candidate: (none)" in policy or "Candidate:" not in policy:
        report("updating the package lists")
        run(["apt-get", "update", "-q"], env=_apt_environment())


def _apt_environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    return {**kept, "PATH": _SYSTEM_PATH, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive", "HOME": "/root"}


class _no_services:  # noqa: N801  (used like a function, as contextlib's own are)
    """While it lasts, no package starts a service: the sandbox runs its own, in its own namespaces."""

    _policy = Path("/usr/sbin/policy-rc.d")

    def __enter__(self) -> None:
        self._ours = not self._policy.exists()
        if self._ours:
            self._policy.write_text(f"#!/bin/sh\nexit {_FORBIDDEN}\n")
            self._policy.chmod(0o755)

    def __exit__(self, *_: object) -> None:
        if self._ours:
            self._policy.unlink()
