"""Runs the stand-in providers beside the engine and tells the engine where they are."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
from pulumi.runtime.proto import provider_pb2_grpc

from sandbox.providers.aws.endpoint import AwsEndpoint
from sandbox.providers.base import Provider, ProviderError
from sandbox.providers.servicer import Servicer

if TYPE_CHECKING:
    from sandbox.providers.kubernetes.charts import Charts, ChartTarget

__all__ = ["AwsEndpoint", "KubernetesTarget", "attach", "serve"]

VARIABLE = "PULUMI_DEBUG_PROVIDERS"

# A Kubernetes operation waits for readiness in its call, so there are more threads than the engine's parallelism.
_THREADS = 64
_MESSAGE_BYTES = 400 * 1024 * 1024
_STOP_SECONDS = 5.0


@dataclass(frozen=True)
class KubernetesTarget:
    """Which cluster the Kubernetes provider speaks to when the program does not say.

    Attributes:
        kubeconfig: path of the kubeconfig; None for the usual one, or the pod's own service account.
        context: the kubeconfig's context; None for its current one.
    """

    kubeconfig: Path | None = None
    context: str | None = None


@contextmanager
def serve(factory: Callable[[], Provider]) -> Iterator[int]:
    """Serve a provider on the loopback interface and yield its port.

    `factory` is called once for each provider resource of the program.

    Raises:
        ProviderError: no port could be opened.
    """
    options = [("grpc.max_receive_message_length", _MESSAGE_BYTES), ("grpc.so_reuseport", 0)]
    server = grpc.server(futures.ThreadPoolExecutor(_THREADS), options=options)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Servicer(factory), server)
    try:
        port = server.add_insecure_port("127.0.0.1:0")
    except RuntimeError as error:
        raise ProviderError(f"no port for a stand-in provider: {error}") from error
    server.start()
    try:
        yield port
    finally:
        server.stop(_STOP_SECONDS).wait()


@contextmanager
def attach(
    aws: AwsEndpoint | None = None,
    kubernetes: KubernetesTarget | None = None,
    *,
    eks: bool = False,
    charts: Callable[[ChartTarget], Charts] | None = None,
    pulumi_home: Path | None = None,
) -> Iterator[dict[str, str]]:
    """Serve the providers asked for and yield what the engine's environment needs to find them.

    `eks` asks for the components of the cluster stack too, with `kubernetes` as the API server of their clusters;
    `charts` installs Helm charts where the `helm` program shall not.

    A plugin that is installed in the Pulumi home, in the version that the SDK asks for or a newer one, wins over
    its stand-in, and so does a provider that the environment already attaches.
    """
    home = pulumi_home or _pulumi_home()
    attached = [entry for entry in os.environ.get(VARIABLE, "").split(",") if entry]
    taken = {entry.split(":", 1)[0] for entry in attached}
    with ExitStack() as stack:
        for name, serving in _servings(aws, kubernetes, charts, eks=eks).items():
            if name not in taken and not is_installed(name, home):
                attached.append(f"{name}:{stack.enter_context(serving())}")
        yield {VARIABLE: ",".join(attached)} if attached else {}


def is_installed(name: str, pulumi_home: Path) -> bool:
    """Whether the real plugin is there, complete, and as new as the SDK that the programs use."""
    wanted = _version(importlib.metadata.version(f"pulumi-{name}"))
    for folder in pulumi_home.glob(f"plugins/resource-{name}-v*"):
        # The mark of an installation that was not finished.
        partial = folder.with_name(f"{folder.name}.partial").exists()
        complete = (folder / f"pulumi-resource-{name}").exists() and not partial
        if complete and _version(folder.name.rpartition("-v")[2]) >= wanted:
            return True
    return False


def _servings(
    aws: AwsEndpoint | None,
    kubernetes: KubernetesTarget | None,
    charts: Callable[[ChartTarget], Charts] | None,
    *,
    eks: bool,
) -> dict[str, Callable[[], AbstractContextManager[int]]]:
    # Imported only when needed: each brings its SDK along.
    def serve_aws() -> AbstractContextManager[int]:
        from sandbox.providers.aws.provider import AwsProvider

        return serve(lambda: AwsProvider(aws or AwsEndpoint()))

    def serve_kubernetes() -> AbstractContextManager[int]:
        from sandbox.providers.kubernetes.charts import HelmProgram
        from sandbox.providers.kubernetes.provider import KubernetesProvider
        from sandbox.providers.kubernetes.releases import ReleasingProvider

        return serve(lambda: ReleasingProvider(KubernetesProvider(kubernetes), charts or HelmProgram))

    def serve_eks() -> AbstractContextManager[int]:
        from sandbox.providers.eks.server import EksProvider, serve_components

        return serve_components(EksProvider(kubernetes))

    asked = {"aws": (aws, serve_aws), "kubernetes": (kubernetes, serve_kubernetes), "eks": (eks, serve_eks)}
    return {name: serving for name, (wanted, serving) in asked.items() if wanted}


def _pulumi_home() -> Path:
    configured = os.environ.get("PULUMI_HOME")
    return Path(configured) if configured else Path.home() / ".pulumi"


def _version(text: str) -> tuple[int, ...]:
    numbers = text.split("-", 1)[0].split("+", 1)[0].split(".")
    return tuple(int(number) for number in numbers if number.isdigit())
