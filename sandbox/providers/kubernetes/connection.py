"""Where the API server is and who is calling: a kubeconfig's active context, or the pod's own service account."""

from __future__ import annotations

import base64
import json
import os
import ssl
import tempfile
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from aphex.errors import AphexError
from aphex.process import run

_CONNECT_RETRIES = 2
_FILES = {"cluster": ["certificate-authority"], "user": ["client-certificate", "client-key", "tokenFile"]}
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class KubeconfigError(AphexError):
    """A kubeconfig cannot be read, or does not say how to reach a cluster."""


@dataclass(frozen=True, kw_only=True)
class Connection:
    """How to reach one API server.

    Attributes:
        server: its base URL.
        namespace: the namespace of objects that name none.
        tls: how its certificate is checked, and the client's own certificate.
        auth: what proves the caller's identity on each request.
    """

    server: str
    namespace: str = "default"
    tls: ssl.SSLContext | bool = True
    auth: httpx.Auth | None = field(default=None, repr=False)

    def client(self, timeout: float = 30.0) -> httpx.Client:
        """An HTTP client for this API server. `timeout` is in seconds and holds for each request."""
        transport = httpx.HTTPTransport(verify=self.tls, retries=_CONNECT_RETRIES, trust_env=False)
        return httpx.Client(base_url=self.server, transport=transport, auth=self.auth, timeout=timeout)


class TokenFileAuth(httpx.Auth):
    """A bearer token that is read from its file for every request, since the kubelet rotates it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send the request with the token of this moment."""
        request.headers["Authorization"] = f"Bearer {self._path.read_text().strip()}"
        yield request


class TokenAuth(httpx.Auth):
    """A bearer token that was given as a value."""

    def __init__(self, token: str) -> None:
        self._header = f"Bearer {token}"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send the request with the token."""
        request.headers["Authorization"] = self._header
        yield request


class PluginAuth(httpx.Auth):
    """A bearer token from the kubeconfig's `exec` plugin (such as `aws eks get-token`), kept until it expires."""

    def __init__(self, plugin: Mapping[str, Any], directory: Path) -> None:
        self._plugin = plugin
        self._directory = directory
        self._token = ""
        self._expires: datetime | None = None

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send the request with the plugin's token; ask for another one when it was refused."""
        if not self._token or (self._expires and self._expires <= datetime.now(UTC)):
            self._renew()
        request.headers["Authorization"] = f"Bearer {self._token}"
        response = yield request
        if response.status_code == httpx.codes.UNAUTHORIZED:
            self._renew()
            request.headers["Authorization"] = f"Bearer {self._token}"
            yield request

    def _renew(self) -> None:
        command = [self._plugin["command"], *(self._plugin.get("args") or [])]
        added = {entry["name"]: entry["value"] for entry in self._plugin.get("env") or []}
        info = {"apiVersion": self._plugin["apiVersion"], "kind": "ExecCredential", "spec": {"interactive": False}}
        environment = {**os.environ, **added, "KUBERNETES_EXEC_INFO": json.dumps(info)}
        completed = run(command, cwd=self._directory, env=environment, separate_errors=True)
        try:
            status = json.loads(completed.output)["status"]
            self._token = status["token"]
        except (ValueError, KeyError, TypeError) as error:
            raise KubeconfigError(
                f"The kubeconfig's credential plugin {command[0]} returned no token.",
                hint="Run the command of users[].user.exec by hand and look at what it prints.",
            ) from error
        expires = status.get("expirationTimestamp")
        self._expires = datetime.fromisoformat(expires) if expires else None


def connect(
    kubeconfig: str | Mapping[str, Any] | None = None,
    *,
    context: str | None = None,
    cluster: str | None = None,
    namespace: str | None = None,
    environment: Mapping[str, str] = os.environ,
    service_account: Path = SERVICE_ACCOUNT,
) -> Connection:
    """Find the API server as the real provider does.

    Args:
        kubeconfig: a kubeconfig's content or the path of one; None looks for the files of `KUBECONFIG`, then
            `~/.kube/config`, then the service account of the pod.
        context: the context to use instead of the current one.
        cluster: the cluster to use instead of the context's.
        namespace: the default namespace, instead of the context's.
        environment: where `KUBECONFIG`, `HOME` and `KUBERNETES_SERVICE_*` are looked up.
        service_account: the folder of the pod's token.

    Raises:
        KubeconfigError: there is no configuration, or it lacks the context, the cluster or the user.
    """
    if kubeconfig:
        content, directory = _load(kubeconfig)
        return _from_content(content, directory, context, cluster, namespace)
    default = Path(environment.get("HOME", "~")).expanduser() / ".kube" / "config"
    named = environment.get("KUBECONFIG", "")
    files = [Path(part) for part in named.split(os.pathsep) if part] if named else [default]
    if found := [file for file in files if file.is_file()]:
        content = _merged([_read(file) for file in found])
        return _from_content(content, found[0].parent, context, cluster, namespace)
    if (service_account / "token").is_file() and "KUBERNETES_SERVICE_HOST" in environment:
        return _in_cluster(service_account, environment, namespace)
    raise KubeconfigError(
        f"No Kubernetes configuration was found: {os.pathsep.join(map(str, files))} is not there and this is no pod.",
        hint="Set KUBECONFIG, or kubernetes:kubeconfig in the stack's configuration.",
    )


