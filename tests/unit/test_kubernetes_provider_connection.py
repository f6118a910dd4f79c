"""How the Kubernetes provider finds its cluster and proves who calls."""

from __future__ import annotations

import http.server
import json
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.providers.kubernetes.api import ApiError, KubernetesApi, UnknownKind, Unreachable
from sandbox.providers.kubernetes.connection import KubeconfigError, connect


class _Recorder(http.server.BaseHTTPRequestHandler):
    """Answers discovery of the core group, and remembers who asked."""

    seen: list[str]

    def do_GET(self) -> None:
        self.seen.append(self.headers.get("Authorization", ""))
        found = self.path == "/api/v1"
        kinds = [{"name": "configmaps", "kind": "ConfigMap", "namespaced": True}]
        self.send_response(200 if found else 404)
        self.end_headers()
        answer: dict[str, Any] = {"resources": kinds} if found else {"kind": "Status", "reason": "NotFound"}
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: what was asked is in `seen`."""


@contextmanager
def api_server() -> Iterator[tuple[str, list[str]]]:
    seen: list[str] = []
    handler = type("Handler", (_Recorder,), {"seen": seen})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", seen
        server.shutdown()
        thread.join()


def kubeconfig(server: str, user: dict[str, Any], name: str = "one", namespace: str | None = None) -> dict[str, Any]:
    context = {"cluster": name, "user": name, **({"namespace": namespace} if namespace else {})}
    return {
        "clusters": [{"name": name, "cluster": {"server": server}}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": context}],
        "current-context": name,
    }


def written(path: Path, content: dict[str, Any]) -> str:
    path.write_text(yaml.safe_dump(content))
    return str(path)


def ask(content: dict[str, Any] | str) -> None:
    api = KubernetesApi(connect(content))
    api.resource_type("v1", "ConfigMap")
    api.close()


def test_a_token_is_sent_with_each_request() -> None:
    with api_server() as (server, seen):
        ask(kubeconfig(server, {"token": "t"}))
    assert seen == ["Bearer t"]


def test_a_token_file_is_read_again_for_each_request(tmp_path: Path) -> None:
    token = tmp_path / "token"
    with api_server() as (server, seen):
        token.write_text("first\n")
        path = written(tmp_path / "config", kubeconfig(server, {"tokenFile": "token"}))
        api = KubernetesApi(connect(path))
        api.resource_type("v1", "ConfigMap")
        token.write_text("second\n")
        with pytest.raises(UnknownKind):
            api.resource_type("apps/v1", "Deployment")
        api.close()
    assert seen == ["Bearer first", "Bearer second"]


def test_a_credential_plugin_is_asked_once(tmp_path: Path) -> None:
    plugin, calls = tmp_path / "plugin", tmp_path / "calls"
    plugin.write_text(
        f"#!{sys.executable}\nopen({str(calls)!r}, 'a').write('x')\n"
        'print(\'{"status": {"token": "from-plugin", "expirationTimestamp": "2999-01-01T00:00:00Z"}}\')\n'
    )
    plugin.chmod(plugin.stat().st_mode | stat.S_IXUSR)
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(plugin)}}
    with api_server() as (server, seen):
        api = KubernetesApi(connect(kubeconfig(server, user)))
        api.resource_type("v1", "ConfigMap")
        with pytest.raises(UnknownKind, match='no matches for kind "Deployment" in version "apps/v1"'):
            api.resource_type("apps/v1", "Deployment")
        api.close()
    assert seen == ["Bearer from-plugin"] * 2
    assert calls.read_text() == "x"


def test_the_files_of_kubeconfig_are_joined_and_the_first_wins(tmp_path: Path) -> None:
    first = written(tmp_path / "a", kubeconfig("http://first", {}, "one"))
    second = written(tmp_path / "b", kubeconfig("http://second", {}, "two"))
    environment = {"KUBECONFIG": f"{first}:{tmp_path / 'absent'}:{second}"}
    assert connect(environment=environment).server == "http://first"
    assert connect(environment=environment, context="two").server == "http://second"


def test_the_context_names_the_default_namespace(tmp_path: Path) -> None:
    content = kubeconfig("http://one", {}, namespace="team")
    assert connect(content).namespace == "team"
    assert connect(content, namespace="other").namespace == "other"
    assert connect(written(tmp_path / "config", kubeconfig("http://one", {}))).namespace == "default"


def test_a_context_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(KubeconfigError, match='no context "two"') as failure:
        connect(kubeconfig("http://one", {}), context="two")
    assert "one" in failure.value.hint


def test_nothing_to_connect_to_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigError, match="is not there and this is no pod"):
        connect(environment={"HOME": str(tmp_path)}, service_account=tmp_path)


def test_text_that_is_no_kubeconfig_is_refused() -> None:
    with pytest.raises(KubeconfigError, match="is no kubeconfig"):
        connect("just some text")


def test_a_server_that_does_not_answer_is_named() -> None:
    with api_server() as (server, _):
        pass
    with pytest.raises(Unreachable, match=server):
        ask(kubeconfig(server, {}))


def test_a_credential_is_never_shown() -> None:
    connection = connect(kubeconfig("http://one", {"token": "correct-horse"}))
    assert "correct-horse" not in repr(connection)


def test_an_error_of_the_api_server_is_told_by_its_reason() -> None:
    with api_server() as (server, _):
        api = KubernetesApi(connect(kubeconfig(server, {})))
        with pytest.raises(ApiError) as failure:
            api.get({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}})
        api.close()
    assert failure.value.reason == "NotFound"
    assert failure.value.not_found
