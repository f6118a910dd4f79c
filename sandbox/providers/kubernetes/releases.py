"""`kubernetes:helm.sh/v3:Release`, beside the objects that the provider handles by discovery."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from sandbox.providers.base import (
    UNKNOWN,
    Change,
    Checked,
    Created,
    Difference,
    InitializationFailed,
    Kind,
    Naming,
    NamingMode,
    Problem,
    Properties,
    PropertyChange,
    Provider,
    ProviderError,
    Resource,
    State,
    has_unknown,
)
from sandbox.providers.kubernetes.charts import DEFAULT_SECONDS, Charts, ChartTarget, InstalledChart
from sandbox.providers.kubernetes.provider import KubernetesProvider

RELEASE = "kubernetes:helm.sh/v3:Release"

INPUTS = frozenset(
    {
        "atomic",
        "chart",
        "cleanupOnFail",
        "compat",
        "createNamespace",
        "dependencyUpdate",
        "description",
        "devel",
        "disableWebhooks",
        "forceUpdate",
        "maxHistory",
        "name",
        "namespace",
        "repositoryOpts",
        "resetValues",
        "reuseValues",
        "skipAwait",
        "skipCrds",
        "takeOwnership",
        "timeout",
        "values",
        "version",
        "waitForJobs",
    }
)
_REPLACES = frozenset({"name", "namespace"})
_DEPLOYED = "deployed"


class ReleasingProvider(Provider):
    """The Kubernetes provider with releases of Helm charts.

    Args:
        objects: the provider of everything else.
        charts: makes what installs charts in a cluster.
    """

    def __init__(self, objects: KubernetesProvider, charts: Callable[[ChartTarget], Charts]) -> None:
        self.package, self.version = objects.package, objects.version
        self._objects = objects
        self._charts_of = charts
        self._charts = charts(ChartTarget())

    def configure(self, config: Properties) -> None:
        """Take the configuration, for objects and for charts."""
        self._objects.configure(config)
        self._charts = self._charts_of(self._objects.chart_target())

    def check_config(self, config: Properties) -> Checked:
        """Validate the configuration."""
        return self._objects.check_config(config)

    def diff_config(self, old: Properties, new: Properties) -> Difference:
        """Compare two configurations."""
        return self._objects.diff_config(old, new)

    def check(self, resource: Resource, old: Properties | None, new: Properties, naming: Naming) -> Checked:
        """Validate a release's inputs and fill in name and namespace."""
        if resource.type != RELEASE:
            return self._objects.check(resource, old, new, naming)
        inputs = {key: value for key, value in new.items() if value is not None}
        problems = [
            Problem(key, f"the stand-in kubernetes provider does not support {key} of {RELEASE}")
            for key in sorted(inputs.keys() - INPUTS)
        ]
        repository = inputs.get("repositoryOpts")
        if isinstance(repository, Mapping) and (set(repository) - {"repo"}):
            # They would be seen in the list of processes.
            problems.append(Problem("repositoryOpts", "the stand-in takes no credentials of a chart repository"))
        if not inputs.get("chart"):
            problems.append(Problem("chart", "missing required property chart"))
        inputs.setdefault("namespace", "default")
        if "name" not in inputs:
            inputs["name"] = _name(resource, old, naming)
        return Checked(inputs, problems)

    def diff(
        self, resource: Resource, id: str, old_inputs: Properties, old_outputs: Properties, new: Properties
    ) -> Difference:
        """Compare inputs; another name or namespace is another release, and the old one goes first."""
        if resource.type != RELEASE:
            return self._objects.diff(resource, id, old_inputs, old_outputs, new)
        keys = sorted(key for key in {*old_inputs, *new} & INPUTS if old_inputs.get(key) != new.get(key))
        changes = [PropertyChange(key, _kind(key, old_inputs, new), key in _REPLACES) for key in keys]
        if not changes and old_outputs.get("status", {}).get("status", _DEPLOYED) != _DEPLOYED:
            changes = [PropertyChange("status", Kind.UPDATE)]
        return Difference(changes)

    def create(self, resource: Resource, inputs: Properties, *, preview: bool, timeout: float) -> Created:
        """Install the release.

        Raises:
            InitializationFailed: it is there, and not as wanted.
            ProviderError: it could not be installed.
        """
        if resource.type != RELEASE:
            return self._objects.create(resource, inputs, preview=preview, timeout=timeout)
        self._charts.ready()
        if preview:
            return Created("", {**inputs, "resourceNames": UNKNOWN, "status": UNKNOWN})
        try:
            self._charts.install(inputs)
        except ProviderError as error:
            found = self._charts.find(inputs["name"], inputs["namespace"])
            if found is None:
                raise
            raise InitializationFailed(_id(inputs), _outputs(inputs, found), [str(error)]) from error
        return Created(_id(inputs), self._seen(inputs))

    def read(self, resource: Resource, id: str, inputs: Properties, outputs: Properties) -> State | None:
        """The release as it is; an import takes chart, version and values from it."""
        if resource.type != RELEASE:
            return self._objects.read(resource, id, inputs, outputs)
        namespace, _, name = id.rpartition("/")
        found = self._charts.find(name, namespace or "default")
        if found is None:
            return None
        asked = inputs or {"name": found.name, "namespace": found.namespace, "chart": found.chart}
        live: Properties = {**asked, "values": dict(found.values)} if found.values or asked.get("values") else asked
        if asked.get("version") or not inputs:
            live = {**live, "version": found.version}
        return State(id, _outputs(live, found), live)

    def update(self, resource: Resource, id: str, change: Change) -> Properties:
        """Upgrade the release.

        Raises:
            InitializationFailed: the upgrade failed, and the release is as far as it came.
        """
        if resource.type != RELEASE:
            return self._objects.update(resource, id, change)
        self._charts.ready()
        if change.preview or has_unknown(change.new):
            return {**change.new, "resourceNames": UNKNOWN, "status": UNKNOWN}
        try:
            self._charts.upgrade(change.new)
        except ProviderError as error:
            found = self._charts.find(change.new["name"], change.new["namespace"])
            if found is None:
                raise
            raise InitializationFailed(id, _outputs(change.old_inputs, found), [str(error)]) from error
        return self._seen(change.new)

    def delete(self, resource: Resource, id: str, inputs: Properties, outputs: Properties, timeout: float) -> None:
        """Uninstall the release."""
        if resource.type != RELEASE:
            self._objects.delete(resource, id, inputs, outputs, timeout)
            return
        namespace, _, name = id.rpartition("/")
        self._charts.uninstall(name, namespace, timeout or float(inputs.get("timeout") or DEFAULT_SECONDS))

    def invoke(self, token: str, args: Properties) -> Properties:
        """Call a function of the package."""
        return self._objects.invoke(token, args)

    def cancel(self) -> None:
        """Stop all waiting."""
        self._objects.cancel()

    def _seen(self, inputs: Properties) -> Properties:
        found = self._charts.find(inputs["name"], inputs["namespace"])
        if found is None:
            raise ProviderError(f"release {_id(inputs)} was there a moment ago and is gone")
        return _outputs(inputs, found)


def _name(resource: Resource, old: Properties | None, naming: Naming) -> str:
    """The former name, or the resource's name with eight digits.

    Raises:
        ProviderError: the stack's configuration forbids generated names.
    """
    if old and old.get("name"):
        return str(old["name"])
    if naming.mode is NamingMode.DISABLE:
        raise ProviderError("autonaming is disabled, resource requires the name property to be set")
    return naming.proposed or f"{resource.name}-{hashlib.sha256(naming.seed).hexdigest()[:8]}"


def _id(inputs: Mapping[str, Any]) -> str:
    return f"{inputs['namespace']}/{inputs['name']}"


def _outputs(inputs: Properties, found: InstalledChart) -> Properties:
    status = {
        "appVersion": found.app_version,
        "chart": found.chart,
        "name": found.name,
        "namespace": found.namespace,
        "revision": found.revision,
        "status": found.status,
        "version": found.version,
    }
    return {**inputs, "status": status, "resourceNames": {}}


def _kind(key: str, old: Properties, new: Properties) -> Kind:
    if key not in old:
        return Kind.ADD
    return Kind.UPDATE if key in new else Kind.DELETE
