"""The small protocol that a stand-in provider implements, in plain Python values.

`sandbox.providers.servicer` speaks gRPC with the engine on its behalf. Providers are given plain values:
secrets are unwrapped before a call and wrapped again by their property path in what the call returns, so
a provider wraps a value in `Secret` only to make something secret that was not.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

from aphex.errors import AphexError
from sandbox.providers.marshal import UNKNOWN, Properties, Secret, has_unknown, plain

__all__ = [
    "UNKNOWN",
    "Change",
    "Checked",
    "Created",
    "Difference",
    "InitializationFailed",
    "Kind",
    "Naming",
    "NamingMode",
    "Problem",
    "Properties",
    "PropertyChange",
    "Provider",
    "ProviderError",
    "Resource",
    "Secret",
    "State",
    "UnknownFunction",
    "UnknownType",
    "has_unknown",
    "plain",
]


@dataclass(frozen=True)
class Resource:
    """Which resource a call is about."""

    urn: str
    type: str
    name: str


class NamingMode(enum.Enum):
    """What the engine's auto-naming configuration asks for."""

    PROPOSE = "propose"
    ENFORCE = "enforce"
    DISABLE = "disable"


@dataclass(frozen=True)
class Naming:
    """How to name a resource whose program gives no name.

    Attributes:
        seed: random bytes, the same for every call about one generation of the resource.
        proposed: the name from the user's auto-naming configuration, when there is one.
        mode: whether that name may be changed, or naming is forbidden.
    """

    seed: bytes = b""
    proposed: str | None = None
    mode: NamingMode = NamingMode.PROPOSE


@dataclass(frozen=True)
class Problem:
    """One input that cannot be accepted."""

    property: str
    reason: str


@dataclass(frozen=True)
class Checked:
    """The inputs to keep, with defaults filled in, and what is wrong with them."""

    inputs: Properties
    problems: Sequence[Problem] = ()


class Kind(enum.Enum):
    """How one property changes."""

    ADD = "add"
    DELETE = "delete"
    UPDATE = "update"


@dataclass(frozen=True)
class PropertyChange:
    """One change between old and new inputs, at a path such as `rules[0].status` or `tags["a b"]`."""

    path: str
    kind: Kind
    replaces: bool = False


@dataclass(frozen=True)
class Difference:
    """All that changes; nothing when `changes` is empty.

    Attributes:
        delete_before_replace: the old resource must go before its replacement can be made.
    """

    changes: Sequence[PropertyChange] = ()
    delete_before_replace: bool = False


@dataclass(frozen=True)
class Created:
    """A new resource. In a preview the id is empty and what cannot be known is `UNKNOWN`."""

    id: str
    outputs: Properties


@dataclass(frozen=True)
class State:
    """A resource as it really is, and the inputs that would give it."""

    id: str
    outputs: Properties
    inputs: Properties


@dataclass(frozen=True)
class Change:
    """What an update starts from and goes to.

    Attributes:
        new: the checked inputs that are wanted.
        old_inputs: the inputs of the last operation.
        old_outputs: the outputs of the last operation.
        preview: compute the outputs, have no effect.
        timeout: seconds, zero when the user set none.
    """

    new: Properties
    old_inputs: Properties
    old_outputs: Properties
    preview: bool = False
    timeout: float = 0.0


class ProviderError(AphexError):
    """An operation failed and left nothing that the engine's state does not already describe."""


class UnknownType(ProviderError):
    """A resource type that the stand-in provider does not implement."""

    def __init__(self, provider: str, token: str, known: Sequence[str]) -> None:
        super().__init__(
            f"the stand-in {provider} provider has no resource type {token}",
            hint=f"It has {', '.join(sorted(known))}. The real {provider} plugin, when installed, is used instead.",
        )


class UnknownFunction(ProviderError):
    """A function that the stand-in provider does not implement."""

    def __init__(self, provider: str, token: str, known: Sequence[str]) -> None:
        super().__init__(
            f"the stand-in {provider} provider has no function {token}",
            hint=f"It has {', '.join(sorted(known)) or 'none'}.",
        )


@dataclass
class InitializationFailed(Exception):
    """The resource exists but is not as wanted: the engine keeps this state and tries again at the next update.

    Attributes:
        id: the id of the resource that exists.
        outputs: its properties as far as they are known.
        reasons: why it is not as wanted.
        inputs: the inputs that its state has (needed only when raised from `read`).
    """

    id: str
    outputs: Properties
    reasons: Sequence[str]
    inputs: Properties = field(default_factory=dict)

    def __str__(self) -> str:
        return "; ".join(self.reasons)


class Provider(ABC):
    """A provider for one package. Methods are called from several threads at once.

    Any method may raise `ProviderError`; `create`, `update` and `read` may raise `InitializationFailed`.
    """

    package: str
    version: str

    @abstractmethod
    def configure(self, config: Properties) -> None:
        """Take the provider's configuration; called once, before any resource."""

    def check_config(self, config: Properties) -> Checked:
        """Validate the provider's configuration."""
        return Checked(config)

    def diff_config(self, old: Properties, new: Properties) -> Difference:
        """Compare two configurations; a change takes effect with the next operation and replaces nothing."""
        kinds = {key: _kind(key, old, new) for key in sorted({*old, *new}) if old.get(key) != new.get(key)}
        return Difference([PropertyChange(key, kind) for key, kind in kinds.items()])

    @abstractmethod
    def check(self, resource: Resource, old: Properties | None, new: Properties, naming: Naming) -> Checked:
        """Validate inputs, fill in defaults and the name; `old` are the last inputs of an existing resource."""

    @abstractmethod
    def diff(
        self, resource: Resource, id: str, old_inputs: Properties, old_outputs: Properties, new: Properties
    ) -> Difference:
        """Say what changes from the last inputs and outputs to the new checked inputs."""

    @abstractmethod
    def create(self, resource: Resource, inputs: Properties, *, preview: bool, timeout: float) -> Created:
        """Make the resource, or in a preview say what is known of it. `timeout` in seconds, zero for none set."""

    @abstractmethod
    def read(self, resource: Resource, id: str, inputs: Properties, outputs: Properties) -> State | None:
        """Read the resource as it is now; None when it is gone. An import gives neither inputs nor outputs."""

    @abstractmethod
    def update(self, resource: Resource, id: str, change: Change) -> Properties:
        """Change the resource in place and return its outputs."""

    @abstractmethod
    def delete(self, resource: Resource, id: str, inputs: Properties, outputs: Properties, timeout: float) -> None:
        """Remove the resource; one that is already gone is no error."""

    @abstractmethod
    def invoke(self, token: str, args: Properties) -> Properties:
        """Call a function of the package.

        Raises:
            UnknownFunction: there is no function of that name.
        """

    def cancel(self) -> None:
        """Stop waiting for anything: the user interrupted the operation."""
        return


def _kind(key: str, old: Properties, new: Properties) -> Kind:
    if key not in old:
        return Kind.ADD
    return Kind.UPDATE if key in new else Kind.DELETE
