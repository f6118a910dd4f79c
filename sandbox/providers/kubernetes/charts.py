"""Installs Helm charts: what that takes, and the `helm` program that does it."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from aphex.errors import AphexError
from aphex.process import run
from sandbox.providers.base import ProviderError

DEFAULT_SECONDS = 300.0
_GRACE_SECONDS = 60.0
_VERSION = re.compile(r"-(v?\d+\.\d+\.\d+\S*)$")
# Inputs that are switches of the command line, by the input's name.
_SWITCHES = {
    "atomic": "--atomic",
    "createNamespace": "--create-namespace",
    "dependencyUpdate": "--dependency-update",
    "devel": "--devel",
    "disableWebhooks": "--no-hooks",
    "skipCrds": "--skip-crds",
    "takeOwnership": "--take-ownership",
    "waitForJobs": "--wait-for-jobs",
}
_UPGRADE_SWITCHES = {
    "cleanupOnFail": "--cleanup-on-fail",
    "forceUpdate": "--force",
    "resetValues": "--reset-values",
    "reuseValues": "--reuse-values",
}


@dataclass(frozen=True, kw_only=True)
class ChartTarget:
    """The cluster that charts are installed in.

    Attributes:
        kubeconfig: content or path of a kubeconfig; None for the usual one.
        context: a context of it; None for its current one.
    """

    kubeconfig: str | Mapping[str, Any] | None = field(default=None, repr=False)
    context: str | None = None


@dataclass(frozen=True, kw_only=True)
class InstalledChart:
    """A release as it is: the fields of Helm's own list, and the values it was given."""

    name: str
    namespace: str
    revision: int
    status: str
    chart: str
    version: str
    app_version: str
    values: Mapping[str, Any] = field(repr=False)


class Charts(Protocol):
    """Who installs charts. `release` is a release's inputs, by the names of the `kubernetes` package."""

    def ready(self) -> None:
        """Raise a `ProviderError` when charts cannot be installed here at all."""

    def install(self, release: Mapping[str, Any]) -> None:
        """Install a release that is not there yet."""

    def upgrade(self, release: Mapping[str, Any]) -> None:
        """Bring a release to other values or another version of its chart."""

    def find(self, name: str, namespace: str) -> InstalledChart | None:
        """A release as it is; None when there is none of that name."""

    def uninstall(self, name: str, namespace: str, seconds: float) -> None:
        """Remove a release; one that is gone is no error."""


class HelmProgram:
    """Charts by the `helm` program of the PATH, version 3."""

    def __init__(self, target: ChartTarget) -> None:
        self._target = target

    def ready(self) -> None:
        """See that there is such a program.

        Raises:
            ProviderError: there is none.
        """
        self._program()

    def install(self, release: Mapping[str, Any]) -> None:
        """Run `helm install`, with the values in a file of the caller's alone."""
        self._deploy("install", release, [])

    def upgrade(self, release: Mapping[str, Any]) -> None:
        """Run `helm upgrade`."""
        more = [flag for name, flag in _UPGRADE_SWITCHES.items() if release.get(name)]
        if release.get("maxHistory"):
            more += ["--history-max", str(int(release["maxHistory"]))]
        self._deploy("upgrade", release, more)

    def find(self, name: str, namespace: str) -> InstalledChart | None:
        """Ask `helm list`, and `helm get values` for the values."""
        listed = self._json(["list", "--all", "--filter", f"^{re.escape(name)}$", "--namespace", namespace])
        if not listed:
            return None
        found = listed[0]
        chart, version = _chart_and_version(found["chart"])
        return InstalledChart(
            name=name,
            namespace=namespace,
            revision=int(found["revision"]),
            status=found["status"],
            chart=chart,
            version=version,
            app_version=found.get("app_version", ""),
            values=self._json(["get", "values", name, "--namespace", namespace]) or {},
        )

    def uninstall(self, name: str, namespace: str, seconds: float) -> None:
        """Run `helm uninstall`, and wait until what it removes is gone."""
        if self.find(name, namespace) is not None:
            waiting = ["--wait", "--timeout", f"{int(seconds)}s"]
            self._run(["uninstall", name, "--namespace", namespace, *waiting], seconds)

    def _deploy(self, verb: str, release: Mapping[str, Any], more: Sequence[str]) -> None:
        with tempfile.TemporaryDirectory(prefix="chart-") as folder:
            values = Path(folder) / "values.json"
            values.touch(mode=0o600)
            values.write_text(json.dumps(release.get("values") or {}))
            seconds = float(release.get("timeout") or DEFAULT_SECONDS)
            self._run([*command_line(verb, release), *more, "--values", str(values)], seconds)

    def _json(self, arguments: Sequence[str]) -> Any:
        return json.loads(self._run([*arguments, "--output", "json"], DEFAULT_SECONDS))

    def _run(self, arguments: Sequence[str], seconds: float) -> str:
        program = self._program()
        with self._kubeconfig() as where:
            try:
                command = [program, *arguments, *where]
                completed = run(command, timeout=seconds + _GRACE_SECONDS, separate_errors=True, label="helm")
            except AphexError as failure:
                raise ProviderError(f"helm {arguments[0]} failed: {failure.message}", hint=failure.hint) from failure
        return completed.output

    def _program(self) -> str:
        found = shutil.which("helm")
        if found is None:
            raise ProviderError(
                "a kubernetes:helm.sh/v3:Release needs the program helm, which is not on the PATH",
                hint="Install Helm 3, or the real provider: pulumi plugin install resource kubernetes.",
            )
        return found

    @contextmanager
    def _kubeconfig(self) -> Iterator[list[str]]:
        """The arguments that name the cluster; a kubeconfig that was given as content is a file meanwhile."""
        context = ["--kube-context", self._target.context] if self._target.context else []
        given = self._target.kubeconfig
        if given is None:
            yield context
        elif isinstance(given, str) and "\n" not in given and not given.lstrip().startswith("{"):
            yield [*context, "--kubeconfig", given]
        else:
            with tempfile.TemporaryDirectory(prefix="chart-") as folder:
                path = Path(folder) / "kubeconfig"
                path.touch(mode=0o600)
                path.write_text(given if isinstance(given, str) else json.dumps(given))
                yield [*context, "--kubeconfig", str(path)]


def command_line(verb: str, release: Mapping[str, Any]) -> list[str]:
    """The arguments of `helm install` or `helm upgrade`, without the values."""
    arguments = [verb, release["name"], release["chart"], "--namespace", release["namespace"]]
    repository = (release.get("repositoryOpts") or {}).get("repo")
    options = {"--repo": repository, "--version": release.get("version"), "--description": release.get("description")}
    arguments += [part for name, value in options.items() if value for part in (name, str(value))]
    arguments += [flag for name, flag in _SWITCHES.items() if release.get(name)]
    if not release.get("skipAwait"):
        arguments.append("--wait")
    return [*arguments, "--timeout", f"{int(release.get('timeout') or DEFAULT_SECONDS)}s"]


def _chart_and_version(text: str) -> tuple[str, str]:
    found = _VERSION.search(text)
    return (text[: found.start()], found.group(1)) if found else (text, "")
