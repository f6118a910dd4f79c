"""Stands in for Helm where neither the program nor the chart repositories can be reached.

It renders no chart. It keeps each release's inputs as Helm keeps its own record, a Secret `sh.helm.release.v1.NAME.vN`
for each revision in the release's namespace, on a real API server, so that installing, upgrading, finding and
uninstalling are real operations on it. Tests register it by name; nothing else uses it.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping
from typing import Any

from sandbox.providers.kubernetes.api import ApiError, KubernetesApi
from sandbox.providers.kubernetes.charts import ChartTarget, InstalledChart
from sandbox.providers.kubernetes.connection import connect

_MANAGER = "helm"
Record = dict[str, Any]


class RecordedCharts:
    """Releases that consist of their records alone."""

    def __init__(self, target: ChartTarget) -> None:
        self._target = target
        self._connected: KubernetesApi | None = None

    def ready(self) -> None:
        """It needs nothing but the API server."""

    def install(self, release: Mapping[str, Any]) -> None:
        """Write the first revision's record, after the namespace when that is asked for."""
        if release.get("createNamespace"):
            namespace: Record = {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": release["namespace"]},
            }
            self._api.apply(namespace, manager=_MANAGER)
        self._write(release, 1)

    def upgrade(self, release: Mapping[str, Any]) -> None:
        """Write the next revision's record."""
        found = self.find(release["name"], release["namespace"])
        assert found is not None
        self._write(release, found.revision + 1)

    def find(self, name: str, namespace: str) -> InstalledChart | None:
        """The last revision."""
        records = [_opened(secret) for secret in self._secrets(name, namespace)]
        if not records:
            return None
        last = max(records, key=lambda record: int(record["version"]))
        metadata = last["chart"]["metadata"]
        return InstalledChart(
            name=name,
            namespace=namespace,
            revision=last["version"],
            status=last["info"]["status"],
            chart=metadata["name"],
            version=metadata["version"],
            app_version=metadata["version"],
            values=last["config"],
        )

    def uninstall(self, name: str, namespace: str, seconds: float) -> None:
        """Remove the records of all revisions."""
        for secret in self._secrets(name, namespace):
            self._api.delete({"apiVersion": "v1", "kind": "Secret", **secret}, propagation="Background")

    @property
    def _api(self) -> KubernetesApi:
        if self._connected is None:
            given = self._target.kubeconfig
            self._connected = KubernetesApi(connect(given, context=self._target.context))
        return self._connected

    def _secrets(self, name: str, namespace: str) -> list[Record]:
        try:
            return self._api.find_all("v1", "Secret", namespace, {"owner": "helm", "name": name})
        except ApiError as error:
            if error.not_found:
                return []
            raise

    def _write(self, release: Mapping[str, Any], revision: int) -> None:
        record = {
            "name": release["name"],
            "namespace": release["namespace"],
            "version": revision,
            "info": {"status": "deployed"},
            "config": release.get("values") or {},
            "chart": {"metadata": {"name": release["chart"], "version": release.get("version") or "0.0.0"}},
        }
        labels = {"owner": "helm", "name": release["name"], "version": str(revision), "status": "deployed"}
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "helm.sh/release.v1",
            "metadata": {
                "name": f"sh.helm.release.v1.{release['name']}.v{revision}",
                "namespace": release["namespace"],
                "labels": labels,
            },
            "data": {"release": _packed(record)},
        }
        self._api.create(secret, manager=_MANAGER)


def _packed(record: Record) -> str:
    # Helm's own encoding, within that of a Secret.
    inner = base64.b64encode(gzip.compress(json.dumps(record).encode()))
    return base64.b64encode(inner).decode()


def _opened(secret: Record) -> Record:
    inner = base64.b64decode(secret["data"]["release"])
    record: Record = json.loads(gzip.decompress(base64.b64decode(inner)))
    return record
