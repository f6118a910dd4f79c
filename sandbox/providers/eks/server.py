"""Serves the components to the engine, by the Pulumi SDK's own way of writing a component provider.

The SDK keeps what it knows of a deployment in context variables, so its server gets a thread and an event loop of its
own, apart from those of the program that runs in the same process.
"""
# The methods' names and meaning are the protocol's: pulumi/pulumi, proto/pulumi/provider.proto.
# ruff: noqa: ARG002, N802

from __future__ import annotations

import asyncio
import importlib.metadata
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import pulumi
from google.protobuf import empty_pb2
from pulumi.provider import CallResult, ConstructResult, Provider
from pulumi.provider.server import ProviderServicer
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from aphex.errors import AphexError
from sandbox.providers.base import ProviderError, UnknownType

if TYPE_CHECKING:
    from sandbox.providers.server import KubernetesTarget

_CLUSTER = "eks:index:Cluster"
_MESSAGE_BYTES = 400 * 1024 * 1024
_START_SECONDS = 30.0
_STOP_SECONDS = 5.0


class EksProvider(Provider):
    """Makes clusters.

    Args:
        target: the API server that stands in for that of EKS; None for a kubeconfig of the cluster's own endpoint.
    """

    def __init__(self, target: KubernetesTarget | None = None) -> None:
        super().__init__(importlib.metadata.version("pulumi-eks"))
        self._target = target

    def construct(
        self,
        name: str,
        resource_type: str,
        inputs: Mapping[str, pulumi.Input[Any]],
        options: pulumi.ResourceOptions | None = None,
    ) -> ConstructResult:
        """Register a component's children.

        Raises:
            UnknownType: there is no such component here.
            ProviderError: it has inputs that the stand-in does not understand.
        """
        # Imported when first needed: it brings the SDKs of two providers along.
        from sandbox.providers.eks.cluster import Cluster

        if resource_type != _CLUSTER:
            raise UnknownType("eks", resource_type, [_CLUSTER])
        cluster = Cluster(name, inputs, self._target, options)
        return ConstructResult(urn=cluster.urn, state=cluster.state)

    def call(self, token: str, args: Mapping[str, pulumi.Input[Any]]) -> CallResult:
        """Refuse: the components' methods are not here.

        Raises:
            ProviderError: always.
        """
        raise ProviderError(f"the stand-in eks provider has no method {token}")


class _Servicer(ProviderServicer):
    """The SDK's server, attached to an engine that runs already."""

    async def Attach(self, request: plugin_pb2.PluginAttach, context: Any) -> empty_pb2.Empty:
        self.engine_address = request.address
        return empty_pb2.Empty()

    async def Handshake(
        self, request: provider_pb2.ProviderHandshakeRequest, context: Any
    ) -> provider_pb2.ProviderHandshakeResponse:
        self.engine_address = request.engine_address
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True, accept_resources=True, accept_outputs=True)

    async def CheckConfig(self, request: provider_pb2.CheckRequest, context: Any) -> provider_pb2.CheckResponse:
        return provider_pb2.CheckResponse(inputs=request.news)

    async def DiffConfig(self, request: provider_pb2.DiffRequest, context: Any) -> provider_pb2.DiffResponse:
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)

    async def Construct(self, request: provider_pb2.ConstructRequest, context: Any) -> provider_pb2.ConstructResponse:
        try:
            return await self._construct(request, context)
        except AphexError as error:
            # The SDK would tell the user our own call stack.
            await context.abort(grpc.StatusCode.UNKNOWN, str(error))
            raise


@contextmanager
def serve_components(provider: Provider) -> Iterator[int]:
    """Serve a component provider on the loopback interface and yield its port.

    Raises:
        ProviderError: no port could be opened.
    """
    loop = asyncio.new_event_loop()
    started: Future[tuple[int, grpc.aio.Server]] = Future()
    thread = threading.Thread(target=_run, args=(loop, provider, started), name="eks-provider", daemon=True)
    thread.start()
    try:
        port, server = started.result(_START_SECONDS)
        yield port
        asyncio.run_coroutine_threadsafe(server.stop(_STOP_SECONDS), loop).result(2 * _STOP_SECONDS)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_STOP_SECONDS)


def _run(loop: asyncio.AbstractEventLoop, provider: Provider, started: Future[tuple[int, grpc.aio.Server]]) -> None:
    asyncio.set_event_loop(loop)
    try:
        started.set_result(loop.run_until_complete(_start(provider)))
    except Exception as error:  # noqa: BLE001 - it is told to the thread that waits
        started.set_exception(ProviderError(f"no port for the stand-in eks provider: {error}"))
    loop.run_forever()
    loop.close()


async def _start(provider: Provider) -> tuple[int, grpc.aio.Server]:
    options = [("grpc.max_receive_message_length", _MESSAGE_BYTES), ("grpc.so_reuseport", 0)]
    server = grpc.aio.server(options=options)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(_Servicer(provider, [], engine_address=""), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return port, server
