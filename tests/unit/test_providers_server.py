"""A provider answers the engine's protocol over a real connection, and only where no real plugin is installed."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc, status_pb2

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
    UnknownFunction,
)
from sandbox.providers.marshal import Secret, decode, encode
from sandbox.providers.server import AwsEndpoint, KubernetesTarget, attach, is_installed, serve

TYPE = "files:index:File"


class Shelf(Provider):
    """Keeps things in memory, one shelf for each configured provider."""

    package = "shelf"
    version = "1.2.3"

    def __init__(self) -> None:
        self.things: dict[str, Properties] = {}
        self.label = ""
        self.cancelled = False

    def configure(self, config: Properties) -> None:
        self.label = config["label"]

    def check(self, resource: Resource, old: Properties | None, new: Properties, naming: Naming) -> Checked:
        problems = [] if "size" in new else [Problem("size", "missing")]
        return Checked({**new, "name": naming.proposed or resource.name, "mode": naming.mode.value}, problems)

    def diff(
        self, resource: Resource, id: str, old_inputs: Properties, old_outputs: Properties, new: Properties
    ) -> Difference:
        if old_inputs == new:
            return Difference()
        changes = [PropertyChange("size", Kind.UPDATE, True), PropertyChange('tags["a.b"].c', Kind.ADD)]
        return Difference(changes, delete_before_replace=True)

    def create(self, resource: Resource, inputs: Properties, *, preview: bool, timeout: float) -> Created:
        if preview:
            return Created("", {**inputs, "place": UNKNOWN})
        if inputs["size"] == 13:
            raise InitializationFailed("half", {**inputs, "place": "floor"}, ["it fell down"])
        self.things[resource.name] = inputs
        return Created(f"{self.label}/{resource.name}", {**inputs, "place": self.label})

    def read(self, resource: Resource, id: str, inputs: Properties, outputs: Properties) -> State | None:
        found = self.things.get(id.rpartition("/")[2])
        return State(id, found, found) if found else None

    def update(self, resource: Resource, id: str, change: Change) -> Properties:
        raise ProviderError("things cannot change", hint="Make another.")

    def delete(self, resource: Resource, id: str, inputs: Properties, outputs: Properties, timeout: float) -> None:
        del self.things[id]

    def invoke(self, token: str, args: Properties) -> Properties:
        raise UnknownFunction(self.package, token, ["shelf:index:count"])

    def cancel(self) -> None:
        self.cancelled = True


@pytest.fixture
def shelves() -> list[Shelf]:
    return []


@pytest.fixture
def port(shelves: list[Shelf]) -> Iterator[int]:
    def factory() -> Shelf:
        shelves.append(Shelf())
        return shelves[-1]

    with serve(factory) as port:
        yield port


@pytest.fixture
def engine(port: int) -> Iterator[Any]:
    with connected(port, "oak") as stub:
        yield stub


@contextmanager
def connected(port: int, label: str) -> Iterator[Any]:
    """A connection as the engine opens one for each provider resource."""
    # Channels to one address share a connection unless they differ in their options.
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=[("test.label", label)]) as channel:
        stub: Any = provider_pb2_grpc.ResourceProviderStub(channel)
        answer = stub.Configure(provider_pb2.ConfigureRequest(args=encode({"label": Secret(label)})))
        assert answer.acceptSecrets
        assert answer.supportsPreview
        yield stub


def create(stub: Any, name: str = "thing", *, preview: bool = False, **inputs: Any) -> Any:
    request = provider_pb2.CreateRequest(name=name, type=TYPE, properties=encode(inputs), preview=preview)
    return stub.Create(request)


def test_the_handshake_promises_what_is_kept(engine: Any) -> None:
    shaken = engine.Handshake(provider_pb2.ProviderHandshakeRequest())
    assert shaken.accept_secrets
    assert not shaken.accept_outputs
    assert engine.GetPluginInfo(empty_pb2.Empty()).version == "1.2.3"


def test_checks_keep_secrets_and_report_problems(engine: Any) -> None:
    answer = engine.Check(provider_pb2.CheckRequest(name="n", type=TYPE, news=encode({"pin": Secret("1")})))
    assert decode(answer.inputs) == {"pin": Secret("1"), "name": "n", "mode": "propose"}
    assert [(failure.property, failure.reason) for failure in answer.failures] == [("size", "missing")]


def test_the_user_s_naming_reaches_the_provider(engine: Any) -> None:
    options = provider_pb2.CheckRequest.AutonamingOptions(
        proposed_name="chosen", mode=provider_pb2.CheckRequest.AutonamingOptions.ENFORCE
    )
    answer = engine.Check(provider_pb2.CheckRequest(name="n", news=encode({"size": 1}), autonaming=options))
    assert decode(answer.inputs) == {"size": 1, "name": "chosen", "mode": NamingMode.ENFORCE.value}


def test_differences_are_told_in_detail(engine: Any) -> None:
    request = provider_pb2.DiffRequest(id="i", old_inputs=encode({"size": 1}), news=encode({"size": UNKNOWN}))
    answer = engine.Diff(request)
    assert answer.changes == provider_pb2.DiffResponse.DIFF_SOME
    assert answer.deleteBeforeReplace
    assert list(answer.diffs) == ["size", "tags"]
    assert list(answer.replaces) == ["size"]
    assert answer.detailedDiff["size"].kind == provider_pb2.PropertyDiff.UPDATE_REPLACE
    assert answer.detailedDiff['tags["a.b"].c'].kind == provider_pb2.PropertyDiff.ADD
    same = engine.Diff(provider_pb2.DiffRequest(old_inputs=encode({"size": 1}), news=encode({"size": 1})))
    assert same.changes == provider_pb2.DiffResponse.DIFF_NONE


def test_a_preview_makes_nothing_and_knows_what_it_does_not_know(engine: Any, shelves: list[Shelf]) -> None:
    answer = create(engine, preview=True, size=1, pin=Secret("1234"))
    assert answer.id == ""
    assert decode(answer.properties) == {"size": 1, "pin": Secret("1234"), "place": UNKNOWN}
    assert not any(shelf.things for shelf in shelves)


def test_each_connection_has_a_provider_of_its_own(port: int, engine: Any) -> None:
    with connected(port, "pine") as other:
        assert create(engine, size=1).id == "oak/thing"
        assert create(other, size=1).id == "pine/thing"
        assert not other.Read(provider_pb2.ReadRequest(id="pine/else")).id
        assert engine.Read(provider_pb2.ReadRequest(id="oak/thing")).id == "oak/thing"


def test_a_half_made_resource_reaches_the_engine_with_its_secrets(engine: Any) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        create(engine, size=13, pin=Secret("1234"))
    error: Any = raised.value
    assert error.details() == "it fell down"
    details = dict(error.trailing_metadata())["grpc-status-details-bin"]
    status = status_pb2.Status.FromString(details)
    kept = provider_pb2.ErrorResourceInitFailed()
    assert status.details[0].Unpack(kept)
    assert kept.id == "half"
    assert list(kept.reasons) == ["it fell down"]
    assert decode(kept.properties) == {"size": 13, "pin": Secret("1234"), "place": "floor"}


def refusal(call: Any, request: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as raised:
        call(request)
    error: Any = raised.value
    return error.code(), error.details()


def test_errors_carry_message_and_hint(engine: Any) -> None:
    code, text = refusal(engine.Update, provider_pb2.UpdateRequest(id="i"))
    assert (code, text) == (grpc.StatusCode.UNKNOWN, "things cannot change\nMake another.")
    _, text = refusal(engine.Invoke, provider_pb2.InvokeRequest(tok="shelf:index:weigh"))
    assert "shelf:index:weigh" in text
    assert "shelf:index:count" in text
    code, text = refusal(engine.Delete, provider_pb2.DeleteRequest(id="gone"))
    assert (code, text) == (grpc.StatusCode.INTERNAL, "KeyError: 'gone'")


def test_what_the_stand_in_does_not_do_says_so(engine: Any) -> None:
    calls = [
        (engine.Construct, provider_pb2.ConstructRequest(type="eks:index:Cluster")),
        (engine.Call, provider_pb2.CallRequest(tok="x")),
        (engine.GetSchema, provider_pb2.GetSchemaRequest()),
        (engine.Parameterize, provider_pb2.ParameterizeRequest()),
    ]
    assert {refusal(*call)[0] for call in calls} == {grpc.StatusCode.UNIMPLEMENTED}


def test_an_interrupt_reaches_every_provider(engine: Any, shelves: list[Shelf]) -> None:
    engine.Cancel(empty_pb2.Empty())
    assert [shelf.cancelled for shelf in shelves if shelf.label] == [True]


def test_an_installed_plugin_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PULUMI_DEBUG_PROVIDERS", raising=False)
    version = importlib.metadata.version("pulumi-aws")
    folder = tmp_path / "plugins" / f"resource-aws-v{version}"
    folder.mkdir(parents=True)
    assert not is_installed("aws", tmp_path), "the folder alone is not the plugin"
    (folder / "pulumi-resource-aws").touch()
    assert is_installed("aws", tmp_path)
    with attach(AwsEndpoint(), KubernetesTarget(), pulumi_home=tmp_path) as environment:
        (entry,) = environment["PULUMI_DEBUG_PROVIDERS"].split(",")
        assert entry.startswith("kubernetes:")
    folder.with_name(f"{folder.name}.partial").touch()
    assert not is_installed("aws", tmp_path), "an interrupted installation does not count"


@pytest.mark.parametrize("installed", [("kubernetes",), ("aws", "eks"), ("aws", "eks", "kubernetes"), ()], ids="-".join)
def test_each_plugin_that_is_installed_wins_whichever_the_others_are(
    installed: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PULUMI_DEBUG_PROVIDERS", raising=False)
    for name in installed:
        version = importlib.metadata.version(f"pulumi-{name}")
        plugin = tmp_path / "plugins" / f"resource-{name}-v{version}" / f"pulumi-resource-{name}"
        plugin.parent.mkdir(parents=True)
        plugin.touch()
    with attach(AwsEndpoint(), KubernetesTarget(), eks=True, pulumi_home=tmp_path) as environment:
        entries = environment.get("PULUMI_DEBUG_PROVIDERS", "").split(",")
        assert {entry.split(":")[0] for entry in entries if entry} == {"aws", "eks", "kubernetes"} - set(installed)


def test_an_older_plugin_does_not_win(tmp_path: Path) -> None:
    folder = tmp_path / "plugins" / "resource-aws-v6.0.0"
    folder.mkdir(parents=True)
    (folder / "pulumi-resource-aws").touch()
    assert not is_installed("aws", tmp_path)


def test_a_provider_that_the_user_attached_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_DEBUG_PROVIDERS", "aws:1234")
    with attach(AwsEndpoint(), pulumi_home=tmp_path) as environment:
        assert environment == {"PULUMI_DEBUG_PROVIDERS": "aws:1234"}
    monkeypatch.delenv("PULUMI_DEBUG_PROVIDERS")
    with attach(pulumi_home=tmp_path) as environment:
        assert environment == {}