def active_cluster(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """The cluster that a provider's configuration points to; None when it has no kubeconfig of its own.

    Raises:
        KubeconfigError: its kubeconfig lacks the context or the cluster.
    """
    if not config.get("kubeconfig"):
        return None
    content, _ = _load(config["kubeconfig"])
    chosen = _named(content, "context", config.get("context") or content.get("current-context", ""))
    return _named(content, "cluster", config.get("cluster") or chosen.get("cluster", ""))


def _load(kubeconfig: str | Mapping[str, Any]) -> tuple[dict[str, Any], Path]:
    if isinstance(kubeconfig, Mapping):
        return dict(kubeconfig), Path.cwd()
    if "\n" not in kubeconfig and len(kubeconfig) < os.pathconf("/", "PC_PATH_MAX"):
        path = Path(kubeconfig).expanduser()
        if path.is_file():
            return _read(path), path.parent
    return _parse(kubeconfig, "the given kubeconfig"), Path.cwd()


def _read(path: Path) -> dict[str, Any]:
    content = _parse(path.read_text(), str(path))
    for section, keys in (
        ("cluster", ["certificate-authority"]),
        ("user", ["client-certificate", "client-key", "tokenFile"]),
    ):
        for entry in content.get(f"{section}s") or []:
            values = entry.get(section) or {}
            values.update({key: str(path.parent / values[key]) for key in keys if values.get(key)})
    return content


def _parse(text: str, where: str) -> dict[str, Any]:
    try:
        content = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise KubeconfigError(f"{where} is no valid kubeconfig: it cannot be parsed as YAML.") from error
    if not isinstance(content, dict):
        raise KubeconfigError(f"{where} is no kubeconfig: a mapping with clusters, users and contexts is expected.")
    return content


def _merged(contents: list[dict[str, Any]]) -> dict[str, Any]:
    """Join several kubeconfigs as kubectl does: the first to name something wins."""
    result: dict[str, Any] = {"clusters": [], "users": [], "contexts": []}
    for content in contents:
        if not result.get("current-context") and content.get("current-context"):
            result["current-context"] = content["current-context"]
        for section in ("clusters", "users", "contexts"):
            known = {entry["name"] for entry in result[section]}
            result[section] += [entry for entry in content.get(section) or [] if entry["name"] not in known]
    return result


def _from_content(
    content: dict[str, Any], directory: Path, context: str | None, cluster: str | None, namespace: str | None
) -> Connection:
    context = context or content.get("current-context")
    if not context:
        raise KubeconfigError(
            "The kubeconfig has no current-context.", hint="Name one, or run kubectl config use-context."
        )
    chosen = _named(content, "context", context)
    at = _named(content, "cluster", cluster or chosen.get("cluster", ""))
    user = _named(content, "user", chosen["user"]) if chosen.get("user") else {}
    if not at.get("server"):
        raise KubeconfigError(f'The cluster of context "{context}" has no server in the kubeconfig.')
    return Connection(
        server=at["server"],
        namespace=namespace or chosen.get("namespace") or "default",
        tls=_tls(at, user),
        auth=_auth(user, directory),
    )


def _named(content: dict[str, Any], section: str, name: str) -> dict[str, Any]:
    entries = {entry["name"]: entry.get(section) or {} for entry in content.get(f"{section}s") or []}
    if name not in entries:
        known = ", ".join(sorted(entries)) or "none"
        raise KubeconfigError(f'The kubeconfig has no {section} "{name}".', hint=f"It has: {known}.")
    return dict(entries[name])


def _tls(cluster: Mapping[str, Any], user: Mapping[str, Any]) -> ssl.SSLContext | bool:
    if not str(cluster["server"]).startswith("https://"):
        return True
    data = cluster.get("certificate-authority-data")
    context = ssl.create_default_context(
        cafile=None if data else cluster.get("certificate-authority"),
        cadata=base64.b64decode(data).decode() if data else None,
    )
    if cluster.get("insecure-skip-tls-verify"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    certificate, key = (_credential(user, name) for name in ("client-certificate", "client-key"))
    if certificate and key:
        # load_cert_chain takes only files; this one is its owner's alone and gone at once.
        with tempfile.NamedTemporaryFile() as file:
            file.write(certificate + b"\n" + key)
            file.flush()
            context.load_cert_chain(file.name)
    return context


def _credential(user: Mapping[str, Any], name: str) -> bytes:
    if data := user.get(f"{name}-data"):
        return base64.b64decode(data)
    return Path(user[name]).read_bytes() if user.get(name) else b""


def _auth(user: Mapping[str, Any], directory: Path) -> httpx.Auth | None:
    if user.get("tokenFile"):
        return TokenFileAuth(Path(user["tokenFile"]))
    if user.get("token"):
        return TokenAuth(user["token"])
    if user.get("exec"):
        return PluginAuth(user["exec"], directory)
    if user.get("username"):
        return httpx.BasicAuth(user["username"], user.get("password", ""))
    return None


def _in_cluster(folder: Path, environment: Mapping[str, str], namespace: str | None) -> Connection:
    host, port = environment["KUBERNETES_SERVICE_HOST"], environment.get("KUBERNETES_SERVICE_PORT", "443")
    own = folder / "namespace"
    return Connection(
        server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        namespace=namespace or (own.read_text().strip() if own.is_file() else "default"),
        tls=ssl.create_default_context(cafile=str(folder / "ca.crt")),
        auth=TokenFileAuth(folder / "token"),
    )
