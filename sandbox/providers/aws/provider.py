"""The stand-in AWS provider: the life of a resource, the same for every type."""
# The protocol gives more than AWS needs.
# ruff: noqa: ARG002

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError, WaiterError

from sandbox.providers.aws import functions
from sandbox.providers.aws.endpoint import Aws, AwsEndpoint, problems
from sandbox.providers.aws.resource import ResourceType, Scope
from sandbox.providers.aws.schema import DEFAULTS
from sandbox.providers.aws.types import TYPES
from sandbox.providers.base import (
    Change,
    Checked,
    Created,
    Difference,
    InitializationFailed,
    Naming,
    Problem,
    Properties,
    Provider,
    ProviderError,
    Resource,
    State,
    UnknownType,
)

_FAILURES = (BotoCoreError, ClientError)
_TAKEN = frozenset(
    {
        "AlreadyExistsException",
        "BucketAlreadyExists",
        "BucketAlreadyOwnedByYou",
        "EntityAlreadyExists",
        "ResourceAlreadyExistsException",
        "ResourceInUseException",
    }
)


class AwsProvider(Provider):
    """Maps the resource types that the programs use to AWS calls, at the endpoint given or configured."""

    package = "aws"
    version = "7.51.1"

    def __init__(self, endpoint: AwsEndpoint, types: Mapping[str, ResourceType] = TYPES) -> None:
        self._endpoint = endpoint
        self._types = types
        self._configured: Aws | None = None

    @property
    def _aws(self) -> Aws:
        if self._configured is None:
            raise ProviderError("the aws provider is not configured")
        return self._configured

    def check_config(self, config: Properties) -> Checked:
        """Refuse a configuration without a region, or with a profile that does not exist."""
        return Checked(config, [Problem(key, reason) for key, reason in problems(config, self._endpoint)])

    def configure(self, config: Properties) -> None:
        """Take region, credentials, endpoints and default tags.

        Raises:
            ProviderError: the credentials are of an account that the configuration excludes.
        """
        aws = Aws(self._endpoint, config)
        aws.require_allowed_account()
        self._configured = aws

    def check(self, resource: Resource, old: Properties | None, new: Properties, naming: Naming) -> Checked:
        """Validate inputs and fill in defaults, default tags and the name."""
        kind = self._type(resource)
        return kind.schema.check(resource.name, old, new, naming, self._aws.default_tags)

    def diff(
        self, resource: Resource, id: str, old_inputs: Properties, old_outputs: Properties, new: Properties
    ) -> Difference:
        """Compare inputs. An input that a refresh found changed counts, since the refresh corrected the old ones."""
        schema = self._type(resource).schema
        if schema.regional:
            # A region that is spelled out is no change when the resource is there already.
            old_inputs = {"region": old_outputs.get("region", self._aws.region), **old_inputs}
            new = {"region": self._aws.region, **new}
        return schema.difference(old_inputs, new)

    def create(self, resource: Resource, inputs: Properties, *, preview: bool, timeout: float) -> Created:
        """Make the resource and bring every input into effect; in a preview, say what is known."""
        kind = self._type(resource)
        scope = self._scope(inputs)
        if preview:
            return Created("", self._expected(kind, scope, inputs))
        with _explained(f"creating {resource.type} {resource.name}"):
            created = kind.create(scope, inputs)
        with self._kept(resource, kind, scope, created, inputs):
            kind.apply(scope, created, inputs, inputs.keys() - kind.created_with - {DEFAULTS})
            return Created(created, self._outputs(kind, scope, created, inputs))

    def read(self, resource: Resource, id: str, inputs: Properties, outputs: Properties) -> State | None:
        """Read the resource; for an import, find the inputs that describe it."""
        kind = self._type(resource)
        scope = self._scope({**outputs, **inputs})
        with _explained(f"reading {resource.type} {id}"):
            live = self._live(kind, scope, id)
        if live is None:
            return None
        found = kind.schema.inputs_of(live, inputs)
        return State(id, kind.schema.merged(live, found), found)

    def update(self, resource: Resource, id: str, change: Change) -> Properties:
        """Bring into effect what differs from the last inputs or from the resource as it is."""
        kind = self._type(resource)
        scope = self._scope({**change.old_outputs, **change.new})
        if change.preview:
            dropped = change.old_inputs.keys() - change.new.keys()
            kept = {key: value for key, value in change.old_outputs.items() if key not in dropped}
            return kind.schema.merged(kept, change.new)
        with _explained(f"updating {resource.type} {id}"):
            live = self._live(kind, scope, id)
        if live is None:
            raise ProviderError(f"{resource.type} {id} is not there any more", hint="A refresh finds what is gone.")
        keys = ({*change.old_inputs, *change.new} & kind.schema.inputs) - kind.schema.local
        changed = {
            key
            for key in keys
            if not kind.schema.same(key, change.new.get(key), live.get(key))
            or not kind.schema.same(key, change.new.get(key), change.old_inputs.get(key))
        }
        changed -= {key for key in changed & kind.schema.sticky if key not in change.new}
        with self._kept(resource, kind, scope, id, change.new):
            kind.apply(scope, id, change.new, changed)
            return self._outputs(kind, scope, id, change.new)

    def delete(self, resource: Resource, id: str, inputs: Properties, outputs: Properties, timeout: float) -> None:
        """Remove the resource; one that is gone already is fine."""
        kind = self._type(resource)
        state = {**inputs, **outputs}
        try:
            kind.delete(self._scope(state), id, state)
        except ClientError as error:
            if _code(error) not in kind.missing:
                raise _error(f"deleting {resource.type} {id}", error) from error
        except BotoCoreError as error:
            raise _error(f"deleting {resource.type} {id}", error) from error

    def invoke(self, token: str, args: Properties) -> Properties:
        """Call one of the functions about the caller and the region."""
        with _explained(f"calling {token}"):
            return functions.call(self._aws, token, args)

    def _type(self, resource: Resource) -> ResourceType:
        kind = self._types.get(resource.type)
        if kind is None:
            raise UnknownType(self.package, resource.type, list(self._types))
        return kind

    def _scope(self, properties: Properties) -> Scope:
        region = properties.get("region")
        return Scope(self._aws, region if isinstance(region, str) and region else self._aws.region)

    def _live(self, kind: ResourceType, scope: Scope, id: str) -> Properties | None:
        try:
            live = kind.read(scope, id)
        except ClientError as error:
            if _code(error) in kind.missing:
                return None
            raise
        if live is None:
            return None
        if kind.schema.tagged:
            live["tagsAll"] = live["tags"]
        return {**live, "region": scope.region} if kind.schema.regional else live

    def _outputs(self, kind: ResourceType, scope: Scope, id: str, inputs: Properties) -> Properties:
        live = self._live(kind, scope, id)
        if live is None:
            raise ProviderError(f"{id} was there a moment ago and is gone")
        return kind.schema.merged(live, inputs)

    def _expected(self, kind: ResourceType, scope: Scope, inputs: Properties) -> Properties:
        expected = kind.schema.expected(inputs)
        if kind.schema.tagged:
            expected["tagsAll"] = inputs.get("tags", {})
        if kind.schema.regional:
            expected["region"] = scope.region
        return expected

    @contextmanager
    def _kept(
        self, resource: Resource, kind: ResourceType, scope: Scope, id: str, inputs: Properties
    ) -> Iterator[None]:
        """Turn a failure into one by which the engine keeps the resource as far as it came."""
        try:
            yield
        except (*_FAILURES, ProviderError) as error:
            reason = str(_error(f"configuring {resource.type} {id}", error))
            try:
                live = self._live(kind, scope, id)
            except _FAILURES as unreadable:
                live, reason = None, f"{reason} (and it cannot be read: {unreadable})"
            partial = {key: value for key, value in inputs.items() if key in kind.schema.local}
            raise InitializationFailed(id, {**(live or {}), **partial}, [reason]) from error


@contextmanager
def _explained(doing: str) -> Iterator[None]:
    try:
        yield
    except _FAILURES as error:
        raise _error(doing, error) from error


def _error(doing: str, error: Exception) -> ProviderError:
    if isinstance(error, ProviderError | WaiterError):
        return ProviderError(f"{doing}: {error}")
    if isinstance(error, ClientError):
        message = error.response.get("Error", {}).get("Message", "")
        hint = (
            "It is there already: import it, or choose another name."
            if doing.startswith("creating") and _code(error) in _TAKEN
            else ""
        )
        return ProviderError(f"{doing}: {error.operation_name}: {_code(error)}: {message}", hint=hint)
    return ProviderError(f"{doing}: {error}", hint="Is the AWS endpoint reachable, and are there credentials?")


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
