"""Speaks the engine's `ResourceProvider` protocol for any `Provider`, so that providers stay plain Python."""
# The methods' names and meaning are the protocol's: pulumi/pulumi, proto/pulumi/provider.proto.
# ruff: noqa: ARG002, D102, N802

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import grpc
from google.protobuf import empty_pb2, struct_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2

from aphex.errors import AphexError
from sandbox.providers.base import (
    Change,
    Checked,
    Difference,
    InitializationFailed,
    Kind,
    Naming,
    NamingMode,
    Provider,
    ProviderError,
    Resource,
)
from sandbox.providers.marshal import Properties, decode, encode, keep_secrets, plain

logger = logging.getLogger(__name__)

_Answer = TypeVar("_Answer")
_KINDS = {
    (Kind.ADD, False): provider_pb2.PropertyDiff.ADD,
    (Kind.ADD, True): provider_pb2.PropertyDiff.ADD_REPLACE,
    (Kind.DELETE, False): provider_pb2.PropertyDiff.DELETE,
    (Kind.DELETE, True): provider_pb2.PropertyDiff.DELETE_REPLACE,
    (Kind.UPDATE, False): provider_pb2.PropertyDiff.UPDATE,
    (Kind.UPDATE, True): provider_pb2.PropertyDiff.UPDATE_REPLACE,
}
_NAMING_MODES = {
    provider_pb2.CheckRequest.AutonamingOptions.PROPOSE: NamingMode.PROPOSE,
    provider_pb2.CheckRequest.AutonamingOptions.ENFORCE: NamingMode.ENFORCE,
    provider_pb2.CheckRequest.AutonamingOptions.DISABLE: NamingMode.DISABLE,
}


class _Unsupported(ProviderError):
    """The protocol has this call, the stand-in providers do not."""


def _answers(call: Callable[[Any, Any, grpc.ServicerContext], _Answer]) -> Callable[..., _Answer]:
    """Turn the exceptions of a call into the statuses that the engine shows to the user."""

    @functools.wraps(call)
    def answer(self: Any, request: Any, context: grpc.ServicerContext) -> _Answer:
        try:
            return call(self, request, context)
        except _Unsupported as error:
            code, message = grpc.StatusCode.UNIMPLEMENTED, str(error)
        except InitializationFailed as failure:
            code, message = grpc.StatusCode.UNKNOWN, str(failure)
            context.set_trailing_metadata((("grpc-status-details-bin", _details(failure, request)),))
        except AphexError as error:
            code, message = grpc.StatusCode.UNKNOWN, str(error)
        except Exception as error:
            logger.exception("%s failed", call.__name__)
            code, message = grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}"
        context.abort(code, message)
        raise AssertionError("abort returned")

    return answer


class Servicer(provider_pb2_grpc.ResourceProviderServicer):
    """One server for every provider resource of a program.

    The engine opens one connection for each provider resource (the default one and each explicit one) and
    configures each on its own, so the connection tells them apart.
    """

    def __init__(self, factory: Callable[[], Provider]) -> None:
        self._factory = factory
        self._lock = threading.Lock()
        self._configured: dict[str, Provider] = {}
        self._unconfigured = factory()

    def _provider(self, context: grpc.ServicerContext) -> Provider:
        with self._lock:
            provider = self._configured.get(context.peer())
            if provider is None and len(self._configured) == 1:
                (provider,) = self._configured.values()
        if provider is None:
            raise ProviderError(f"the {self._unconfigured.package} provider was not configured on this connection")
        return provider

    def GetPluginInfo(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=self._unconfigured.version)

    def Attach(self, request: plugin_pb2.PluginAttach, context: grpc.ServicerContext) -> empty_pb2.Empty:
        return empty_pb2.Empty()

    def Handshake(
        self, request: provider_pb2.ProviderHandshakeRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ProviderHandshakeResponse:
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True, supports_autonaming_configuration=True)

    @_answers
    def CheckConfig(
        self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CheckResponse:
        news = decode(request.news)
        return _check_response(self._unconfigured.check_config(plain(news)), news)

    @_answers
    def DiffConfig(self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext) -> provider_pb2.DiffResponse:
        old, new = plain(decode(request.old_inputs)), plain(decode(request.news))
        return _diff_response(self._unconfigured.diff_config(old, new))

    @_answers
    def Configure(
        self, request: provider_pb2.ConfigureRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ConfigureResponse:
        provider = self._factory()
        provider.configure(plain(decode(request.args)))
        with self._lock:
            self._configured[context.peer()] = provider
        return provider_pb2.ConfigureResponse(
            acceptSecrets=True, supportsPreview=True, supports_autonaming_configuration=True
        )

    @_answers
    def Check(self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext) -> provider_pb2.CheckResponse:
        news = decode(request.news)
        olds = plain(decode(request.olds)) if request.HasField("olds") and request.olds.fields else None
        checked = self._provider(context).check(_resource(request), olds, plain(news), _naming(request))
        return _check_response(checked, news)

    @_answers
    def Diff(self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext) -> provider_pb2.DiffResponse:
        difference = self._provider(context).diff(
            _resource(request),
            request.id,
            plain(decode(request.old_inputs)),
            plain(decode(request.olds)),
            plain(decode(request.news)),
        )
        return _diff_response(difference)

    @_answers
    def Create(self, request: provider_pb2.CreateRequest, context: grpc.ServicerContext) -> provider_pb2.CreateResponse:
        inputs = decode(request.properties)
        created = self._provider(context).create(
            _resource(request), plain(inputs), preview=request.preview, timeout=request.timeout
        )
        return provider_pb2.CreateResponse(id=created.id, properties=_marked(created.outputs, inputs))

    @_answers
    def Read(self, request: provider_pb2.ReadRequest, context: grpc.ServicerContext) -> provider_pb2.ReadResponse:
        inputs, outputs = decode(request.inputs), decode(request.properties)
        state = self._provider(context).read(_resource(request), request.id, plain(inputs), plain(outputs))
        if state is None:
            return provider_pb2.ReadResponse()
        return provider_pb2.ReadResponse(
            id=state.id, properties=_marked(state.outputs, outputs), inputs=_marked(state.inputs, inputs)
        )

    @_answers
    def Update(self, request: provider_pb2.UpdateRequest, context: grpc.ServicerContext) -> provider_pb2.UpdateResponse:
        news = decode(request.news)
        change = Change(
            new=plain(news),
            old_inputs=plain(decode(request.old_inputs)),
            old_outputs=plain(decode(request.olds)),
            preview=request.preview,
            timeout=request.timeout,
        )
        outputs = self._provider(context).update(_resource(request), request.id, change)
        return provider_pb2.UpdateResponse(properties=_marked(outputs, news))

    @_answers
    def Delete(self, request: provider_pb2.DeleteRequest, context: grpc.ServicerContext) -> empty_pb2.Empty:
        inputs, outputs = plain(decode(request.old_inputs)), plain(decode(request.properties))
        self._provider(context).delete(_resource(request), request.id, inputs, outputs, request.timeout)
        return empty_pb2.Empty()

    @_answers
    def Invoke(self, request: provider_pb2.InvokeRequest, context: grpc.ServicerContext) -> provider_pb2.InvokeResponse:
        answer = self._provider(context).invoke(request.tok, plain(decode(request.args)))
        response = provider_pb2.InvokeResponse()
        # The field is called `return`, which cannot be written as an attribute.
        getattr(response, "return").CopyFrom(encode(answer))
        return response

    def Cancel(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> empty_pb2.Empty:
        with self._lock:
            providers = list(self._configured.values())
        for provider in providers:
            provider.cancel()
        return empty_pb2.Empty()

    @_answers
    def Construct(self, request: provider_pb2.ConstructRequest, context: grpc.ServicerContext) -> Any:
        raise _Unsupported(f"the {self._unconfigured.package} provider has no remote component {request.type}")

    @_answers
    def Call(self, request: provider_pb2.CallRequest, context: grpc.ServicerContext) -> Any:
        raise _Unsupported(f"the {self._unconfigured.package} provider has no method {request.tok}")

    @_answers
    def GetSchema(self, request: provider_pb2.GetSchemaRequest, context: grpc.ServicerContext) -> Any:
        raise _Unsupported(f"the stand-in {self._unconfigured.package} provider has no schema")

    @_answers
    def GetMapping(self, request: provider_pb2.GetMappingRequest, context: grpc.ServicerContext) -> Any:
        raise _Unsupported(f"the stand-in {self._unconfigured.package} provider has no mappings")

    @_answers
    def GetMappings(self, request: provider_pb2.GetMappingsRequest, context: grpc.ServicerContext) -> Any:
        raise _Unsupported(f"the stand-in {self._unconfigured.package} provider has no mappings")

    @_answers
    def Parameterize(self, request: provider_pb2.ParameterizeRequest, context: grpc.ServicerContext) -> Any:
        raise _Unsupported(f"the {self._unconfigured.package} provider takes no parameters")


def _resource(request: Any) -> Resource:
    return Resource(urn=request.urn, type=request.type, name=request.name)


def _naming(request: provider_pb2.CheckRequest) -> Naming:
    if not request.HasField("autonaming"):
        return Naming(seed=request.randomSeed)
    options = request.autonaming
    return Naming(request.randomSeed, options.proposed_name or None, _NAMING_MODES[options.mode])


def _marked(properties: Properties, like: Properties) -> struct_pb2.Struct:
    return encode(keep_secrets(properties, like))


def _check_response(checked: Checked, news: Properties) -> provider_pb2.CheckResponse:
    failures = [
        provider_pb2.CheckFailure(property=problem.property, reason=problem.reason) for problem in checked.problems
    ]
    return provider_pb2.CheckResponse(inputs=_marked(checked.inputs, news), failures=failures)


def _diff_response(difference: Difference) -> provider_pb2.DiffResponse:
    changes = difference.changes
    return provider_pb2.DiffResponse(
        changes=provider_pb2.DiffResponse.DIFF_SOME if changes else provider_pb2.DiffResponse.DIFF_NONE,
        diffs=sorted({_root(change.path) for change in changes}),
        replaces=sorted({_root(change.path) for change in changes if change.replaces}),
        deleteBeforeReplace=difference.delete_before_replace,
        hasDetailedDiff=True,
        detailedDiff={
            change.path: provider_pb2.PropertyDiff(kind=_KINDS[change.kind, change.replaces], inputDiff=True)
            for change in changes
        },
    )


def _root(path: str) -> str:
    """The top-level property of a path: `rules` of `rules[0].status`, `a.b` of `["a.b"].c`."""
    if path.startswith('["'):
        return path[2 : path.index('"]')]
    return path.split("[", 1)[0].split(".", 1)[0]


def _details(failure: InitializationFailed, request: Any) -> bytes:
    """The error detail by which the engine keeps a resource that exists but is not as wanted."""
    sent = next((getattr(request, name) for name in ("news", "properties") if hasattr(request, name)), None)
    like = decode(sent) if sent is not None else {}
    status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=str(failure))
    status.details.add().Pack(
        provider_pb2.ErrorResourceInitFailed(
            id=failure.id,
            properties=_marked(failure.outputs, like),
            reasons=failure.reasons,
            inputs=_marked(failure.inputs, like),
        )
    )
    return status.SerializeToString()
